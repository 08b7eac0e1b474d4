//! Names of tensors: `--map`, `--fold`, `--allow-unused`, the names of states, and the properties
//! that are assumed.

use wgpu_rnn::Config;

use crate::files::{Entry, Folder, f32s, forward, language_model, weights, written};
use crate::program::{Ran, wgpu_rnn};
use crate::seeded;

/// A folder with weights and an input, `[7, 2, 3]`.
struct Job {
    folder: Folder,
    weights: String,
    input: String,
}

fn input() -> Entry {
    f32s("input", &seeded::tensor(90, &[7, 2, 3], 1.0))
}

impl Job {
    fn new(entries: &[Entry]) -> Self {
        let folder = Folder::new();
        let weights = folder.save("weights.safetensors", entries);
        let input = folder.save("input.safetensors", &[input()]);
        Self { folder, weights, input }
    }

    fn run(&self, flags: &[&str]) -> Ran {
        let Self { folder, weights, input } = self;
        let output = folder.path("output.safetensors");
        let args = ["run", "--weights", weights, "--input", input, "--output", &output];
        wgpu_rnn(&[&args, &["--device", "cpu"][..], flags].concat())
    }

    fn output(&self) -> wgpu_rnn::Tensor {
        written(&self.folder.path("output.safetensors")).0
    }
}

/// A GRU under a prefix, with a tensor below it that no GRU has.
fn with_norm(prefix: &str) -> Vec<Entry> {
    let mut entries = weights(&Config::gru(3, 5), prefix);
    entries.push(f32s(&format!("{prefix}norm.weight"), &seeded::tensor(8, &[15], 1.0)));
    entries
}

#[test]
fn unused_tensors_are_refused_or_a_note() {
    let job = Job::new(&with_norm("m."));
    let unexpected = "Unexpected key(s) in state_dict: \"m.norm.weight\".";
    let note = "weights.safetensors holds tensors that are not used: m.norm.weight";
    job.run(&["--prefix", "m."]).refused(&[unexpected, "--allow-unused"]);
    let ran = job.run(&["--prefix", "m.", "--allow-unused"]).ended(0);
    assert!(ran.stderr.contains(note), "{}", ran.told());
    let (want, _) = forward(
        &Job::new(&weights(&Config::gru(3, 5), "")).weights,
        "",
        |config| config,
        &job.input,
    );
    assert_eq!(job.output(), want, "the module alone");
    let compare = |flags: &[&str]| {
        let args = ["compare", "--weights", &job.weights, "--prefix", "m.", "--device", "cpu"];
        wgpu_rnn(&[&args, flags].concat())
    };
    compare(&[]).refused(&[unexpected]);
    let ran = compare(&["--allow-unused"]).ended(0).says(&["agrees"]);
    assert!(ran.stderr.contains(note), "{}", ran.told());
    wgpu_rnn(&["inspect", &job.weights]).ended(0).says(&["m.:", unexpected]);
    wgpu_rnn(&["inspect", &job.weights, "--allow-unused"]).ended(0).says(&["m.: GRU(3, 5)", note]);
}

#[test]
fn renamed_tensors_are_found() {
    let job = Job::new(&with_norm("m."));
    job.run(&["--map", "m.norm.=norm.", "--prefix", "m."]).ended(0);
    let moved = job.output();
    job.run(&["--map", "m.=", "--map", "m.norm.weight=other", "--allow-unused"]).ended(0);
    assert_eq!(job.output(), moved, "the prefix is removed");
    job.run(&["--map", "m."]).refused(&["expected OLD=NEW"]);
    job.run(&["--map", "x.=y."]).refused(&["no tensor of", "found m.bias_hh_l0, m.bias_ih_l0"]);
    job.run(&["--map", "m.=y"]).refused(&["two names, or two prefixes that end with a dot"]);
    let model = language_model("lstm_l2_text101_s7.safetensors");
    let args = ["generate", "--device", "cpu", "--weights", &model, "--prompt", "a"];
    let names = [
        "--map",
        "model.encoder.=embed.",
        "--map",
        "model.rnn.=r.",
        "--map",
        "model.decoder.=out.",
    ];
    wgpu_rnn(&[&args, &names[..]].concat())
        .refused(&["names that fit: --map embed.=encoder. --map r.=rnn. --map out.=decoder."]);
    wgpu_rnn(&[&args, &["--map", "model.=m.", "--prefix", "m."][..]].concat())
        .refused(&["has no vocabulary"]);
}

