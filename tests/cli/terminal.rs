//! Output on a terminal: a pseudo-terminal of `script`.

use std::process::{Command, Stdio};

use safetensors::Dtype;
use wgpu_rnn::Config;

use crate::bench::{TINY, peer};
use crate::files::{Folder, weights};
use crate::program::{command, without_adapters};

/// The bytes that the program writes to a terminal, stdout and stderr together.
fn on_terminal(args: &[&str], environment: &[(&str, &str)]) -> String {
    let program = without_adapters(args);
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).stdin(Stdio::null());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.env("TERM", "xterm").envs(environment.iter().copied());
    let output = script.output().expect("script runs: it is in bsdutils");
    String::from_utf8(output.stdout).expect("the program prints UTF-8")
}

#[test]
fn colours_are_for_terminals() {
    let colours = on_terminal(&["devices"], &[]);
    assert!(colours.contains("\x1b["), "{colours:?}");
    let plain = on_terminal(&["devices"], &[("NO_COLOR", "1")]);
    assert!(plain.contains("cpu") && !plain.contains('\x1b'), "{plain:?}");
}

/// Names in a file come from anybody. They do not move the cursor, clear the screen, add lines or
/// turn the text around.
#[test]
fn names_in_files_do_not_drive_the_terminal() {
    let folder = Folder::new();
    let mut entries = weights(&Config::gru(3, 4), "");
    let hostile = "evil\x1b[2J\n\u{202e}name";
    entries.push((hostile.to_owned(), Dtype::F32, vec![1], vec![0; 4]));
    let file = folder.save("weights.safetensors", &entries);
    let shown = "evil\\u{1b}[2J\\n\\u{202e}name";
    for args in [&["inspect", &file][..], &["compare", "--weights", &file, "--device", "cpu"]] {
        let output = command(args).output().expect("the program runs");
        let pieces = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8(bytes).expect("the program prints UTF-8"));
        for text in pieces.iter().chain([&on_terminal(args, &[("NO_COLOR", "1")])]) {
            assert!(!text.contains(['\x1b', '\u{202e}']), "{args:?}: {text:?}");
        }
        assert!(pieces.concat().contains(shown), "{args:?}: {pieces:?}");
    }
    let missing = folder.path("no\x1b[31mfile");
    let output = on_terminal(&["inspect", &missing], &[("NO_COLOR", "1")]);
    assert!(output.contains("no\\u{1b}[31mfile") && !output.contains('\x1b'), "{output:?}");
}

/// The progress of a command, reports as JSON, and measurements of others.
#[test]
fn nothing_else_drives_the_terminal() {
    let folder = Folder::new();
    let raw =
        |text: &str| text.contains(['\u{9b}', '\u{7f}', '\u{202e}']) || text.contains("\x1b]");
    let name = "evil\x1b]0;t\x07\u{9b}2J\u{7f}\u{202e}name";
    let mut entries = weights(&Config::gru(3, 4), "");
    entries.push((name.to_owned(), Dtype::F32, vec![1], vec![0; 4]));
    let file = folder.save("weights.safetensors", &entries);
    let output = on_terminal(&["inspect", "--json", &file], &[]);
    assert!(
        !raw(&output) && output.contains("evil\\u001b]0;t\\u0007\\u009b2J\\u007f\\u202e"),
        "{output:?}"
    );
    let case = folder.save(&format!("{name}.safetensors"), &entries);
    let output = on_terminal(&["verify", &case, "--device", "cpu"], &[]);
    assert!(!raw(&output) && output.contains("evil\\u{1b}]0;t"), "{output:?}");
    let rows = serde_json::json!({"rows": [peer(|row| row["system"] = name.into())]});
    let peers = folder.write("peers.json", rows.to_string());
    let cache = folder.path("cache");
    let args = [&TINY[..], &["--with", &peers]].concat();
    let output = on_terminal(&args, &[("WGPU_RNN_CACHE", &cache)]);
    assert!(!raw(&output) && output.contains("evil\\u{1b}]0;t"), "{output:?}");
}
