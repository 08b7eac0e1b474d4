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
    let args =
        ["run", "--device=cpu", "--weights", &weights, "--input", &input, "--output", &output];
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)].repeat(2) {
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

/// The program in a shell that prepares something first.
fn after(preparation: &str, args: &[&str]) -> Command {
    let program = command(args);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{preparation}; exec \"$0\" \"$@\"")]);
    shell.arg(program.get_program()).args(program.get_args());
    shell.stdout(Stdio::null()).stderr(Stdio::piped());
    shell
}

/// A shell lets its background jobs ignore SIGINT, and `nohup` lets a program ignore SIGHUP.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_ignored_at_the_start_stays_ignored() {
    let folder = Folder::new();
    let bench = ["bench", "--device=cpu", "--kind=gru", "--hidden-size=2", "--soak=100000000"];
    let mut child = after("trap '' INT HUP", &bench)
        .env("WGPU_RNN_CACHE", folder.path("cache"))
        .spawn()
        .expect("the program starts");
    let id = child.id().to_string();
    let kill = |name: &str| Command::new("kill").args(["-s", name, &id]).status();
    // Until the shell becomes the program, it may not yet ignore the signals. At first the name is
    // still that of this thread.
    let name = format!("/proc/{id}/comm");
    while std::fs::read_to_string(&name).expect("the child runs").trim() != "wgpu-rnn" {
        assert_eq!(child.try_wait().expect("the child is ours"), None, "it ended early");
        std::thread::yield_now();
    }
    // The thread of signals may start late: only a signal after it shows a fault.
    for _ in 0..20 {
        assert!(kill("INT").is_ok_and(|sent| sent.success()), "the program goes on after SIGINT");
        assert!(kill("HUP").is_ok_and(|sent| sent.success()), "the program goes on after SIGHUP");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(kill("TERM").is_ok_and(|sent| sent.success()), "it runs");
    let status = child.wait().expect("the program ends");
    assert_eq!(status.signal(), Some(15), "{status}");
}

#[test]
fn an_output_beyond_the_largest_size_of_a_file_is_an_error() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&Config::rnn(1, 1024), ""));
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[4, 50, 1], 1.0))]);
    let output = folder.path("output.safetensors");
    let args =
        ["run", "--device=cpu", "--weights", &weights, "--input", &input, "--output", &output];
    let ran = after("ulimit -f 100", &args).output().expect("the program runs");
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{told}");
    assert!(told.contains("output.safetensors: file too large"), "{told}");
    assert_eq!(folder.names().len(), 2, "{:?}", folder.names());
}
