//! `wgpu-rnn compare`.

use wgpu_rnn::{Config, Kind};

use crate::files::{Folder, f32s, fixture, weights};
use crate::program::{assert_keys, wgpu_rnn};
use crate::seeded;

/// A folder with the weights of a small LSTM.
fn lstm() -> (Folder, String) {
    let folder = Folder::new();
    let weights =
        folder.save("weights.safetensors", &weights(&Config::lstm(3, 5).num_layers(2), ""));
    (folder, weights)
}

#[test]
fn every_kind_agrees_with_the_definition() {
    let folder = Folder::new();
    for &kind in Kind::ALL {
        let config = Config::new(kind, 6, 9).num_layers(2).bidirectional(true);
        let weights = folder.save("weights.safetensors", &weights(&config, "net."));
        let mut args = vec![
            "compare",
            "--weights",
            &weights,
            "--prefix",
            "net.",
            "--device",
            "cpu",
            "--seq-len",
            "20",
        ];
        args.extend(["--batch", "3", "--seed", "7"]);
        if kind == Kind::RnnRelu {
            args.extend(["--nonlinearity", "relu"]);
        }
        let tensors: &[&str] =
            if kind == Kind::Lstm { &["output", "hn", "cn"] } else { &["output", "hn"] };
        wgpu_rnn(&args).ended(0).says(&["cpu: agrees"]).says(tensors);
        args.push("--batch-first");
        wgpu_rnn(&args).ended(0).says(&["cpu: agrees"]);
    }
}

#[test]
fn the_schedule_is_the_one_that_was_asked_for() {
    let (folder, plain) = lstm();
    let projected =
        folder.save("projected.safetensors", &weights(&Config::lstm(3, 5).proj_size(2), ""));
    for schedule in ["step_tiled", "sequence"] {
        let args =
            |weights| ["compare", "--device", "cpu", "--schedule", schedule, "--weights", weights];
        wgpu_rnn(&args(&plain)).ended(0).says(&["cpu: agrees"]);
        if schedule == "step_tiled" {
            wgpu_rnn(&args(&projected)).ended(0).says(&["cpu: agrees"]);
            continue;
        }
        let refused = wgpu_rnn(&args(&projected)).ended(2);
        let named = format!("the schedule '{schedule}' has no projection");
        assert!(refused.stderr.contains(&named), "{}", refused.told());
    }
}

#[test]
fn no_tolerance_at_all_is_a_disagreement() {
    let (_folder, weights) = lstm();
    let args = ["compare", "--weights", &weights, "--device", "cpu", "--atol", "0", "--rtol", "0"];
    wgpu_rnn(&args).ended(1).says(&["cpu: disagrees", "worst at"]);
}

#[test]
fn json_has_figures_for_each_tensor() {
    let (_folder, weights) = lstm();
    let args = ["compare", "--weights", &weights, "--device", "cpu", "--device", "cpu", "--json"];
    let args = [&args[..], &["--seq-len", "6", "--batch", "2"]].concat();
    let ran = wgpu_rnn(&args).ended(0);
    let note = "note: the random input [6, 2, 3] is [T, B, I] (use --batch-first for [B, T, I])\n";
    assert_eq!(ran.stderr, note, "nothing else to say besides the report: {}", ran.told());
    let report = ran.json();
    let results = report["results"].as_array().expect("results is a list");
    assert_eq!(results.len(), 1, "a device named twice is used once: {report:#}");
    assert_keys("a device", &results[0], &["device", "agrees", "tensors"]);
    assert_eq!(
        (&results[0]["device"], &results[0]["agrees"]),
        (&"cpu".into(), &true.into()),
        "{report:#}"
    );
    let tensors = results[0]["tensors"].as_array().expect("tensors is a list");
    let counts = [("output", 6 * 2 * 5), ("hn", 2 * 2 * 5), ("cn", 2 * 2 * 5)];
    assert_eq!(tensors.len(), counts.len(), "{report:#}");
    for (tensor, (name, count)) in tensors.iter().zip(counts) {
        assert_keys(
            name,
            tensor,
            &["tensor", "count", "mismatches", "max_abs", "max_rel", "worst"],
        );
        assert_eq!(
            (&tensor["tensor"], &tensor["count"]),
            (&name.into(), &count.into()),
            "{tensor}"
        );
        assert_eq!(tensor["mismatches"], 0, "{tensor}");
        assert!(tensor["max_abs"].as_f64().is_some_and(|x| x < 1e-5), "{tensor}");
    }
    let none = [&args[..], &["--atol", "0", "--rtol", "0"]].concat();
    let report = wgpu_rnn(&none).ended(1).json();
    assert_eq!(report["results"][0]["agrees"], false, "{report:#}");
}

