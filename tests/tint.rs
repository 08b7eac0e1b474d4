//! Every kernel in Tint, Chromium's compiler, with the specialisations that plans make under
//! WebGPU's default limits. It needs no GPU, but node and the packages of `tests/web` (`npm ci`).
//!
//! Tint refuses some texts that naga accepts. A specialisation must build if plans accept it, and
//! only then. Without node or the packages the trials are ignored, or fail with
//! `WGPU_RNN_REQUIRE_WEB=1`.

#[path = "common/combinations.rs"]
mod combinations;
#[path = "common/trials.rs"]
mod trials;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bytemuck::Zeroable;
use combinations::{Values, combinations, covering};
use libtest_mimic::Arguments;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trials::trials;
use wgpu_rnn::internals::kernel::persistent::Persistent;
use wgpu_rnn::internals::kernel::uniforms::Dims;
use wgpu_rnn::internals::kernel::{Access, Cell, Compiler, Family, Kernel, Overrides};
use wgpu_rnn::internals::plan::check_kernel;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::{Error, WeightType};

/// The folder of the packages, and of the program that hands texts to Tint.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web");

/// A text of a kernel, as `tests/web/tint.mjs` reads it.
#[derive(Debug, Clone, Serialize)]
struct Subject {
    #[serde(skip)]
    name: String,
    wgsl: String,
    entry: &'static str,
    /// The features that the text needs, by WebGPU's names.
    features: Vec<&'static str>,
    /// The layouts of the bindings by their numbers; null where there is none.
    bindings: Vec<Value>,
    /// Values of the overrides that the text declares.
    specialisations: Vec<Values>,
    /// Whether plans accept each specialisation.
    #[serde(skip)]
    planned: Vec<bool>,
}

/// Tint's answer to a subject.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    /// Errors, warnings and notes of the text.
    messages: Vec<String>,
    /// The error of each specialisation; none where its pipeline builds.
    errors: Vec<Option<String>>,
}

impl Subject {
    fn of(kernel: Kernel, (name, choices): (String, Overrides)) -> Self {
        let points = points(kernel, choices);
        let (specialisations, planned) = points.into_iter().unzip();
        Self {
            name,
            wgsl: kernel.wgsl(&choices, Compiler::Browser),
            entry: kernel.row().entry,
            features: if choices.subgroups == 1 { vec!["subgroups"] } else { Vec::new() },
            bindings: bindings(kernel),
            specialisations,
            planned,
        }
    }

    /// Returns the subject with the first occurrence of a passage replaced.
    fn with(&self, passage: &str, replacement: &str) -> Self {
        assert!(self.wgsl.contains(passage), "{}: no '{passage}' to replace", self.name);
        Self { wgsl: self.wgsl.replacen(passage, replacement, 1), ..self.clone() }
    }

    /// Returns where the answer differs from the plans.
    fn differences(&self, answer: &Answer) -> Vec<String> {
        let mut found = answer.messages.clone();
        if answer.messages.is_empty() && answer.errors.len() != self.planned.len() {
            found.push(format!("{} answers to {}", answer.errors.len(), self.planned.len()));
        }
        let points = self.specialisations.iter().zip(&self.planned);
        for ((values, &planned), error) in points.zip(&answer.errors) {
            match error {
                Some(error) if planned => found.push(format!("{values:?}: {error}")),
                None if !planned => found.push(format!("{values:?}: builds, but plans refuse it")),
                _ => {}
            }
        }
        found.iter().map(|text| format!("{}: {text}", self.name)).collect()
    }
}

/// Returns every specialisation of a text, and whether plans accept it. `persistent` has too many:
/// its f16 kernels, which need no other memory than those of f32, get some that have every value.
fn points(kernel: Kernel, choices: Overrides) -> Vec<(Values, bool)> {
    let mut all = combinations(choices, kernel.overrides());
    all.retain(|values| kernel.family != Family::Persistent || Persistent::of(values).is_legal());
    let named = |values: &Overrides| -> Values {
        kernel.overrides().map(|one| (one.name, (one.get)(values))).collect()
    };
    let mut points: Vec<_> =
        all.iter().map(|values| (named(values), is_planned(kernel, values))).collect();
    if kernel.family == Family::Persistent && kernel.weights == WeightType::F16 {
        let chosen = covering(&points.iter().map(|(values, _)| values.clone()).collect::<Vec<_>>());
        points.retain(|(values, _)| chosen.contains(values));
    }
    points
}

/// Returns whether plans accept a specialisation under WebGPU's default limits.
fn is_planned(kernel: Kernel, values: &Overrides) -> bool {
    // A row treats the dims of another family as no work.
    let dims = Dims::Probe(Zeroable::zeroed());
    let limits = Limits::of(&wgpu::Limits::defaults(), false);
    match check_kernel(kernel, values, &dims, &limits) {
        Ok(()) => true,
        Err(Error::Limit { .. }) => false,
        Err(error) => panic!("{}: {error}", kernel.name()),
    }
}

/// Returns the layouts of a kernel's bindings, as pipelines have them.
fn bindings(kernel: Kernel) -> Vec<Value> {
    let mut all = vec![json!({"type": "uniform"})];
    if kernel.row().stepped {
        all.push(json!({"type": "uniform", "hasDynamicOffset": true}));
    }
    for binding in kernel.bindings() {
        let index = binding.index as usize;
        all.resize(all.len().max(index + 1), Value::Null);
        let read_only = binding.access == Access::Read;
        all[index] = json!({"type": if read_only { "read-only-storage" } else { "storage" }});
    }
    all
}

