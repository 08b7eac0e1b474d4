//! The demonstration, and which output goes to stdout and which to stderr.

use std::process::{Command, Stdio};

use wgpu_rnn::Config;

use crate::files::{Folder, fixture, weights};
use crate::program::{Ran, finish, wgpu_rnn, without_adapters};

#[test]
fn the_demonstration_agrees_and_says_what_is_next() {
    let ran = finish(without_adapters(&[])).ended(0);
    assert_eq!(ran.stderr, "", "nothing to complain about: {}", ran.told());
    let ran = ran.says(&["cpu", "ROMEO:", "agree", "tokens per second"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let last = &lines[lines.len().saturating_sub(4)..];
    // As they can be typed: with the program's path as it was started.
    let program = env!("CARGO_BIN_EXE_wgpu-rnn");
    for (line, command) in last.iter().zip(["devices", "verify ", "generate ", "run "]) {
        let typed = line.trim_start().strip_prefix(program).map(str::trim_start);
        assert!(
            typed.is_some_and(|typed| typed.starts_with(command)),
            "'{line}' should be `{command}`: {}",
            ran.told()
        );
    }
}

/// Its commands are there to be copied: each must be understood.
#[test]
fn the_commands_of_the_demonstration_can_be_typed() {
    let ran = finish(without_adapters(&[])).ended(0);
    let lines: Vec<&str> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split_once("wgpu-rnn ").map(|(_, rest)| rest))
        .collect();
    assert_eq!(lines.len(), 4, "four commands: {}", ran.told());
    let folder = Folder::new();
    for line in lines {
        let args: Vec<&str> = line.split_whitespace().collect();
        let mut command = without_adapters(&args);
        command.current_dir(folder.path(""));
        let ran = finish(command);
        assert!(!ran.stderr.contains("Usage:"), "not understood: {}", ran.told());
    }
}

/// Commands that print something, in every form: a list, a report, JSON, an error, help.
fn talkative(folder: &Folder) -> Vec<(Vec<String>, i32)> {
    let weights = folder.save("weights.safetensors", &weights(&Config::lstm(3, 5), ""));
    let altered = folder.altered("grid_lstm_l2_b3_t11_bf.safetensors", "hn", 0, 9.0);
    let case = fixture("grid_lstm_l2_b3_t11_bf.safetensors");
    let text = folder.write("text.txt", "To be, or not to be");
    let rows: [(&[&str], i32); 13] = [
        (&["devices"], 0),
        (&["devices", "--json"], 0),
        (&["verify", "--device", "cpu", &case], 0),
        (&["verify", "--device", "cpu", "--json", &case], 0),
        (&["verify", "--device", "cpu", &altered], 1),
        (&["compare", "--weights", &weights, "--device", "cpu"], 0),
        (&["compare", "--weights", &weights, "--device", "cpu", "--json"], 0),
        (&["verify", "--device", "cpu", "missing.safetensors"], 2),
        (&["generate", "--device", "cpu", "--prompt", "A", "--length", "99"], 0),
        (&["generate", "--device", "cpu", "--prompt", "€"], 2),
        (&["perplexity", "--device", "cpu", &text], 0),
        (&["perplexity", "--device", "cpu", &text, "--json"], 0),
        (&["--help"], 0),
    ];
    rows.map(|(args, code)| (args.iter().map(|&arg| arg.to_owned()).collect(), code)).to_vec()
}

fn talk(args: &[String]) -> Command {
    without_adapters(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_reader_that_has_gone_away_is_no_reason_to_panic() {
    let folder = Folder::new();
    let mut rows = talkative(&folder);
    rows.push((Vec::new(), 0));
    for (args, code) in rows {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = talk(&args);
        let child =
            command.stdout(writer).stderr(Stdio::piped()).spawn().expect("the program starts");
        let output = child.wait_with_output().expect("the program ends");
        Ran::new(&command, output).ended(code);
    }
}

/// A report cut short must not look like one that agreed.
#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_written_are_an_error() {
    let folder = Folder::new();
    for (args, code) in talkative(&folder) {
        // Refusals print nothing; help is not a result.
        if code == 2 || args[0] == "--help" {
            continue;
        }
        let full =
            std::fs::File::options().write(true).open("/dev/full").expect("a device that is full");
        let mut command = talk(&args);
        let child =
            command.stdout(full).stderr(Stdio::piped()).spawn().expect("the program starts");
        let ran = Ran::new(&command, child.wait_with_output().expect("the program ends"));
        ran.refused(&["stdout", "space"]);
    }
}

#[test]
fn errors_keep_their_status_when_nobody_reads_them() {
    let folder = Folder::new();
    for (args, code) in talkative(&folder) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = talk(&args);
        let output = command.stderr(writer).output().expect("the program runs");
        Ran::new(&command, output).ended(code);
    }
}

#[test]
fn there_are_no_colours_away_from_a_terminal() {
    let folder = Folder::new();
    let mut rows = talkative(&folder);
    rows.push((Vec::new(), 0));
    rows.push((vec!["frobnicate".to_owned()], 2));
    for (args, code) in rows {
        let ran = finish(talk(&args)).ended(code);
        assert!(!ran.stdout.contains('\x1b'), "escape codes on stdout: {}", ran.told());
        assert!(!ran.stderr.contains('\x1b'), "escape codes on stderr: {}", ran.told());
    }
}

#[test]
fn help_and_version_are_results() {
    let ran = wgpu_rnn(&["--version"]).ended(0);
    assert_eq!(
        ran.stdout.trim_end(),
        concat!("wgpu-rnn ", env!("CARGO_PKG_VERSION")),
        "{}",
        ran.told()
    );
    let commands = ["devices", "run", "verify", "compare", "generate", "perplexity"];
    wgpu_rnn(&["--help"]).ended(0).says(&commands).says(&["Exit status", "NO_COLOR"]);
    for command in commands {
        wgpu_rnn(&[command, "--help"]).ended(0).says(&["Usage: wgpu-rnn", command]);
    }
}

/// A command, and the files that it reads, each with the argument that names it.
type Reporting = (Vec<String>, Vec<(String, &'static str)>);

/// Commands whose `--json` prints a report.
fn reporting(folder: &Folder) -> Vec<Reporting> {
    let weights = folder.save("weights.safetensors", &weights(&Config::lstm(3, 5), ""));
    let model = folder.path("model.safetensors");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/models/shakespeare.safetensors"), &model)
        .expect("the model is there");
    let case = folder.path("case.safetensors");
    std::fs::copy(fixture("grid_lstm_l2_b3_t11_bf.safetensors"), &case).expect("a fixture");
    let text = folder.write("text.txt", "To be, or not to be");
    let words = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect();
    vec![
        (words(&["devices"]), vec![]),
        (words(&["verify", "--device", "cpu", &case]), vec![(case, "a case")]),
        (
            words(&["compare", "--weights", &weights, "--device", "cpu"]),
            vec![(weights.clone(), "--weights")],
        ),
        (words(&["inspect", &weights]), vec![(weights, "FILE")]),
        (
            words(&["perplexity", "--device", "cpu", "--weights", &model, &text]),
            vec![(model, "--weights"), (text, "TEXT")],
        ),
    ]
}

#[test]
fn a_report_is_text_and_json_for_stdout_or_a_file() {
    let folder = Folder::new();
    for (args, read) in reporting(&folder) {
        let run = |more: &[&str]| {
            finish(talk(
                &[&args[..], &more.iter().map(|&a| a.to_owned()).collect::<Vec<_>>()].concat(),
            ))
        };
        let printed = run(&["--json"]).ended(0).json();
        let file = folder.path("report.json");
        let ran = run(&[&format!("--json={file}")]).ended(0);
        let text = std::fs::read_to_string(&file).expect("the report was written");
        let mut written: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let mut printed = printed;
        for report in [&mut written, &mut printed] {
            // The only figure of a clock.
            if let Some(result) = report["results"].get_mut(0).and_then(|r| r.as_object_mut()) {
                result.remove("tokens_per_second");
            }
        }
        assert_eq!(written, printed, "{args:?}: the same report");
        assert!(!ran.stdout.is_empty(), "{args:?}: the text stays: {}", ran.told());
        serde_json::from_str::<serde_json::Value>(&ran.stdout).expect_err("no JSON on stdout");
        run(&[&format!("--json={}", folder.path("missing/report.json"))])
            .refused(&["missing", "the folder of this file does not exist"]);
        for (path, argument) in read {
            let before = std::fs::read(&path).expect("a file");
            let want = format!("--json {path} is the file of {argument}; give another file");
            run(&[&format!("--json={path}")]).refused(&[&want]);
            assert!(before == std::fs::read(&path).expect("a file"), "{path} has changed");
        }
    }
}
