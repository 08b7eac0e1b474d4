//! The table names every family on disk and nothing else, and kernels are made of whole files.

use std::collections::BTreeSet;
use std::path::Path;

use naga::ShaderStage;
use wgpu_rnn::internals::dtype::WeightType;
use wgpu_rnn::internals::kernel::{Family, Kernel};

use crate::{
    Subject, Verdict, all_kernels, assert_all_accepted, assert_refused, kernel_named, parse,
    with_passage, with_text,
};

/// Folders of fragments only. Other folders hold the fragments `io`, `*_io` and `directions`.
const FRAGMENT_FOLDERS: [&str; 7] =
    ["advance", "cell", "generate", "lib", "persistent", "update", "weight"];

/// A file in `shaders/`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceFile {
    /// Folder and file name without the extension, such as `recurrence/step` or `cell/lstm`.
    path: String,
    text: String,
}

impl SourceFile {
    /// Returns the stem of a family's file, `None` for a fragment.
    fn entry(&self) -> Option<&str> {
        let (folder, stem) = self.path.split_once('/')?;
        let fragment = FRAGMENT_FOLDERS.contains(&folder)
            || stem == "io"
            || stem.ends_with("_io")
            || stem == "directions";
        (!fragment).then_some(stem)
    }
}

/// Returns every file in `shaders/`, sorted by path.
fn source_files() -> Vec<SourceFile> {
    fn walk(folder: &Path, prefix: &str, files: &mut Vec<SourceFile>) {
        let entries =
            std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let path = entry.unwrap_or_else(|e| panic!("{}: {e}", folder.display())).path();
            let name =
                path.file_name().and_then(|name| name.to_str()).expect("file names are UTF-8");
            if path.is_dir() {
                walk(&path, &format!("{prefix}{name}/"), files);
                continue;
            }
            let stem = name
                .strip_suffix(".wgsl")
                .unwrap_or_else(|| panic!("{} is not WGSL", path.display()));
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            files.push(SourceFile { path: format!("{prefix}{stem}"), text });
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders"), "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Returns the files that make up a kernel's text, in order.
fn parts<'a>(kernel: &Subject, files: &'a [SourceFile]) -> Result<Vec<&'a SourceFile>, String> {
    let mut rest = kernel.wgsl.as_str();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let next = files
            .iter()
            .filter(|file| !file.text.is_empty() && rest.starts_with(&file.text))
            .max_by_key(|file| file.text.len())
            .ok_or_else(|| {
                format!(
                    "after {:?} comes text of no file: '{}'",
                    parts.iter().map(|part: &&SourceFile| &part.path).collect::<Vec<_>>(),
                    rest.lines().next().unwrap_or_default()
                )
            })?;
        parts.push(next);
        rest = &rest[next.text.len()..];
    }
    Ok(parts)
}

/// The families' files on disk are those of the table.
fn families_are_listed(files: &[SourceFile], kernels: &[Subject]) -> Verdict {
    let on_disk: BTreeSet<&str> = files.iter().filter_map(SourceFile::entry).collect();
    let listed: BTreeSet<&str> = kernels.iter().map(|kernel| kernel.entry).collect();
    if on_disk != listed {
        return Err(format!("the files on disk are {on_disk:?}, the table's {listed:?}"));
    }
    Ok(())
}

/// Every file is part of a kernel.
fn files_are_used(files: &[SourceFile], kernels: &[Subject]) -> Verdict {
    let mut unused: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for kernel in kernels {
        for part in parts(kernel, files)? {
            unused.remove(part.path.as_str());
        }
    }
    if !unused.is_empty() {
        return Err(format!("no kernel uses {unused:?}"));
    }
    Ok(())
}

/// A kernel's text starts with its family's file, so that line numbers match that file. Fragments
/// follow, each once. The cell matches the kernel's name.
fn composition(kernel: &Subject, files: &[SourceFile]) -> Verdict {
    let parts = parts(kernel, files)?;
    let entries: Vec<Option<&str>> = parts.iter().map(|part| part.entry()).collect();
    if entries.first() != Some(&Some(kernel.entry)) {
        let first = parts.first().map(|part| &part.path);
        return Err(format!("the text starts with {first:?} and not with {}", kernel.entry));
    }
    if let Some(other) = entries[1..].iter().flatten().next() {
        return Err(format!("the text holds a second family, {other}"));
    }
    let paths: Vec<&str> = parts.iter().map(|part| part.path.as_str()).collect();
    if paths.iter().collect::<BTreeSet<_>>().len() != paths.len() {
        return Err(format!("the text holds a file twice: {paths:?}"));
    }
    let cell = |path: &&str| {
        path.strip_prefix("cell/").or(path.strip_prefix("persistent/cell_")).map(str::to_owned)
    };
    let cells = paths.iter().filter_map(cell);
    for cell in cells {
        if !kernel.kernel.name().split('_').any(|word| word == cell) {
            return Err(format!("the name {} lacks the cell {cell}", kernel.name));
        }
    }
    Ok(())
}