/// Returns the texts of a kernel for browsers. Volatile memory is no feature of WebGPU.
fn subjects(kernel: Kernel) -> impl Iterator<Item = Subject> {
    let texts = combinations::texts(kernel).into_iter();
    let texts = texts.filter(|(_, choices)| choices.volatile == 0);
    texts.map(move |text| Subject::of(kernel, text))
}

/// Returns Tint's answers.
fn answers(subjects: &[Subject]) -> Vec<Answer> {
    let mut node = Command::new("node")
        .arg("tint.mjs")
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("node: {error}"));
    let text = serde_json::to_vec(subjects).expect("subjects are JSON");
    let written = node.stdin.take().expect("a pipe").write_all(&text);
    let output = node.wait_with_output().expect("node ends");
    assert!(output.status.success(), "tint.mjs ends with {}", output.status);
    written.expect("tint.mjs reads everything");
    let output = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let answers: Vec<Answer> = serde_json::from_str(output.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("tint.mjs: {error} in '{output}'"));
    assert_eq!(answers.len(), subjects.len(), "an answer to each text");
    answers
}

/// Asserts that Tint's answers are those of the plans.
fn assert_as_planned(kernels: impl Iterator<Item = Kernel>) {
    let subjects: Vec<Subject> = kernels.flat_map(subjects).collect();
    let (mut differences, mut built) = (Vec::new(), 0);
    for (subject, answer) in subjects.iter().zip(answers(&subjects)) {
        differences.extend(subject.differences(&answer));
        built += answer.errors.iter().filter(|error| error.is_none()).count();
    }
    let all: usize = subjects.iter().map(|subject| subject.planned.len()).sum();
    eprintln!("{} texts, {all} specialisations, {built} pipelines", subjects.len());
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    assert!(built > 0, "nothing builds");
}

fn persistent_builds_as_planned() {
    assert_as_planned(Kernel::all().filter(|kernel| kernel.family == Family::Persistent));
}

fn other_kernels_build_as_planned() {
    assert_as_planned(Kernel::all().filter(|kernel| kernel.family != Family::Persistent));
}

fn broken_kernels_are_refused() {
    let probe = &Subject::of(
        Kernel::new(Family::Barrier, WeightType::F32),
        ("barrier".to_owned(), Overrides::default()),
    );
    let kernel = Kernel::with_cell(Family::Persistent, Cell::Gru, WeightType::F32);
    let of_choices = |choices: Overrides| {
        let subject = Subject::of(kernel, ("persistent".to_owned(), choices));
        let specialisations = subject.specialisations[..1].to_vec();
        Subject { specialisations, planned: vec![true], ..subject }
    };
    let lanes = Overrides { subgroups: 1, ..Overrides::default() };
    let subgroups = of_choices(lanes);
    let volatile = of_choices(Overrides { volatile: 1, ..Overrides::default() });
    let start = "    sh_values[local_index] = y";
    let returns = format!("    if local_index == 3u {{ return; }}\n{start}");
    let cases = [
        ("nothing", probe.clone(), ""),
        ("subgroups", subgroups.clone(), ""),
        ("syntax", probe.with("fn barrier(", "fn barrier["), "error, line"),
        ("a barrier after a return", probe.with(start, &returns), "uniform control flow"),
        ("dead code", probe.with(start, &format!("    return;\n{start}")), "unreachable"),
        (
            "no directive",
            Subject { wgsl: kernel.wgsl(&lanes, Compiler::Naga), ..subgroups.clone() },
            "extension 'subgroups'",
        ),
        ("no feature", Subject { features: Vec::new(), ..subgroups }, "'subgroups'"),
        ("volatile memory", volatile, "volatile"),
        ("no binding", Subject { bindings: Vec::new(), ..probe.clone() }, "binding"),
        (
            "an unknown constant",
            Subject { specialisations: vec![vec![("LANES", 4)]], ..probe.clone() },
            "LANES",
        ),
        (
            "memory that the table lacks",
            probe.with("sh_values: array<f32, WORKGROUP_SIZE>", "sh_values: array<f32, 4097>"),
            "workgroup storage",
        ),
        (
            "a plan that refuses in vain",
            Subject { planned: vec![false], ..probe.clone() },
            "plans refuse it",
        ),
    ];
    let (names, subjects): (Vec<_>, Vec<_>) =
        cases.into_iter().map(|(name, subject, reason)| ((name, reason), subject)).unzip();
    for ((&(name, reason), subject), answer) in names.iter().zip(&subjects).zip(answers(&subjects))
    {
        let found = subject.differences(&answer);
        match reason {
            "" => assert!(found.is_empty(), "{name}: {found:?}"),
            _ => assert!(found.concat().contains(reason), "{name}: {found:?}, want '{reason}'"),
        }
    }
    let silent = probe.differences(&Answer::default());
    assert_eq!(silent, ["barrier: 0 answers to 1"], "a text without an answer");
}

fn main() {
    let arguments = Arguments::from_args();
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    let packages = Path::new(FOLDER).join("node_modules/webgpu").is_dir();
    let missing = !packages || !node.is_ok_and(|status| status.success());
    let required = std::env::var("WGPU_RNN_REQUIRE_WEB").is_ok_and(|value| value == "1");
    let trials = trials![
        persistent_builds_as_planned,
        other_kernels_build_as_planned,
        broken_kernels_are_refused,
    ];
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(missing && !required));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
