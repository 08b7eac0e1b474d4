//! Weights in the conventions of other systems.
//!
//! | file | its part |
//! |---|---|
//! | `arrays` | reads the arrays below a prefix, and refuses those that are left |
//! | `keras`, `cudnn`, `tensorflow` | convert one direction of one layer |

mod arrays;
mod cudnn;
mod keras;
mod tensorflow;

use crate::error::{Error, Result};
use crate::params::config::{Config, Kind};
use crate::params::module::{DirectionParams, Params};
use crate::params::state_dict::StateDict;
use crate::tensor::room;
use arrays::Arrays;

/// The names, shapes and gate orders of another system's weights.
///
/// [`Params::from_convention`] converts arrays of these names and shapes. I is `input_size`, H
/// `hidden_size`, P `proj_size` and G the number of gates. Every array is row-major.
///
/// | here | arrays | gates |
/// |---|---|---|
/// | RNN | `weight_ih` `[H, I]`, `weight_hh` `[H, H]`, `bias_ih` and `bias_hh` `[H]` | |
/// | GRU | the same with 3·H rows | r, z, n |
/// | LSTM | the same with 4·H rows; `weight_hr` `[P, H]` with a projection | i, f, g, o |
/// | peepholes | `weight_p` `[3·H]` | i, f, o |
///
/// | Keras | arrays | gates |
/// |---|---|---|
/// | SimpleRNN | `kernel` `[I, H]`, `recurrent_kernel` `[H, H]`, `bias` `[H]` | |
/// | GRU | the same with 3·H columns; `bias` `[2, 3·H]` or `[3·H]` | z, r, h |
/// | LSTM | the same with 4·H columns; `bias` `[4·H]` | i, f, c, o |
///
/// | cuDNN | arrays, by the number of the linear layer | gates |
/// |---|---|---|
/// | all | `weight_0` and on of W `[H, I]`, `weight_G` and on of R `[H, H]`; biases `[H]` | |
/// | GRU | `weight_0` to `weight_5`, `bias_0` to `bias_5` | r, z, n |
/// | LSTM | `weight_0` to `weight_7`, `bias_0` to `bias_7`; `weight_8` `[P, H]` | i, f, g, o |
///
/// | TensorFlow 1 | arrays | gates |
/// |---|---|---|
/// | RNN | `kernel` `[I + H, H]`, `bias` `[H]` | |
/// | GRU | `gates/kernel` `[I + H, 2·H]`, `candidate/kernel` `[I + H, H]`, and a `bias` | r, z |
/// | LSTM | `kernel` `[I + H, 4·H]`, `bias` `[4·H]`; `projection/kernel` `[H, P]` | i, c, f, o |
/// | peepholes | `w_i_diag`, `w_f_diag`, `w_o_diag` `[H]` | |
///
/// The cells differ in more than the order of gates:
///
/// | system | biases | reset gate of a GRU |
/// |---|---|---|
/// | PyTorch, cuDNN | of W x and of W h; cuDNN may lack one or both | after the product |
/// | Keras, `reset_after=True` | both, as the rows of `bias` | after the product |
/// | Keras, `reset_after=False` | one | before the product |
/// | TensorFlow 1 | one | before the product |
/// | ONNX | both | `linear_before_reset`: 1 is after, 0 before |
///
/// A single bias becomes `bias_ih`, and `bias_hh` is zero. TensorFlow adds `forget_bias` to f when
/// it runs; here it is the part f of `bias_hh`. `unit_forget_bias` of Keras is in its `bias`
/// already. Every value is moved, and none is computed: the conversion is exact.
///
/// Arrays do not hold the functions and the clips of a cell. [`Params::with`] sets them:
///
/// | system | argument | [`Variant`](crate::variant::Variant) |
/// |---|---|---|
/// | Keras | `recurrent_activation`, `activation` | f; g and h of `functions` |
/// | Keras 2 | `hard_sigmoid` | `HardSigmoid(0.2, 0.5)` |
/// | Keras 3 | `hard_sigmoid` | `HardSigmoid(1/6, 0.5)` |
/// | TensorFlow 1 | `cell_clip`, `proj_clip` | `cell_clip`, `projection_clip` |
/// | cuDNN | `CUDNN_RNN_CLIP_MINMAX` | `cell_clip` |
/// | TensorFlow Lite | no weights of i | `coupling`: `InputFromForget` |
/// | Keras | `go_backwards=True` | [`Config::reverse`]; Keras reverses its output, too |
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Convention {
    /// The layers `LSTM`, `GRU` and `SimpleRNN` of Keras 2 and 3.
    Keras,
    /// The matrices that `cudnnGetRNNWeightParams` returns, by the number of their linear layer.
    Cudnn,
    /// The cells of `tf.compat.v1.nn.rnn_cell`, and `LSTMBlockCell`.
    TensorFlow {
        /// The number that an LSTM adds to f. TensorFlow's default is 1.
        forget_bias: f32,
    },
}

