//! Vocabularies: the tokens that the ids of a language model stand for.

mod json;

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fs;
use crate::params::state_dict::StateDict;
use crate::tensor::{grow, room, room_to_parse};
use json::{Listed, read, refuse_pieces};

/// The token of a line break in a vocabulary without one.
const END_OF_LINE: &str = "<eos>";
/// The tokens of everything that a vocabulary lacks, the preferred one first.
const UNKNOWN: [&str; 3] = ["<unk>", "<UNK>", "[UNK]"];

/// A list of distinct tokens; a token's id is its index.
///
/// A text is a sequence of characters, or of words that whitespace separates. The metadata
/// `vocabulary_of`, a `tokenizer.json` or [`by_character`](Self::by_character) decides. Without
/// them the tokens do: characters if all are single characters but the special ones, which are in
/// angle or square brackets, such as `<pad>`. [`is_guessed`](Self::is_guessed) then returns `true`.
///
/// Two special tokens have a meaning, as in the corpus of PyTorch's example: `<eos>` is a line
/// break, unless a vocabulary of characters has one, and `<unk>` replaces everything that the
/// vocabulary lacks.
///
/// ```
/// # fn main() -> wgpu_rnn::Result<()> {
/// use wgpu_rnn::language_model::Vocabulary;
/// let words = Vocabulary::new(["the", "cat", "<unk>", "<eos>"].map(String::from).to_vec())?;
/// let ids = words.encode("the dog\nthe cat")?;
/// assert_eq!(ids, [0, 2, 3, 0, 1]);
/// assert_eq!(words.decode(&ids)?, "the <unk> \nthe cat ");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    characters: bool,
    guessed: bool,
    /// The token of everything that the vocabulary lacks.
    unknown: Option<u32>,
    /// The special token of a line break.
    end_of_line: Option<u32>,
}

impl Vocabulary {
    /// Creates a vocabulary of `tokens`.
    ///
    /// # Errors
    /// [`Error::Option`] when there are no tokens, one is empty or one occurs twice;
    /// [`Error::OutOfMemory`] when the host's memory does not hold them.
    pub fn new(tokens: Vec<String>) -> Result<Self> {
        if tokens.is_empty() {
            return Err(Error::Option("a vocabulary needs at least one token".to_owned()));
        }
        // An entry of the map, and the token in it.
        let bytes = tokens.iter().map(|token| 112 + token.len()).fold(0, usize::saturating_add);
        room(bytes / size_of::<f32>(), "a vocabulary")?;
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in (0_u32..).zip(&tokens) {
            if token.is_empty() {
                return Err(Error::Option(format!("token {id} of the vocabulary is empty")));
            }
            if let Some(first) = ids.insert(token.clone(), id) {
                return Err(Error::Option(format!(
                    "the vocabulary has {token:?} twice, as tokens {first} and {id}"
                )));
            }
        }
        let mut plain = tokens.iter().filter(|token| !is_special(token)).peekable();
        let characters =
            plain.peek().is_some() && plain.all(|token| token.chars().nth(1).is_none());
        let unknown = UNKNOWN.iter().find_map(|token| ids.get(*token).copied());
        let end_of_line = ids.get(END_OF_LINE).copied();
        Ok(Self { tokens, ids, characters, guessed: true, unknown, end_of_line })
    }

    /// Sets whether texts are sequences of characters, not of words.
    #[must_use]
    pub fn by_character(mut self, characters: bool) -> Self {
        (self.characters, self.guessed) = (characters, false);
        self
    }

    /// Reads the vocabulary in a state dict's metadata, in JSON under the key `vocabulary`: an
    /// array of tokens, or a map from tokens to ids. The key `vocabulary_of` holds `characters` or
    /// `words`. Returns `None` without the first key.
    ///
    /// # Errors
    /// [`Error::File`] when a value is none of these, or makes no vocabulary.
    pub fn from_state_dict_metadata(state_dict: &StateDict) -> Result<Option<Self>> {
        let refuse = |reason: &dyn std::fmt::Display| Error::File {
            path: state_dict.path().to_owned(),
            message: format!("the metadata 'vocabulary' cannot be used: {reason}"),
        };
        let Some(text) = state_dict.metadata("vocabulary") else { return Ok(None) };
        room_to_parse(text.as_bytes(), "the metadata 'vocabulary'")?;
        let listed = read(text).map_err(|error| refuse(&error))?;
        let vocabulary = Self::of(listed).map_err(|error| named(error, refuse))?;
        vocabulary.with_metadata(state_dict).map(Some)
    }

    /// Applies the key `vocabulary_of` of a state dict's metadata.
    ///
    /// # Errors
    /// [`Error::File`] when its value is neither `characters` nor `words`.
    #[doc(hidden)]
    pub fn with_metadata(self, state_dict: &StateDict) -> Result<Self> {
        match state_dict.metadata("vocabulary_of") {
            None => Ok(self),
            Some("characters") => Ok(self.by_character(true)),
            Some("words") => Ok(self.by_character(false)),
            Some(other) => Err(Error::File {
                path: state_dict.path().to_owned(),
                message: format!(
                    "the metadata 'vocabulary_of' is {other:?}, expected 'characters' or 'words'"
                ),
            }),
        }
    }

