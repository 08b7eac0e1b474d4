//! Mutants of shaders, which `scripts/mutate` makes.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::sync::LazyLock;

/// A shader's text and its mutant's, from the two files that `WGPU_RNN_MUTANT` names.
static MUTANT: LazyLock<Option<[String; 2]>> = LazyLock::new(|| {
    let names = std::env::var("WGPU_RNN_MUTANT").ok()?;
    let (shader, mutant) = names.split_once(':').expect("WGPU_RNN_MUTANT is SHADER:MUTANT");
    let read = |name| std::fs::read_to_string(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    Some([read(shader), read(mutant)])
});

/// The text of a kernel, with the mutant in it if there is one.
pub fn mutated(text: String) -> String {
    match &*MUTANT {
        Some([shader, mutant]) => text.replace(shader, mutant),
        None => text,
    }
}

/// Whether a test should look at a kernel: at all, or at those that have a mutant.
pub fn concerns(text: &str) -> bool {
    MUTANT.as_ref().is_none_or(|[shader, _]| text.contains(shader))
}
