//! The shape of the source: imports point down, modules form no cycle, files and lines stay short.
//!
//! Each check reads the files of this repository, and each is also given a tree that breaks it.

mod graph;
mod lengths;
mod modules;
mod tokens;

use std::path::Path;

use graph::{Arrow, arrows, cycles, upward};
use modules::Crate;

/// The files of this repository below `folders` that end in one of `endings`, by their paths.
/// Installed packages, builds and hidden files are none of them.
fn files(folders: &[&str], endings: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut waiting: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a readable folder");
            let entries = entries.map(|entry| entry.expect("a readable entry").path());
            waiting.extend(entries.filter(|path| !is_made(path)));
        } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.strip_prefix(root).expect("a path below the root").to_string_lossy();
            found.push((name.replace('\\', "/"), text));
        }
    }
    found.sort();
    found
}

/// Returns whether a path is a folder of installed packages or of a build, or is hidden.
fn is_made(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || ["node_modules", "target", "venv"].contains(&&*name)
}

/// A crate made of files by hand.
fn made(files: &[(&str, &str)]) -> Crate {
    Crate::of(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
}

/// The arrows in words.
fn described(arrows: &[Arrow]) -> Vec<String> {
    arrows.iter().map(ToString::to_string).collect()
}

#[test]
fn imports_point_down() {
    let found = arrows(&Crate::of(files(&["src"], &[".rs"])));
    assert!(found.len() > 300, "only {} imports were found", found.len());
    let wrong = described(&upward(&found));
    assert!(wrong.is_empty(), "{} arrows point up:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn modules_form_no_cycle() {
    let found = cycles(&arrows(&Crate::of(files(&["src"], &[".rs"]))));
    assert!(found.is_empty(), "{} cycles:\n{}", found.len(), found.join("\n"));
}

/// The files that have `unsafe` code, once for each place.
fn unsafe_places(files: &[(String, String)]) -> Vec<&str> {
    let mut found = Vec::new();
    for (file, text) in files {
        let places = tokens::tokens(text).iter().filter(|token| token.text == "unsafe").count();
        found.extend(std::iter::repeat_n(file.as_str(), places));
    }
    found
}

#[test]
fn one_place_is_unsafe() {
    let found = files(&["src", "simd"], &[".rs"]);
    assert_eq!(unsafe_places(&found), ["src/engine/gpu/pipeline.rs"], "see ARCHITECTURE.md");
    let text = "// unsafe\nfn f() { unsafe { g(\"unsafe\") } unsafe { unsafe_h() } }".to_owned();
    assert_eq!(unsafe_places(&[("src/f.rs".to_owned(), text)]), ["src/f.rs"; 2], "two places");
}

/// Every way to write an import is read, and comments, texts and tests are not.
#[test]
fn a_wrong_arrow_is_refused() {
    let arrow = |from: &str, text: &str| {
        let crate_ = made(&[
            (
                "src/lib.rs",
                "mod kernel; mod plan; mod engine; pub use engine::Device; pub use wgpu;",
            ),
            ("src/kernel/mod.rs", "pub mod uniforms; mod table;"),
            ("src/kernel/uniforms.rs", "pub struct Dims;"),
            ("src/kernel/table.rs", "pub struct Table;"),
            ("src/plan/mod.rs", "pub mod limits; pub struct Plan; use crate::kernel::uniforms;"),
            ("src/plan/limits.rs", "use crate::kernel::{self, uniforms::Dims};"),
            ("src/engine/mod.rs", "use crate::plan::{Plan, limits::*}; pub struct Device;"),
            (from, text),
        ]);
        described(&upward(&arrows(&crate_)))
    };
    assert_eq!(arrow("src/kernel/mod.rs", "pub mod uniforms;"), [""; 0], "arrows that point down");
    for text in [
        "use crate::plan::Plan;",
        "pub(crate) use crate::plan::{self};",
        "use crate::{kernel::table::Table, plan::{limits as other, Plan}};",
        "use super::super::plan::*;",
        "fn f(plan: &crate::plan::Plan) {}",
        "fn f() -> Vec<super::super::plan::Plan> { Vec::new() }",
        "macro_rules! m { () => { $crate::plan::Plan } }",
        "#[cfg(test)] mod tests { use super::*; } use crate::plan::Plan;",
        "#[cfg(not(test))] use crate::plan::Plan;",
        "mod inner { use super::super::super::plan::Plan; }",
        "const A: char = '\"'; use crate::plan::Plan; const B: char = '\"';",
        "fn f<'a>(x: &'a str) -> &'a str { crate::plan::name(x) }",
    ] {
        let found = arrow("src/kernel/uniforms.rs", text);
        assert!(!found.is_empty(), "{text}");
        for found in found {
            let want = "src/kernel/uniforms.rs:1: kernel -> plan";
            assert!(found.starts_with(want), "{text}: {found}");
        }
    }
    assert_eq!(
        arrow("src/kernel/uniforms.rs", "// Why.\n\nuse crate::Device;\n"),
        ["src/kernel/uniforms.rs:3: kernel -> engine (crate::Device)"],
        "an item that the crate's root hands on"
    );
    for text in [
        "// use crate::plan::Plan;",
        "/* /* crate::plan */ use crate::plan::Plan; */",
        "/// [`Plan`](crate::plan::Plan)\npub struct Dims;",
        "const TEXT: &str = \"use crate::plan::Plan; \\\" crate::plan\";",
        "const TEXT: &str = r#\"\"use crate::plan::Plan;\"#;",
        "#[cfg(test)]\nmod tests { use crate::plan::Plan; fn f() { { crate::plan::g() } } }",
        "#[cfg(test)]\nuse crate::plan::Plan;",
        "#[cfg(test)]\nfn f() { crate::plan::g() }",
        "use super::table::Table;",
        "use crate::wgpu::DeviceType; use std::sync::Arc; fn f() { wgpu::util(); }",
    ] {
        assert_eq!(arrow("src/kernel/uniforms.rs", text), [""; 0], "{text}");
    }
    let found = arrow("src/other/mod.rs", "use crate::plan::Plan;");
    assert_eq!(found.len(), 1, "a folder without a layer: {found:?}");
    assert!(found[0].contains("src/other/mod.rs"), "{found:?}");
}

#[test]
fn a_wrong_cycle_is_refused() {
    let crate_ = |texts: [&str; 4]| {
        made(&[
            ("src/lib.rs", "mod plan; pub use plan::a::A;"),
            ("src/plan/mod.rs", texts[0]),
            ("src/plan/a.rs", texts[1]),
            ("src/plan/b.rs", texts[2]),
            ("src/plan/c.rs", texts[3]),
        ])
    };
    let of = |texts| cycles(&arrows(&crate_(texts)));
    let [hands_on, a, b, c] = [
        "mod a; mod b; mod c; pub use a::A; pub(crate) use b::*;",
        "pub struct A;",
        "use super::A; pub struct B;",
        "use super::{A, B}; pub use crate::plan::a; use super::b::B as Other;",
    ];
    assert_eq!(of([hands_on, a, b, c]), [""; 0], "what mod.rs hands on is no arrow to mod.rs");
    let own = "mod a; mod b; mod c; pub struct P; fn f() { a::g(); }";
    assert_eq!(of([own, "use super::P;", "", ""]), [""; 0], "a parent and its child");
    for (what, texts, want) in [
        (
            "two files",
            [hands_on, "use super::b::B; pub struct A;", b, c],
            "src/plan/a.rs:1 -> src/plan/b.rs:1 -> src/plan/a.rs",
        ),
        (
            "through items that mod.rs hands on",
            [hands_on, "fn f(b: super::B) {} pub struct A;", b, c],
            "src/plan/a.rs:1 -> src/plan/b.rs:1 -> src/plan/a.rs",
        ),
        (
            "three files",
            [hands_on, "pub struct A; use super::c::C;", b, "use super::b; pub struct C;"],
            "src/plan/a.rs:1 -> src/plan/c.rs:1 -> src/plan/b.rs:1 -> src/plan/a.rs",
        ),
    ] {
        assert_eq!(of(texts), [want], "{what}");
    }
}
