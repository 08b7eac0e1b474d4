//! The table names every kernel on disk and nothing else, and kernels are made of whole files.

use std::collections::BTreeSet;
use std::path::Path;

use naga::ShaderStage;
use wgpu_rnn::internals::dtype::WeightType;
use wgpu_rnn::internals::kernel::{KERNELS, Kernel};

use crate::{
    PROBES, Verdict, all_kernels, assert_all_accepted, assert_refused, kernel_named, parse,
    with_passage, with_text,
};

/// The folder of the kernels that measure a device, which are schedules too.
const PROBE_FOLDER: &str = "calibrate/";

/// A file of `shaders/`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceFile {
    /// Folders and file name without the extension: `step`, `cell/lstm`.
    path: String,
    text: String,
}

/// Every file of `shaders/`.
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

/// The files that a kernel's text consists of, in order.
fn parts<'a>(kernel: &Kernel, files: &'a [SourceFile]) -> Result<Vec<&'a str>, String> {
    let mut rest = kernel.wgsl;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let next = files
            .iter()
            .filter(|file| !file.text.is_empty() && rest.starts_with(&file.text))
            .max_by_key(|file| file.text.len())
            .ok_or_else(|| {
                format!(
                    "after {parts:?} comes text of no file: '{}'",
                    rest.lines().next().unwrap_or_default()
                )
            })?;
        parts.push(next.path.as_str());
        rest = &rest[next.text.len()..];
    }
    Ok(parts)
}

/// The schedules on disk are those of the table.
fn schedules_are_listed(files: &[SourceFile], kernels: &[&Kernel]) -> Verdict {
    let on_disk: BTreeSet<&str> =
        files.iter().map(|file| file.path.as_str()).filter(|p| !p.contains('/')).collect();
    let listed: BTreeSet<&str> = kernels.iter().map(|kernel| kernel.entry).collect();
    if on_disk != listed {
        return Err(format!("the schedules on disk are {on_disk:?}, the table's {listed:?}"));
    }
    Ok(())
}

/// Every file is part of a kernel.
fn files_are_used(files: &[SourceFile], kernels: &[&Kernel]) -> Verdict {
    let mut unused: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for kernel in kernels {
        for part in parts(kernel, files)? {
            unused.remove(part);
        }
    }
    if !unused.is_empty() {
        return Err(format!("no kernel uses {unused:?}"));
    }
    Ok(())
}

/// A kernel's text is its schedule's file, so that line numbers are that file's, and then fragments, each once; its
/// name is the schedule's, followed by the cell's.
fn composition(kernel: &Kernel, files: &[SourceFile]) -> Verdict {
    let parts = parts(kernel, files)?;
    if parts.first().map(|first| first.strip_prefix(PROBE_FOLDER).unwrap_or(first))
        != Some(kernel.entry)
    {
        return Err(format!(
            "the text starts with {:?} and not with its schedule {}",
            parts.first(),
            kernel.entry
        ));
    }
    if let Some(other) = parts[1..].iter().find(|part| !part.contains('/')) {
        return Err(format!("the text holds a second schedule, {other}"));
    }
    if parts.iter().collect::<BTreeSet<_>>().len() != parts.len() {
        return Err(format!("the text holds a file twice: {parts:?}"));
    }
    let mut words = vec![kernel.entry];
    words.extend(parts.iter().filter_map(|part| part.strip_prefix("cell/")));
    if !kernel.name.starts_with(&words.join("_")) {
        return Err(format!("the name {} does not start with {}", kernel.name, words.join("_")));
    }
    Ok(())
}

/// There is one entry point, the table's.
fn one_entry_point(kernel: &Kernel) -> Verdict {
    let shader = parse(kernel.wgsl)?;
    let found: Vec<_> =
        shader.module.entry_points.iter().map(|entry| (entry.stage, entry.name.as_str())).collect();
    if found != [(ShaderStage::Compute, kernel.entry)] {
        return Err(format!("the entry points are {found:?}, the table's is {}", kernel.entry));
    }
    Ok(())
}

/// No two kernels share a name.
fn names_are_unique(kernels: &[&Kernel]) -> Verdict {
    let mut seen = BTreeSet::new();
    match kernels.iter().find(|kernel| !seen.insert(kernel.name)) {
        Some(kernel) => Err(format!("two kernels are called {}", kernel.name)),
        None => Ok(()),
    }
}

/// The number and the name that a line of WGSL, or of a comment that stands for one, gives a binding.
fn binding_of(line: &str) -> Option<(u32, &str)> {
    let (_, rest) = line.split_once("@binding(")?;
    let (number, rest) = rest.split_once(')')?;
    let rest = rest.split_once('>').map_or(rest, |(_, declared)| declared);
    let name = rest.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some((number.trim().parse().ok()?, name))
}

