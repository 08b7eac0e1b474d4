//! The language model and the vocabulary of a command.

use std::path::PathBuf;

use clap::Args;
use wgpu_rnn::language_model::{LanguageModelParams, Vocabulary, parse_rnn_type};
use wgpu_rnn::{Error, LoadOptions, StateDict, WeightType};

use crate::args::{KeyArgs, NamesArgs, print_note};
use crate::output::Named;

/// Arguments that name a language model and its vocabulary.
#[derive(Debug, Default, Args)]
pub struct TextModelArgs {
    /// Read the state dict of PyTorch's word-language-model example (encoder.weight, rnn.*,
    /// decoder.*) from a file of safetensors or of torch.save, or from the index or the folder of a
    /// sharded checkpoint; may be repeated for several files of one state dict [default: the
    /// built-in model, which writes Shakespeare]
    #[arg(long, value_name = "FILE")]
    pub weights: Vec<PathBuf>,
    #[command(flatten)]
    pub key: KeyArgs,
    /// Read the tensors whose names start with a prefix.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Set the recurrent module: RNN_TANH, RNN_RELU, LSTM or GRU [default: from the metadata's
    /// `rnn_type`, or from the shapes]
    #[arg(long, value_name = "TYPE")]
    pub rnn_type: Option<String>,
    /// Read the tokens from a file: one on a line, or, in a file .json, an array, a map from tokens
    /// to ids, or a tokenizer.json of words or characters [default: from the metadata's
    /// `vocabulary`]
    #[arg(long, value_name = "FILE")]
    pub vocabulary: Option<PathBuf>,
    /// Set what a token is [default: from the metadata's `vocabulary_of`, or guessed from the
    /// vocabulary]
    #[arg(long, value_name = "UNIT", value_parser = ["characters", "words"])]
    pub tokens: Option<String>,
    /// Store weights as f32 or f16. f16 takes half the memory and rounds the weights.
    #[arg(long, default_value = "f32")]
    pub dtype: WeightType,
    #[command(flatten)]
    pub names: NamesArgs,
}

impl TextModelArgs {
    /// The files that the model is read from, by argument.
    pub fn files(&self) -> Vec<Named<'_>> {
        let weights = self.weights.iter().map(|file| ("--weights", file.as_path()));
        weights.chain(self.vocabulary.iter().map(|file| ("--vocabulary", file.as_path()))).collect()
    }

    /// The options for loading the model.
    pub fn options(&self) -> LoadOptions {
        LoadOptions::new().weights(self.dtype)
    }
}

/// The built-in model, from `models/train.py`.
const BUILT_IN: &[u8] = include_bytes!("../../../models/shakespeare.safetensors");

/// A language model with its vocabulary.
pub struct TextModel {
    pub params: LanguageModelParams,
    pub vocabulary: Vocabulary,
}

impl TextModel {
    /// Loads the built-in model.
    pub fn built_in() -> Result<Self, Error> {
        Self::from_file(&built_in_file()?, &TextModelArgs::default())
    }

    /// Loads the model that a command names, or the built-in model.
    pub fn load(args: &TextModelArgs) -> Result<Self, Error> {
        match args.weights.as_slice() {
            [] => Self::from_file(&built_in_file()?, args),
            files => Self::from_file(&args.names.apply(args.key.open(files)?)?, args),
        }
    }

    fn from_file(file: &StateDict, args: &TextModelArgs) -> Result<Self, Error> {
        let rnn_type = args.rnn_type.as_deref().map(parse_rnn_type).transpose()?;
        let (params, note) =
            LanguageModelParams::read(file, &args.prefix, rnn_type, args.names.allow_unused)?;
        print_note(note);
        let vocabulary = match &args.vocabulary {
            Some(path) => Some(Vocabulary::from_file(path)?.with_metadata(file)?),
            None => Vocabulary::from_state_dict_metadata(file)?,
        };
        let refuse = |message: String| Error::File { path: file.path().to_owned(), message };
        let mut vocabulary = vocabulary.ok_or_else(|| {
            refuse(
                "the metadata has no vocabulary; give one with --vocabulary FILE, one token on a \
                 line"
                    .to_owned(),
            )
        })?;
        let ntoken = params.config().ntoken;
        // The padding row of an embedding may have a token, too.
        let padded = file.get(&format!("{}encoder.weight", args.prefix));
        let padded = padded.and_then(|encoder| encoder.shape().first().copied());
        if vocabulary.len() != ntoken && Some(vocabulary.len()) != padded {
            return Err(refuse(format!(
                "the model has {ntoken} tokens, but the vocabulary has {}",
                vocabulary.len()
            )));
        }
        if let Some(tokens) = &args.tokens {
            vocabulary = vocabulary.by_character(tokens == "characters");
        }
        if !args.weights.is_empty() || args.vocabulary.is_some() {
            print_tokens(&vocabulary);
        }
        Ok(Self { params, vocabulary })
    }
}

/// Prints a note of what was guessed from a vocabulary, and of its special tokens.
fn print_tokens(vocabulary: &Vocabulary) {
    let unit = if vocabulary.is_by_character() { "characters" } else { "words" };
    let guessed = format!("the vocabulary looks like {unit}; --tokens characters or words sets it");
    let special: Vec<String> =
        vocabulary.special_tokens().map(|(id, token)| format!("{token} ({id})")).collect();
    let special = (!special.is_empty()).then(|| format!("special tokens: {}", special.join(", ")));
    let notes = vocabulary.is_guessed().then_some(guessed).into_iter().chain(special);
    print_note(notes.reduce(|first, second| format!("{first}; {second}")));
}

fn built_in_file() -> Result<StateDict, Error> {
    let name = "the built-in model";
    StateDict::parse(PathBuf::from(name), BUILT_IN)
}
