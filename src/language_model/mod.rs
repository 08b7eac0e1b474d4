//! The model of PyTorch's word-language-model example: Embedding, a recurrent module, Linear.

mod config;
mod params;
mod vocabulary;

pub use config::{LanguageModelConfig, parse_rnn_type, rnn_type_name};
pub use params::{LanguageModelParams, expected_tensors};
pub use vocabulary::Vocabulary;
