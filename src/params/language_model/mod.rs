//! The configuration and the parameters of the word-language-model example's network.

mod config;
mod weights;

pub use config::{LanguageModelConfig, parse_rnn_type, rnn_type_name};
pub use weights::{LanguageModelParams, expected_tensors};
