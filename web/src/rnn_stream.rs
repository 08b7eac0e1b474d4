//! The class `RnnStream`.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_rnn::stream::Stream;

use crate::calls::InOrder;
use crate::values::{from_state, from_tensor, state, tensor};

/// A sequence of calls, each of which continues from the previous one.
#[wasm_bindgen]
pub struct RnnStream {
    batch: usize,
    stream: InOrder<Stream>,
}

impl RnnStream {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { batch: stream.batch(), stream: InOrder::new(stream) }
    }
}

#[wasm_bindgen]
impl RnnStream {
    /// The number of rows.
    #[wasm_bindgen(getter)]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Runs the next steps.
    pub fn forward(&self, input: JsValue, shape: JsValue) -> Promise {
        let input = tensor(&input, &shape, "input");
        self.stream
            .promise(async move |stream| Ok(from_tensor(&stream.forward_async(&input?).await?)))
    }

    /// Reads the state.
    pub fn state(&self) -> Promise {
        self.stream.promise(async |stream| Ok(from_state(&stream.state_async().await?)))
    }

    /// Replaces the state.
    #[wasm_bindgen(js_name = setState)]
    pub fn set_state(&self, new: JsValue) -> Promise {
        let new = state(&new, "state");
        self.stream.promise(async move |stream| {
            stream.set_state(&new?)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Sets the state to zero.
    pub fn reset(&self) -> Promise {
        self.stream.promise(async |stream| {
            stream.reset();
            Ok(JsValue::UNDEFINED)
        })
    }
}
