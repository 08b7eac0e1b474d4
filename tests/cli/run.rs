//! `wgpu-rnn run` writes what the library computes.

use safetensors::Dtype;
use wgpu_rnn::{Config, Kind};

use crate::bits::assert_same;
use crate::files::{Folder, f32s, forward, weights, written};
use crate::program::{command, wgpu_rnn};
use crate::seeded;

/// A run, and all that may vary: the network, the prefix of its names, flags, an initial state.
struct Case {
    name: &'static str,
    config: Config,
    prefix: &'static str,
    flags: &'static [&'static str],
    input: &'static [usize],
    state: bool,
}

/// Runs the program and compares with the library, bit for bit.
fn check(case: &Case) {
    let Case { name, config, prefix, flags, input, state } = case;
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(config, prefix));
    let mut entries = vec![f32s("input", &seeded::tensor(90, input, 1.0))];
    if *state {
        let layers = config.num_layers * config.num_directions();
        let mut shape = vec![layers, input[usize::from(!config.batch_first)], config.hidden_size];
        if input.len() == 2 {
            shape.remove(1);
        }
        entries.push(f32s("h0", &seeded::tensor(91, &shape, 1.0)));
        if config.kind == Kind::Lstm {
            entries.push(f32s("c0", &seeded::tensor(92, &shape, 1.0)));
        }
    }
    let input = folder.save("input.safetensors", &entries);
    let output = folder.path("output.safetensors");
    let mut args = vec![
        "run",
        "--weights",
        &weights,
        "--input",
        &input,
        "--output",
        &output,
        "--device",
        "cpu",
    ];
    args.extend(*flags);
    if !prefix.is_empty() {
        args.extend(["--prefix", prefix]);
    }
    let ran = wgpu_rnn(&args).ended(0);
    assert_eq!(ran.stdout, "", "{name}: the result is the file: {}", ran.told());
    assert!(ran.stderr.contains(&output), "{name}: stderr names the file written: {}", ran.told());
    let rnn = matches!(config.kind, Kind::RnnTanh | Kind::RnnRelu);
    for (what, assumed) in [
        ("batch_first", case.input.len() == 3 && !flags.contains(&"--batch-first")),
        ("the nonlinearity", rnn && !flags.contains(&"--nonlinearity")),
    ] {
        let told = ran.stderr.contains(&format!("does not name {what}"));
        assert_eq!(told, assumed, "{name}: a note on {what}: {}", ran.told());
    }
    let change = |mut changed: Config| {
        changed.kind = config.kind;
        changed.batch_first(config.batch_first)
    };
    assert_same(name, &written(&output), &forward(&weights, prefix, change, &input));
    let names = ["input.safetensors", "output.safetensors", "weights.safetensors"];
    assert_eq!(folder.names(), names, "{name}: the files in the folder afterwards");
}

#[test]
fn what_is_written_is_what_the_library_computes() {
    let plain =
        |name, config, input, state| Case { name, config, prefix: "", flags: &[], input, state };
    let cases = [
        plain("LSTM", Config::lstm(3, 5), &[7, 2, 3], false),
        plain(
            "LSTM with h0 and c0",
            Config::lstm(3, 5).num_layers(2).bidirectional(true),
            &[7, 2, 3],
            true,
        ),
        plain("GRU with h0", Config::gru(4, 6).num_layers(2), &[5, 3, 4], true),
        plain("RNN without bias", Config::new(Kind::RnnTanh, 3, 4).bias(false), &[6, 2, 3], false),
        plain("unbatched GRU with h0", Config::gru(4, 6), &[5, 4], true),
        plain("no rows", Config::gru(4, 6), &[5, 0, 4], false),
        Case {
            name: "batch first",
            config: Config::lstm(3, 5).batch_first(true),
            prefix: "",
            flags: &["--batch-first"],
            input: &[2, 7, 3],
            state: true,
        },
        Case {
            name: "prefix",
            config: Config::gru(3, 5),
            prefix: "encoder.rnn.",
            flags: &["--schedule", "step_tiled"],
            input: &[7, 2, 3],
            state: false,
        },
        Case {
            name: "relu",
            config: Config::new(Kind::RnnRelu, 3, 5),
            prefix: "",
            flags: &["--nonlinearity", "relu"],
            input: &[7, 2, 3],
            state: true,
        },
        Case {
            name: "tanh, said",
            config: Config::new(Kind::RnnTanh, 3, 5),
            prefix: "",
            flags: &["--nonlinearity", "tanh"],
            input: &[7, 2, 3],
            state: false,
        },
        Case {
            name: "lowered limits",
            config: Config::lstm(3, 16),
            prefix: "",
            flags: &["--limit", "max_storage_buffer_binding_size=4096"],
            input: &[7, 2, 3],
            state: false,
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn relu_gives_other_numbers_than_tanh() {
    let folder = Folder::new();
    let weights =
        folder.save("weights.safetensors", &weights(&Config::new(Kind::RnnTanh, 3, 5), ""));
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[7, 2, 3], 1.0))]);
    let output = |name: &str, flags: &[&str]| {
        let output = folder.path(name);
        let args = [
            "run",
            "--weights",
            &weights,
            "--input",
            &input,
            "--output",
            &output,
            "--device",
            "cpu",
        ];
        wgpu_rnn(&[&args, flags].concat()).ended(0);
        written(&output).0
    };
    let (tanh, relu) = (output("tanh", &[]), output("relu", &["--nonlinearity", "relu"]));
    assert_ne!(tanh, relu, "--nonlinearity makes no difference");
    assert!(relu.data().iter().all(|&value| value >= 0.0), "relu gives nothing negative");
}

