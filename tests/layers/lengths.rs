//! Files of fewer than 400 lines, lines of at most 100 characters.

use crate::files;

/// A file of source or shaders has fewer lines than this.
const LINES: usize = 400;

/// A line has at most this many characters.
const COLUMNS: usize = 100;

/// The files that have too many lines.
fn long_files(files: &[(String, String)]) -> Vec<String> {
    let lines = files.iter().map(|(file, text)| (file, text.lines().count()));
    let long = lines.filter(|(_, lines)| *lines >= LINES);
    long.map(|(file, lines)| format!("{file}: {lines} lines")).collect()
}

/// The lines that have too many characters.
fn long_lines(files: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in files {
        for (line, text) in (1..).zip(text.lines()) {
            let columns = text.chars().count();
            if columns > COLUMNS {
                found.push(format!("{file}:{line}: {columns} columns"));
            }
        }
    }
    found
}

#[test]
fn files_of_source_and_shaders_are_short() {
    let files = files(
        &["src", "simd", "shaders", "web", "python"],
        &[".rs", ".wgsl", ".py", ".js", ".mjs"],
    );
    assert!(files.len() > 50, "only {} files were found", files.len());
    let long = long_files(&files);
    assert!(long.is_empty(), "{LINES} lines or more:\n{}", long.join("\n"));
}

#[test]
fn lines_are_short() {
    let folders = ["src", "simd", "shaders", "tests", "examples", "web", "python"];
    let documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let endings = [".rs", ".wgsl", ".py", ".pyi", ".md", ".js", ".mjs", ".ts"];
    let files = files(&[&folders[..], &documents].concat(), &endings);
    assert!(files.len() > 100, "only {} files were found", files.len());
    let long = long_lines(&files);
    assert!(long.is_empty(), "{} lines over {COLUMNS}:\n{}", long.len(), long.join("\n"));
}

#[test]
fn long_files_and_long_lines_are_refused() {
    let file = |text: String| [("src/a.rs".to_owned(), text)];
    assert_eq!(long_files(&file("x\n".repeat(399))), [""; 0], "399 lines");
    assert_eq!(long_files(&file("x\n".repeat(400))), ["src/a.rs: 400 lines"], "400 lines");
    // A character of several bytes is one column.
    assert_eq!(long_lines(&file("σ".repeat(100))), [""; 0], "100 columns");
    let text = format!("short\n\n{}\n", "σ".repeat(101));
    assert_eq!(long_lines(&file(text)), ["src/a.rs:3: 101 columns"], "101 columns");
}
