//! The configuration and the parameters of PyTorch's word-language-model example.

mod config;
mod loading;
mod names;
mod weights;

pub use config::{LanguageModelConfig, parse_rnn_type, rnn_type_name};
pub use weights::{LanguageModelParams, expected_tensors};
