//! Language models and their vocabularies, as commands name them.

use std::path::PathBuf;

use wgpu_rnn::language_model::{LanguageModelParams, Vocabulary, parse_rnn_type};
use wgpu_rnn::{Error, StateDict};

use crate::args::TextModelArgs;

/// The model that ships: see `models/train.py`.
const SHIPPED: &[u8] = include_bytes!("../../../models/shakespeare.safetensors");

/// A model that reads and writes text.
pub struct TextModel {
    pub params: LanguageModelParams,
    pub vocabulary: Vocabulary,
}

impl TextModel {
    /// The model that ships.
    pub fn shipped() -> Result<Self, Error> {
        Self::of(&shipped_file()?, &TextModelArgs::default())
    }

    /// The model that a command names, or the one that ships.
    pub fn load(args: &TextModelArgs) -> Result<Self, Error> {
        match &args.weights {
            Some(path) => Self::of(&StateDict::open(path)?, args),
            None => Self::of(&shipped_file()?, args),
        }
    }

    fn of(file: &StateDict, args: &TextModelArgs) -> Result<Self, Error> {
        let rnn_type = args.rnn_type.as_deref().map(parse_rnn_type).transpose()?;
        let params = LanguageModelParams::from_state_dict(file, &args.prefix, rnn_type)?;
        let vocabulary = match &args.vocabulary {
            Some(path) => Some(Vocabulary::from_file(path)?),
            None => Vocabulary::from_state_dict_metadata(file)?,
        };
        let refuse = |message: String| Error::File { path: file.path().to_owned(), message };
        let vocabulary = vocabulary.ok_or_else(|| {
            refuse("the metadata has no vocabulary; give one with --vocabulary FILE, one token to a line".to_owned())
        })?;
        let ntoken = params.config().ntoken;
        if vocabulary.len() != ntoken {
            return Err(refuse(format!(
                "the model has {ntoken} tokens, but the vocabulary {}",
                vocabulary.len()
            )));
        }
        Ok(Self { params, vocabulary })
    }
}

fn shipped_file() -> Result<StateDict, Error> {
    StateDict::parse(PathBuf::from("the model that ships"), SHIPPED.to_vec())
}
