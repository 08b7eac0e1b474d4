//! Whole networks on a device: PyTorch's results, each kernel against its twin, and f16 weights.

use std::collections::HashSet;
use std::sync::Arc;

use libtest_mimic::Failed;
use wgpu_rnn::internals::diagnostics::compare::Tolerance;
use wgpu_rnn::internals::diagnostics::lockstep::lockstep_of;
use wgpu_rnn::internals::kernel::Family;
use wgpu_rnn::internals::params::network::Op;
use wgpu_rnn::{Device, Error, LoadOptions, Schedule, WeightType};

use crate::by_hand::from_words;
use crate::chains::{check, check_with, compared, forward, load, sizes_of};
use crate::networks::{Fixture, fixtures as all_fixtures};
use crate::recordings::Cases;
use crate::{Target, ensure};

/// Networks that lockstep compares on a GPU. Software adapters compile slowly: they have some that
/// run all kernels.
const IN_LOCKSTEP: usize = 30;

/// Of the fixtures, a software adapter has one of so many, and the published networks.
const ON_SOFTWARE: usize = 15;
const PUBLISHED: [&str; 3] = ["dtln", "rnnoise", "vad"];

/// PyTorch's results, whole, in pieces, batch first and row by row. Software adapters have some of
/// the networks, and the published ones whole.
pub fn fixtures(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let mut failed = Vec::new();
    for (at, fixture) in all_fixtures().into_iter().enumerate() {
        if !target.is_software() {
            failed.extend(by_each_schedule(&device, &fixture)?);
        } else if PUBLISHED.contains(&fixture.name.as_str()) {
            let network = load(&fixture, &device, &LoadOptions::new())?;
            let output = forward(&network, &fixture.input)?;
            failed.extend(compared(&fixture, &output).err());
        } else if at.is_multiple_of(ON_SOFTWARE) {
            failed.extend(check(&fixture, &device).err());
        }
    }
    ensure(failed.is_empty(), failed.join("\n"))
}

/// What fails by the library's schedule, or by one that the recurrent modules can run by.
fn by_each_schedule(device: &Device, fixture: &Fixture) -> Result<Vec<String>, Failed> {
    let mut failed: Vec<String> = check(fixture, device).err().into_iter().collect();
    let params = fixture.definition.read(&fixture.weights, fixture.prefix)?;
    let has_recurrence = params.graph().nodes.iter().any(|node| matches!(node.op, Op::Rnn(_)));
    for schedule in [Schedule::Step, Schedule::StepTiled, Schedule::Sequence] {
        let options = LoadOptions::new().schedule(schedule);
        let [seq_len, batch] = sizes_of(&fixture.input);
        let planned = load(fixture, device, &options)?.plan(seq_len, batch);
        let refused = matches!(planned, Err(Error::Unsupported(_) | Error::Limit { .. }));
        // A projection, or more units than a workgroup holds.
        ensure(!refused || schedule == Schedule::Sequence, format!("{}: refused", fixture.name))?;
        if has_recurrence && !refused {
            failed.extend(check_with(fixture, device, &options).err());
        }
    }
    Ok(failed)
}

/// Random networks and attention, whose limits cut them, kernel by kernel.
pub fn in_lockstep(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let own = [
        Family::Map,
        Family::Unfold,
        Family::History,
        Family::LayerNorm,
        Family::Softmax,
        Family::Scores,
        Family::Context,
    ];
    let mut missing: HashSet<Family> = own.into_iter().collect();
    let mut source = Cases::of(&device)?;
    let mut cases = source.attention()?;
    for at in 0..200 {
        for case in cases.drain(..) {
            let families: HashSet<Family> = case.kernels().map(|kernel| kernel.family).collect();
            let is_extra = families.is_disjoint(&missing);
            if is_extra && (at > IN_LOCKSTEP || target.is_software()) {
                continue;
            }
            missing.retain(|family| !families.contains(family));
            let recording = Arc::new(case.recording);
            let start = |at: usize| from_words(&case.contents[at]);
            let tolerance = Tolerance::F32;
            for report in lockstep_of(&device, &recording, case.weights, start, tolerance)? {
                let place = report.worst.as_ref().map(ToString::to_string).unwrap_or_default();
                ensure(
                    report.agrees() && report.count > 0,
                    format!("{report:?} {place}\n    in {}", case.what),
                )?;
            }
        }
        cases.extend(source.chain()?);
    }
    ensure(missing.is_empty(), format!("no network has {missing:?}"))
}

/// Networks whose weights are stored as f16 give PyTorch's results but for the rounding of the
/// weights, which shows.
pub fn in_f16(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let mut ran = 0;
    let mut names = vec!["chain_wave", "chain_residual", "chain_detector"];
    names.truncate(if target.is_software() { 1 } else { 3 });
    for fixture in all_fixtures() {
        if !names.contains(&fixture.name.as_str()) {
            continue;
        }
        let options = LoadOptions::new().weights(WeightType::F16);
        let network = load(&fixture, &device, &options)?;
        let output = forward(&network, &fixture.input)?;
        let pairs = output.data().iter().zip(fixture.output.data());
        let off = pairs.map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
        ensure((1e-6..5e-3).contains(&off), format!("{}: off by {off:e}", fixture.name))?;
        ran += 1;
    }
    ensure(ran == names.len(), format!("{ran} networks ran"))
}
