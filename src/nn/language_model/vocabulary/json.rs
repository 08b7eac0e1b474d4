//! Vocabularies in JSON: arrays of tokens, maps from tokens to ids, and Hugging Face's
//! `tokenizer.json`.

use serde_json::{Map, Value};

/// The tokens of a file, and how texts become tokens where the file tells it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listed {
    pub(super) tokens: Vec<String>,
    /// The rules of a `tokenizer.json`.
    pub(super) rules: Option<Rules>,
}

/// How a `tokenizer.json` makes tokens of a text.
#[derive(Debug, PartialEq)]
pub(super) struct Rules {
    /// Whether it cuts texts into characters, not into words.
    pub(super) characters: bool,
    /// The token of what the vocabulary lacks.
    pub(super) unknown: Option<String>,
}

/// Patterns of the pre-tokenizer `Split` that cut a text into its characters, line breaks included.
const EACH_CHARACTER: [&str; 4] = ["", "(?s).", "(?s:.)", "[\\s\\S]"];

/// Marks of pieces of words, and the tokenizers that use them.
const PIECES: [(&str, &str); 3] =
    [("Ġ", "byte-level BPE"), ("▁", "SentencePiece"), ("##", "WordPiece")];

/// Reads a vocabulary.
///
/// # Errors
/// The reason why the text is none that can be used.
pub(super) fn read(text: &str) -> Result<Listed, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match value {
        Value::Object(map) if map.get("model").is_some_and(Value::is_object) => tokenizer(&map),
        Value::Object(map) => Ok(Listed { tokens: in_order(&map)?, rules: None }),
        array => {
            let tokens = serde_json::from_value(array).map_err(|error| error.to_string())?;
            Ok(Listed { tokens, rules: None })
        }
    }
}

/// Refuses tokens that are pieces of words: this crate joins no pieces.
pub(super) fn refuse_pieces(tokens: &[String]) -> Result<(), String> {
    for (mark, tokenizer) in PIECES {
        let piece = |token: &&String| token.len() > mark.len() && token.starts_with(mark);
        let count = tokens.iter().filter(piece).count();
        if count * 8 >= tokens.len() && count > 0 {
            return Err(format!(
                "{count} of {} tokens start with {mark}, the mark of {tokenizer}, which is not \
                 supported: a token is a character or a whole word",
                tokens.len()
            ));
        }
    }
    Ok(())
}

/// Returns the tokens of a map by their ids, which must be 0, 1, 2 and so on.
fn in_order(map: &Map<String, Value>) -> Result<Vec<String>, String> {
    let mut tokens: Vec<Option<&str>> = vec![None; map.len()];
    let mut beyond = None;
    for (token, id) in map {
        let id = id
            .as_u64()
            .ok_or_else(|| format!("token {token:?} has the index {id}, expected 0, 1, 2, .."))?;
        match usize::try_from(id).ok().and_then(|id| tokens.get_mut(id)) {
            None => beyond = Some(id),
            Some(Some(other)) => {
                return Err(format!("tokens {other:?} and {token:?} both have the index {id}"));
            }
            Some(place) => *place = Some(token),
        }
    }
    if let (Some(missing), Some(id)) = (tokens.iter().position(Option::is_none), beyond) {
        return Err(format!(
            "no token has the index {missing}, but one has {id}: {} tokens have the indices 0 \
             to {}",
            tokens.len(),
            tokens.len() - 1
        ));
    }
    Ok(tokens.into_iter().flatten().map(str::to_owned).collect())
}

/// Reads a `tokenizer.json` of whole words or of characters.
fn tokenizer(file: &Map<String, Value>) -> Result<Listed, String> {
    let model = &file["model"];
    let kind = |value: &Value| value["type"].as_str().unwrap_or("without a type").to_owned();
    if model["type"] != "WordLevel" {
        return Err(format!(
            "the tokenizer is of type {}, which is not supported: expected WordLevel, whose tokens \
             are characters or whole words",
            kind(model)
        ));
    }
    for part in ["normalizer", "post_processor"] {
        if let Some(value) = file.get(part).filter(|value| !value.is_null()) {
            return Err(format!(
                "the tokenizer's {part} {} is not supported: apply it before, and set it to null",
                kind(value)
            ));
        }
    }
    let characters = match &file.get("pre_tokenizer") {
        Some(split) if split["type"] == "WhitespaceSplit" => false,
        Some(split) if cuts_characters(split) => true,
        other => {
            let found = other.filter(|value| !value.is_null()).map_or("none".to_owned(), kind);
            return Err(format!(
                "the tokenizer's pre_tokenizer is {found}, which is not supported: expected \
                 WhitespaceSplit for words, or Split with the pattern \"\", isolated, for \
                 characters"
            ));
        }
    };
    let vocabulary = model["vocab"].as_object().ok_or("the tokenizer has no map 'vocab'")?;
    let mut ids = vocabulary.clone();
    for added in file.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
        let token = added["content"].as_str().ok_or("an added token has no content")?;
        let id = &added["id"];
        if let Some(other) = ids.insert(token.to_owned(), id.clone()).filter(|other| other != id) {
            return Err(format!(
                "token {token:?} has the index {other}, and {id} as an added token"
            ));
        }
    }
    let unknown = model["unk_token"].as_str().filter(|token| ids.contains_key(*token));
    let rules = Rules { characters, unknown: unknown.map(str::to_owned) };
    Ok(Listed { tokens: in_order(&ids)?, rules: Some(rules) })
}

