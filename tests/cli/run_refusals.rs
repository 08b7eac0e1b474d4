//! `wgpu-rnn run`: refusals, which leave no file.

use safetensors::Dtype;
use wgpu_rnn::{Config, Kind};

use crate::files::{Entry, Folder, f32s, weights};
use crate::program::{Ran, wgpu_rnn};
use crate::seeded;

fn input(shape: &[usize]) -> Entry {
    f32s("input", &seeded::tensor(90, shape, 1.0))
}

/// Runs a network that cannot run, with an output file that exists. The file must stay as it is,
/// alone.
#[track_caller]
fn refused(config: &Config, entries: &[Entry], flags: &[&str], parts: &[&str]) -> Ran {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(config, ""));
    let input = folder.save("input.safetensors", entries);
    let output = folder.write("output.safetensors", "as it was");
    let args = ["run", "--weights", &weights, "--input", &input, "--output", &output];
    let device: &[&str] = if flags.contains(&"--device") { &[] } else { &["--device", "cpu"] };
    let ran = wgpu_rnn(&[&args, device, flags].concat()).refused(parts);
    let content = std::fs::read(&output).expect("the output file is still there");
    assert_eq!(content, b"as it was", "the existing output has changed: {}", ran.told());
    let names = ["input.safetensors", "output.safetensors", "weights.safetensors"];
    assert_eq!(folder.names(), names, "files in the folder: {}", ran.told());
    ran
}

#[test]
fn shapes_are_refused_in_pytorchs_words() {
    let lstm = Config::lstm(3, 5);
    let state = |name: &str, shape: &[usize]| f32s(name, &seeded::tensor(91, shape, 1.0));
    let rows: [(&[Entry], &str); 6] = [
        (&[input(&[7, 2, 4])], "input.size(-1) must be equal to input_size. Expected 3, got 4"),
        (&[input(&[3])], "LSTM: Expected input to be 2D or 3D, got 1D instead"),
        (&[input(&[0, 2, 3])], "Expected sequence length to be larger than 0 in RNN"),
        (
            &[input(&[7, 2, 3]), state("h0", &[1, 3, 5]), state("c0", &[1, 2, 5])],
            "Expected hidden[0] size (1, 2, 5), got [1, 3, 5]",
        ),
        (&[input(&[7, 2, 3]), state("h0", &[1, 2, 5])], "got h_0 only"),
        (&[input(&[7, 2, 3]), state("c0", &[1, 2, 5])], "there is c0, but no h0"),
    ];
    for (entries, message) in rows {
        refused(&lstm, entries, &[], &[message]);
    }
    let both = [input(&[7, 2, 3]), state("h0", &[1, 2, 5]), state("c0", &[1, 2, 5])];
    refused(&Config::gru(3, 5), &both, &[], &["only LSTM has a cell state"]);
}

#[test]
fn an_input_of_another_type_is_refused_in_pytorchs_words() {
    let gru = Config::gru(3, 5);
    let doubles = ("input".to_owned(), Dtype::F64, vec![7, 2, 3], vec![0; 8 * 42]);
    refused(
        &gru,
        &[doubles],
        &[],
        &["RNN input dtype (torch.float64) does not match weight dtype (torch.float32). Convert \
           input: input.to(torch.float32), or convert model: model.to(torch.float64). \
           Here every model runs in float32: convert the input"],
    );
    let halves = ("h0".to_owned(), Dtype::F16, vec![1, 2, 5], vec![0; 2 * 10]);
    refused(&gru, &[input(&[7, 2, 3]), halves], &[], &["h0 dtype (torch.float16)"]);
}

#[test]
fn an_input_file_without_input_or_with_wrong_lengths_is_refused_by_name() {
    let gru = Config::gru(3, 5);
    let lengths = |lengths: &[i64]| {
        let bytes = lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
        ("lengths".to_owned(), Dtype::I64, vec![lengths.len()], bytes)
    };
    refused(
        &gru,
        &[input(&[7, 2, 3]), lengths(&[7, 8])],
        &[],
        &["lengths[1] is 8", "7 time steps"],
    );
    refused(
        &gru,
        &[input(&[7, 2, 3]), lengths(&[7, -1])],
        &[],
        &["input.safetensors", "lengths", "-1"],
    );
    refused(
        &gru,
        &[input(&[7, 2, 3]), lengths(&[7])],
        &[],
        &["Expected `len(lengths)` to be equal to batch_size"],
    );
    let halves = ("lengths".to_owned(), Dtype::F16, vec![2], vec![0; 4]);
    refused(
        &gru,
        &[input(&[7, 2, 3]), halves],
        &[],
        &["'lengths' has dtype F16, expected integers such as I64 or I32; convert it with \
           tensor.to(torch.int64)"],
    );
    let many = [u64::MAX, 7].map(u64::to_le_bytes).concat();
    refused(
        &gru,
        &[input(&[7, 2, 3]), ("lengths".to_owned(), Dtype::U64, vec![2], many)],
        &[],
        &["'lengths' holds 18446744073709551615, which exceeds I64"],
    );
    refused(
        &gru,
        &[f32s("x", &seeded::tensor(90, &[7, 2, 3], 1.0))],
        &[],
        &["no tensor 'input'", "input.safetensors"],
    );
}

