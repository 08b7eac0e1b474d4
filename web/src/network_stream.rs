//! The class `NetworkStream`.

use js_sys::{Array, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_rnn::network::NetworkStream as Stream;

use crate::calls::InOrder;
use crate::network::tokens;
use crate::values::{counts, from_tensor, numbers, tensor, tensor_object};

/// A sequence of calls of a network, each of which continues from the previous one.
#[wasm_bindgen]
pub struct NetworkStream {
    batch: usize,
    stride: usize,
    stream: InOrder<Stream>,
}

impl NetworkStream {
    pub(crate) fn new(stream: Stream) -> Self {
        let (batch, stride) = (stream.batch(), stream.stride());
        Self { batch, stride, stream: InOrder::new(stream) }
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
        let input = tensor(&input, &shape, "input");
        self.stream
            .promise(async move |stream| Ok(from_tensor(&stream.forward_async(&input?).await?)))
    }

    /// Runs the next steps of a network of tokens.
    #[wasm_bindgen(js_name = forwardTokens)]
    pub fn forward_tokens(&self, input: JsValue, shape: JsValue) -> Promise {
        let input = tokens(&input, &shape);
        self.stream.promise(async move |stream| {
            let (tokens, shape) = input?;
            Ok(from_tensor(&stream.forward_tokens_async(&tokens, &shape).await?))
        })
    }

    /// Decodes the likeliest tokens, each from the one before it.
    pub fn greedy(&self, start: JsValue, count: usize) -> Promise {
        let start = counts(&start, "start");
        self.stream.promise(async move |stream| {
            let start: Vec<i64> = start?.into_iter().map(|token| token as i64).collect();
            let steps = stream.greedy_async(&start, count).await?;
            let row = |row: &Vec<i64>| numbers(row.iter().map(|&token| token as f64));
            Ok(steps.iter().map(row).collect::<Array>())
        })
    }

    /// Reads the states of all modules.
    pub fn state(&self) -> Promise {
        self.stream.promise(async |stream| Ok(from_tensor(&stream.state_async().await?)))
    }

    /// Replaces the states of all modules.
    #[wasm_bindgen(js_name = setState)]
    pub fn set_state(&self, new: JsValue) -> Promise {
        let new = tensor_object(&new, "state");
        self.stream.promise(async move |stream| {
            stream.set_state(&new?)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Sets the states to zero.
    pub fn reset(&self) -> Promise {
        self.stream.promise(async |stream| {
            stream.reset();
            Ok(JsValue::UNDEFINED)
        })
    }
}
