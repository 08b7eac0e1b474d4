//! `wgpu-rnn perplexity`: PyTorch's loss as text and JSON, and refusals.

use serde_json::Value;
use wgpu_rnn::StateDict;

use crate::files::{Folder, language_model};
use crate::generate::{LETTERS, letters};
use crate::program::{Ran, assert_keys, finish, wgpu_rnn, without_adapters};

/// A model of 23 tokens, a text of 101, and PyTorch's loss of it in 7 streams.
const FIXTURE: &str = "lstm_l2_text101_s7.safetensors";
const STREAMS: &str = "7";

/// The fixture's text as letters, and its loss.
fn text() -> (String, f64) {
    let file = StateDict::open(language_model(FIXTURE)).expect("the fixture is there");
    let tokens = file.i64("text").expect("its text");
    let letters: Vec<char> = LETTERS.chars().collect();
    let text =
        tokens.into_iter().map(|token| letters[usize::try_from(token).expect("a token")]).collect();
    (text, file.metadata("loss").and_then(|loss| loss.parse().ok()).expect("its loss"))
}

fn perplexity(args: &[&str]) -> Ran {
    wgpu_rnn(&[&["perplexity"], args].concat())
}

/// The one result of a report in JSON.
#[track_caller]
fn only_row(ran: &Ran) -> Value {
    let report = ran.json();
    let rows =
        report["results"].as_array().unwrap_or_else(|| panic!("results is a list: {}", ran.told()));
    assert_eq!(rows.len(), 1, "one device: {}", ran.told());
    let keys = ["device", "tokens", "streams", "loss", "perplexity", "tokens_per_second"];
    assert_keys("a result", &rows[0], &keys);
    rows[0].clone()
}

#[test]
fn the_loss_is_pytorchs() {
    let folder = Folder::new();
    let (content, want) = text();
    let (weights, vocabulary) = (language_model(FIXTURE), letters(&folder));
    let text = folder.write("text.txt", &content);
    let args = [
        "--weights",
        &weights,
        "--prefix",
        "model.",
        "--vocabulary",
        &vocabulary,
        "--tokens",
        "characters",
        &text,
        "--device",
        "cpu",
    ];
    let ran = perplexity(&[&args, &["--streams", STREAMS, "--json"][..]].concat()).ended(0);
    assert_eq!(ran.stderr, "", "results belong on stdout: {}", ran.told());
    let row = only_row(&ran);
    let loss = row["loss"].as_f64().expect("a number");
    assert!((loss - want).abs() < 1e-6 * want, "a loss of {loss}, PyTorch's is {want}");
    assert_eq!(
        (&row["device"], &row["tokens"], &row["streams"]),
        (&"cpu".into(), &100.into(), &7.into()),
        "{row}"
    );
    let perplexity_of = row["perplexity"].as_f64().expect("a number");
    assert!(
        (perplexity_of - loss.exp()).abs() < 1e-9 * perplexity_of,
        "exp({loss}) is not {perplexity_of}"
    );
    assert!(row["tokens_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "a rate: {row}");

    let ran = perplexity(&[&args, &["--streams", STREAMS][..]].concat()).ended(0);
    let figures = format!(
        "perplexity {perplexity_of:.6}, {loss:.6} nats per token over 100 tokens in 7 streams"
    );
    ran.says(&["cpu", &figures, "tokens per second"]);
}

#[test]
fn streams_are_at_most_one_for_each_token() {
    let folder = Folder::new();
    let text = folder.write("text.txt", "To be, or not to be: that is the question.\n");
    let run = |streams: &[&str]| {
        let ran = perplexity(&[&[&text, "--device", "cpu", "--json"], streams].concat()).ended(0);
        let row = only_row(&ran);
        assert_eq!(row["tokens"], 42, "all but the first: {row}");
        (row["streams"].as_u64().expect("a count"), row["loss"].as_f64().expect("a number"))
    };
    let (one, many, default) = (run(&["--streams", "1"]), run(&["--streams", "1000000"]), run(&[]));
    assert_eq!((one.0, many.0, default.0), (1, 42, 42), "streams: {one:?}, {many:?}, {default:?}");
    assert_eq!(many.1, default.1, "as many streams as tokens");
    assert!(one.1 < 2.5 && many.1 > one.1 + 0.3, "what was read before helps: {one:?}, {many:?}");
}

#[test]
fn devices_are_listed_once_each() {
    let folder = Folder::new();
    let text = folder.write("text.txt", "What's in a name?");
    for devices in [
        &["--device", "cpu"][..],
        &["--device", "cpu", "--device", "cpu"],
        &["--device", "all"],
        &[],
    ] {
        let ran = finish(without_adapters(&[&["perplexity", &text, "--json"], devices].concat()))
            .ended(0);
        assert_eq!(only_row(&ran)["device"], "cpu", "{devices:?}: {}", ran.told());
    }
}

#[test]
fn what_cannot_be_predicted_is_refused_and_named() {
    let folder = Folder::new();
    let text = folder.write("text.txt", "To be, or not to be");
    let missing = folder.path("missing.txt");
    let binary = folder.write("binary.txt", b"To be\xff");
    let (empty, one) = (folder.write("empty.txt", ""), folder.write("one.txt", "T"));
    let foreign = folder.write("foreign.txt", "To be\nor ñot");
    let cpu = |args: &[&str]| perplexity(&[args, &["--device", "cpu"]].concat());
    perplexity(&[]).refused(&["<TEXT>"]);
    cpu(&[&missing]).refused(&[&missing]);
    cpu(&[&folder.path("")]).refused(&[&folder.path("")]);
    cpu(&[&binary]).refused(&[&binary, "UTF-8"]);
    cpu(&[&empty]).refused(&["at least two tokens, but got 0"]);
    cpu(&[&one]).refused(&["at least two tokens, but got 1"]);
    cpu(&[&foreign]).refused(&["line 2, column 4", "no character \"ñ\""]);
    cpu(&[&text, "--streams", "0"]).refused(&["at least one stream, but got 0"]);
    cpu(&[&text, "--streams", "-1"]).refused(&["-1"]);
    cpu(&[&text, "--limit", "memory_budget=3000000"]).refused(&["memory_budget is 3000000"]);
    cpu(&[&text, "--weights", &language_model(FIXTURE), "--prefix", "model."])
        .refused(&["no vocabulary"]);
    perplexity(&[&text, "--device", "no such adapter"]).refused(&["no such adapter"]);
}