    /// Reads a vocabulary from a file. A file whose name ends in `.json` holds an array of tokens,
    /// a map from tokens to ids, or Hugging Face's `tokenizer.json`. Any other file has one token
    /// on each line.
    ///
    /// A `tokenizer.json` is of type `WordLevel`. Its pre-tokenizer cuts words at whitespace
    /// (`WhitespaceSplit`), or characters (`Split`).
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::File`] when it makes no vocabulary.
    /// That includes ids with gaps and tokens that are pieces of words, as of BPE.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let refuse = |reason: &dyn std::fmt::Display| Error::File {
            path: path.to_owned(),
            message: format!("not a vocabulary: {reason}"),
        };
        let text = fs::read_text(path)?;
        room_to_parse(text.as_bytes(), format_args!("the tokens of {}", path.display()))?;
        let is_json =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let listed = if is_json {
            read(&text).map_err(|error| refuse(&error))?
        } else {
            Listed { tokens: text.lines().map(str::to_owned).collect(), rules: None }
        };
        Self::of(listed).map_err(|error| named(error, refuse))
    }

    fn of(listed: Listed) -> Result<Self> {
        refuse_pieces(&listed.tokens).map_err(Error::Option)?;
        let vocabulary = Self::new(listed.tokens)?;
        let Some(rules) = listed.rules else { return Ok(vocabulary) };
        let mut vocabulary = vocabulary.by_character(rules.characters);
        vocabulary.unknown = rules.unknown.and_then(|token| vocabulary.id(&token));
        // Tokenizers drop the line breaks between words.
        vocabulary.end_of_line = None;
        Ok(vocabulary)
    }

    /// Returns the ids of a text's characters or words.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the first character or word that the vocabulary lacks, and its
    /// line and column, counted in characters from 1. With `<unk>` there is no such failure.
    /// [`Error::OutOfMemory`] when the host's memory does not hold the ids.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for (line, content) in text.split_inclusive('\n').enumerate() {
            // A token has at least a byte; a line may end with one more.
            grow(&mut ids, content.len() + 1, "the tokens of a text")?;
            for (start, token) in self.split(content) {
                let broken = self.end_of_line.filter(|_| token == "\n");
                let id = self.id(token).or(broken).or(self.unknown);
                ids.push(id.ok_or_else(|| {
                    let column = content[..start].chars().count() + 1;
                    self.lacking(token, line + 1, column)
                })?);
            }
            if !self.characters && content.ends_with('\n') {
                ids.extend(self.end_of_line);
            }
        }
        Ok(ids)
    }

    /// Returns the text of `ids`. A space follows each word, and `<eos>` is a line break: decoded
    /// parts can be concatenated.
    ///
    /// # Errors
    /// [`Error::Option`] in PyTorch's words for an id that is past the end.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut text = String::new();
        // Characters have a line break that is no special token.
        let end_of_line = self.end_of_line.filter(|_| !self.characters || self.id("\n").is_none());
        for &id in ids {
            let token = self.token(id).ok_or_else(|| {
                let tokens = self.len();
                Error::Option(format!(
                    "index out of range in self: token {id} of a vocabulary of {tokens} tokens"
                ))
            })?;
            match token {
                _ if Some(id) == end_of_line => text.push('\n'),
                character if self.characters => text.push_str(character),
                word => text.extend([word, " "]),
            }
        }
        Ok(text)
    }

    /// Returns the number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns whether there are no tokens, which [`new`](Self::new) does not allow.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Returns the token of an id, or `None` when it is past the end.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(usize::try_from(id).ok()?).map(String::as_str)
    }

    /// Returns the id of a token, or `None` when the vocabulary lacks it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// Returns whether texts are sequences of characters, not of words.
    pub fn is_by_character(&self) -> bool {
        self.characters
    }

    /// Returns whether only the tokens show if texts are sequences of characters or of words.
    pub fn is_guessed(&self) -> bool {
        self.guessed
    }

    /// Returns the tokens in angle or square brackets, such as `<unk>` or `[PAD]`, with their ids.
    pub fn special_tokens(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..)
            .zip(&self.tokens)
            .filter(|(_, token)| is_special(token))
            .map(|(id, t)| (id, t.as_str()))
    }

    /// Splits a line into tokens with their offsets in bytes.
    fn split<'a>(&self, line: &'a str) -> Box<dyn Iterator<Item = (usize, &'a str)> + 'a> {
        if self.characters {
            return Box::new(line.char_indices().map(|(at, c)| (at, &line[at..at + c.len_utf8()])));
        }
        let words = line.split_whitespace();
        // Words are slices of the line, so the difference of the addresses is the offset.
        Box::new(words.map(|word| (word.as_ptr().addr() - line.as_ptr().addr(), word)))
    }

    fn lacking(&self, token: &str, line: usize, column: usize) -> Error {
        let what = if self.characters { "character" } else { "word" };
        Error::UnknownName(format!(
            "line {line}, column {column}: the vocabulary has no {what} {token:?}, and no <unk> to \
             stand for it"
        ))
    }
}

/// Names the file of a vocabulary that is refused. Memory that runs out is no fault of the file.
fn named(error: Error, refuse: impl Fn(&dyn std::fmt::Display) -> Error) -> Error {
    if matches!(error, Error::OutOfMemory { .. }) { error } else { refuse(&error) }
}

/// Returns whether a token is in angle or square brackets: `<pad>`, `[UNK]`, `</s>`.
fn is_special(token: &str) -> bool {
    let between =
        |open, close| token.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
    between('<', '>').or(between('[', ']')).is_some_and(|name| !name.is_empty())
}
