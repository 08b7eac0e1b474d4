//! The class `Network`.

use js_sys::{Array, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_rnn::network::{Network as Module, StepShape};

use crate::calls::promise;
use crate::device::Device;
use crate::error::Result;
use crate::load_options::load_options;
use crate::network_stream::NetworkStream;
use crate::sequential::sequential;
use crate::state_dict::StateDict;
use crate::values::{counts, from_tensor, given, numbers, tensor, tensor_object};

/// A network with its weights on a device.
#[wasm_bindgen]
pub struct Network(Module);

/// Returns the sizes of a step, empty for a token.
fn sizes(step: StepShape) -> JsValue {
    numbers(step.sizes().iter().map(|&size| size as f64))
}

/// Copies tokens and their shape.
pub fn tokens(tokens: &JsValue, shape: &JsValue) -> Result<(Vec<i64>, Vec<usize>)> {
    let tokens = counts(tokens, "tokens")?.into_iter().map(|token| token as i64).collect();
    Ok((tokens, counts(shape, "shape")?))
}

#[wasm_bindgen]
impl Network {
    /// Loads a network whose definition `Sequential` collected.
    pub fn load(
        device: &Device,
        weights: &StateDict,
        input: JsValue,
        modules: Array,
        prefix: Option<String>,
        options: JsValue,
    ) -> Result<Self> {
        let definition = sequential(&input, &modules)?;
        let (prefix, options) = (prefix.unwrap_or_default(), load_options(&options)?);
        Ok(Self(definition.load_with(&device.0, &weights.0, &prefix, &options)?))
    }

    /// The shape of a step of the input.
    #[wasm_bindgen(getter, js_name = inputShape)]
    pub fn input_shape(&self) -> JsValue {
        sizes(self.0.input())
    }

    /// The shape of a step of the output.
    #[wasm_bindgen(getter, js_name = outputShape)]
    pub fn output_shape(&self) -> JsValue {
        sizes(self.0.output())
    }

    /// Runs the network from zero states.
    pub fn forward(&self, input: JsValue, shape: JsValue) -> Promise {
        let (input, network) = (tensor(&input, &shape, "input"), self.0.clone());
        promise(async move { Ok(from_tensor(&network.forward_async(&input?).await?)) })
    }

    /// Runs a network of tokens.
    #[wasm_bindgen(js_name = forwardTokens)]
    pub fn forward_tokens(&self, input: JsValue, shape: JsValue) -> Promise {
        let (input, network) = (tokens(&input, &shape), self.0.clone());
        promise(async move {
            let (tokens, shape) = input?;
            Ok(from_tensor(&network.forward_tokens_async(&tokens, &shape).await?))
        })
    }

    /// Opens a stream of `batch` rows, 1 by default.
    pub fn stream(&self, batch: Option<usize>) -> Result<NetworkStream> {
        Ok(NetworkStream::new(self.0.stream(batch.unwrap_or(1))?))
    }

    /// Opens a stream of a network that attends a memory.
    pub fn decoder(&self, memory: JsValue, lengths: JsValue) -> Result<NetworkStream> {
        let memory = tensor_object(&memory, "memory")?;
        let lengths = given(&lengths).map(|lengths| counts(lengths, "lengths")).transpose()?;
        Ok(NetworkStream::new(self.0.decoder(&memory, lengths.as_deref())?))
    }
}
