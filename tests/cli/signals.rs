//! Signals: the program ends by them, and its output is whole or absent.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use wgpu_rnn::Config;

use crate::files::{Folder, f32s, weights};
use crate::program::command;
use crate::seeded;

/// Each signal comes while the program writes its output, or soon after.
#[test]
fn a_signal_while_writing_leaves_no_temporary_file() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::rnn(1, 1024), ""));
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[4, 2500, 1], 1.0))]);
    let output = folder.path("output.safetensors");
    let mut while_writing = 0;
    for (name, number) in [("INT", 2), ("TERM", 15)].repeat(2) {
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
        let mut child = command(&args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let is_part = |name: &String| name.ends_with(".part");
        while !folder.names().iter().any(is_part) && child.try_wait().expect("a child").is_none() {
            std::thread::yield_now();
        }
        let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
        assert!(sent.is_ok(), "kill runs: {sent:?}");
        let status = child.wait().expect("the program ends");
        let killed = status.signal() == Some(number);
        assert!(killed || status.success(), "SIG{name}: {status}");
        while_writing += usize::from(killed);
        assert!(!folder.names().iter().any(is_part), "SIG{name} left {:?}", folder.names());
        if std::path::Path::new(&output).exists() {
            wgpu_rnn::StateDict::open(&output).expect("an output is whole");
        }
    }
    assert!(while_writing > 0, "no signal came while the program wrote");
}
