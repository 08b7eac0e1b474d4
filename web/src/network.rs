//! The class `Network`.

use js_sys::{Array, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::calls::promise;
use crate::device::Device;
use crate::error::Result;
use crate::load_options::load_arguments;
use crate::network_stream::NetworkStream;
use crate::side;
use crate::state_dict::StateDict;

/// A network with its weights on a device, whose code is in a side module.
pub trait NetworkCode {
    /// The shape of a step of the input.
    fn input_shape(&self) -> JsValue;
    /// The shape of a step of the output.
    fn output_shape(&self) -> JsValue;
    /// Runs the network from zero states.
    fn forward(&self, input: &JsValue, shape: &JsValue) -> Promise;
    /// Runs a network of tokens.
    fn forward_tokens(&self, input: &JsValue, shape: &JsValue) -> Promise;
    /// Opens a stream of `batch` rows.
    fn stream(&self, batch: usize) -> Result<NetworkStream>;
    /// Opens a stream of a network that attends a memory.
    fn decoder(&self, memory: &JsValue, lengths: &JsValue) -> Result<NetworkStream>;
}

/// A network with its weights on a device.
#[wasm_bindgen]
pub struct Network(Box<dyn NetworkCode>);

impl Network {
    pub(crate) fn new(code: impl NetworkCode + 'static) -> Self {
        Self(Box::new(code))
    }
}

#[wasm_bindgen]
impl Network {
    /// Loads a network whose definition `Sequential` collected.
    pub fn load(
        device: &Device,
        weights: &StateDict,
        input: JsValue,
        modules: Array,
        prefix: JsValue,
        options: JsValue,
    ) -> Promise {
        let (device, weights) = (device.0.clone(), weights.0.clone());
        let arguments = load_arguments(&prefix, &options);
        promise(async move {
            let (prefix, options) = arguments?;
            side::networks().await?.load(&device, &weights, &input, &modules, &prefix, &options)
        })
    }

    /// The shape of a step of the input.
    #[wasm_bindgen(getter, js_name = inputShape)]
    pub fn input_shape(&self) -> JsValue {
        self.0.input_shape()
    }

    /// The shape of a step of the output.
    #[wasm_bindgen(getter, js_name = outputShape)]
    pub fn output_shape(&self) -> JsValue {
        self.0.output_shape()
    }

    /// Runs the network from zero states.
    pub fn forward(&self, input: JsValue, shape: JsValue) -> Promise {
        self.0.forward(&input, &shape)
    }

    /// Runs a network of tokens.
    #[wasm_bindgen(js_name = forwardTokens)]
    pub fn forward_tokens(&self, input: JsValue, shape: JsValue) -> Promise {
        self.0.forward_tokens(&input, &shape)
    }

    /// Opens a stream of `batch` rows, 1 by default.
    pub fn stream(&self, batch: Option<usize>) -> Result<NetworkStream> {
        self.0.stream(batch.unwrap_or(1))
    }

    /// Opens a stream of a network that attends a memory.
    pub fn decoder(&self, memory: JsValue, lengths: JsValue) -> Result<NetworkStream> {
        self.0.decoder(&memory, &lengths)
    }
}
