//! `wgpu-rnn generate`: the text on stdout, the report on stderr, and refusals.

use std::io::Read;
use std::process::Stdio;

use wgpu_rnn::Device;
use wgpu_rnn::language_model::{GenerateOptions, LanguageModel, Vocabulary};

use crate::files::{Folder, f32s, language_model};
use crate::program::{Ran, command, wgpu_rnn};
use crate::seeded;

/// An LSTM of 23 tokens under the prefix `model.`, without a vocabulary.
const FIXTURE: &str = "lstm_l2_text101_s7.safetensors";

/// 23 characters, a token to a line.
pub const LETTERS: &str = "abcdefghijklmnopqrstuvw";

/// A file of a vocabulary, a token to a line.
pub fn letters(folder: &Folder) -> String {
    let lines: Vec<String> = LETTERS.chars().map(String::from).collect();
    folder.write("letters.txt", lines.join("\n"))
}

/// Runs `generate` on the CPU.
fn generate(args: &[&str]) -> Ran {
    wgpu_rnn(&[&["generate", "--device", "cpu"], args].concat())
}

/// The text that a run wrote behind its prompt.
#[track_caller]
fn text_of(ran: &Ran, prompt: &str) -> String {
    let text = ran.stdout.strip_prefix(prompt).and_then(|text| text.strip_suffix('\n'));
    text.unwrap_or_else(|| {
        panic!("stdout is the prompt, the text and a line break: {}", ran.told())
    })
    .to_owned()
}

#[test]
fn the_shipped_model_writes_as_much_as_was_asked_for() {
    for length in [0, 1, 31, 32, 33, 100] {
        let ran = generate(&["--prompt", "ROMEO:\n", "--length", &length.to_string()]).ended(0);
        let text = text_of(&ran, "ROMEO:\n");
        assert_eq!(text.chars().count(), length, "characters: {}", ran.told());
        assert!(
            ran.stderr.starts_with(&format!("{length} tokens")),
            "what was made: {}",
            ran.told()
        );
        assert!(ran.stderr.contains("on cpu"), "and where: {}", ran.told());
        assert_eq!(
            ran.stderr.contains("tokens per second"),
            length > 32,
            "a rate behind a chunk: {}",
            ran.told()
        );
    }
    let default = generate(&["--prompt", "A"]).ended(0);
    assert_eq!(text_of(&default, "A").chars().count(), 400, "without --length");
}

#[test]
fn a_seed_decides_the_text_and_its_beginning_does_not_depend_on_the_length() {
    let write = |args: &[&str]| {
        let ran = generate(&[&["--prompt", "JULIET:"], args].concat()).ended(0);
        text_of(&ran, "JULIET:")
    };
    let text = write(&["--length", "80", "--seed", "7"]);
    assert_eq!(write(&["--length", "80", "--seed", "7"]), text, "the same seed");
    assert_ne!(write(&["--length", "80", "--seed", "8"]), text, "another seed");
    assert_eq!(write(&["--length", "50", "--seed", "7"]), text[..50], "a shorter text");
    assert_eq!(
        write(&["--length", "80", "--seed", "0"]),
        write(&["--length", "80"]),
        "the default seed"
    );
    let likeliest = write(&["--length", "80", "--temperature", "0"]);
    assert_eq!(
        write(&["--length", "80", "--temperature", "0", "--seed", "9"]),
        likeliest,
        "nothing is drawn"
    );
    assert_eq!(
        write(&["--length", "80", "--top-k", "1", "--seed", "3"]),
        likeliest,
        "nothing to choose from"
    );
    assert_ne!(
        write(&["--length", "80", "--top-k", "5", "--seed", "7"]),
        likeliest,
        "something to choose from"
    );
    assert_ne!(write(&["--length", "80", "--temperature", "3", "--seed", "7"]), text, "hotter");
}