/// One direction of one layer: its module, and its parameters.
struct Converted {
    config: Config,
    params: DirectionParams,
}

impl Convention {
    fn convert(self, kind: Kind, arrays: &mut Arrays<'_>) -> Result<Converted> {
        match self {
            Self::Keras => keras::convert(kind, arrays),
            Self::Cudnn => cudnn::convert(kind, arrays),
            Self::TensorFlow { forget_bias } => tensorflow::convert(kind, arrays, forget_bias),
        }
    }
}

impl Params {
    /// Converts the arrays of another system.
    ///
    /// `layers` has the prefixes of each layer: of its forward direction, and of its reverse
    /// direction if it has two. A prefix owns every array below it. The input is `[T, B, I]`;
    /// [`with`](Self::with) changes that, and sets functions and clips.
    ///
    /// ```no_run
    /// # fn main() -> wgpu_rnn::Result<()> {
    /// use wgpu_rnn::{Convention, Kind, Params, StateDict};
    /// let arrays = StateDict::open("keras.safetensors")?;
    /// let prefixes = [&["bi/forward_gru/gru_cell/", "bi/backward_gru/gru_cell/"][..]];
    /// let params = Params::from_convention(Convention::Keras, Kind::Gru, &arrays, &prefixes)?;
    /// let params = params.with(|config| config.batch_first(true))?; // as Keras has it
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::StateDict`] with missing, misshapen and unexpected arrays; [`Error::File`] for
    /// arrays that have no exact conversion; [`Error::Config`] when layers do not fit each other;
    /// [`Error::Option`] for a layer with no prefix or over two; [`Error::OutOfMemory`] when the
    /// host's memory does not hold the weights in both orders.
    pub fn from_convention(
        convention: Convention,
        kind: Kind,
        state_dict: &StateDict,
        layers: &[&[&str]],
    ) -> Result<Self> {
        let directions = layers.first().map_or(0, |layer| layer.len());
        if !(1..=2).contains(&directions) || layers.iter().any(|l| l.len() != directions) {
            return Err(Error::Option(format!(
                "expected one prefix for each layer, or two for each; found {:?}",
                layers.iter().map(|layer| layer.len()).collect::<Vec<_>>()
            )));
        }
        // The arrays as they are read, and in their new order.
        let count = state_dict.names().filter_map(|name| state_dict.get(name));
        let count =
            count.map(|entry| entry.shape().iter().product()).fold(0, usize::saturating_add);
        room(count.saturating_mul(4), "the converted weights")?;
        let mut converted = Vec::new();
        let mut module = Config::new(kind, 0, 0);
        for (layer, prefixes) in layers.iter().enumerate() {
            for prefix in *prefixes {
                let mut arrays = Arrays::new(state_dict, prefix, kind.module());
                let Converted { config, params } = convention.convert(kind, &mut arrays)?;
                arrays.finish()?;
                if converted.is_empty() {
                    module = config.clone().num_layers(layers.len()).bidirectional(directions == 2);
                }
                let input_size = module.layer_input_size(layer);
                let expected = module.clone().num_layers(1).bidirectional(false);
                let expected = Config { input_size, ..expected };
                if config != expected {
                    return Err(Error::Config(format!(
                        "the arrays below '{prefix}' make {config}; expected {expected}"
                    )));
                }
                converted.push(params);
            }
        }
        // In the order in which the parameters are asked for, those that exist.
        let mut values = converted
            .into_iter()
            .flat_map(|p| [p.weight_ih, p.weight_hh, p.bias_ih, p.bias_hh, p.weight_hr, p.weight_p])
            .filter(|values| !values.is_empty());
        Self::from_fn(&module, |_, _| Ok(values.next().unwrap_or_default()))
    }
}
