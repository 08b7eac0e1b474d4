//! Host memory that runs out: the program reports it and ends; nothing aborts.

use std::process::Command;

use rten_onnx::onnx::{DataType, TensorProto};
use wgpu_rnn::{Config, Tensor};

use crate::files::{Folder, f32s, weights};
use crate::program::{Ran, finish, without_adapters};
use crate::{onnx_models, pickles};

/// The program in at most `mib` MiB of address space.
fn within(mib: usize, args: &[&str]) -> Ran {
    let program = without_adapters(args);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {}; exec \"$0\" \"$@\"", mib << 10)]);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // One thread: stacks take address space as well.
    command.env("RAYON_NUM_THREADS", "1");
    finish(command)
}

/// Many steps, and many rows, with more memory from run to run until the results fit. Every
/// allocation on the way is the first that does not fit in some run.
#[test]
fn memory_that_runs_out_is_an_error() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::gru(1, 1), ""));
    let output = folder.path("output.safetensors");
    let run = |mib: usize, input: &str| {
        let args = [
            "run",
            "--weights",
            &weights,
            "--input",
            input,
            "--output",
            &output,
            "--device",
            "cpu",
        ];
        within(mib, &args)
    };
    let input = |name: &str, shape: [usize; 3]| {
        let values = Tensor::zeros(shape).expect("the test has the memory");
        folder.save(name, &[f32s("input", &values)])
    };
    let small = input("small.safetensors", [1, 1, 1]);
    let least = (1..).map(|n| 16 * n).find(|&mib| run(mib, &small).code == Some(0));
    let least = least.expect("a small network runs");
    let (steps, rows) = (
        input("steps.safetensors", [10_000_000, 1, 1]),
        input("rows.safetensors", [1, 1_000_000, 1]),
    );
    for more in [8, 48, 88] {
        std::fs::remove_file(&output).expect("the output of the run before");
        run(least + more, &steps).refused(&["host: out of memory while allocating", "bytes for"]);
        assert!(!folder.names().iter().any(|name| name.starts_with("output")), "no output");
        run(least + 8, &small).ended(0);
    }
    let mut refused = 0;
    for more in (8..).step_by(12) {
        let ran = run(least + more, &rows);
        if ran.code == Some(0) {
            break;
        }
        // The stack of the engine's thread is memory, too.
        let stack = ran.stderr.contains("the threads of the CPU engine");
        let wanted = if stack { "os error" } else { "host: out of memory while allocating" };
        ran.refused(&[wanted]);
        refused += 1;
    }
    assert!(refused > 2, "{refused} runs found too little memory");
}

#[test]
fn devices_and_pipes_are_no_weights() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success(), "mkfifo: {made}");
    for path in ["/dev/zero", "/dev/null", &pipe] {
        let ran = within(4096, &["inspect", path]);
        ran.refused(&[path, "expected a file, found a device or a pipe"]);
    }
}

/// A file of `torch.save` with the weights of `nn.RNN(1, H)`. `weight_hh_l0` is transposed, so that
/// its values are gathered.
fn transposed(hidden: i64) -> Vec<u8> {
    let of = |storage: &str, shape: &[i64], strides: &[i64]| {
        let len = shape.iter().product();
        pickles::tensor(pickles::storage(storage, "FloatStorage", len), 0, shape, strides)
    };
    let column = of("1", &[hidden], &[1]);
    let dict = pickles::dict(&[
        ("weight_ih_l0", of("1", &[hidden, 1], &[1, 1])),
        ("weight_hh_l0", of("0", &[hidden; 2], &[1, hidden])),
        ("bias_ih_l0", column.clone()),
        ("bias_hh_l0", column),
    ]);
    let zeros = |count: i64| vec![0; 4 * count as usize];
    pickles::saved(&pickles::pickle(&dict), &[&zeros(hidden * hidden), &zeros(hidden)])
}

