//! Kernels without a GPU: a small machine runs their WGSL on the CPU. They have no data races, they
//! stay in their buffers, they read nothing that is not there, and they do what their twins do.

#[path = "../common/mutant.rs"]
mod mutant;
#[path = "../common/recordings.rs"]
mod recordings;
#[path = "../common/wgsl.rs"]
mod wgsl;

mod activation;
mod expressions;
mod faults;
mod machine;
mod memory;
mod program;
mod samples;
mod shapes;
mod statements;
mod types;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::LazyLock;

use rayon::prelude::*;
use samples::{Sample, samples};
use wgpu_rnn::internals::kernel::uniforms::Dims;
use wgpu_rnn::internals::kernel::{Family, Kernel};
use wgpu_rnn::internals::plan::recording::Dispatch;

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(samples);

#[test]
fn kernels_do_what_their_twins_do_without_a_race() {
    let concerned = |sample: &&Sample| mutant::concerns(&sample.text());
    let check = |sample: &Sample| sample.program(sample.text()).and_then(|p| sample.check(&p));
    let checked = SAMPLES.par_iter().filter(concerned).try_for_each(check);
    checked.unwrap_or_else(|error| panic!("{error}"));
    let found: HashSet<Kernel> = SAMPLES.iter().map(|sample| sample.dispatch.kernel).collect();
    let missing = Kernel::all().filter(|kernel| !found.contains(kernel)).map(Kernel::name);
    let missing: Vec<String> = missing.collect();
    assert!(missing.is_empty(), "kernels without a sample: {missing:?}");
}

/// The text without each of its barriers, by the lines around the barrier.
fn without_barriers(text: &str) -> Vec<(String, String)> {
    let around = |at: usize| {
        let number = text[..at].matches('\n').count();
        let lines = text.lines().skip(number.saturating_sub(1)).take(3);
        lines.map(str::trim).collect::<Vec<_>>().join(" ")
    };
    let removed = |barrier: &'static str, instead: &'static str| {
        let cut = move |(at, _): (usize, &str)| {
            let rest = &text[at + barrier.len()..];
            (around(at), [&text[..at], instead, rest].concat())
        };
        text.match_indices(barrier).map(cut)
    };
    let loads = removed("workgroupUniformLoad(&sh[0])", "sh[0]");
    let barriers = ["workgroupBarrier();", "storageBarrier();"].map(|barrier| removed(barrier, ""));
    barriers.into_iter().flatten().chain(loads).collect()
}

/// Each kernel has a race or wrong results without any one of its barriers. The barrier of
/// `residence` guards no memory: see the next test.
#[test]
fn every_barrier_matters() {
    let others = |kernel: &Kernel| kernel.family != Family::Residence;
    let kernels: Vec<Kernel> = Kernel::all().filter(others).collect();
    let idle = |kernel: &Kernel| {
        let mut found: BTreeMap<String, bool> = BTreeMap::new();
        for sample in SAMPLES.iter().filter(|sample| sample.dispatch.kernel == *kernel) {
            for (barrier, text) in without_barriers(&sample.text()) {
                let found = found.entry(barrier).or_default();
                if !*found {
                    let program = sample.program(text).expect("a program without a barrier");
                    *found = sample.check(&program).is_err();
                }
            }
        }
        found.into_iter().filter(|(_, found)| !found).map(|(at, _)| (at, kernel.name())).collect()
    };
    let idle: Vec<Vec<(String, String)>> = kernels.par_iter().map(idle).collect();
    let idle: BTreeSet<_> = idle.into_iter().flatten().collect();
    assert!(idle.is_empty(), "no race without these barriers: {idle:#?}");
}

/// Workgroups arrive at a round together: each passes a barrier in each of the three rounds.
#[test]
fn residence_has_a_barrier_in_each_round() {
    let is_probe = |sample: &&Sample| sample.dispatch.kernel.family == Family::Residence;
    let sample = SAMPLES.iter().find(is_probe).expect("a sample of each kernel");
    let ran = sample.program(sample.text()).and_then(|program| sample.run(&program));
    assert_eq!(ran.map(|ran| ran.barriers), Ok(vec![3; 3]), "barriers of the three workgroups");
}

/// A look that is in vain uses up the patience of an invocation that has one look, and the first
/// look is in vain. It raises the flag, which is the first word of the exchange.
#[test]
fn a_wait_in_vain_raises_the_flag() {
    let mut found = HashSet::new();
    for sample in SAMPLES.iter().filter(|sample| sample.dispatch.overrides.alone == 0) {
        let mut sample = sample.clone();
        let spins = match &mut sample.dispatch.dims {
            Dims::Persistent(dims) if dims.steps > 1 => &mut dims.spins,
            Dims::Generate(dims) => &mut dims.spins,
            _ => continue,
        };
        *spins = 1;
        let Dispatch { kernel, overrides, .. } = sample.dispatch;
        if found.insert((kernel, overrides.volatile)) && mutant::concerns(&sample.text()) {
            let exchange = kernel.bindings().position(|binding| binding.name == "exchange");
            let ran = sample.program(sample.text()).and_then(|program| sample.run(&program));
            let flag = ran.map(|ran| ran.buffers[exchange.expect("an exchange")][0]);
            assert_eq!(flag, Ok(1), "{}: {overrides:?}", kernel.name());
        }
    }
    assert_eq!(found.len(), 18, "six kernels of two exchanges, and six that generate");
}
