//! Vocabularies: the tokens that the ids of a language model stand for.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::params::state_dict::StateDict;

/// The token of a line break in a vocabulary of words.
const END_OF_LINE: &str = "<eos>";
/// The token of every word that the vocabulary lacks.
const UNKNOWN: &str = "<unk>";

/// A list of distinct tokens; a token's id is its index.
///
/// If every token is a single character, a text is a sequence of characters. Otherwise a text is
/// a sequence of words, separated by whitespace. Two tokens are special, as in the corpus of
/// PyTorch's example: `<eos>` is a line break and `<unk>` replaces words that the vocabulary lacks.
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
}

impl Vocabulary {
    /// Creates a vocabulary of `tokens`.
    ///
    /// # Errors
    /// [`Error::Option`] when there are no tokens, one is empty or one occurs twice.
    pub fn new(tokens: Vec<String>) -> Result<Self> {
        if tokens.is_empty() {
            return Err(Error::Option("a vocabulary needs at least one token".to_owned()));
        }
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
        let characters = tokens.iter().all(|token| token.chars().count() == 1);
        Ok(Self { tokens, ids, characters })
    }

    /// Reads the vocabulary in a state dict's metadata: a JSON array of strings under the key
    /// `vocabulary`. Returns `None` without that key.
    ///
    /// # Errors
    /// [`Error::File`] when the value is not such an array, or makes no vocabulary.
    pub fn from_state_dict_metadata(state_dict: &StateDict) -> Result<Option<Self>> {
        let refuse = |reason: &dyn std::fmt::Display| Error::File {
            path: state_dict.path().to_owned(),
            message: format!("the metadata 'vocabulary' cannot be used: {reason}"),
        };
        let Some(text) = state_dict.metadata("vocabulary") else { return Ok(None) };
        let tokens = serde_json::from_str(text).map_err(|error| refuse(&error))?;
        Self::new(tokens).map(Some).map_err(|error| refuse(&error))
    }

