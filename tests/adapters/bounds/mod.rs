//! Kernels stay in bounds, so they may run without run-time checks.
//!
//! Two tests share random recordings. One instruments the kernels: each index of an array is
//! compared with the array's size while the kernel runs. The other runs the engine with checks,
//! without them, and without them on buffers with a guard, and compares every buffer.

mod inspector;
mod instrument;

use std::collections::HashSet;
use std::sync::Arc;

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::session::{Session, Weights};
use wgpu_rnn::internals::kernel::{Family, Kernel};
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::plan::recording::{Axis, BufferId, Recording};
use wgpu_rnn::{Device, WeightType};

use crate::by_hand::{close, same_bits, to_words};
use crate::recordings::{Case, Cases, PROBES, UNWRITTEN};
use crate::{Machine, Target, brought, ensure};
use inspector::{Inspector, UNTOUCHED};
use instrument::GUARD;

/// The recordings of several rounds. Limits and schedules refuse some.
fn rounds(source: &mut Cases<'_>, count: usize) -> Result<Vec<Case>, Failed> {
    let mut cases = Vec::new();
    for _ in 0..count {
        cases.extend(source.round()?);
    }
    let planned = cases.len();
    ensure(planned >= 8 * count, format!("only {planned} recordings were planned"))?;
    Ok(cases)
}