#[test]
fn an_existing_output_is_replaced() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::gru(3, 5), ""));
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[7, 2, 3], 1.0))]);
    let output = folder.write("output.safetensors", "old");
    wgpu_rnn(&[
        "run",
        "--weights",
        &weights,
        "--input",
        &input,
        "--output",
        &output,
        "--device",
        "cpu",
    ])
    .ended(0);
    assert_eq!(written(&output).0.shape(), [7, 2, 5], "the new content");
}

/// Renaming a file onto a pipe or a device would take its place.
#[cfg(unix)]
#[test]
fn an_output_that_is_no_file_is_written_to() {
    use std::os::unix::fs::FileTypeExt;
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::gru(3, 5), ""));
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[7, 2, 3], 1.0))]);
    let pipe = folder.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success(), "mkfifo: {made}");
    // Open for reading and writing, so that neither side waits for the other. The pipe holds all
    // that is written.
    let file = std::fs::File::options().read(true).write(true).open(&pipe).expect("the pipe opens");
    let args =
        ["run", "--weights", &weights, "--input", &input, "--output", &pipe, "--device", "cpu"];
    let ran = wgpu_rnn(&args).ended(0);
    let kind = std::fs::symlink_metadata(&pipe).expect("the pipe is there").file_type();
    assert!(kind.is_fifo(), "the pipe was replaced: {}", ran.told());
    let mut length = [0; 8];
    std::io::Read::read_exact(&mut &file, &mut length).expect("the length of the header");
    assert!(u64::from_le_bytes(length) < 4096, "no safetensors file came through: {}", ran.told());
    assert_eq!(
        folder.names(),
        ["input.safetensors", "pipe", "weights.safetensors"],
        "files: {}",
        ran.told()
    );
}

#[test]
fn nan_in_the_weights_is_warned_of_and_computed_with() {
    let folder = Folder::new();
    let mut entries = weights(&Config::gru(3, 5), "");
    let bytes =
        &mut entries.iter_mut().find(|entry| entry.0 == "weight_hh_l0").expect("a GRU has it").3;
    bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let weights = folder.save("weights.safetensors", &entries);
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[7, 2, 3], 1.0))]);
    let output = folder.path("output.safetensors");
    let args =
        ["run", "--weights", &weights, "--input", &input, "--output", &output, "--device", "cpu"];
    let ran = wgpu_rnn(&args).ended(0);
    assert!(ran.stderr.contains("warning: NaN"), "no warning: {}", ran.told());
    assert!(
        ran.stderr.contains("weight_hh_l0"),
        "the warning does not name the tensor: {}",
        ran.told()
    );
    assert!(
        !ran.stderr.contains("weight_ih_l0"),
        "the warning names a tensor without NaN: {}",
        ran.told()
    );
    assert!(written(&output).0.data().iter().any(|value| value.is_nan()), "NaN must come out");
}

#[test]
fn what_is_not_read_of_the_input_is_said() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::gru(3, 5), ""));
    let x = seeded::tensor(90, &[7, 2, 3], 1.0);
    let input = folder.save("input.safetensors", &[f32s("input", &x), f32s("hidden", &x)]);
    let output = folder.path("output.safetensors");
    let args =
        ["run", "--weights", &weights, "--input", &input, "--output", &output, "--device", "cpu"];
    let ran = wgpu_rnn(&args).ended(0);
    assert!(
        ran.stderr.contains("also holds hidden"),
        "a misspelt h0 passes unnoticed: {}",
        ran.told()
    );
}