#[test]
fn an_input_file_is_compared_with_its_state() {
    let (folder, weights) = lstm();
    let state = |name, seed| f32s(name, &seeded::tensor(seed, &[2, 4, 5], 1.0));
    let x = f32s("input", &seeded::tensor(90, &[6, 4, 3], 1.0));
    let input = folder.save("input.safetensors", &[x, state("h0", 91), state("c0", 92)]);
    let args = ["compare", "--weights", &weights, "--device", "cpu", "--input", &input, "--json"];
    let report = wgpu_rnn(&args).ended(0).json();
    assert_eq!(
        report["results"][0]["tensors"][0]["count"],
        6 * 4 * 5,
        "the sizes of the file: {report:#}"
    );
}

/// A case file holds a state dict and an input, and can be given as both.
#[test]
fn a_case_file_is_a_state_dict() {
    let case = fixture("grid_gru_l1_b3_t11_h0.safetensors");
    wgpu_rnn(&["compare", "--weights", &case, "--input", &case, "--device", "cpu"])
        .refused(&["Unexpected key(s) in state_dict: \"h0\", \"hn\", \"input\", \"output\""]);
}

#[test]
fn an_input_file_excludes_a_random_input() {
    let (_folder, weights) = lstm();
    for flag in ["--seq-len", "--batch", "--seed"] {
        let args = [
            "compare",
            "--weights",
            &weights,
            "--device",
            "cpu",
            "--input",
            "x.safetensors",
            flag,
            "3",
        ];
        wgpu_rnn(&args).refused(&["--input", flag, "cannot be used with"]);
    }
}

#[test]
fn lockstep_on_the_cpu_is_refused() {
    let (_folder, weights) = lstm();
    let args = ["compare", "--weights", &weights, "--device", "cpu", "--lockstep"];
    wgpu_rnn(&args).refused(&["unsupported", "lockstep"]);
    wgpu_rnn(&[&args[..], &["--device", "cpu", "--json"]].concat())
        .refused(&["unsupported", "lockstep"]);
}

#[test]
fn sizes_beyond_memory_are_refused() {
    let (_folder, weights) = lstm();
    let most = usize::MAX.to_string();
    for (seq_len, batch) in [
        (most.as_str(), "4"),
        (&most, &most),
        ("4", &most),
        ("4000000000000", "1"),
        ("1000000", "1000000"),
        ("18446744073709551616", "1"),
    ] {
        let args = [
            "compare",
            "--weights",
            &weights,
            "--device",
            "cpu",
            "--seq-len",
            seq_len,
            "--batch",
            batch,
        ];
        let ran = wgpu_rnn(&args).refused(&[]);
        assert!(ran.stderr.contains(seq_len), "the size is not named: {}", ran.told());
    }
}

#[test]
fn sizes_of_nothing() {
    let (_folder, weights) = lstm();
    let args = |seq_len, batch| {
        [
            "compare",
            "--weights",
            &weights,
            "--device",
            "cpu",
            "--seq-len",
            seq_len,
            "--batch",
            batch,
        ]
    };
    wgpu_rnn(&args("0", "2")).refused(&["Expected sequence length to be larger than 0 in RNN"]);
    // Nothing could disagree.
    for seq_len in ["3", "1000000000000"] {
        wgpu_rnn(&args(seq_len, "0")).refused(&["--batch is 0", "at least 1"]);
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    let (_folder, weights) = lstm();
    for (flag, value) in [
        ("--seq-len", "-1"),
        ("--batch", "many"),
        ("--seed", "1.5"),
        ("--atol", "tiny"),
        ("--atol", "NaN"),
        ("--atol", "-1"),
        ("--rtol", "inf"),
    ] {
        let flag_and_value = format!("{flag}={value}");
        let args = ["compare", "--weights", &weights, "--device", "cpu", &flag_and_value];
        wgpu_rnn(&args).refused(&[flag, value]);
    }
}
