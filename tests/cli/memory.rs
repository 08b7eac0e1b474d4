//! Host memory that runs out: the program reports it and ends; nothing aborts.

use std::process::Command;

use wgpu_rnn::{Config, Tensor};

use crate::files::{Folder, f32s, weights};
use crate::program::{Ran, finish, without_adapters};

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
        ran.refused(&["host: out of memory while allocating"]);
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

/// Other commands that hold much: a comparison in f64, and a text.
#[test]
fn every_command_survives_memory_that_runs_out() {
    let folder = Folder::new();
    let narrow = folder.save("narrow.safetensors", &weights(&Config::gru(1, 1), ""));
    let wide = folder.save("wide.safetensors", &weights(&Config::rnn(1, 1500), ""));
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
