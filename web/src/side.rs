//! Side modules: code that few pages need, in files that the main module loads when a call needs
//! them.
//!
//! The functions in `split.rs` are the split points. `web/tool` moves all that only they reach to
//! the files of side modules. These use the memory and the table of functions of the main module.
//!
//! A split point returns the interface of its side module: a trait object, whose functions are in
//! the file. So nothing can call them before the file is there. The classes of a side module are
//! in the main module, as all that JavaScript sees, and hold trait objects. So their methods run
//! without waiting.

mod diagnostics;
mod language_model;
mod networks;
mod sequential;
mod split;

use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_split_helpers::SplitLoaderError;
use wgpu_rnn::{Device, LoadOptions, StateDict};

use crate::calls::Call;
use crate::diagnostics::{BenchOptions, Case, Progress};
use crate::error::{Failure, Result};
use crate::language_model::LanguageModel;
use crate::network::Network;

#[wasm_bindgen(raw_module = "./side.js")]
extern "C" {
    /// The error of a call whose side module could not be loaded.
    fn failure(side: &str) -> JsValue;
}

/// The interface of a side module that has been loaded.
type Loaded<T> = std::result::Result<&'static T, SplitLoaderError>;

/// Returns the interface of a side module, or the reason why it could not be loaded.
fn interface<T: ?Sized>(side: &str, loaded: Loaded<T>) -> Result<&'static T> {
    loaded.map_err(|_| Failure(failure(side)))
}

/// The functions of `diagnostics`.
pub trait Diagnostics {
    /// Runs case files on a device.
    fn verify(&self, device: Device, cases: Vec<Case>, progress: Progress) -> Call;
    /// Runs networks of every kind and schedule against the definition in f64.
    fn self_test(&self, device: Device, progress: Progress) -> Call;
    /// Runs each kernel against its twin on the CPU.
    fn lockstep(&self, device: Device, progress: Progress) -> Call;
    /// Measures the constants of a device.
    fn calibrate(&self, device: Device, progress: Progress) -> Call;
    /// Times forward passes.
    fn bench(&self, device: Device, options: BenchOptions, progress: Progress) -> Call;
}

/// Loads the functions of `diagnostics`.
pub async fn diagnostics() -> Result<&'static dyn Diagnostics> {
    interface("diagnostics", split::diagnostics().await)
}

/// The code of `Network` and `NetworkStream`.
pub trait Networks {
    /// Loads a network: the shape of a step of its input, and its modules.
    fn load(
        &self,
        device: &Device,
        weights: &StateDict,
        input: &JsValue,
        modules: &Array,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<Network>;
}

/// Loads the code of networks.
pub async fn networks() -> Result<&'static dyn Networks> {
    interface("networks", split::networks().await)
}

/// The code of `LanguageModel` and `Generation`.
pub trait LanguageModels {
    /// Loads the model under a prefix.
    fn load(
        &self,
        device: &Device,
        weights: &StateDict,
        prefix: &str,
        options: &LoadOptions,
    ) -> Result<LanguageModel>;
}

/// Loads the code of language models.
pub async fn language_models() -> Result<&'static dyn LanguageModels> {
    interface("language_model", split::language_models().await)
}