/// A model of the user's, its tokens in a file: what comes out is what the library gives.
#[test]
fn other_weights_and_their_vocabulary() {
    let folder = Folder::new();
    let (weights, vocabulary) = (language_model(FIXTURE), letters(&folder));
    let array: Vec<String> = LETTERS.chars().map(String::from).collect();
    let json = folder.write("letters.json", serde_json::to_vec(&array).expect("strings"));
    let state_dict = wgpu_rnn::StateDict::open(&weights).expect("the fixture is there");
    let tokens = Vocabulary::from_file(&vocabulary).expect("a vocabulary");
    let model = LanguageModel::load(&Device::cpu(), &state_dict, "model.").expect("a model");
    let prompt = tokens.encode("cab").expect("known letters");
    let options = GenerateOptions::default().temperature(0.5).top_k(9).seed(5);
    let text = model.generate(&[&prompt], &options).expect("a generator");
    let text: Vec<u32> = text.take(40).map(|step| step.expect("a token")[0]).collect();
    let want = tokens.decode(&text).expect("known tokens");
    let args = ["--weights", &weights, "--prefix", "model.", "--prompt", "cab", "--length", "40"];
    for more in [&[][..], &["--rnn-type", "LSTM"]] {
        for vocabulary in [&vocabulary, &json] {
            let options =
                ["--vocabulary", vocabulary, "--temperature", "0.5", "--top-k", "9", "--seed", "5"];
            let ran = generate(&[&args, &options, more].concat()).ended(0);
            assert_eq!(text_of(&ran, "cab"), want, "{}", ran.told());
        }
    }
    // The nonlinearity of an RNN is told, and matters.
    let rnn = language_model("rnn_tanh_l1_text2_s1.safetensors");
    let five = folder.write("five.txt", "a\nb\nc\nd\ne");
    let written = |rnn_type| {
        let args =
            ["--weights", &rnn, "--prefix", "model.", "--prompt", "ab", "--vocabulary", &five];
        text_of(&generate(&[&args[..], &["--rnn-type", rnn_type]].concat()).ended(0), "ab")
    };
    assert_ne!(written("RNN_TANH"), written("RNN_RELU"), "tanh and relu");
}

/// Words are separated by spaces, and `<eos>` breaks the line.
#[test]
fn words_are_written_as_words() {
    let folder = Folder::new();
    let words: Vec<String> =
        (0..21).map(|i| format!("word{i}")).chain(["<eos>".into(), "<unk>".into()]).collect();
    let vocabulary = folder.write("words.txt", words.join("\n"));
    let weights = language_model(FIXTURE);
    let args = [
        "--weights",
        &weights,
        "--prefix",
        "model.",
        "--vocabulary",
        &vocabulary,
        "--length",
        "200",
    ];
    let ran = generate(&[&args, &["--prompt", "word3 nonsense\nword4"][..]].concat()).ended(0);
    let text = text_of(&ran, "word3 <unk> \nword4 ");
    let made: Vec<&str> = text.split_whitespace().collect();
    assert!(
        made.iter().all(|word| words.iter().any(|known| known == word)),
        "only words: {}",
        ran.told()
    );
    assert_eq!(
        made.len() + text.matches('\n').count(),
        200,
        "as many words and line breaks: {}",
        ran.told()
    );
    assert!(!text.contains("<eos>"), "line breaks stand for themselves: {}", ran.told());
}

/// A stop token is the last of a text.
#[test]
fn a_text_ends_with_its_stop_token() {
    let write =
        |args: &[&str]| generate(&[&["--prompt", "ROMEO:", "--seed", "3"], args].concat()).ended(0);
    let whole = text_of(&write(&["--length", "200"]), "ROMEO:");
    let (first, _) = whole.split_once('e').expect("200 letters have an e");
    for stop in [&["--stop", "e"][..], &["--stop=e", "--length", "200"]] {
        let ran = write(stop);
        assert_eq!(text_of(&ran, "ROMEO:"), format!("{first}e"), "{}", ran.told());
        let count = format!("{} tokens", first.chars().count() + 1);
        assert!(ran.stderr.starts_with(&count), "tokens: {}", ran.told());
    }
    let likeliest = text_of(&write(&["--length", "60", "--temperature", "0"]), "ROMEO:");
    let narrow = text_of(&write(&["--length", "60", "--top-p", "1e-6"]), "ROMEO:");
    assert_eq!(narrow, likeliest, "a share that the likeliest token holds");
    let wide = text_of(&write(&["--length", "60", "--top-p", "0.7"]), "ROMEO:");
    assert_ne!(wide, likeliest, "something to choose from");
    assert_ne!(wide, whole[..wide.len()], "and not all");
}

/// One beam takes the likeliest token; a beam for each token finds the likeliest pair.
#[test]
fn beams_search_the_likeliest_text() {
    let search = |args: &[&str]| {
        let ran = generate(&[&["--prompt", "ROMEO:"], args].concat()).ended(0);
        let (_, rest) = ran.stderr.split_once("log-probability ").expect("a probability");
        let number = rest.split_once(',').expect("and more").0.parse::<f64>().expect("a number");
        (text_of(&ran, "ROMEO:"), number)
    };
    let greedy = ["--prompt", "ROMEO:", "--length", "12", "--temperature", "0"];
    let greedy = text_of(&generate(&greedy).ended(0), "ROMEO:");
    assert_eq!(search(&["--length", "12", "--beams", "1"]).0, greedy, "one beam");
    let [one, all] = ["1", "65"].map(|beams| search(&["--length", "2", "--beams", beams]));
    assert!(all.1 >= one.1 && all.1 < 0.0, "all pairs: {all:?}, one: {one:?}");
    let ended = search(&["--length", "12", "--beams", "3", "--stop", "\n"]).0;
    assert_eq!(ended.matches('\n').count(), 1, "an end: {ended:?}");
    generate(&["--prompt", "A", "--beams", "0"]).refused(&["at least one beam, but got 0"]);
    generate(&["--prompt", "A", "--beams", "2", "--seed", "1"]).refused(&["--beams", "--seed"]);
}

