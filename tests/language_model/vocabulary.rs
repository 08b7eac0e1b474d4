//! Vocabularies: what makes one, and how texts become tokens.

use wgpu_rnn::language_model::Vocabulary;
use wgpu_rnn::{Error, StateDict};

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
    assert_eq!(
        error,
        "line 2, column 3: the vocabulary has no character \"b\", and no <unk> to stand for it"
    );
}

#[test]
fn words_are_separated_by_any_whitespace() {
    let words = vocabulary(&["<eos>", "the", "cat", "sat"]);
    assert!(!words.is_by_character(), "tokens of several characters");
    let ids = words.encode("the  cat\tsat\r\n\n the").expect("known words");
    assert_eq!(ids, [1, 2, 3, 0, 0, 1], "an <eos> for each line break");
    assert_eq!(words.decode(&ids).expect("known ids"), "the cat sat \n\nthe ", "back to words");
    let parts: String = ids.chunks(1).map(|part| words.decode(part).expect("known ids")).collect();
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
    let message =
        |name: &str, content: &[u8]| open(name, content).expect_err("no vocabulary").to_string();
    assert_eq!(
        open("a.txt", b"the\r\n \n[\ncat").ok(),
        Some(vocabulary(&["the", " ", "[", "cat"])),
        "lines"
    );
    assert_eq!(open("b.json", br#"["\n", "a"]"#).ok(), Some(vocabulary(&["\n", "a"])), "JSON");
    for (name, content, want) in [
        ("c.txt", "a\n\nb", "not a vocabulary: token 1 of the vocabulary is empty"),
        ("d.txt", "", "not a vocabulary: a vocabulary needs at least one token"),
        ("e.json", r#"{"a": 1}"#, "not a vocabulary: no token has the index 0, but one has 1"),
        ("g.json", "7", "not a vocabulary: invalid type: integer"),
        (
            "h.json",
            r#"{"model": {"type": "BPE"}}"#,
            "not a vocabulary: the tokenizer is of type BPE, which is not supported",
        ),
        ("i.txt", "the\n##ing", "start with ##, the mark of WordPiece, which is not supported"),
    ] {
        let message = message(name, content.as_bytes());
        assert!(message.contains(want) && message.contains(name), "{name}: {message}");
    }
    assert!(matches!(open("f.txt", b"\xff"), Err(Error::File { .. })), "bytes that are no text");
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
    let told =
        |tokens: &str| read(&format!(r#"{{"vocabulary":"[\"a\"]","vocabulary_of":"{tokens}"}}"#));
    let words = told("words").expect("a known value").expect("a vocabulary");
    assert!(!words.is_by_character() && !words.is_guessed(), "told by the metadata");
    assert!(told("characters").expect("known").expect("a vocabulary").is_by_character(), "told");
    let message = told("letters").expect_err("an unknown value").to_string();
    assert!(
        message.contains("'vocabulary_of' is \"letters\", expected 'characters' or"),
        "{message}"
    );
    let message = read(r#"{"vocabulary":"[1]"}"#).expect_err("a number").to_string();
    assert!(message.contains("'vocabulary' cannot be used: invalid type: integer"), "{message}");
}

#[test]
fn characters_or_words_are_told_or_guessed() {
    for (tokens, characters) in [
        (&["a", "b"][..], true),
        (&["<unk>", "a", "b"], true),
        (&["a", "[PAD]", "</s>", "<|endoftext|>"], true),
        (&["a", "the"], false),
        (&["<unk>", "<eos>"], false),
        (&["a", "<>"], false),
    ] {
        let guessed = vocabulary(tokens);
        assert_eq!(guessed.is_by_character(), characters, "{tokens:?}");
        assert!(guessed.is_guessed(), "{tokens:?}");
        let told = guessed.by_character(!characters);
        assert_eq!((told.is_by_character(), told.is_guessed()), (!characters, false), "{tokens:?}");
    }
    let special = vocabulary(&["a", "<pad>", "b", "[UNK]"]);
    let special: Vec<_> = special.special_tokens().collect();
    assert_eq!(special, [(1, "<pad>"), (3, "[UNK]")], "special tokens by name");
}

#[test]
fn special_tokens_keep_their_meaning_among_characters() {
    let letters = vocabulary(&["<unk>", "a", "\n", "<eos>"]);
    let ids = letters.encode("ab\n<").expect("<unk> stands for all");
    assert_eq!(ids, [1, 0, 2, 0], "unknown characters, and a line break that is a token");
    assert_eq!(
        letters.decode(&[1, 0, 2, 3]).expect("known ids"),
        "a<unk>\n<eos>",
        "by their names"
    );
    let without = vocabulary(&["a", "<eos>"]);
    assert_eq!(without.encode("a\na").expect("known"), [0, 1, 0], "<eos> is the line break");
    assert_eq!(without.decode(&[0, 1, 0]).expect("known ids"), "a\na", "and back");
    assert_eq!((without.id("<eos>"), without.id("<unk>")), (Some(1), None), "ids by token");
}

#[test]
fn a_tokenizer_tells_how_texts_become_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokenizer.json");
    let write = |splits: &str| {
        let model =
            r#"{"type": "WordLevel", "vocab": {"a": 0, "b": 1, "<eos>": 2}, "unk_token": "b"}"#;
        let text = format!(r#"{{"model": {model}, "pre_tokenizer": {splits}}}"#);
        std::fs::write(&path, text).expect("a file");
        Vocabulary::from_file(&path).expect("a tokenizer")
    };
    let words = write(r#"{"type": "WhitespaceSplit"}"#);
    assert!(!words.is_by_character() && !words.is_guessed(), "told by the file");
    assert_eq!(words.encode("a c\na").expect("unk_token"), [0, 1, 0], "line breaks are dropped");
    assert_eq!(words.decode(&[0, 2]).expect("known ids"), "a <eos> ", "and not written");
    let letters = write(r#"{"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated"}"#);
    assert_eq!(letters.encode("ac").expect("unk_token"), [0, 1], "characters");
}
