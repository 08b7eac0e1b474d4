//! The class `NetworkStream`.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// A stream of a network, whose code is in a side module.
pub trait NetworkStreamCode {
    /// Runs the next steps.
    fn forward(&self, input: &JsValue, shape: &JsValue) -> Promise;
    /// Runs the next steps of a network of tokens.
    fn forward_tokens(&self, input: &JsValue, shape: &JsValue) -> Promise;
    /// Decodes the likeliest tokens, each from the one before it.
    fn greedy(&self, start: &JsValue, count: usize) -> Promise;
    /// Reads the states of all modules.
    fn state(&self) -> Promise;
    /// Replaces the states of all modules.
    fn set_state(&self, new: &JsValue) -> Promise;
    /// Sets the states to zero.
    fn reset(&self) -> Promise;
}

/// A sequence of calls of a network, each of which continues from the previous one.
#[wasm_bindgen]
pub struct NetworkStream {
    batch: usize,
    stride: usize,
    code: Box<dyn NetworkStreamCode>,
}

impl NetworkStream {
    pub(crate) fn new(batch: usize, stride: usize, code: impl NetworkStreamCode + 'static) -> Self {
        Self { batch, stride, code: Box::new(code) }
    }
}

#[wasm_bindgen]
impl NetworkStream {
    /// The number of rows.
    #[wasm_bindgen(getter)]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The steps that make one step of the output.
    #[wasm_bindgen(getter)]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Runs the next steps.
    pub fn forward(&self, input: JsValue, shape: JsValue) -> Promise {
        self.code.forward(&input, &shape)
    }

    /// Runs the next steps of a network of tokens.
    #[wasm_bindgen(js_name = forwardTokens)]
    pub fn forward_tokens(&self, input: JsValue, shape: JsValue) -> Promise {
        self.code.forward_tokens(&input, &shape)
    }

    /// Decodes the likeliest tokens, each from the one before it.
    pub fn greedy(&self, start: JsValue, count: usize) -> Promise {
        self.code.greedy(&start, count)
    }

    /// Reads the states of all modules.
    pub fn state(&self) -> Promise {
        self.code.state()
    }

    /// Replaces the states of all modules.
    #[wasm_bindgen(js_name = setState)]
    pub fn set_state(&self, new: JsValue) -> Promise {
        self.code.set_state(&new)
    }

    /// Sets the states to zero.
    pub fn reset(&self) -> Promise {
        self.code.reset()
    }
}
