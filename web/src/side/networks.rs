//! The code of `Network` and `NetworkStream`.

use js_sys::{Array, Promise};
use wasm_bindgen::JsValue;
use wgpu_rnn::network::{Network as Module, NetworkStream as Stream, StepShape};
use wgpu_rnn::{Device, LoadOptions, StateDict};

use super::Networks;
use super::sequential::sequential;
use crate::calls::{InOrder, promise};
use crate::error::Result;
use crate::network::{Network, NetworkCode};
use crate::network_stream::{NetworkStream, NetworkStreamCode};
use crate::values::{counts, from_tensor, given, numbers, tensor, tensor_object};

/// The interface of this side module.
pub struct Side;

impl Networks for Side {
    fn load(
        &self,
        device: &Device,
        weights: &StateDict,
        input: &JsValue,
        modules: &Array,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<Network> {
        let definition = sequential(input, modules)?;
        Ok(Network::new(definition.load_with(device, weights, prefix, options)?))
    }
}

/// Returns the sizes of a step, empty for a token.
fn sizes(step: StepShape) -> JsValue {
    numbers(step.sizes().iter().map(|&size| size as f64))
}

/// Copies tokens.
fn tokens(value: &JsValue, what: &str) -> Result<Vec<i64>> {
    Ok(counts(value, what)?.into_iter().map(|token| token as i64).collect())
}

/// Copies tokens and their shape.
fn tokens_and_shape(value: &JsValue, shape: &JsValue) -> Result<(Vec<i64>, Vec<usize>)> {
    Ok((tokens(value, "tokens")?, counts(shape, "shape")?))
}

fn open(stream: Stream) -> NetworkStream {
    NetworkStream::new(stream.batch(), stream.stride(), InOrder::new(stream))
}

impl NetworkCode for Module {
    fn input_shape(&self) -> JsValue {
        sizes(self.input())
    }

    fn output_shape(&self) -> JsValue {
        sizes(self.output())
    }

    fn forward(&self, input: &JsValue, shape: &JsValue) -> Promise {
        let (input, network) = (tensor(input, shape, "input"), self.clone());
        promise(async move { Ok(from_tensor(&network.forward_async(&input?).await?)) })
    }

    fn forward_tokens(&self, input: &JsValue, shape: &JsValue) -> Promise {
        let (input, network) = (tokens_and_shape(input, shape), self.clone());
        promise(async move {
            let (tokens, shape) = input?;
            Ok(from_tensor(&network.forward_tokens_async(&tokens, &shape).await?))
        })
    }

    fn stream(&self, batch: usize) -> Result<NetworkStream> {
        Ok(open(Module::stream(self, batch)?))
    }

    fn decoder(&self, memory: &JsValue, lengths: &JsValue) -> Result<NetworkStream> {
        let memory = tensor_object(memory, "memory")?;
        let lengths = given(lengths).map(|lengths| counts(lengths, "lengths")).transpose()?;
        Ok(open(Module::decoder(self, &memory, lengths.as_deref())?))
    }
}

impl NetworkStreamCode for InOrder<Stream> {
    fn forward(&self, input: &JsValue, shape: &JsValue) -> Promise {
        let input = tensor(input, shape, "input");
        self.promise(async move |stream| Ok(from_tensor(&stream.forward_async(&input?).await?)))
    }

    fn forward_tokens(&self, input: &JsValue, shape: &JsValue) -> Promise {
        let input = tokens_and_shape(input, shape);
        self.promise(async move |stream| {
            let (tokens, shape) = input?;
            Ok(from_tensor(&stream.forward_tokens_async(&tokens, &shape).await?))
        })
    }

    fn greedy(&self, start: &JsValue, count: usize) -> Promise {
        let start = tokens(start, "start");
        self.promise(async move |stream| {
            let steps = stream.greedy_async(&start?, count).await?;
            let row = |row: &Vec<i64>| numbers(row.iter().map(|&token| token as f64));
            Ok(steps.iter().map(row).collect::<Array>())
        })
    }

    fn state(&self) -> Promise {
        self.promise(async |stream| Ok(from_tensor(&stream.state_async().await?)))
    }

    fn set_state(&self, new: &JsValue) -> Promise {
        let new = tensor_object(new, "state");
        self.promise(async move |stream| {
            stream.set_state(&new?)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    fn reset(&self) -> Promise {
        self.promise(async |stream| {
            stream.reset();
            Ok(JsValue::UNDEFINED)
        })
    }
}
