//! Combinations of override values, and the texts of a kernel.

use std::collections::BTreeSet;

use wgpu_rnn::internals::kernel::{Kernel, Override, Overrides};

/// Override values of one pipeline, by their names in WGSL.
pub type Values = Vec<(&'static str, u32)>;

/// Returns `start` with every combination of the legal values of some overrides.
pub fn combinations(
    start: Overrides,
    overrides: impl IntoIterator<Item = Override>,
) -> Vec<Overrides> {
    overrides.into_iter().fold(vec![start], |all, Override { set, values, .. }| {
        let with = |mut one, value| {
            set(&mut one, value);
            one
        };
        all.iter().flat_map(|&one| values.iter().map(move |&value| with(one, value))).collect()
    })
}

/// Returns the override values that select each text of a kernel, with a title of each.
pub fn texts(kernel: Kernel) -> Vec<(String, Overrides)> {
    let choices = kernel.row().choices;
    let title = |values: &Overrides| {
        let values = choices.iter().map(|one| format!(", {} {}", one.name, (one.get)(values)));
        kernel.name() + &values.collect::<String>()
    };
    let all = combinations(Overrides::default(), choices.iter().copied());
    all.into_iter().map(|values| (title(&values), values)).collect()
}

/// Returns some of the points, which have every value that the points have.
pub fn covering(points: &[Values]) -> Vec<Values> {
    let mut missing: BTreeSet<_> = points.iter().flatten().copied().collect();
    let mut chosen: Vec<Values> = Vec::new();
    while !missing.is_empty() {
        let new = |values: &&Values| values.iter().filter(|value| missing.contains(value)).count();
        let best = points.iter().max_by_key(new).expect("a point for each value").clone();
        best.iter().for_each(|value| _ = missing.remove(value));
        chosen.push(best);
    }
    chosen
}
