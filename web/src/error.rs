//! Errors as JavaScript objects.

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wgpu_rnn::Error;

#[wasm_bindgen(raw_module = "./error.js")]
extern "C" {
    /// The class that JavaScript code catches.
    type RnnError;
    #[wasm_bindgen(constructor)]
    fn new(kind: &str, message: &str) -> RnnError;
}

/// An error on its way to JavaScript: an `RnnError`, or a value that the caller chose.
#[derive(Debug)]
pub struct Failure(pub JsValue);

/// `Result` with an error for JavaScript.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // The name of the variant starts the text that `derive(Debug)` writes.
        let debug = format!("{error:?}");
        let end = debug.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(debug.len());
        Self(RnnError::new(&debug[..end], &error.to_string()).into())
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

/// Returns the error of an argument that is not what it should be.
pub fn refuse<T>(text: String) -> Result<T> {
    Err(Error::Option(text).into())
}
