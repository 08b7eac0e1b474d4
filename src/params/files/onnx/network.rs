//! Networks of a model: their modules, with the states and the lengths that the file holds.

use std::path::PathBuf;

use super::chain::{Chain, Origin};
use super::model::OnnxModel;
use super::tensors::Constant;
use crate::error::{Error, Result};
use crate::params::Params;
use crate::params::config::Config;
use crate::params::validate::whole_state;
use crate::tensor::{State, Tensor, grow, reserved};

/// A network of an ONNX model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OnnxNetwork {
    /// The paths of its nodes, the first layer first. The network has the name of the first.
    pub nodes: Vec<String>,
    /// The module: its configuration, with `batch_first`, and its weights.
    pub params: Params,
    /// The initial state that the file holds; `None` for zeros. A part that the caller gives is
    /// zero.
    pub state: Option<State>,
    /// The valid steps of each row that the file holds, `[B]`.
    pub lengths: Option<Vec<usize>>,
    /// The values that the caller gives, because the model reads or computes them: `h_0`, `c_0` or
    /// `lengths`, each with its name in the model. States are `[L·D, B, H]`, as everywhere.
    pub inputs: Vec<(&'static str, String)>,
    /// The files beside the model that hold tensors.
    #[doc(hidden)]
    pub files: Vec<PathBuf>,
}

/// A network of no model, without states and lengths.
impl From<Params> for OnnxNetwork {
    fn from(params: Params) -> Self {
        let (nodes, state, lengths) = (Vec::new(), None, None);
        Self { nodes, params, state, lengths, inputs: Vec::new(), files: Vec::new() }
    }
}

impl OnnxModel {
    /// Returns the names of the networks: the path of the first node of each.
    ///
    /// A path is a node's name, behind the nodes and bodies that it is in:
    /// `If_3/then_branch/LSTM_0`. A node without a name has its operator and its index in the
    /// graph.
    pub fn networks(&self) -> Vec<String> {
        self.chains().iter().map(|chain| self.name(chain.nodes[0])).collect()
    }

    /// Loads the network that has the node of this path, or with an empty path the only network.
    ///
    /// # Errors
    /// [`Error::File`] that lists the networks when the path names none or several; that names the
    /// attribute or the input which cannot be honoured; when the values of a tensor do not fill its
    /// shape; when its external data is outside of the model's folder. [`Error::Io`] when that data
    /// cannot be read, [`Error::OutOfMemory`] when the host's memory does not hold it.
    pub fn network(&self, path: &str) -> Result<OnnxNetwork> {
        let index = self.find(path)?;
        self.load(&self.chains(), index)
    }

    /// Loads one node alone, without the layers above and below it.
    ///
    /// # Errors
    /// The errors of [`network`](Self::network).
    pub fn layer(&self, path: &str) -> Result<OnnxNetwork> {
        let index = self.find(path)?;
        self.load(&self.chains_of(&[index]), index)
    }

    fn load(&self, chains: &[Chain], index: usize) -> Result<OnnxNetwork> {
        self.node(index)?;
        let chain = chains.iter().find(|chain| chain.nodes.contains(&index));
        let chain = chain.ok_or_else(|| self.refuse_node(index, "it is in no network"))?;
        OnnxNetwork::load(self, chain)
    }
}

impl OnnxNetwork {
    /// Loads a chain of nodes.
    ///
    /// # Errors
    /// The errors of [`OnnxModel::params`], and those of tensors that do not fit.
    fn load(model: &OnnxModel, chain: &Chain) -> Result<Self> {
        let params = model.params(&chain.nodes)?.with(|c| c.batch_first(chain.batch_first))?;
        let config = params.config();
        // Nodes with the batch first have states with the batch first; other glue moves X and Y.
        let swap = model.node(chain.nodes[0])?.batch_first;
        let part = |origin| state(model, config, origin, swap);
        let state = whole_state(config, part(&chain.initial_h)?, part(&chain.initial_c)?)?;
        let given = chain.origins().into_iter();
        let given = given.filter_map(|(role, origin)| Some((role, origin.given()?.to_owned())));
        Ok(Self {
            nodes: chain.nodes.iter().map(|&index| model.name(index)).collect(),
            state,
            lengths: lengths(model, &chain.lengths)?,
            inputs: given.collect(),
            files: model.files(),
            params,
        })
    }
}

/// Reads a state that the file holds, `[L·D, B, H]`; with `swap` it is `[B, D, H]` there.
fn state(
    model: &OnnxModel,
    config: &Config,
    origin: &Origin,
    swap: bool,
) -> Result<Option<Tensor>> {
    let Origin::Stored(tensors) = origin else { return Ok(None) };
    let (rows, width) = (config.num_layers * config.num_directions(), config.hidden_size);
    let mut values = Vec::new();
    for tensor in tensors {
        let part = model.floats(tensor)?;
        grow(&mut values, part.len(), "an initial state")?;
        values.extend_from_slice(&part);
    }
    let batch = values.len() / (rows * width);
    let first = if swap { batch } else { rows / tensors.len() };
    let fits =
        |tensor: &Constant| matches!(tensor.shape[..], [f, _, w] if [f, w] == [first, width]);
    if !tensors.iter().all(fits) || values.len() != rows * batch * width {
        let shapes: Vec<String> =
            tensors.iter().map(|tensor| format!("'{}' {:?}", tensor.name, tensor.shape)).collect();
        return Err(model.refuse(format!(
            "the initial states {} are not [{rows}, batch, {width}]",
            shapes.join(", ")
        )));
    }
    let values = if swap { swapped(&values, batch, rows, width)? } else { values };
    Tensor::new([rows, batch, width], values).map(Some)
}

/// Returns `[a, b, width]` as `[b, a, width]`.
fn swapped(values: &[f32], a: usize, b: usize, width: usize) -> Result<Vec<f32>> {
    let mut swapped = reserved(values.len(), "an initial state")?;
    for j in 0..b {
        for i in 0..a {
            swapped.extend_from_slice(&values[(i * b + j) * width..][..width]);
        }
    }
    Ok(swapped)
}

fn lengths(model: &OnnxModel, origin: &Origin) -> Result<Option<Vec<usize>>> {
    let Origin::Stored(tensors) = origin else { return Ok(None) };
    let read = tensors.iter().map(|tensor| model.integers(tensor));
    let values = read.collect::<Result<Vec<_>>>()?.concat();
    let length = |length| {
        usize::try_from(length).map_err(|_| {
            model.refuse(format!("sequence_lens holds {length}; a length cannot be negative"))
        })
    };
    values.into_iter().map(length).collect::<Result<_, Error>>().map(Some)
}