/// Other commands that hold much: a comparison in f64, and a text.
#[test]
fn every_command_survives_memory_that_runs_out() {
    let folder = Folder::new();
    let narrow = folder.save("narrow.safetensors", &weights(&Config::gru(1, 1), ""));
    let wide = folder.write("wide.pt", transposed(2200));
    let text = folder.path("text.txt");
    std::fs::write(&text, "to be or not to be\n".repeat(100_000)).expect("a text");
    let many = ["compare", "--weights", &narrow, "--seq-len", "1", "--batch", "500000"];
    let large = ["compare", "--weights", &wide, "--seq-len", "1", "--batch", "1"];
    let perplexity = ["perplexity", &text];
    for (args, mibs) in [
        (&many[..], [20, 28, 36, 44, 52, 60, 68, 76]),
        (&large, [20, 28, 36, 44, 52, 60, 68, 76]),
        (&perplexity, [24, 28, 32, 40, 48, 56, 64, 72]),
    ] {
        let mut refused = 0;
        for mib in mibs {
            let ran = within(mib, &[args, &["--device", "cpu"]].concat());
            if ran.code == Some(0) {
                break;
            }
            ran.refused(&["host: out of memory while allocating"]);
            refused += 1;
        }
        assert!(refused > 2, "{args:?}: {refused} runs found too little memory");
    }
}

/// ONNX models, whose values are bytes or fields of numbers.
#[test]
fn models_survive_memory_that_runs_out() {
    let folder = Folder::new();
    let input = Tensor::zeros([1, 1, 256]).expect("a small input");
    let input = folder.save("input.safetensors", &[f32s("input", &input)]);
    let output = folder.path("output.safetensors");
    for typed in [false, true] {
        let tensor = |name: &str, shape: [usize; 3]| {
            let count: usize = shape.iter().product();
            let raw = |bytes| onnx_models::raw(name, &shape, DataType::FLOAT, bytes);
            match typed {
                true => {
                    TensorProto { float_data: vec![0.0; count], raw_data: None, ..raw(Vec::new()) }
                }
                false => raw(vec![0; 4 * count]),
            }
        };
        let tensors = vec![tensor("W", [1, 2048, 256]), tensor("R", [1, 2048, 512])];
        let attributes = vec![onnx_models::int("hidden_size", 512)];
        let nodes = vec![onnx_models::node("LSTM", "cell", &["x", "W", "R"], &["y"], attributes)];
        let model = onnx_models::model(17, onnx_models::graph(nodes, tensors));
        let model = folder.write("model.onnx", onnx_models::bytes(&model));
        let mut codes = Vec::new();
        for mib in (20..=110).step_by(5) {
            let args = ["run", "--weights", &model, "--input", &input, "--output", &output];
            codes.push(within(mib, &[&args[..], &["--device", "cpu"]].concat()).code);
        }
        let ends = codes.iter().all(|code| matches!(code, Some(0 | 2)));
        let both = codes.contains(&Some(0)) && codes.contains(&Some(2));
        assert!(ends && both, "typed: {typed}: {codes:?}");
    }
}

/// A file of safetensors with this header and no values.
fn headed(folder: &Folder, name: &str, header: &str) -> String {
    folder.write(name, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat())
}

/// A recipe describes more values than memory holds. It is inspected without them.
#[test]
fn a_recipe_is_refused_where_its_values_do_not_fit() {
    let folder = Folder::new();
    let header = serde_json::json!({ "__metadata__": {
        "format": "rnncase-recipe/1", "id": "long", "kind": "gru", "input_size": "3",
        "hidden_size": "4", "num_layers": "1", "seq_len": "30000000", "batch": "1",
        "base_seed": "1", "weight_bound_f32": "0.1", "torch_f32_max_err": "1e-6",
    } });
    let file = headed(&folder, "long.safetensors", &header.to_string());
    within(64, &["inspect", &file]).ended(0).says(&["case long: GRU(3, 4)"]);
    let ran = within(64, &["verify", &file, "--device", "cpu"]);
    let text = [ran.stdout.as_str(), &ran.stderr].concat();
    assert!(ran.code.is_some_and(|code| code > 0), "{}", ran.told());
    assert!(text.contains("allocating 360000000 bytes for the input"), "{}", ran.told());
}

