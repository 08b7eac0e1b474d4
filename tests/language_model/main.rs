//! The host side of language models: state dicts, and the definition in `f64` against PyTorch.

#[path = "../common/entries.rs"]
mod entries;
mod fixtures;
#[path = "../common/language_models.rs"]
mod language_models;
mod loading;
mod vocabulary;
