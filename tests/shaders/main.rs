//! Checks of the WGSL against the kernel table, the host's structs and every shading language that
//! wgpu translates to.
//!
//! No GPU is needed. A function states each rule and reports how a kernel breaks it. One test
//! applies the rule to the whole table. The next test breaks kernels on purpose and expects a
//! refusal with its reason. wgpu and naga check little of this. They accept overrides beyond the
//! limits, a barrier in a branch, and a struct member at any offset.

#[path = "../common/combinations.rs"]
mod combinations;
#[path = "../common/mutant.rs"]
mod mutant;
#[path = "../common/wgsl.rs"]
mod wgsl;

mod barriers;
mod bindings;
mod completeness;
mod layout;
mod plain;
mod portability;
mod specialisation;
mod uniformity;
mod writers;

use wgpu_rnn::internals::kernel::{Binding, Compiler, Kernel, Override, Overrides, WorkgroupUse};

use wgsl::{Shader, Specialised, parse, parse_with};

/// The result of a rule: success, or the reason of a refusal.
type Verdict = Result<(), String>;

/// A kernel as the rules see it: its row and its WGSL. A test may break either.
#[derive(Debug, Clone)]
struct Subject {
    kernel: Kernel,
    /// The overrides that select fragments.
    choices: Overrides,
    name: String,
    entry: &'static str,
    wgsl: String,
    stepped: bool,
    bindings: Vec<Binding>,
    overrides: Vec<Override>,
    /// A workgroup use that a test states instead of the row's.
    stated_use: Option<WorkgroupUse>,
}

impl Subject {
    /// Returns an unbroken kernel, with the first of its texts.
    fn new(kernel: Kernel) -> Self {
        Self::texts(kernel).remove(0)
    }

    /// Returns an unbroken kernel for each combination of the overrides that select fragments.
    fn texts(kernel: Kernel) -> Vec<Self> {
        let texts = combinations::texts(kernel).into_iter();
        texts.map(|(name, choices)| Self::of(kernel, choices, name)).collect()
    }

    fn of(kernel: Kernel, choices: Overrides, name: String) -> Self {
        Self {
            kernel,
            choices,
            name,
            entry: kernel.row().entry,
            wgsl: mutant::mutated(kernel.wgsl(&choices, Compiler::Naga)),
            stepped: kernel.row().stepped,
            bindings: kernel.bindings().collect(),
            overrides: kernel.overrides().collect(),
            stated_use: None,
        }
    }

    /// Returns workgroup size and memory under some override values.
    fn workgroup(&self, values: &[(&'static str, u32)]) -> WorkgroupUse {
        self.stated_use.unwrap_or_else(|| self.kernel.workgroup(&self.typed(values)))
    }

    /// Returns override values as plans hold them.
    fn typed(&self, values: &[(&'static str, u32)]) -> Overrides {
        let mut typed = self.choices;
        for entry in &self.overrides {
            if let Some((_, value)) = values.iter().find(|(name, _)| *name == entry.name) {
                (entry.set)(&mut typed, *value);
                assert_eq!((entry.get)(&typed), *value, "{} is where it was put", entry.name);
            }
        }
        typed
    }
}

/// Returns an override that no plan knows.
fn unknown_override(name: &'static str, values: &'static [u32]) -> Override {
    Override { name, get: |_| 0, set: |_, _| (), values }
}

/// Returns every kernel, with each of its texts.
fn all_kernels() -> Vec<Subject> {
    Kernel::all().flat_map(Subject::texts).collect()
}

/// Returns the kernel of this name.
fn kernel_named(name: &str) -> Subject {
    let found = Kernel::all().find(|kernel| kernel.name() == name);
    Subject::new(found.unwrap_or_else(|| panic!("no kernel {name} in the table")))
}

/// Returns a kernel with another text.
fn with_text(kernel: &Subject, wgsl: String) -> Subject {
    Subject { wgsl, ..kernel.clone() }
}

/// Returns a kernel with the first occurrence of a passage replaced.
fn with_passage(kernel: &Subject, passage: &str, replacement: &str) -> Subject {
    assert!(kernel.wgsl.contains(passage), "{}: there is no '{passage}' to replace", kernel.name);
    with_text(kernel, kernel.wgsl.replacen(passage, replacement, 1))
}

/// Returns a kernel with every occurrence of a passage replaced.
fn with_every_passage(kernel: &Subject, passage: &str, replacement: &str) -> Subject {
    assert!(kernel.wgsl.contains(passage), "{}: there is no '{passage}' to replace", kernel.name);
    with_text(kernel, kernel.wgsl.replace(passage, replacement))
}

/// Applies a rule to every kernel.
fn assert_all_accepted(rule: impl Fn(&Subject) -> Verdict) {
    let refused: Vec<String> = all_kernels()
        .into_iter()
        .filter_map(|kernel| rule(&kernel).err().map(|e| format!("{}: {e}", kernel.name)))
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// Asserts that a rule refuses the broken kernel for this reason.
fn assert_refused(broken: &str, verdict: Verdict, reason: &str) {
    match verdict {
        Ok(()) => panic!("{broken}: accepted, want a refusal with '{reason}'"),
        Err(got) => {
            assert!(got.contains(reason), "{broken}: refused with '{got}', want '{reason}'")
        }
    }
}