/// Many names, each of which has its own allocations.
#[test]
fn many_names_are_refused_where_they_do_not_fit() {
    let folder = Folder::new();
    let joined =
        |name: &dyn Fn(u32) -> String| (0..60_000).map(name).collect::<Vec<String>>().join(",");
    let none = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
    let tensors = format!("{{{}}}", joined(&|i| format!(r#""t{i}":{none}"#)));
    let metadata = format!(r#"{{"__metadata__":{{{}}}}}"#, joined(&|i| format!(r#""k{i}":"""#)));
    let index = format!(r#"{{"weight_map":{{{}}}}}"#, joined(&|i| format!(r#""t{i}":"m""#)));
    let array = format!("[{}]", joined(&|i| format!(r#""w{i}""#)));
    let map = format!("{{{}}}", joined(&|i| format!(r#""w{i}":{i}"#)));
    let lines = (0..60_000).map(|i| format!("w{i}\n")).collect::<String>();
    let names: Vec<String> = (0..60_000).map(|i| format!("archive/data/{i}")).collect();
    let members: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let names: Vec<String> = (0..20_000).map(|i| format!("t{i}")).collect();
    let pairs: Vec<_> = names.iter().map(|name| (name.as_str(), pickles::two_values())).collect();
    let saved = |pickle: &[u8]| pickles::saved(&pickles::pickle(pickle), &[&[0; 8]]);
    let inspected = [
        headed(&folder, "tensors.safetensors", &tensors),
        headed(&folder, "metadata.safetensors", &metadata),
        folder.write("model.safetensors.index.json", index),
        folder.write("members.pt", pickles::zip(&members)),
        folder.write("tensors.pt", saved(&pickles::dict(&pairs))),
        folder.write("values.pt", saved(&[b'N'; 400_000])),
    ];
    let vocabularies = [("array.json", array), ("map.json", map), ("lines.txt", lines)]
        .map(|(name, text)| folder.write(name, text));
    let inspected = inspected.iter().map(|file| vec!["inspect", file, "--json"]);
    let generated = vocabularies
        .iter()
        .map(|file| vec!["generate", "--prompt", "a", "--device", "cpu", "--vocabulary", file]);
    for args in inspected.chain(generated) {
        let mut refused = 0;
        for mib in (20..).step_by(12) {
            let ran = within(mib, &args);
            assert!(ran.code.is_some(), "in {mib} MiB: {}", ran.told());
            if !ran.stderr.contains("host: out of memory while allocating") {
                break;
            }
            ran.refused(&["; free memory, or use a smaller file, batch or sequence"]);
            refused += 1;
        }
        assert!(refused > 0, "{args:?}: {refused} runs found too little memory");
    }
}

/// One shape of `bench` with a long input, and with wide weights.
#[test]
fn a_benchmark_is_refused_where_it_does_not_fit() {
    for args in [["--seq-len", "3000000", "1"], ["--batch", "1", "1200"]] {
        let [name, value, hidden] = args;
        let args = ["bench", "--kind", "rnn_tanh", "--seconds", "0", "--device", "cpu"];
        let args = [&args[..], &[name, value, "--hidden-size", hidden]].concat();
        let mut refused = 0;
        for mib in (20..=76).step_by(8) {
            let ran = within(mib, &args);
            assert!(ran.code.is_some(), "in {mib} MiB: {}", ran.told());
            let text = [ran.stdout.as_str(), &ran.stderr].concat();
            refused += u32::from(text.contains("out of memory while allocating"));
        }
        assert!(refused > 2, "{args:?}: {refused} runs found too little memory");
    }
}
