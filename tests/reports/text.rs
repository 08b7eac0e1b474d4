//! 02-character-vocabulary, 08-language-model-names, 09-vocabularies: language models and text.

use serde_json::Value;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, Vocabulary};
use wgpu_rnn::{Device, StateDict};

use crate::Report;

fn model(state_dict: &StateDict) -> LanguageModel {
    LanguageModel::load(&Device::cpu(), state_dict, "").unwrap_or_else(|error| panic!("{error}"))
}

fn vocabulary(report: &Report, file: &str) -> Vocabulary {
    Vocabulary::from_file(report.path(file)).unwrap_or_else(|error| panic!("{error}"))
}

/// The ids of an array.
fn ids(value: &Value) -> Vec<u32> {
    let array = value.as_array().unwrap_or_else(|| panic!("an array of ids, not {value}"));
    array.iter().map(|id| id.as_u64().and_then(|id| id.try_into().ok()).expect("an id")).collect()
}

/// Fails unless the likeliest tokens after `prompt` are `want`.
fn assert_greedy(what: &str, model: &LanguageModel, prompt: &[u32], want: &[u32]) {
    let options = GenerateOptions::default().temperature(0.0);
    let text = model.generate(&[prompt], &options).expect("a prompt of known tokens");
    let got: Vec<u32> = text.take(want.len()).map(|step| step.expect("a token")[0]).collect();
    assert_eq!(got, want, "{what}");
}

pub fn one_special_token_leaves_characters() {
    let report = Report::of("02-character-vocabulary");
    let expected = &report.expected;
    assert_eq!(expected["as"], "characters", "what the report expects");
    let vocabulary = vocabulary(&report, "vocabulary.json");
    assert!(vocabulary.is_by_character() && vocabulary.is_guessed(), "guessed as characters");
    let text = std::fs::read_to_string(report.path("text.txt")).expect("a text");
    let tokens = vocabulary.encode(&text).expect("known characters");
    let model = model(&report.open("weights.safetensors"));
    let score = model.score(&tokens, 1).expect("a text of tokens");
    assert_eq!(expected["tokens_scored"], score.tokens, "tokens that are predicted");
    let want = expected["perplexity"].as_f64().expect("a number");
    let got = score.perplexity();
    assert!((got - want).abs() < 1e-6 * want, "perplexity {got}, want {want}");
    let prompt = vocabulary.encode(expected["greedy_prompt"].as_str().expect("a prompt"));
    let want = ids(&expected["greedy_tokens"]);
    assert_greedy("after the prompt", &model, &prompt.expect("known characters"), &want);
    let text = vocabulary.decode(&want).expect("known ids");
    assert_eq!(expected["greedy_text"], text, "the text of the tokens");
}

pub fn other_names_are_mapped() {
    let report = Report::of("08-language-model-names");
    let map = report.expected["map"].as_object().expect("a map of names");
    let pairs: Vec<(&str, &str)> =
        map.iter().map(|(old, new)| (old.as_str(), new.as_str().expect("a name"))).collect();
    let file = report.open("names_and_no_bias.safetensors");
    let error = LanguageModel::load(&Device::cpu(), &file, "").expect_err("other names");
    let error = error.to_string();
    assert!(error.contains("embedding.weight"), "the names that were found: {error}");
    for (old, new) in &pairs {
        assert!(error.contains(&format!("--map {old}={new}")), "{old}={new} is not in {error}");
    }
    let (prompt, want) =
        (ids(&report.expected["prompt_tokens"]), ids(&report.expected["greedy_tokens"]));
    let renamed = file.renamed(&pairs).expect("names of the file");
    assert_greedy("other names", &model(&renamed), &prompt, &want);
    let padded = model(&report.open("padding_row.safetensors"));
    assert_eq!(padded.config().ntoken, 9, "tokens that can be drawn");
    assert_greedy("a padding row", &padded, &prompt, &want);
}

pub fn vocabularies_are_maps_and_tokenizers() {
    let report = Report::of("09-vocabularies");
    let tokens = |file: &str| {
        let vocabulary = vocabulary(&report, file);
        let tokens = (0..).map_while(|id| vocabulary.token(id).map(str::to_owned));
        tokens.collect::<Vec<_>>()
    };
    let want = tokens(report.expected["same_as"].as_str().expect("a path"));
    let files = report.texts("by");
    assert!(!files.is_empty(), "the report names files");
    for file in files {
        assert_eq!(tokens(file), want, "{file}");
    }
    for (file, part) in [
        ("map_with_holes.json", "no token has the index 1"),
        ("tokenizer_bpe.json", "of type BPE, which is not supported"),
    ] {
        assert!(report.expected["error"][file].is_string(), "the report names {file}");
        let message = Vocabulary::from_file(report.path(file)).expect_err(file).to_string();
        assert!(message.contains(part) && message.contains(file), "{file}: {message}");
    }
}
