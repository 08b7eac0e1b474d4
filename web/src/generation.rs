//! The class `Generation`: a text that is being generated, chunk by chunk.

use js_sys::Promise;
use wasm_bindgen::prelude::wasm_bindgen;

/// A text that is being generated, whose code is in a side module.
pub trait GenerationCode {
    /// Returns the next tokens, `{ token, text }[]`, which arrive together; none after the end.
    fn chunk(&self) -> Promise;
}

/// A text that is being generated.
#[wasm_bindgen]
pub struct Generation(Box<dyn GenerationCode>);

impl Generation {
    pub(crate) fn new(code: impl GenerationCode + 'static) -> Self {
        Self(Box::new(code))
    }
}

#[wasm_bindgen]
impl Generation {
    /// Returns the next tokens, `{ token, text }[]`, which arrive together; none after the end.
    pub fn chunk(&self) -> Promise {
        self.0.chunk()
    }
}
