//! The model of PyTorch's word-language-model example: Embedding, dropout, a recurrent module,
//! dropout, Linear.

mod beams;
mod generate;
mod model;
mod vocabulary;

pub use beams::Beam;
pub use generate::{GenerateOptions, Generator};
pub use model::{LanguageModel, Score};
pub use vocabulary::Vocabulary;