/// The option, the metadata or the vocabulary decides what a token is. A guess is announced, and
/// special tokens have their names.
#[test]
fn a_guess_of_characters_or_words_is_announced() {
    let folder = Folder::new();
    let mut tokens: Vec<String> = LETTERS.chars().map(String::from).collect();
    tokens[0] = "<unk>".to_owned();
    let vocabulary = folder.write("letters.txt", tokens.join("\n"));
    let weights = language_model(FIXTURE);
    let args = ["--weights", &weights, "--prefix", "model.", "--vocabulary", &vocabulary];
    let run = |more: &[&str]| {
        generate(&[&args[..], &["--prompt", "xbc", "--length", "3"], more].concat()).ended(0)
    };
    let (guess, special) = ("the vocabulary looks like characters", "special tokens: <unk> (0)");
    let ran = run(&[]);
    for part in [guess, special, "--tokens characters or words sets it"] {
        assert!(ran.stderr.contains(part), "'{part}' is not on stderr: {}", ran.told());
    }
    assert!(ran.stdout.starts_with("<unk>bc"), "characters: {}", ran.told());
    let ran = run(&["--tokens", "characters"]);
    assert!(ran.stderr.contains(special) && !ran.stderr.contains(guess), "{}", ran.told());
    let ran = run(&["--tokens", "words"]);
    assert!(ran.stdout.starts_with("<unk> "), "one word: {}", ran.told());
    let map: serde_json::Map<_, _> = (0..23).map(|id| (tokens[id].clone(), id.into())).collect();
    let map = folder.write("map.json", serde_json::to_vec(&map).expect("a map"));
    let args = ["--weights", &weights, "--prefix", "model.", "--vocabulary", &map];
    let ran = generate(&[&args, &["--prompt", "xbc", "--length", "3"][..]].concat()).ended(0);
    assert!(ran.stdout.starts_with("<unk>bc"), "a map from tokens to ids: {}", ran.told());
}

/// Prompts and numbers may begin as flags do.
#[test]
fn hyphens_are_text() {
    let ran = generate(&["--prompt", "--What, ho!", "--length", "3"]).ended(0);
    assert_eq!(text_of(&ran, "--What, ho!").chars().count(), 3, "{}", ran.told());
    generate(&["--prompt", "A", "--temperature", "-1"])
        .refused(&["temperature", "at least 0, got -1"]);
}

