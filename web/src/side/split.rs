//! The split points: the only functions through which the main module reaches side modules.
//!
//! The macro makes two functions of each one, and links them by their names: an import, whose calls
//! load the file first, and the export that stands here. Both have the same arguments and results.
#![allow(unsafe_code, reason = "only the names of an import and an export link them")]

use wasm_split_helpers::wasm_split;

use super::{Diagnostics, LanguageModels, Loaded, Networks};

#[wasm_split(diagnostics, fallible)]
pub fn diagnostics() -> Loaded<dyn Diagnostics> {
    Ok(&super::diagnostics::Side)
}

#[wasm_split(networks, fallible)]
pub fn networks() -> Loaded<dyn Networks> {
    Ok(&super::networks::Side)
}

#[wasm_split(language_model, fallible)]
pub fn language_models() -> Loaded<dyn LanguageModels> {
    Ok(&super::language_model::Side)
}