#[test]
fn weights_in_parts_are_named_and_folded_on_request() {
    let mut entries = weights(&Config::gru(3, 5), "");
    let (plain, raw) = (Job::new(&entries), "weight_hh_l0_raw");
    plain.run(&[]).ended(0);
    let whole = entries.iter_mut().find(|entry| entry.0 == "weight_hh_l0").expect("a GRU has it");
    whole.0 = raw.to_owned();
    let job = Job::new(&entries);
    for flags in [&[][..], &["--allow-unused"]] {
        job.run(flags)
            .refused(&["weight_hh_l0 is stored by WeightDrop as weight_hh_l0_raw", "--fold"]);
    }
    job.run(&["--fold"]).ended(0);
    assert_eq!(job.output(), plain.output(), "the same weights");
    wgpu_rnn(&["inspect", &job.weights]).ended(0).says(&["stored by WeightDrop", raw]);
    wgpu_rnn(&["inspect", &job.weights, "--fold"]).ended(0).says(&["GRU(3, 5)"]);
}

#[test]
fn properties_that_are_assumed_are_printed() {
    let job = Job::new(&weights(&Config::rnn(3, 5), ""));
    let (tanh, layout) = ("RNN(tanh, assumed)", "[T, B, I] (assumed; batch_first reads [B, T, I])");
    let flag = "[T, B, I] (use --batch-first for [B, T, I])";
    let compare = |flags: &[&str]| {
        let args = ["compare", "--weights", &job.weights, "--device", "cpu"];
        wgpu_rnn(&[&args, flags].concat()).ended(0)
    };
    for (what, ran) in [("run", job.run(&[]).ended(0)), ("compare", compare(&[]))] {
        for part in [tanh, flag] {
            assert!(ran.stderr.contains(part), "{what} says '{part}': {}", ran.told());
        }
    }
    wgpu_rnn(&["inspect", &job.weights]).ended(0).says(&["RNN(3, 5)", tanh, layout]);
    let report = wgpu_rnn(&["inspect", &job.weights, "--json"]).ended(0).json();
    assert_eq!(report["modules"][0]["assumed"], serde_json::json!([tanh, layout]), "{report:#}");
    let ran = compare(&["--nonlinearity", "relu", "--batch-first"]);
    assert_eq!(ran.stderr, "", "nothing is assumed: {}", ran.told());
}

#[test]
fn states_have_several_names_and_none_is_ignored() {
    let job = Job::new(&weights(&Config::lstm(3, 5), ""));
    let state = |name: &str, seed| f32s(name, &seeded::tensor(seed, &[1, 2, 5], 1.0));
    let with = |entries: &[Entry]| {
        job.folder.save("input.safetensors", &[&[input()], entries].concat());
        job.run(&[])
    };
    with(&[]).ended(0);
    let zero = job.output();
    with(&[state("h0", 1), state("c0", 2)]).ended(0);
    let want = job.output();
    assert_ne!(want, zero, "the state matters");
    for [h, c] in [["h_0", "c_0"], ["hn", "cn"], ["h_n", "c_n"]] {
        with(&[state(h, 1), state(c, 2)]).ended(0);
        assert_eq!(job.output(), want, "{h}, {c}");
        with(&[state(c, 2)]).refused(&[&format!("there is {c}, but no {h}")]);
        with(&[state(h, 1), state("h0", 1), state("c0", 2)])
            .refused(&[&format!("there are h0 and {h}, and both can be the initial state")]);
    }
    let output = f32s("output", &seeded::tensor(3, &[7, 2, 5], 1.0));
    with(&[state("hn", 1), state("cn", 2), output])
        .refused(&["there are output and hn, the results of a run", "rename it to h0 and c0"]);
}