#[test]
fn what_cannot_be_written_is_refused_and_named() {
    let folder = Folder::new();
    let (weights, vocabulary) = (language_model(FIXTURE), letters(&folder));
    let model = ["--weights", &weights, "--prefix", "model.", "--prompt", "ab"];
    let with = |more: &[&str]| generate(&[&model, more].concat());
    let missing = folder.path("missing.safetensors");

    generate(&[]).refused(&["--prompt"]);
    generate(&["--prompt", ""]).refused(&["--prompt is empty"]);
    generate(&["--prompt", "To be €"]).refused(&["line 1, column 7", "no character \"€\""]);
    generate(&["--prompt", "A\nB\u{7}"]).refused(&["line 2, column 2", "\\u{7}"]);
    generate(&["--prompt", "A", "--temperature", "nan"]).refused(&["temperature", "NaN"]);
    generate(&["--prompt", "A", "--temperature", "hot"]).refused(&["--temperature", "hot"]);
    generate(&["--prompt", "A", "--length", "-1"]).refused(&["-1"]);
    generate(&["--prompt", "A", "--top-p", "0"]).refused(&["top_p", "at most 1, got 0"]);
    generate(&["--prompt", "A", "--top-p", "-1"]).refused(&["top_p", "at most 1, got -1"]);
    generate(&["--prompt", "A", "--stop", "€"]).refused(&["--stop", "no token \"€\""]);
    generate(&["--prompt", "A", "--tokens", "bytes"]).refused(&["bytes", "characters", "words"]);
    generate(&["--prompt", "A", "--seed", "x"]).refused(&["--seed", "x"]);
    generate(&["--prompt", "A", "--weights", &missing]).refused(&[&missing]);
    generate(&["--prompt", "A", "--prefix", "model."])
        .refused(&["under the prefix 'model.'", "has no prefix"]);
    generate(&["--prompt", "A", "--rnn-type", "Transformer"])
        .refused(&["'LSTM', 'GRU', 'RNN_TANH' or 'RNN_RELU'"]);
    generate(&["--prompt", "A", "--rnn-type", "GRU"])
        .refused(&["size mismatch for rnn.weight_ih_l0"]);
    generate(&["--prompt", "A", "--limit", "memory_budget=1000"])
        .refused(&["memory_budget is 1000"]);
    wgpu_rnn(&["generate", "--prompt", "A", "--device", "all"])
        .refused(&["'all' stands for several devices"]);

    with(&[]).refused(&[FIXTURE, "the metadata has no vocabulary", "--vocabulary FILE"]);
    with(&["--vocabulary", &folder.path("none.txt")]).refused(&["none.txt"]);
    let few = folder.write("few.txt", "a\nb\nc");
    with(&["--vocabulary", &few]).refused(&["the model has 23 tokens, but the vocabulary has 3"]);
    let twice = folder.write("twice.txt", "a\nb\na");
    with(&["--vocabulary", &twice]).refused(&["twice.txt", "\"a\" twice, as tokens 0 and 2"]);
    let broken = folder.write("broken.json", "[\"a\", ");
    with(&["--vocabulary", &broken]).refused(&["broken.json", "not a vocabulary"]);
    let binary = folder.write("binary.txt", b"\xff\xfe");
    with(&["--vocabulary", &binary]).refused(&["binary.txt", "UTF-8"]);
    let bare = ["--weights", &weights, "--prompt", "ab", "--vocabulary", &vocabulary];
    generate(&bare).refused(&["under the prefix ''", "language models are under: model."]);
}

/// Weights of NaN: what came before is written, and then the reason is told.
#[test]
fn weights_of_nan_are_told() {
    let folder = Folder::new();
    let vocabulary = folder.write("two.txt", "a\nb");
    let mut bias = seeded::tensor(1, &[2], 0.0);
    bias.data_mut()[1] = 5.0;
    // Token b is likelier, and has no embedding.
    let mut embedding = seeded::tensor(2, &[2, 1], 1.0);
    embedding.data_mut()[1] = f32::NAN;
    let weights = folder.save(
        "nan.safetensors",
        &[
            f32s("encoder.weight", &embedding),
            f32s("rnn.weight_ih_l0", &seeded::tensor(3, &[1, 1], 1.0)),
            f32s("rnn.weight_hh_l0", &seeded::tensor(4, &[1, 1], 1.0)),
            f32s("rnn.bias_ih_l0", &seeded::tensor(5, &[1], 1.0)),
            f32s("rnn.bias_hh_l0", &seeded::tensor(6, &[1], 1.0)),
            f32s("decoder.weight", &seeded::tensor(7, &[2, 1], 0.1)),
            f32s("decoder.bias", &bias),
        ],
    );
    let args =
        ["--weights", &weights, "--vocabulary", &vocabulary, "--prompt", "a", "--temperature", "0"];
    let ran = generate(&args).ended(2);
    assert_eq!(ran.stdout, "ab", "the prompt and what could be drawn: {}", ran.told());
    assert!(ran.stderr.contains("nothing can be drawn for row 0 at position 1"), "{}", ran.told());
}

/// `generate | head -c 5`: no complaint, and no work for nobody.
#[test]
fn a_reader_that_has_read_enough_ends_it() {
    let length = u64::MAX.to_string();
    let args = ["generate", "--device", "cpu", "--prompt", "ROMEO:", "--length", &length];
    let mut command = command(&args);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut start = [0; 5];
    child.stdout.take().expect("piped").read_exact(&mut start).expect("five bytes");
    assert_eq!(&start, b"ROMEO", "the prompt comes first");
    // The reader is gone: it was dropped above.
    let ran = Ran::new(&command, child.wait_with_output().expect("the program ends")).ended(0);
    assert!(!ran.stderr.contains("error"), "nothing to complain about: {}", ran.told());
}

#[cfg(target_os = "linux")]
#[test]
fn a_text_that_cannot_be_written_is_an_error() {
    let full =
        std::fs::File::options().write(true).open("/dev/full").expect("a device that is full");
    let mut command =
        command(&["generate", "--device", "cpu", "--prompt", "ROMEO:", "--length", "1000000000"]);
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().expect("the program starts");
    let ran = Ran::new(&command, child.wait_with_output().expect("the program ends")).ended(2);
    assert!(
        ran.stderr.contains("stdout") && ran.stderr.contains("space"),
        "the reason: {}",
        ran.told()
    );
}