/// The only entry point is the table's.
fn one_entry_point(kernel: &Subject) -> Verdict {
    let shader = parse(&kernel.wgsl)?;
    let found: Vec<_> =
        shader.module.entry_points.iter().map(|entry| (entry.stage, entry.name.as_str())).collect();
    if found != [(ShaderStage::Compute, kernel.entry)] {
        return Err(format!("the entry points are {found:?}, the table's is {}", kernel.entry));
    }
    Ok(())
}

/// No two kernels share a name.
fn names_are_unique(kernels: &[Subject]) -> Verdict {
    let mut seen = BTreeSet::new();
    match kernels.iter().find(|kernel| !seen.insert(&kernel.name)) {
        Some(kernel) => Err(format!("two kernels are called {}", kernel.name)),
        None => Ok(()),
    }
}

/// Returns the number and the name of the binding that a line of WGSL declares. The line may also
/// be a comment that stands for a declaration.
fn binding_of(line: &str) -> Option<(u32, &str)> {
    let (_, rest) = line.split_once("@binding(")?;
    let (number, rest) = rest.split_once(')')?;
    let rest = rest.split_once('>').map_or(rest, |(_, declared)| declared);
    let name = rest.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some((number.trim().parse().ok()?, name))
}

/// Every storage binding states its shape on its line. A fragment of several schedules cannot. The
/// schedule then states the shape in a comment with the same number and name.
fn shapes_are_stated(kernel: &Subject) -> Verdict {
    let has_shape = |text: &str| {
        text.split_once('[').is_some_and(|(_, rest)| rest.trim_start_matches(' ').contains(']'))
    };
    let comments: Vec<_> =
        kernel.wgsl.lines().filter(|line| line.starts_with("//") && has_shape(line)).collect();
    for line in
        kernel.wgsl.lines().filter(|line| line.contains("var<storage") && !line.starts_with("//"))
    {
        let binding =
            binding_of(line).ok_or_else(|| format!("'{line}' has no @binding on its line"))?;
        let own = line.split_once("//").is_some_and(|(_, comment)| has_shape(comment));
        if !own && !comments.iter().any(|comment| binding_of(comment) == Some(binding)) {
            return Err(format!("no shape is stated for binding {} {}", binding.0, binding.1));
        }
    }
    Ok(())
}