/// Returns whether a pre-tokenizer cuts a text into its characters.
fn cuts_characters(split: &Value) -> bool {
    let pattern = &split["pattern"];
    let pattern = pattern["Regex"]
        .as_str()
        .or_else(|| pattern["String"].as_str().filter(|text| text.is_empty()));
    split["type"] == "Split"
        && pattern.is_some_and(|pattern| EACH_CHARACTER.contains(&pattern))
        && split["behavior"] == "Isolated"
        && split["invert"] != true
}

#[cfg(test)]
mod tests {
    use super::{read, refuse_pieces};

    const WORDS: &str = r#"{"type": "WhitespaceSplit"}"#;

    /// A `tokenizer.json` of two tokens.
    fn file(splits: &str, more: &str, kind: &str) -> String {
        format!(
            r#"{{"model": {{"type": "{kind}", "vocab": {{"a": 0, "b": 1}}, "unk_token": "b"}},
                "pre_tokenizer": {splits}{more}}}"#
        )
    }

    #[test]
    fn maps_have_every_index_once() {
        let tokens = |text: &str| read(text).map(|listed| listed.tokens);
        assert_eq!(
            tokens(r#"{"b": 1, "a": 0, "model": 2}"#),
            Ok(["a", "b", "model"].map(String::from).to_vec())
        );
        assert_eq!(tokens("{}"), Ok(Vec::new()), "refused by the vocabulary");
        for (text, want) in [
            (
                r#"{"a": 0, "b": 2}"#,
                "no token has the index 1, but one has 2: 2 tokens have the indices 0 to 1",
            ),
            (r#"{"a": 1, "b": 1}"#, "tokens \"a\" and \"b\" both have the index 1"),
            (r#"{"a": -1}"#, "token \"a\" has the index -1, expected 0, 1, 2, .."),
            (r#"{"a": "0"}"#, "token \"a\" has the index \"0\", expected 0, 1, 2, .."),
            (r#"{"a": 18446744073709551615}"#, "no token has the index 0, but one has 184467"),
            ("7", "invalid type: integer"),
        ] {
            let error = tokens(text).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn tokenizers_of_words_and_characters_are_read_and_others_named() {
        let rules = |text: &str| {
            let listed = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            (listed.tokens, listed.rules.expect("a tokenizer"))
        };
        let (tokens, words) = rules(&file(WORDS, r#", "normalizer": null"#, "WordLevel"));
        assert_eq!((tokens.join(" "), words.characters), ("a b".to_owned(), false));
        assert_eq!(words.unknown.as_deref(), Some("b"), "unk_token");
        for pattern in [r#"{"String": ""}"#, r#"{"Regex": "(?s)."}"#] {
            let split =
                format!(r#"{{"type": "Split", "pattern": {pattern}, "behavior": "Isolated"}}"#);
            assert!(rules(&file(&split, "", "WordLevel")).1.characters, "{split}");
        }
        let added =
            r#", "added_tokens": [{"id": 2, "content": "<pad>"}, {"id": 0, "content": "a"}]"#;
        assert_eq!(rules(&file(WORDS, added, "WordLevel")).0, ["a", "b", "<pad>"], "added tokens");

        let split = r#"{"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated"}"#;
        let sequence = r#"{"type": "Sequence", "pretokenizers": []}"#;
        for (text, want) in [
            (file(WORDS, "", "BPE"), "of type BPE, which is not supported"),
            (file(WORDS, "", "Unigram"), "of type Unigram"),
            (r#"{"model": {"vocab": {}, "merges": []}}"#.to_owned(), "of type without a type"),
            (file("null", "", "WordLevel"), "pre_tokenizer is none"),
            (file(sequence, "", "WordLevel"), "pre_tokenizer is Sequence"),
            (file(split, "", "WordLevel"), "pre_tokenizer is Split"),
            (
                file(WORDS, r#", "normalizer": {"type": "Lowercase"}"#, "WordLevel"),
                "normalizer Lowercase is not supported",
            ),
            (
                file(WORDS, r#", "post_processor": {"type": "TemplateProcessing"}"#, "WordLevel"),
                "post_processor TemplateProcessing is not supported",
            ),
            (
                file(WORDS, r#", "added_tokens": [{"id": 3, "content": "a"}]"#, "WordLevel"),
                "token \"a\" has the index 0, and 3 as an added token",
            ),
            (
                r#"{"model": {"type": "WordLevel"}, "pre_tokenizer": {"type": "WhitespaceSplit"}}"#
                    .to_owned(),
                "no map 'vocab'",
            ),
        ] {
            let error = read(&text).expect_err(&text);
            assert!(error.contains(want), "'{want}' is not in {error}");
        }
    }

    #[test]
    fn pieces_of_words_are_refused_by_the_name_of_their_tokenizer() {
        let check = |tokens: &[&str]| {
            refuse_pieces(&tokens.iter().map(|&token| token.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(check(&["the", "cat", "Ġ", "##", "▁"]), Ok(()), "marks alone are characters");
        for (token, name) in [("Ġthe", "byte-level BPE"), ("▁the", "Sentence"), ("##ing", "WordP")]
        {
            let error = check(&[token, "a", "b"]).expect_err(token);
            assert!(error.contains("1 of 3 tokens start with") && error.contains(name), "{error}");
        }
    }
}