/// Every storage binding says its shape on its line. A fragment that serves several schedules cannot; then the schedule
/// says it, in a comment with the same number and name.
fn shapes_are_stated(kernel: &Kernel) -> Verdict {
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
fn the_table_lists_every_schedule() {
    schedules_are_listed(&source_files(), &KERNELS).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn the_table_of_probes_lists_every_file_of_theirs() {
    let files = source_files();
    let on_disk: BTreeSet<&str> =
        files.iter().filter_map(|file| file.path.strip_prefix(PROBE_FOLDER)).collect();
    assert_eq!(on_disk, PROBES.iter().map(|kernel| kernel.entry).collect::<BTreeSet<_>>());
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
    let unlisted = schedules_are_listed(&extra("orphan"), &KERNELS);
    assert_refused(
        "a schedule that the table lacks",
        unlisted,
        r#""linear_subgroup", "linear_wide", "load_slots", "orphan", "sample""#,
    );
    let rest: Vec<&Kernel> =
        KERNELS.into_iter().filter(|kernel| kernel.entry != "linear").collect();
    assert_refused(
        "a kernel less",
        schedules_are_listed(&files, &rest),
        r#"the table's {"dropout", "embed", "gather", "linear_rows", "linear_subgroup", "linear_wide", "load_slots", "sample""#,
    );
    let gone: Vec<SourceFile> =
        files.iter().filter(|file| file.path != "linear").cloned().collect();
    assert_refused(
        "a file less",
        schedules_are_listed(&gone, &KERNELS),
        r#"on disk are {"dropout", "embed", "gather", "linear_rows", "linear_subgroup", "linear_wide", "load_slots", "sample""#,
    );
    let unused = files_are_used(&extra("cell/orphan"), &all_kernels());
    assert_refused("a fragment that no kernel uses", unused, r#"no kernel uses {"cell/orphan"}"#);
    let twice = [KERNELS[0], KERNELS[1], KERNELS[0]];
    assert_refused(
        "a kernel listed twice",
        names_are_unique(&twice),
        "two kernels are called linear",
    );
}

#[test]
fn kernels_that_are_composed_wrongly_are_refused() {
    let files = source_files();
    let linear = kernel_named("linear");
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
        ("two schedules", format!("{}{}", linear.wgsl, text_of("step")), "a second schedule, step"),
        ("a fragment twice", format!("{}{}", linear.wgsl, text_of("weight/f32")), "a file twice"),
        (
            "a cell that the name lacks",
            format!("{}{}", linear.wgsl, text_of("cell/gru")),
            "start with linear_gru",
        ),
    ];
    for (broken, text, reason) in cases {
        assert_refused(broken, composition(&with_text(linear, text), &files), reason);
    }
}

#[test]
fn a_second_or_misnamed_entry_point_is_refused() {
    let linear = kernel_named("linear");
    let second =
        with_text(linear, format!("{}@compute @workgroup_size(1) fn more() {{}}\n", linear.wgsl));
    assert_refused(
        "two entry points",
        one_entry_point(&second),
        r#"[(Compute, "linear"), (Compute, "more")]"#,
    );
    let misnamed = with_passage(linear, "fn linear(", "fn main(");
    assert_refused(
        "an entry point called main",
        one_entry_point(&misnamed),
        "the table's is linear",
    );
}

#[test]
fn a_binding_without_a_shape_is_refused() {
    let linear = kernel_named("linear");
    let unstated = with_passage(linear, "// [.., N]       slot + d\n", "// the bias\n");
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

/// Kernels differ in how weights are stored by one fragment.
fn weights_are_a_fragment(kernel: &'static Kernel, files: &[SourceFile]) -> Verdict {
    let text = |path: &str| {
        files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
    };
    let (f16, reads) =
        (kernel.stored_as(WeightType::F16), kernel.bindings.iter().any(|b| b.name == "weight"));
    if kernel.name.ends_with("_f16") || !reads {
        return if std::ptr::eq(f16, kernel) {
            Ok(())
        } else {
            Err(format!("{} has another form", kernel.name))
        };
    }
    let want = kernel.wgsl.replace(text("weight/f32"), text("weight/f16"));
    if f16.name != format!("{}_f16", kernel.name) || f16.wgsl != want || want == kernel.wgsl {
        return Err(format!("{} is not {} with weights stored as f16", f16.name, kernel.name));
    }
    Ok(())
}

#[test]
fn kernels_that_read_weights_have_a_form_for_f16() {
    let files = source_files();
    let problems: Vec<String> =
        KERNELS.iter().filter_map(|k| weights_are_a_fragment(k, &files).err()).collect();
    assert_eq!(problems, [""; 0], "pairs of kernels");
    let other: Vec<SourceFile> =
        files.iter().filter(|file| file.path != "weight/f16").cloned().collect();
    assert_refused(
        "a fragment less",
        weights_are_a_fragment(kernel_named("linear"), &other),
        "is not linear with",
    );
}