#[test]
fn flags_that_do_not_fit_the_network_are_refused() {
    let entries = [input(&[7, 2, 3])];
    let lstm = Config::lstm(3, 5);
    refused(&lstm, &entries, &["--nonlinearity", "relu"], &["--nonlinearity", "LSTM"]);
    let unknown = &["Unknown nonlinearity 'sigmoid'. Select from 'tanh' or 'relu'."];
    refused(&Config::new(Kind::RnnTanh, 3, 5), &entries, &["--nonlinearity", "sigmoid"], unknown);
    refused(&lstm, &entries, &["--prefix", "decoder."], &["decoder."]);
    refused(&lstm, &entries, &["--schedule", "fastest"], &["fastest", "auto", "step"]);
    let why = &["sequence", "has no projection (proj_size)"];
    refused(&Config::lstm(3, 5).proj_size(2), &entries, &["--schedule", "sequence"], why);
    refused(&lstm, &entries, &["--device", "all"], &["'all' stands for several devices"]);
}

#[test]
fn limits_are_refused_by_name() {
    let entries = [input(&[7, 2, 3])];
    let lstm = Config::lstm(3, 5);
    for (limit, part) in [
        ("max_bind_groups=1", "max_bind_groups"),
        ("memory_budget=0", "memory_budget"),
        ("memory_budget=many", "many"),
        ("memory_budget", "NAME=VALUE"),
        ("memory_budget=-1", "-1"),
        ("max_buffer_size=18446744073709551615", "max_buffer_size"),
    ] {
        refused(&lstm, &entries, &["--limit", limit], &[part]);
    }
    for (budget, bytes) in [("64", "64"), ("1KB", "1000"), ("1 KiB", "1024")] {
        let budget = format!("memory_budget={budget}");
        let want = format!("memory_budget is {bytes};");
        refused(&lstm, &entries, &["--limit", &budget], &[&want]);
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = Folder::new();
    let good = folder.save("weights.safetensors", &weights(&Config::gru(3, 5), ""));
    let input = folder.save("input.safetensors", &[input(&[7, 2, 3])]);
    let (missing, malformed) =
        (folder.path("missing.safetensors"), folder.write("malformed.safetensors", "{}"));
    let (itself, output) = (folder.path(""), folder.path("output.safetensors"));
    let before = folder.names();
    let args = |weights, input| {
        ["run", "--weights", weights, "--input", input, "--output", &output, "--device", "cpu"]
    };
    for bad in [&missing, &malformed, &itself] {
        wgpu_rnn(&args(bad, &input)).refused(&[bad]);
        wgpu_rnn(&args(&good, bad)).refused(&[bad]);
    }
    wgpu_rnn(&args(&input, &input)).refused(&["weight_ih_l0"]);
    assert_eq!(folder.names(), before, "files in the folder afterwards");
}

#[test]
fn an_output_that_cannot_be_written_leaves_nothing_behind() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::gru(3, 5), ""));
    let input = folder.save("input.safetensors", &[input(&[7, 2, 3])]);
    let taken = folder.path("taken");
    std::fs::create_dir(&taken).expect("a folder in the way");
    // In the way for good: an empty folder could be replaced on some systems.
    std::fs::write(std::path::Path::new(&taken).join("content"), "as it was")
        .expect("a file in it");
    let before = folder.names();
    for output in [folder.path("nowhere/output.safetensors"), format!("{weights}/output"), taken] {
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
        let ran = wgpu_rnn(&args).refused(&[&output]);
        assert_eq!(folder.names(), before, "files in the folder: {}", ran.told());
    }
}

/// The weights of a model are not to be lost by a slip.
#[test]
fn an_output_that_is_also_read_is_refused_before_any_work() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::gru(3, 5), ""));
    let input = folder.save("input.safetensors", &[input(&[7, 2, 3])]);
    let before = [&weights, &input].map(|path| std::fs::read(path).expect("a file"));
    let mut rows = vec![
        (weights.clone(), "--weights"),
        (input.clone(), "--input"),
        (folder.path("./weights.safetensors"), "--weights"),
    ];
    std::fs::create_dir(folder.path("sub")).expect("a folder");
    rows.push((folder.path("sub/../input.safetensors"), "--input"));
    std::fs::hard_link(&weights, folder.path("hard")).expect("a link");
    rows.push((folder.path("hard"), "--weights"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("input.safetensors", folder.path("soft")).expect("a link");
        std::os::unix::fs::symlink(folder.path(""), folder.path("loop")).expect("a link");
        rows.push((folder.path("soft"), "--input"));
        rows.push((folder.path("loop/weights.safetensors"), "--weights"));
    }
    let names = folder.names();
    for (output, argument) in &rows {
        let args = ["run", "--weights", &weights, "--input", &input, "--output", output];
        let want = format!("--output {output} is the file of {argument}; give another file");
        // No device has this name: it is not even looked for.
        wgpu_rnn(&[&args[..], &["--device", "none such"]].concat()).refused(&[&want]);
    }
    let after = [&weights, &input].map(|path| std::fs::read(path).expect("a file"));
    assert!(before == after, "a file that is read has changed");
    assert_eq!(folder.names(), names, "the files in the folder");
}
