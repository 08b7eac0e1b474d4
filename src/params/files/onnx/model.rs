//! A model, its recurrent nodes, and the modules that they make.

use std::path::{Path, PathBuf};

use rten_onnx::onnx::ModelProto;
use rten_onnx::protobuf::DecodeMessage as _;

use super::chain::{Found, Glue, Network, networks};
use super::graphs::{Graphs, Maker, Place, is_standard, operator};
use super::network;
use super::node::RecurrentNode;
use super::operators::Operator;
use super::survey::survey;
use super::tensors::floats;
use super::weights::{Named, convert};
use super::wire::Wire;
use crate::error::{Error, Result};
use crate::fs;
use crate::params::module::Params;

/// The most recurrent nodes of a model.
const MOST_NODES: usize = 1 << 16;

/// A recurrent node of a model, readable or not.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    place: Place,
    read: Result<RecurrentNode, String>,
}

/// An ONNX model, of which the recurrent nodes are read.
///
/// Weights stay in the file, or in files beside it, until a call asks for them.
#[derive(Debug)]
pub struct OnnxModel {
    path: PathBuf,
    graphs: Graphs,
    listed: Vec<Listed>,
    in_functions: Vec<String>,
    opset: i64,
}

/// Opens a model.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is no ONNX model, or is
/// damaged. A node that is not read is no error here: see [`OnnxModel::node`].
pub fn open(path: impl AsRef<Path>) -> Result<OnnxModel> {
    let path = path.as_ref();
    parse(path, &fs::read(path)?)
}

/// Reads the bytes of a model. `path` finds its external data.
///
/// # Errors
/// [`Error::File`] as from [`open`].
pub fn parse(path: impl AsRef<Path>, bytes: &[u8]) -> Result<OnnxModel> {
    let path = path.as_ref();
    let model = read(path, bytes);
    model.map_err(|message| Error::File { path: path.to_owned(), message })
}

fn read(path: &Path, bytes: &[u8]) -> Result<OnnxModel, String> {
    let in_functions = survey(bytes)?;
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
    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the version of ONNX's operator set.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Returns the number of recurrent nodes, those that are not read included.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Returns whether the model has no recurrent node.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Returns the recurrent operators in functions of the model, which are not read.
    pub fn in_functions(&self) -> &[String] {
        &self.in_functions
    }

    /// Returns the path of a node, such as `If_3/then_branch/LSTM_0`. A node without a name has its
    /// operator and its index in the graph.
    ///
    /// # Panics
    /// When there is no node of this index, as slice indexing does.
    pub fn name(&self, index: usize) -> String {
        self.graphs.path(self.listed[index].place)
    }

    /// Returns the operator of a node, such as `LSTM`.
    ///
    /// # Panics
    /// When there is no node of this index, as slice indexing does.
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
    pub fn node(&self, index: usize) -> Result<&RecurrentNode> {
        self.listed[index].read.as_ref().map_err(|error| self.refuse(index, error))
    }

    fn refuse(&self, index: usize, error: &str) -> Error {
        let message = format!("{} '{}': {error}", self.operator(index), self.name(index));
        Error::File { path: self.path.clone(), message }
    }

    /// Returns the index of the node of a path.
    ///
    /// # Errors
    /// [`Error::File`] with the paths of all recurrent nodes when none or several have this one.
    pub fn find(&self, name: &str) -> Result<usize> {
        let mut found = (0..self.len()).filter(|&index| self.name(index) == name);
        if let (Some(index), None) = (found.next(), found.next()) {
            return Ok(index);
        }
        let mut names: Vec<String> = (0..self.len()).take(20).map(|i| self.name(i)).collect();
        if self.len() > names.len() {
            names.push(format!("{} more", self.len() - names.len()));
        }
        let names = if names.is_empty() {
            "none. PyTorch's newer exporter writes nn.RNN as single steps: export it with \
             dynamo=False"
                .to_owned()
        } else {
            names.join(", ")
        };
        Err(Error::File {
            path: self.path.clone(),
            message: format!(
                "expected one recurrent node of the name '{name}'; the model has: {names}"
            ),
        })
    }

    /// Returns the source of X: a node, an input, or a tensor.
    ///
    /// # Panics
    /// When there is no node of this index, as slice indexing does.
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

    /// Returns the networks that the readable nodes make. Each of them is in exactly one network.
    pub fn networks(&self) -> Vec<Network> {
        let found: Vec<_> = self
            .listed
            .iter()
            .enumerate()
            .filter_map(|(index, listed)| {
                let node = listed.read.as_ref().ok()?;
                Some((index, Found { place: listed.place, node }))
            })
            .collect();
        networks(Glue { model: &self.path, graphs: &self.graphs }, &found)
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
    pub fn tensors(&self, nodes: &[usize]) -> Result<Vec<Named>> {
        let mut tensors = Vec::new();
        for (layer, &index) in nodes.iter().enumerate() {
            let read = |constant: &_| floats(&self.path, &self.graphs, constant);
            tensors.extend(convert(self.node(index)?, layer, read)?);
        }
        Ok(tensors)
    }

    /// Returns the module of a network, with its `batch_first`. The caller gives the states and
    /// lengths, which a module does not hold.
    ///
    /// # Errors
    /// The errors of [`params`](Self::params).
    pub fn module(&self, network: &Network) -> Result<Params> {
        self.params(&network.nodes)?.with(|config| config.batch_first(network.batch_first))
    }

    /// Returns the module of nodes, the first layer first. States and lengths are no part of it.
    ///
    /// # Errors
    /// The errors of [`tensors`](Self::tensors); [`Error::File`] that names an attribute which no
    /// module computes, or a node that is no layer above the first.
    ///
    /// # Panics
    /// When there is no node of an index, as slice indexing does.
    pub fn params(&self, nodes: &[usize]) -> Result<Params> {
        let layers = nodes.iter().map(|&index| self.node(index)).collect::<Result<Vec<_>>>()?;
        let refuse = |error: String| match nodes.first() {
            Some(&index) => self.refuse(index, &error),
            None => Error::Option(error),
        };
        let config = network::config(&layers).map_err(refuse)?;
        let mut tensors = self.tensors(nodes)?;
        Params::from_fn(&config, |name, _| {
            let found = tensors.iter_mut().find(|tensor| tensor.name == name);
            Ok(found.map(|tensor| std::mem::take(&mut tensor.values)).unwrap_or_default())
        })
    }
}