#[test]
fn the_table_lists_every_family() {
    families_are_listed(&source_files(), &all_kernels()).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn every_file_is_part_of_a_kernel() {
    files_are_used(&source_files(), &all_kernels()).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn kernels_are_composed_of_whole_files() {
    let files = source_files();
    assert_all_accepted(|kernel| composition(kernel, &files));
}

#[test]
fn kernels_have_one_entry_point() {
    assert_all_accepted(one_entry_point);
}

#[test]
fn kernels_have_names_of_their_own() {
    names_are_unique(&all_kernels()).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn storage_bindings_state_their_shapes() {
    assert_all_accepted(shapes_are_stated);
    let stated: usize =
        all_kernels().iter().map(|kernel| kernel.wgsl.matches("var<storage").count()).sum();
    let listed: usize = all_kernels().iter().map(|kernel| kernel.bindings.len()).sum();
    assert_eq!(
        stated, listed,
        "every storage binding of the table is declared on a line that the rule sees"
    );
}

#[test]
fn incomplete_tables_are_refused() {
    let files = source_files();
    let extra = |path: &str| {
        let mut files = files.clone();
        files.push(SourceFile { path: path.to_owned(), text: "fn orphan() {}\n".to_owned() });
        files
    };
    let unlisted = families_are_listed(&extra("pool/orphan"), &all_kernels());
    assert_refused("a family that the table lacks", unlisted, r#""nll", "orphan", "pack""#);
    let rest: Vec<Subject> =
        all_kernels().into_iter().filter(|kernel| kernel.entry != "tile").collect();
    assert_refused(
        "a kernel less",
        families_are_listed(&files, &rest),
        r#""step", "step_tiled", "unfold", "unpack"}"#,
    );
    let gone: Vec<SourceFile> =
        files.iter().filter(|file| file.path != "linear/tile").cloned().collect();
    assert_refused(
        "a file less",
        families_are_listed(&gone, &all_kernels()),
        r#""step", "step_tiled", "unfold", "unpack"}, the table's"#,
    );
    let unused = files_are_used(&extra("cell/orphan"), &all_kernels());
    assert_refused("a fragment that no kernel uses", unused, r#"no kernel uses {"cell/orphan"}"#);
    let twice = ["tile", "matvec", "tile"].map(kernel_named);
    assert_refused(
        "a kernel listed twice",
        names_are_unique(&twice),
        "two kernels are called tile",
    );
}

#[test]
fn kernels_that_are_composed_wrongly_are_refused() {
    let files = source_files();
    let linear = &kernel_named("tile");
    let text_of =
        |path: &str| &files.iter().find(|file| file.path == path).expect("the file exists").text;
    let cases = [
        (
            "text of no file",
            format!("{}fn more() {{}}\n", linear.wgsl),
            "text of no file: 'fn more() {}'",
        ),
        (
            "a fragment first",
            format!("{}{}", text_of("weight/f32"), linear.wgsl),
            "starts with Some(\"weight/f32\")",
        ),
        (
            "two families",
            format!("{}{}", linear.wgsl, text_of("recurrence/step")),
            "a second family, step",
        ),
        ("a fragment twice", format!("{}{}", linear.wgsl, text_of("weight/f32")), "a file twice"),
        (
            "a cell that the name lacks",
            format!("{}{}", linear.wgsl, text_of("cell/gru")),
            "lacks the cell gru",
        ),
    ];
    for (broken, text, reason) in cases {
        assert_refused(broken, composition(&with_text(linear, text), &files), reason);
    }
}

#[test]
fn a_second_or_misnamed_entry_point_is_refused() {
    let linear = &kernel_named("tile");
    let second =
        with_text(linear, format!("{}@compute @workgroup_size(1) fn more() {{}}\n", linear.wgsl));
    assert_refused(
        "two entry points",
        one_entry_point(&second),
        r#"[(Compute, "tile"), (Compute, "more")]"#,
    );
    let misnamed = with_passage(linear, "fn tile(", "fn main(");
    assert_refused("an entry point called main", one_entry_point(&misnamed), "the table's is tile");
}

#[test]
fn a_binding_without_a_shape_is_refused() {
    let linear = &kernel_named("tile");
    let unstated = with_passage(linear, "// [.., N]\n", "// the bias\n");
    assert_refused(
        "no shape on the line",
        shapes_are_stated(&unstated),
        "stated for binding 4 bias",
    );
    let elsewhere = with_passage(linear, "//        @binding(3)", "//        @binding(6)");
    assert_refused(
        "a fragment's shape under another number",
        shapes_are_stated(&elsewhere),
        "binding 3 weight",
    );
    let split = with_passage(linear, "@group(0) @binding(4) var", "@group(0) @binding(4)\nvar");
    assert_refused(
        "a binding on two lines",
        shapes_are_stated(&split),
        "has no @binding on its line",
    );
}

/// The f32 and f16 forms of a kernel differ in one fragment only.
fn weights_are_a_fragment(kernel: &Subject, files: &[SourceFile]) -> Verdict {
    let text = |path: &str| {
        files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
    };
    let f16 = Kernel { weights: WeightType::F16, ..kernel.kernel };
    let f16 = Subject::of(f16, kernel.choices, f16.name());
    let reads = kernel.bindings.iter().any(|binding| binding.name == "weight");
    if reads != kernel.kernel.row().weights {
        return Err(format!("{}: its row does not say whether it reads weights", kernel.name));
    }
    if !reads {
        return if f16.wgsl == kernel.wgsl {
            Ok(())
        } else {
            Err(format!("{} has another form", kernel.name))
        };
    }
    let folder =
        if kernel.kernel.family == Family::Persistent { "persistent/weight_" } else { "weight/" };
    let [f32_text, f16_text] = ["f32", "f16"].map(|stored| text(&format!("{folder}{stored}")));
    let want = kernel.wgsl.replace(f32_text, f16_text);
    if f16.name != format!("{}_f16", kernel.kernel.name())
        || f16.wgsl != want
        || want == kernel.wgsl
    {
        return Err(format!("{} is not {} with weights stored as f16", f16.name, kernel.name));
    }
    Ok(())
}

#[test]
fn kernels_that_read_weights_have_a_form_for_f16() {
    let files = source_files();
    let problems: Vec<String> = all_kernels()
        .iter()
        .filter(|subject| subject.kernel.weights == WeightType::F32)
        .filter_map(|subject| weights_are_a_fragment(subject, &files).err())
        .collect();
    assert_eq!(problems, [""; 0], "pairs of kernels");
    let other: Vec<SourceFile> =
        files.iter().filter(|file| file.path != "weight/f16").cloned().collect();
    assert_refused(
        "a fragment less",
        weights_are_a_fragment(&kernel_named("tile"), &other),
        "is not tile with",
    );
}
