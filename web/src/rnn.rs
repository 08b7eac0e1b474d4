//! The class `Rnn`.

use js_sys::Promise;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_rnn::{Config, ForwardOptions, Kind, Params, Rnn as Module, State, Tensor};

use crate::calls::promise;
use crate::device::Device;
use crate::error::Result;
use crate::load_options::{load_arguments, load_options};
use crate::options;
use crate::rnn_stream::RnnStream;
use crate::state_dict::StateDict;
use crate::values::{counts, from_report, from_state, from_tensor, given, object, state, tensor};

/// A recurrent module with its weights on a device.
#[wasm_bindgen]
pub struct Rnn(Module);

/// The arguments of a module without weights.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitConfig {
    kind: String,
    input_size: usize,
    hidden_size: usize,
    num_layers: Option<usize>,
    #[serde(default)]
    bidirectional: bool,
    bias: Option<bool>,
    #[serde(default)]
    proj_size: usize,
}

impl InitConfig {
    fn config(self) -> Result<Config> {
        let kind: Kind = self.kind.parse()?;
        Ok(Config::new(kind, self.input_size, self.hidden_size)
            .num_layers(self.num_layers.unwrap_or(1))
            .bidirectional(self.bidirectional)
            .bias(self.bias.unwrap_or(true))
            .proj_size(self.proj_size))
    }
}

/// The configuration of a module.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RnnConfig {
    kind: &'static str,
    input_size: usize,
    hidden_size: usize,
    num_layers: usize,
    num_directions: usize,
    proj_size: usize,
    bias: bool,
    batch_first: bool,
}

/// The last arguments of a call.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CallOptions {
    #[serde(with = "serde_wasm_bindgen::preserve")]
    state: JsValue,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    lengths: JsValue,
}

/// A call whose arguments have been copied.
struct Call {
    input: Tensor,
    state: Option<State>,
    lengths: Option<Vec<usize>>,
}

impl Call {
    fn new(input: &JsValue, shape: &JsValue, options: &JsValue) -> Result<Self> {
        let options: CallOptions = options::read(options, "options")?;
        Ok(Self {
            input: tensor(input, shape, "input")?,
            state: given(&options.state).map(|h| state(h, "options.state")).transpose()?,
            lengths: given(&options.lengths).map(|l| counts(l, "options.lengths")).transpose()?,
        })
    }

    async fn run(self, module: &Module) -> Result<JsValue> {
        let mut options = ForwardOptions::new();
        options.state = self.state.as_ref();
        options.lengths = self.lengths.as_deref();
        let (output, state) = module.forward_with_async(&self.input, &options).await?;
        Ok(object([("output", from_tensor(&output)), ("state", from_state(&state))]))
    }
}

#[wasm_bindgen]
impl Rnn {
    /// Loads the module under a prefix.
    pub fn load(
        device: &Device,
        weights: &StateDict,
        prefix: JsValue,
        options: JsValue,
    ) -> Result<Self> {
        let (prefix, options) = load_arguments(&prefix, &options)?;
        Ok(Self(Module::load_with(&device.0, &weights.0, &prefix, &options)?))
    }

    /// Creates a module with PyTorch's initial weights of a seed.
    pub fn init(device: &Device, config: JsValue, seed: JsValue, options: JsValue) -> Result<Self> {
        let config = options::required::<InitConfig>(&config, "config")?.config()?;
        let params = Params::init(&config, options::plain(&seed, "seed")?)?;
        Ok(Self(Module::with_options(&device.0, &params, &load_options(&options)?)?))
    }

    /// Kind and sizes.
    #[wasm_bindgen(getter)]
    pub fn config(&self) -> Result<JsValue> {
        let config = self.0.config();
        from_report(&RnnConfig {
            kind: config.kind.name(),
            input_size: config.input_size,
            hidden_size: config.hidden_size,
            num_layers: config.num_layers,
            num_directions: config.num_directions(),
            proj_size: config.proj_size,
            bias: config.bias,
            batch_first: config.batch_first,
        })
    }

    /// Runs the module.
    pub fn forward(&self, input: JsValue, shape: JsValue, options: JsValue) -> Promise {
        let (call, module) = (Call::new(&input, &shape, &options), self.0.clone());
        promise(async move { call?.run(&module).await })
    }

    /// Opens a stream of `batch` rows, 1 by default.
    pub fn stream(&self, batch: Option<usize>) -> Result<RnnStream> {
        Ok(RnnStream::new(self.0.stream(batch.unwrap_or(1))?))
    }

    /// Explains the schedule for sizes.
    pub fn explain(&self, seq_len: usize, batch: usize) -> Result<String> {
        Ok(self.0.explain(seq_len, batch)?.to_string())
    }
}
