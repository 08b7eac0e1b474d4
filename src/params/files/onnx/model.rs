//! A model, its recurrent nodes, and the modules that they make.

use std::path::{Path, PathBuf};

use rten_onnx::onnx::ModelProto;
use rten_onnx::protobuf::DecodeMessage as _;

use super::chain::{Chain, Found, Glue, chains};
use super::external;
use super::graphs::{Graphs, Maker, Place, is_standard, operator};
use super::module;
use super::node::RecurrentNode;
use super::operators::Operator;
use super::survey::{Survey, survey};
use super::tensors::{Constant, floats, integers};
use super::weights::{Named, convert};
use super::wire::Wire;
use crate::error::{Error, Result};
use crate::fs;
use crate::params::config::Config;
use crate::params::files::recognise::is_onnx;
use crate::params::module::Params;
use crate::tensor::room;

/// The most recurrent nodes of a model.
const MOST_NODES: usize = 1 << 16;

/// A recurrent node of a model, readable or not.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    place: Place,
    read: Result<RecurrentNode, String>,
}

/// An ONNX model, of which the recurrent nodes RNN, GRU and LSTM are read.
///
/// Every attribute and input of a node is honoured, or the node is refused by its name. Nodes that
/// are the layers of one module make one network. Weights stay in the file, or in files in its
/// folder, until a network is loaded.
///
/// ```no_run
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::{Device, ForwardOptions, Rnn, onnx::OnnxModel};
/// # let input = wgpu_rnn::Tensor::zeros([7, 2, 3])?;
/// let network = OnnxModel::open("model.onnx")?.network("")?; // the only network
/// let rnn = Rnn::new(&Device::open("auto")?, &network.params)?;
/// let mut options = ForwardOptions::new();
/// options.state = network.state.as_ref(); // where the model holds an initial state
/// options.lengths = network.lengths.as_deref();
/// let (output, state) = rnn.forward_with(&input, &options)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OnnxModel {
    path: PathBuf,
    graphs: Graphs,
    listed: Vec<Listed>,
    in_functions: Vec<String>,
    opset: i64,
}

/// Decodes a file that was surveyed.
fn decode(path: &Path, bytes: &[u8], in_functions: Vec<String>) -> Result<OnnxModel, String> {
    let model = ModelProto::decode(Wire::new(bytes))
        .map_err(|error| format!("the ONNX model is damaged: {error}"))?;
    let standard = |domain: Option<&str>| matches!(domain, None | Some("" | "ai.onnx"));
    let imports = &model.opset_import;
    let opset = imports.iter().find(|import| standard(import.domain.as_deref()));
    let graph = model.graph.ok_or("the file has no graph: expected an ONNX model")?;
    let opset = opset
        .and_then(|import| import.version)
        .filter(|version| *version > 0)
        .ok_or("the file imports no operator set of ONNX: it is not complete")?;
    let graphs = Graphs::new(graph)?;
    let listed: Vec<Listed> = graphs
        .places()
        .filter_map(|place| list(path, &graphs, place, opset))
        .take(MOST_NODES + 1)
        .collect();
    if listed.len() > MOST_NODES {
        return Err(format!("the model has more than {MOST_NODES} recurrent nodes"));
    }
    Ok(OnnxModel { path: path.to_owned(), graphs, listed, in_functions, opset })
}

/// Reads a node if it is recurrent, or computes with attention.
fn list(path: &Path, graphs: &Graphs, place: Place, opset: i64) -> Option<Listed> {
    let node = graphs.node(place);
    let name = operator(node);
    let read = if is_standard(node) {
        Operator::named(name)?;
        RecurrentNode::read(path, graphs, place, opset)
    } else {
        let upper = name.to_ascii_uppercase();
        ["RNN", "GRU", "LSTM", "ATTENTION"].iter().find(|part| upper.contains(*part))?;
        let domain = node.domain.as_deref().unwrap_or_default();
        Err(format!(
            "{name} of the domain '{domain}' is not read: expected RNN, GRU or LSTM of ONNX"
        ))
    };
    Some(Listed { place, read })
}

