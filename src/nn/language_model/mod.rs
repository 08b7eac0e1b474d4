//! The model of PyTorch's word-language-model example: Embedding, dropout, a recurrent module,
//! dropout, Linear.

mod beams;
mod generate;
mod generations;
mod model;
mod options;
mod vocabulary;

pub use beams::Beam;
pub use generate::Generator;
pub use model::{LanguageModel, Score};
pub use options::GenerateOptions;
pub use vocabulary::Vocabulary;
