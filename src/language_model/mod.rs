//! The model of PyTorch's word-language-model example: Embedding, dropout, a recurrent module, dropout, Linear.

mod config;
mod generate;
mod model;
mod params;
mod vocabulary;

pub use config::{LanguageModelConfig, parse_rnn_type, rnn_type_name};
pub use generate::{GenerateOptions, Generator};
pub use model::{LanguageModel, Score};
pub use params::{LanguageModelParams, expected_tensors};
pub use vocabulary::Vocabulary;