impl OnnxModel {
    /// Opens a model.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is no ONNX model, or is
    /// damaged; [`Error::OutOfMemory`] when the host's memory does not hold it. A node that is not
    /// read is an error only where a call needs it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(path, &fs::read(path)?)
    }

    /// Returns whether the first bytes of a file are those of a model. A folder is none.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read.
    #[doc(hidden)]
    pub fn is_model(path: &Path) -> Result<bool> {
        Ok(!path.is_dir() && is_onnx(&fs::read_start(path, 16)?))
    }

    /// Reads the bytes of a model. The folder of `path` has its external data.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::OutOfMemory`] as from [`open`](Self::open).
    pub fn parse(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Self> {
        let path = path.as_ref();
        let file = |message| Error::File { path: path.to_owned(), message };
        let Survey { in_functions, decoded } = survey(bytes).map_err(file)?;
        room(decoded.div_ceil(size_of::<f32>()), path.display())?;
        decode(path, bytes, in_functions).map_err(file)
    }

    /// Returns the version of ONNX's operator set.
    #[doc(hidden)]
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Returns the number of recurrent nodes, those that are not read included.
    #[doc(hidden)]
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Returns whether the model has no recurrent node.
    #[doc(hidden)]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Returns the recurrent operators in functions of the model, which are not read.
    #[doc(hidden)]
    pub fn in_functions(&self) -> &[String] {
        &self.in_functions
    }

    /// Returns the path of a node, such as `If_3/then_branch/LSTM_0`. A node without a name has its
    /// operator and its index in the graph.
    ///
    /// # Panics
    /// When there is no node of this index, as slice indexing does.
    #[doc(hidden)]
    pub fn name(&self, index: usize) -> String {
        self.graphs.path(self.listed[index].place)
    }

    /// Returns the operator of a node, such as `LSTM`.
    ///
    /// # Panics
    /// When there is no node of this index, as slice indexing does.
    #[doc(hidden)]
    pub fn operator(&self, index: usize) -> &str {
        operator(self.graphs.node(self.listed[index].place))
    }

    /// Returns a node.
    ///
    /// # Errors
    /// [`Error::File`] that names the node, and the attribute or input that cannot be honoured.
    ///
    /// # Panics
    /// When there is no node of this index, as slice indexing does.
    #[doc(hidden)]
    pub fn node(&self, index: usize) -> Result<&RecurrentNode> {
        self.listed[index].read.as_ref().map_err(|error| self.refuse_node(index, error))
    }

    /// Returns an error of the file.
    pub(super) fn refuse(&self, message: String) -> Error {
        Error::File { path: self.path.clone(), message }
    }

    pub(super) fn refuse_node(&self, index: usize, error: &str) -> Error {
        self.refuse(format!("{} '{}': {error}", self.operator(index), self.name(index)))
    }

    /// Returns the index of the node of a path; of the only network with an empty path.
    ///
    /// # Errors
    /// [`Error::File`] with the paths of all recurrent nodes when none or several fit.
    #[doc(hidden)]
    pub fn find(&self, path: &str) -> Result<usize> {
        let mut found = (0..self.len()).filter(|&index| self.name(index) == path);
        match (found.next(), found.next()) {
            (Some(index), None) => return Ok(index),
            (None, _) if path.is_empty() => {
                // Each node is in one network, or is not read.
                let unread = (0..self.len()).filter(|&index| self.listed[index].read.is_err());
                let first = self.chains().into_iter().map(|chain| chain.nodes[0]).chain(unread);
                if let [only] = first.take(2).collect::<Vec<_>>()[..] {
                    return Ok(only);
                }
            }
            _ => {}
        }
        let names = match self.len() {
            0 => self.without_nodes(),
            count => {
                let mut names: Vec<_> = (0..count.min(20)).map(|index| self.name(index)).collect();
                if count > names.len() {
                    names.push(format!("{} more", count - names.len()));
                }
                names.join(", ")
            }
        };
        let expected = if path.is_empty() {
            "name one recurrent node".to_owned()
        } else {
            format!("expected one recurrent node of the name '{path}'")
        };
        Err(self.refuse(format!("{expected}; the model has: {names}")))
    }

    /// Returns the text for a model without recurrent nodes, with the way to get some.
    fn without_nodes(&self) -> String {
        match self.in_functions.as_slice() {
            [] => "none. PyTorch's newer exporter writes nn.RNN as single steps: export it with \
                   dynamo=False"
                .to_owned(),
            functions => format!(
                "none but {} in functions, which are not read. Inline them in Python: \
                 onnx.inliner.inline_local_functions(model)",
                functions.join(", ")
            ),
        }
    }

    /// Returns the source of X: a node, an input, or a tensor.
    ///
    /// # Panics
    /// When there is no node of this index, as slice indexing does.
    #[doc(hidden)]
    pub fn source(&self, index: usize) -> String {
        let place = self.listed[index].place;
        let name = self.graphs.node(place).input.first().map_or("", String::as_str);
        match self.graphs.maker(place.graph, name) {
            None => format!("'{name}', which nothing makes"),
            Some(Maker::Input) => format!("input '{name}'"),
            Some(Maker::Tensor(_)) => format!("tensor '{name}'"),
            Some(Maker::Node { place, .. }) => self.described(place),
        }
    }

    /// Returns the readers of Y, Y_h and Y_c, each with the name of the output.
    ///
    /// # Panics
    /// When there is no node of this index, as slice indexing does.
    #[doc(hidden)]
    pub fn readers(&self, index: usize) -> Vec<(&'static str, String)> {
        let place = self.listed[index].place;
        let outputs = ["Y", "Y_h", "Y_c"].into_iter().zip(&self.graphs.node(place).output);
        let mut readers = Vec::new();
        for (output, (role, name)) in outputs.enumerate() {
            let nodes = self.graphs.readers(place, output).iter();
            readers.extend(nodes.map(|&reader| (role, self.described(reader))));
            if self.graphs.is_output(place.graph, name) {
                readers.push((role, format!("output '{name}'")));
            }
        }
        readers
    }

    fn described(&self, place: Place) -> String {
        format!("{} '{}'", operator(self.graphs.node(place)), self.graphs.path(place))
    }

    /// Returns the chains that the readable nodes make. Each of them is in exactly one.
    #[doc(hidden)]
    pub fn chains(&self) -> Vec<Chain> {
        self.chains_of(&Vec::from_iter(0..self.len()))
    }

    pub(super) fn chains_of(&self, nodes: &[usize]) -> Vec<Chain> {
        let readable = |&index: &usize| {
            let Listed { place, read } = &self.listed[index];
            read.as_ref().ok().map(|node| (index, Found { place: *place, node }))
        };
        let found: Vec<_> = nodes.iter().filter_map(readable).collect();
        chains(Glue { model: &self.path, graphs: &self.graphs }, &found)
    }

    /// Returns the files of external data, each once.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let tensors = self.graphs.tensors.iter();
        let mut files: Vec<_> = tensors.filter_map(|t| external::file(&self.path, t)).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    pub(super) fn floats(&self, constant: &Constant) -> Result<Vec<f32>> {
        floats(&self.path, &self.graphs, constant)
    }

    pub(super) fn integers(&self, constant: &Constant) -> Result<Vec<i64>> {
        integers(&self.path, &self.graphs, constant)
    }

    /// Returns the weights of nodes under PyTorch's names, in PyTorch's order of gates. The first
    /// node is layer 0.
    ///
    /// # Errors
    /// The errors of [`node`](Self::node); [`Error::File`] when the values of a tensor do not fill
    /// its shape, or when its external data is outside of the model's folder; [`Error::Io`] when
    /// that data cannot be read; [`Error::OutOfMemory`] when the host's memory does not hold it.
    ///
    /// # Panics
    /// When there is no node of an index, as slice indexing does.
    #[doc(hidden)]
    pub fn tensors(&self, nodes: &[usize]) -> Result<Vec<Named>> {
        let mut tensors = Vec::new();
        for (layer, &index) in nodes.iter().enumerate() {
            tensors.extend(convert(self.node(index)?, layer, |tensor| self.floats(tensor))?);
        }
        Ok(tensors)
    }

    /// Returns the configuration of nodes, the first layer first.
    ///
    /// # Errors
    /// The errors of [`node`](Self::node); [`Error::File`] that names a node which is no layer
    /// above the first.
    ///
    /// # Panics
    /// When there is no node of an index, as slice indexing does.
    #[doc(hidden)]
    pub fn config(&self, nodes: &[usize]) -> Result<Config> {
        let layers = nodes.iter().map(|&index| self.node(index)).collect::<Result<Vec<_>>>()?;
        module::config(&layers).map_err(|error| match nodes.first() {
            Some(&index) => self.refuse_node(index, &error),
            None => Error::Option(error),
        })
    }

    /// Returns the module of nodes, the first layer first. States and lengths are no part of it.
    ///
    /// # Errors
    /// The errors of [`config`](Self::config) and [`tensors`](Self::tensors).
    ///
    /// # Panics
    /// When there is no node of an index, as slice indexing does.
    #[doc(hidden)]
    pub fn params(&self, nodes: &[usize]) -> Result<Params> {
        let config = self.config(nodes)?;
        let mut tensors = self.tensors(nodes)?;
        Params::from_fn(&config, |name, _| {
            let found = tensors.iter_mut().find(|tensor| tensor.name == name);
            Ok(found.map(|tensor| std::mem::take(&mut tensor.values)).unwrap_or_default())
        })
    }
}