/// Every index of every kernel is in bounds, and no divisor is 0.
pub fn indices(target: &Target) -> Result<(), Failed> {
    instrument::self_check();
    let device = target.device()?;
    let types = WeightType::ALL.iter().filter(|&&weights| device.storage(weights).is_ok());
    // A variant has the indices of its kernel and of its settings, by every schedule and weight
    // type alike. So have the largest kernels, whatever the weight type. `tests/races` runs all of
    // them; drivers compile each for seconds.
    let is_rare = |kernel: &Kernel| {
        let halves = kernel.weights != WeightType::F32;
        let large = matches!(kernel.family, Family::Generate | Family::Persistent);
        (kernel.variant && (kernel.family != Family::Step || halves)) || (large && halves)
    };
    let mut missing: HashSet<Kernel> = Kernel::all()
        .filter(|kernel| types.clone().any(|&weights| weights == kernel.weights))
        .filter(|kernel| !is_rare(kernel))
        .collect();
    let mut source = Cases::of(&device)?;
    let mut cases = rounds(&mut source, 1)?;
    for &weights in types {
        let (storage, sizes) = (device.storage(weights)?, (17, 33, Sizes { seq_len: 5, batch: 3 }));
        cases.push(source.many_tokens(storage)?);
        let rare = source.variants(storage)?;
        let mut found: HashSet<Kernel> = cases.iter().flat_map(Case::kernels).collect();
        // One case of each of their kernels is enough.
        cases.extend(rare.into_iter().filter(|case| {
            let kernels: Vec<Kernel> = case.kernels().collect();
            kernels.into_iter().filter(|kernel| found.insert(*kernel)).count() > 0
        }));
        // A share of the weight takes many rounds, which are slow here.
        cases.extend(source.generations(storage, &device.profile(), sizes, (0.8, 5, 0.0))?);
    }
    cases.extend(PROBES.map(|family| source.probe(family)));
    let is_plain = move |kernel: Kernel| !kernel.variant && kernel.weights == WeightType::F32;
    let mut inspector = Inspector::new(&device, move |kernel| 1 + usize::from(is_plain(kernel)))?;
    // Those that have a kernel which has not run.
    for _ in 0..200 {
        for case in cases.drain(..) {
            let kernels: HashSet<Kernel> = case.kernels().collect();
            if !kernels.is_disjoint(&missing) {
                inspector.run(&case)?;
                missing.retain(|kernel| !kernels.contains(kernel));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        cases = source.round()?;
    }
    let missing: Vec<_> = missing.into_iter().map(Kernel::name).collect();
    Err(format!("kernels that no case has: {missing:?}").into())
}

/// The inspection finds a buffer that is too short, whichever it is.
pub fn indices_beyond(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    let mut inspector = Inspector::new(&device, |_| usize::MAX)?;
    for case in Cases::of(&device)?.whole()? {
        inspector.self_check(&case)?;
    }
    Ok(())
}

/// `recording` with [`GUARD`] more words in each buffer.
fn guarded(recording: &Recording) -> Recording {
    let mut guarded = recording.clone();
    for (at, spec) in guarded.buffers.iter_mut().enumerate() {
        if recording.whole(BufferId(at)).0 == BufferId(at) {
            spec.axes = vec![(Axis::Word, spec.len() + GUARD)];
        }
    }
    guarded
}

/// The words of all buffers after a run of the engine.
fn run(device: &Device, case: &Case, recording: &Recording) -> Result<Vec<Vec<f32>>, Failed> {
    let start = |at: usize| -> Vec<f32> {
        let mut words = case.contents[at].clone();
        words.resize(recording.buffers[at].len(), UNTOUCHED);
        words.into_iter().map(f32::from_bits).collect()
    };
    let weights = Weights::load(device.engine(), &recording.buffers[..case.weights], start)?;
    let mut session = Session::new(Arc::new(recording.clone()), &weights)?;
    let whole = |&at: &usize| recording.whole(BufferId(at)).0 == BufferId(at);
    for at in (case.weights..recording.buffers.len()).filter(whole) {
        session.write(BufferId(at), &start(at))?;
    }
    session.run(&[], &[])?;
    (0..recording.buffers.len()).map(|at| Ok(session.read(BufferId(at))?)).collect()
}

/// Compares the buffers of a run with `want`. Their guards, if any, must be untouched.
fn compare(
    case: &Case,
    mut got: Vec<Vec<f32>>,
    want: &[Vec<f32>],
    exact: bool,
) -> Result<(), Failed> {
    for ((got, want), spec) in got.iter_mut().zip(want).zip(&case.recording.buffers) {
        let what = format!("{}: '{}'", case.what, spec.label);
        let guard = got.split_off(want.len().min(got.len()));
        ensure(
            to_words(&guard).iter().all(|&word| word == UNTOUCHED),
            format!("{what}: its guard was touched"),
        )?;
        if exact {
            same_bits(&what, got, want)?;
        } else {
            let want: Vec<f64> = want.iter().map(|&value| value.into()).collect();
            close(&what, got, &want, 1e-5)?;
        }
    }
    Ok(())
}

/// Results with and without run-time checks, and on buffers with a guard: every buffer is the same.
/// Software adapters give the same bits; other compilers may round otherwise with checks.
pub fn checked_and_unchecked(target: &Target) -> Result<(), Failed> {
    let plain = target.device()?;
    let checked = target.open(&OpenOptions::default().runtime_checks(true))?;
    ensure(checked.runtime_checks() && !plain.runtime_checks(), "the option is obeyed")?;
    let mut written = 0_usize;
    for case in rounds(&mut Cases::of(&plain)?, 2)? {
        let want = run(&plain, &case, &case.recording)?;
        let got = run(&checked, &case, &case.recording)?;
        compare(&case, got, &want, plain.is_software_adapter())?;
        compare(&case, run(&plain, &case, &guarded(&case.recording))?, &want, true)?;
        let changed = |(after, before): (&Vec<f32>, &Vec<u32>)| to_words(after) != *before;
        written += usize::from(want.iter().zip(&case.contents).any(changed));
        if written == 1 {
            comparisons_can_fail(&case, &want)?;
        }
    }
    ensure(written > 10, format!("only {written} recordings wrote anything"))
}

/// A wrong value, a value that was not written, and a touched guard are found in any buffer.
fn comparisons_can_fail(case: &Case, want: &[Vec<f32>]) -> Result<(), Failed> {
    let guarded = |at: usize, word: u32| {
        let mut got = want.to_vec();
        got.iter_mut().for_each(|values| values.extend([f32::from_bits(UNTOUCHED); GUARD]));
        let last = got[at].len() - 1;
        got[at][last] = f32::from_bits(word);
        got
    };
    ensure(compare(case, guarded(0, UNTOUCHED), want, true).is_ok(), "untouched guards")?;
    for at in 0..want.len() {
        let touched = compare(case, guarded(at, 0), want, true);
        ensure(touched.is_err(), format!("buffer {at}: a touched guard is found"))?;
        for exact in [true, false] {
            let mut got = want.to_vec();
            got[at][0] = f32::from_bits(if got[at][0] == 0.0 { UNTOUCHED } else { UNWRITTEN });
            let wrong = compare(case, got, want, exact);
            ensure(wrong.is_err(), format!("buffer {at}: a wrong value is found"))?;
        }
    }
    Ok(())
}

/// Devices of the program obey the option as devices of this crate do.
pub fn option(target: &Target) -> Result<(), Failed> {
    ensure(Device::cpu().runtime_checks(), "Rust checks indices")?;
    let Machine::Adapter(entry) = &target.machine else { return Err("a test of adapters".into()) };
    for on in [false, true] {
        let options = OpenOptions::default().runtime_checks(on);
        let (device, queue) = brought::request(target, |_| {})?;
        let lowered = options.clone().memory_budget(1 << 20);
        for device in [
            Device::from_adapter(entry, &options)?,
            Device::from_adapter(entry, &lowered)?,
            Device::from_wgpu(device, queue, &options)?,
        ] {
            ensure(device.runtime_checks() == on, format!("{device}: checks {on}"))?;
        }
    }
    Ok(())
}