/// A cell over a sequence is a layer. The note says so, since a 2-D input of a cell has another
/// meaning.
#[test]
fn the_weights_of_a_cell_are_run_as_a_layer() {
    let folder = Folder::new();
    let mut entries = weights(&Config::gru(3, 5), "d.");
    let layer = folder.save("layer.safetensors", &entries);
    entries.iter_mut().for_each(|(name, ..)| *name = name.replace("_l0", ""));
    let cell = folder.save("cell.safetensors", &entries);
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[4, 3], 1.0))]);
    let output = folder.path("output.safetensors");
    let run = |weights: &str| {
        wgpu_rnn(&[
            "run",
            "--weights",
            weights,
            "--prefix",
            "d.",
            "--input",
            &input,
            "--output",
            &output,
            "--device",
            "cpu",
        ])
        .ended(0)
    };
    let note =
        format!("note: {cell} holds GRUCell's weights, run here as a layer: a 2-D input is [T, I]");
    let ran = run(&cell);
    assert!(ran.stderr.contains(&note), "the note: {}", ran.told());
    let got = written(&output);
    let ran = run(&layer);
    assert!(!ran.stderr.contains("note:"), "no note for a layer: {}", ran.told());
    assert_same("the same weights under both names", &got, &written(&output));
}

#[test]
fn explaining_tells_how_it_runs_and_changes_nothing() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::gru(3, 5), ""));
    for (shape, flags) in
        [(&[7, 2, 3][..], &[][..]), (&[2, 7, 3], &["--batch-first"]), (&[7, 3], &[])]
    {
        let input =
            folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, shape, 1.0))]);
        let (plain, explained) =
            (folder.path("plain.safetensors"), folder.path("explained.safetensors"));
        let args = ["run", "--weights", &weights, "--input", &input, "--device", "cpu", "--output"];
        wgpu_rnn(&[&args[..], &[&plain], flags].concat()).ended(0);
        let ran = wgpu_rnn(&[&args[..], &[&explained, "--explain"], flags].concat()).ended(0);
        for want in ["schedule step: ", "8 dispatches", "1 pass", "µs from call to result"] {
            assert!(ran.stderr.contains(want), "{shape:?}: '{want}' is missing: {}", ran.told());
        }
        assert_eq!(ran.stdout, "", "{shape:?}: explanations go to stderr");
        assert_same("explained", &written(&explained), &written(&plain));
    }
}

#[test]
fn a_dash_stands_for_stdout() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::gru(3, 5), ""));
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[7, 2, 3], 1.0))]);
    let output = folder.path("output.safetensors");
    let args = ["run", "--weights", &weights, "--input", &input, "--device", "cpu", "--output"];
    wgpu_rnn(&[&args[..], &[&output]].concat()).ended(0);
    let printed = command(&[&args[..], &["-"]].concat()).output().expect("the program runs");
    assert!(printed.status.success(), "{printed:?}");
    assert_eq!(printed.stdout, std::fs::read(&output).expect("the file"), "the same bytes");
}

/// Work enough for several threads: a product with 2^26 multiply-adds, and steps of 2^22.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let folder = Folder::new();
    let config = Config::lstm(64, 256);
    let weights = folder.save("weights.safetensors", &weights(&config, ""));
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[64, 16, 64], 1.0))]);
    let run = |name: &str, threads: &[&str]| {
        let output = folder.path(name);
        let args = ["run", "--weights", &weights, "--input", &input, "--output", &output];
        wgpu_rnn(&[&args[..], &["--device", "cpu"], threads].concat()).ended(0);
        written(&output)
    };
    let all = run("all", &[]);
    for threads in ["1", "2", "3", "9999"] {
        assert_same(threads, &run(threads, &["--threads", threads]), &all);
    }
}

#[test]
fn lengths_may_have_any_integer_type() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::gru(3, 5), ""));
    let run = |dtype: Dtype, bytes: Vec<u8>| {
        let x = f32s("input", &seeded::tensor(90, &[7, 2, 3], 1.0));
        let lengths = ("lengths".to_owned(), dtype, vec![2], bytes);
        let input = folder.save("input.safetensors", &[x, lengths]);
        let output = folder.path("output.safetensors");
        let args = ["run", "--weights", &weights, "--input", &input, "--output", &output];
        wgpu_rnn(&[&args[..], &["--device", "cpu"]].concat()).ended(0);
        written(&output)
    };
    let want = run(Dtype::I64, [7_i64, 4].map(i64::to_le_bytes).concat());
    for (dtype, bytes) in [
        (Dtype::I32, [7_i32, 4].map(i32::to_le_bytes).concat()),
        (Dtype::I16, [7_i16, 4].map(i16::to_le_bytes).concat()),
        (Dtype::I8, vec![7, 4]),
        (Dtype::U64, [7_u64, 4].map(u64::to_le_bytes).concat()),
        (Dtype::U32, [7_u32, 4].map(u32::to_le_bytes).concat()),
        (Dtype::U16, [7_u16, 4].map(u16::to_le_bytes).concat()),
        (Dtype::U8, vec![7, 4]),
    ] {
        assert_same(&format!("{dtype}"), &run(dtype, bytes), &want);
    }
}