    /// Reads a vocabulary from a file: a JSON array of strings where the name ends in `.json`, and
    /// one token on each line otherwise.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::File`] when it makes no vocabulary.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let refuse = |reason: &dyn std::fmt::Display| Error::File {
            path: path.to_owned(),
            message: format!("not a vocabulary: {reason}"),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let tokens =
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
                serde_json::from_str(&text).map_err(|error| refuse(&error))?
            } else {
                text.lines().map(str::to_owned).collect()
            };
        Self::new(tokens).map_err(|error| refuse(&error))
    }

    /// Returns the ids of a text's characters or words.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the first character or word that the vocabulary lacks, and its
    /// line and column, counted in characters from 1. A vocabulary of words with `<unk>` never
    /// fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let end_of_line = self.ids.get(END_OF_LINE);
        for (line, content) in text.split_inclusive('\n').enumerate() {
            for (start, token) in self.split(content) {
                let id = self.ids.get(token).or_else(|| self.unknown());
                ids.push(*id.ok_or_else(|| {
                    let column = content[..start].chars().count() + 1;
                    self.lacking(token, line + 1, column)
                })?);
            }
            if !self.characters && content.ends_with('\n') {
                ids.extend(end_of_line);
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
        for &id in ids {
            let token = self.token(id).ok_or_else(|| {
                let tokens = self.len();
                Error::Option(format!(
                    "index out of range in self: token {id} of a vocabulary of {tokens} tokens"
                ))
            })?;
            match token {
                END_OF_LINE => text.push('\n'),
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

    /// Returns whether texts are sequences of characters, not of words.
    pub fn is_by_character(&self) -> bool {
        self.characters
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

    fn unknown(&self) -> Option<&u32> {
        self.ids.get(UNKNOWN)
    }

    fn lacking(&self, token: &str, line: usize, column: usize) -> Error {
        let (what, advice) = if self.characters {
            ("character", "")
        } else {
            ("word", ", and no <unk> to stand for it")
        };
        Error::UnknownName(format!(
            "line {line}, column {column}: the vocabulary has no {what} {token:?}{advice}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Vocabulary;
    use crate::error::Error;
    use crate::params::state_dict::StateDict;

    fn vocabulary(tokens: &[&str]) -> Vocabulary {
        Vocabulary::new(tokens.iter().map(|token| (*token).to_owned()).collect())
            .expect("different tokens")
    }

    fn refusal(tokens: &[&str]) -> String {
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        Vocabulary::new(tokens).expect_err("no vocabulary").to_string()
    }

    #[test]
    fn what_makes_no_vocabulary_is_refused() {
        assert_eq!(refusal(&[]), "a vocabulary needs at least one token");
        assert_eq!(refusal(&["a", ""]), "token 1 of the vocabulary is empty");
        assert_eq!(refusal(&["a", "\n", "a"]), "the vocabulary has \"a\" twice, as tokens 0 and 2");
    }

    #[test]
    fn single_characters_are_looked_up_one_by_one() {
        let letters = vocabulary(&["\n", " ", "a", "ß", "日"]);
        assert!(letters.is_by_character(), "every token is one character");
        let text = "aß \n\n日 a\n";
        let ids = letters.encode(text).expect("known characters");
        assert_eq!(ids, [2, 3, 1, 0, 0, 4, 1, 2, 0], "ids of {text:?}");
        assert_eq!(letters.decode(&ids).expect("known ids"), text, "back to the text");
        assert_eq!(letters.encode("").expect("nothing to look up"), [0_u32; 0], "an empty text");
        let error = letters.encode("a\nß日b").expect_err("no b").to_string();
        assert_eq!(error, "line 2, column 3: the vocabulary has no character \"b\"");
    }

    #[test]
    fn words_are_separated_by_any_whitespace() {
        let words = vocabulary(&["<eos>", "the", "cat", "sat"]);
        assert!(!words.is_by_character(), "tokens of several characters");
        let ids = words.encode("the  cat\tsat\r\n\n the").expect("known words");
        assert_eq!(ids, [1, 2, 3, 0, 0, 1], "an <eos> for each line break");
        assert_eq!(words.decode(&ids).expect("known ids"), "the cat sat \n\nthe ", "back to words");
        let parts: String =
            ids.chunks(1).map(|part| words.decode(part).expect("known ids")).collect();
        assert_eq!(words.decode(&ids).expect("known ids"), parts, "the same in parts");
        let error = words.encode("the cat\n  the dög sat").expect_err("no dög").to_string();
        assert_eq!(
            error,
            "line 2, column 7: the vocabulary has no word \"dög\", and no <unk> to stand for it"
        );
    }

    #[test]
    fn unknown_words_and_line_breaks_have_tokens_only_where_the_vocabulary_has_them() {
        let words = vocabulary(&["the", "<unk>"]);
        assert_eq!(
            words.encode("the dog\nthe cat").expect("<unk> stands for all"),
            [0, 1, 0, 1],
            "no <eos>"
        );
    }

    #[test]
    fn ids_past_the_end_are_refused() {
        let error = vocabulary(&["a", "b"]).decode(&[1, 2]).expect_err("two tokens").to_string();
        assert_eq!(error, "index out of range in self: token 2 of a vocabulary of 2 tokens");
    }

    #[test]
    fn files_hold_a_token_to_a_line_or_a_json_array() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("a file");
            Vocabulary::from_file(path)
        };
        let message = |name: &str, content: &[u8]| {
            open(name, content).expect_err("no vocabulary").to_string()
        };
        assert_eq!(
            open("a.txt", b"the\r\n \n[\ncat").ok(),
            Some(vocabulary(&["the", " ", "[", "cat"])),
            "lines"
        );
        assert_eq!(open("b.json", br#"["\n", "a"]"#).ok(), Some(vocabulary(&["\n", "a"])), "JSON");
        for (name, content, want) in [
            ("c.txt", "a\n\nb", "not a vocabulary: token 1 of the vocabulary is empty"),
            ("d.txt", "", "not a vocabulary: a vocabulary needs at least one token"),
            ("e.json", r#"{"a": 0}"#, "not a vocabulary: invalid type: map, expected a sequence"),
        ] {
            let message = message(name, content.as_bytes());
            assert!(message.contains(want) && message.contains(name), "{name}: {message}");
        }
        assert!(matches!(open("f.txt", b"\xff"), Err(Error::Io { .. })), "bytes that are no text");
        assert!(
            matches!(Vocabulary::from_file(folder.path().join("none")), Err(Error::Io { .. })),
            "no file"
        );
    }

    #[test]
    fn a_state_dict_may_carry_its_vocabulary() {
        let read = |metadata: &str| {
            let header = format!(r#"{{"__metadata__":{metadata}}}"#);
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            let state_dict =
                StateDict::parse("model.safetensors", bytes).expect("a file without tensors");
            Vocabulary::from_state_dict_metadata(&state_dict)
        };
        assert_eq!(
            read(r#"{"vocabulary":"[\"a\",\"\\n\"]"}"#).ok(),
            Some(Some(vocabulary(&["a", "\n"]))),
            "there"
        );
        assert_eq!(read("{}").ok(), Some(None), "not there");
        let message = read(r#"{"vocabulary":"[\"a\",\"a\"]"}"#).expect_err("a twice").to_string();
        assert_eq!(
            message,
            "model.safetensors: the metadata 'vocabulary' cannot be used: the vocabulary has \
             \"a\" twice, as tokens 0 and 1"
        );
        let message = read(r#"{"vocabulary":"[1]"}"#).expect_err("a number").to_string();
        assert!(
            message.contains("'vocabulary' cannot be used: invalid type: integer"),
            "{message}"
        );
    }
}
