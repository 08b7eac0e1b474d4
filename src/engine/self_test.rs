//! The test that a device passes before use: a small LSTM against the reference.
//!
//! The LSTM's gates saturate. It has two directions, two layers, odd sizes, and units across
//! several subgroups. It exposes known faults of drivers: wrong tanh of large arguments,
//! ineffective barriers, zero results, stale state.

use crate::engine::session::{EngineRef, Session, Weights};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::kernel::Schedule;
use crate::params::Params;
use crate::params::config::Config;
use crate::params::random::Mt19937;
use crate::params::validate::Sizes;
use crate::plan::recording::BufferId;
use crate::plan::{self, Plan, Profile, Request, StateRow, WeightLayout};
use crate::reference;
use crate::tensor::Tensor;

const SEQ_LEN: usize = 4;
const BATCH: usize = 3;
const INPUT_SIZE: usize = 5;
/// Units of one workgroup, for most devices and schedules.
const HIDDEN_SIZE: usize = 19;
/// Units of several workgroups of `persistent`, which exchange the state.
const EXCHANGED_SIZE: usize = 70;
const LAYERS: usize = 2;
const DIRECTIONS: usize = 2;

/// The largest absolute difference that passes. Weights of this size amplify rounding; a faulty
/// driver is off by far more.
const TOLERANCE: f64 = 2e-4;

/// Runs the self-test on an engine, planned as any module on the engine's device.
///
/// # Errors
/// [`Error::SelfTest`] when the numbers are wrong; the errors of the device.
pub(super) async fn run(
    engine: EngineRef<'_>,
    profile: &Profile<'_>,
    waiting: Waiting,
) -> Result<()> {
    // Weights up to ±20 drive most gates to 0 or 1 and leave some in between.
    of_schedule(engine, profile, Schedule::Auto, HIDDEN_SIZE, 20.0, waiting).await
}

/// Runs the self-test of `persistent`, whose workgroups exchange the state.
///
/// # Errors
/// [`Error::SelfTest`] when the numbers are wrong; the errors of the device and of the schedule.
pub(super) async fn run_persistent(
    engine: EngineRef<'_>,
    profile: &Profile<'_>,
    waiting: Waiting,
) -> Result<()> {
    // Larger weights would amplify the rounding of longer sums.
    of_schedule(engine, profile, Schedule::Persistent, EXCHANGED_SIZE, 2.0, waiting).await
}

async fn of_schedule(
    engine: EngineRef<'_>,
    profile: &Profile<'_>,
    schedule: Schedule,
    hidden_size: usize,
    largest: f32,
    waiting: Waiting,
) -> Result<()> {
    let config = Config::lstm(INPUT_SIZE, hidden_size).num_layers(LAYERS).bidirectional(true);
    let mut generator = Mt19937::new(0);
    let params = Params::from_fn(&config, |_, shape| {
        Ok(generator.uniform_vec(shape.iter().product(), -largest, largest))
    })?;
    let input = generator.uniform_vec(SEQ_LEN * BATCH * INPUT_SIZE, -1.0, 1.0);
    let want = reference::forward(&params, SEQ_LEN, BATCH, &input, None, None, None);
    let input = Tensor::trusted([SEQ_LEN, BATCH, INPUT_SIZE], input);

    let layout = WeightLayout::new(&config, profile.limits)?;
    let sizes = Sizes { seq_len: SEQ_LEN, batch: BATCH };
    let request = Request { config: &config, weights: &layout, sizes, training: false };
    let plan = plan::plan(&request, profile, schedule)?;
    let pack = |index| layout.pack(index, &params);
    let weights = Weights::load(engine, layout.buffers(), pack)?;
    let mut session = Session::new(plan.recording.clone().into(), &weights)?;
    write_inputs(&plan, &mut session, &input)?;

    session.complete::<()>(&[], &[], waiting, |(), _| ()).await?;
    let output = read_output(&plan, &session, StateRow::h(&config), waiting).await?;
    let h = (0..LAYERS).map(|layer| plan.final_h(layer));
    let h_n = read_state(h, &session, StateRow::h(&config), waiting).await?;
    let c = plan.states.iter().filter_map(|ids| ids.c);
    let c_n = read_state(c, &session, StateRow::c(&config), waiting).await?;
    let tensors = [
        ("output", output.as_slice(), want.output.as_slice()),
        ("h_n", &h_n, &want.h_n),
        ("c_n", &c_n, &want.c_n),
    ];
    judge(&engine.to_string(), &tensors)
}

/// Writes the input, the lengths and zero states.
fn write_inputs(plan: &Plan, session: &mut Session, input: &Tensor) -> Result<()> {
    for (steps, id) in plan.segments.iter().zip(&plan.input) {
        session.write(*id, &input.padded_rows(steps.start * BATCH..steps.end * BATCH))?;
    }
    session.write(plan.lengths, &[f32::from_bits(SEQ_LEN as u32); BATCH])?;
    for id in plan.states.iter().flat_map(|ids| [Some(ids.h[0]), ids.c]).flatten() {
        session.write(id, &vec![0.0; plan.recording.spec(id).len()])?;
    }
    Ok(())
}

/// Reads the output, `[T, B, D·H]`. The device keeps each direction's steps in the order of its
/// visits.
async fn read_output(
    plan: &Plan,
    session: &Session,
    StateRow { features, stride }: StateRow,
    waiting: Waiting,
) -> Result<Vec<f32>> {
    let mut output = vec![0.0; SEQ_LEN * BATCH * DIRECTIONS * features];
    for (steps, id) in plan.segments.iter().zip(&plan.output) {
        let packed = session.fetch(*id, waiting).await?;
        let mut values = packed.chunks_exact(stride);
        for (step, b) in steps.clone().flat_map(|step| (0..BATCH).map(move |b| (step, b))) {
            for (d, from) in (0..DIRECTIONS).zip(&mut values) {
                let t = if d == 1 { SEQ_LEN - 1 - step } else { step };
                let to = ((t * BATCH + b) * DIRECTIONS + d) * features;
                output[to..to + features].copy_from_slice(&from[..features]);
            }
        }
    }
    Ok(output)
}

/// Reads the last h or c of all layers, `[L·D, B, H]`.
async fn read_state(
    ids: impl Iterator<Item = BufferId>,
    session: &Session,
    StateRow { features, stride }: StateRow,
    waiting: Waiting,
) -> Result<Vec<f32>> {
    let mut state = Vec::new();
    for id in ids {
        let packed = session.fetch(id, waiting).await?;
        state.extend(packed.chunks_exact(stride).flat_map(|row| &row[..features]));
    }
    Ok(state)
}

/// Compares results with the reference's, and refuses the device on any mismatch.
fn judge(device: &str, tensors: &[(&str, &[f32], &[f64]); 3]) -> Result<()> {
    let refuse = |detail| Err(Error::SelfTest { adapter: device.to_owned(), detail });
    let (mut count, mut mismatches) = (0, 0);
    let mut worst = None;
    for (name, got, want) in tensors {
        if got.len() != want.len() {
            let (got, want) = (got.len(), want.len());
            return refuse(format!("{name}: expected {want} elements, got {got}"));
        }
        count += want.len();
        for (place, (&got, &want)) in got.iter().zip(*want).enumerate() {
            let difference = (f64::from(got) - want).abs();
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            mismatches += usize::from(difference > TOLERANCE);
            if worst.as_ref().is_none_or(|&(largest, _)| difference > largest) {
                worst = Some((difference, format!("{name}[{place}]: got {got}, want {want}")));
            }
        }
    }
    let detail = worst.map_or_else(String::new, |(difference, place)| {
        format!(
            "{mismatches} of {count} elements out of tolerance, max abs {difference:.3e}, \
             worst {place}"
        )
    });
    if mismatches > 0 {
        return refuse(detail);
    }
    log::debug!("{device}: self-test passed, {detail}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{judge, run, run_persistent};
    use crate::engine::wait::Waiting;
    use crate::{Device, Error};

    #[test]
    fn the_cpu_passes() {
        let cpu = Device::cpu();
        pollster::block_on(run(cpu.engine(), &cpu.profile(), Waiting::Block))
            .expect("the twins agree with the reference");
        pollster::block_on(run_persistent(cpu.engine(), &cpu.profile(), Waiting::Block))
            .expect("those of persistent, too");
    }

    #[test]
    fn a_wrong_driver_is_refused_by_name() {
        let want = [0.5, -0.5];
        for (wrong, count) in
            [([0.5, 0.5], 1), ([0.0, 0.0], 2), ([f32::NAN, -0.5], 1), ([0.501, -0.5], 1)]
        {
            let tensors = [
                ("output", wrong.as_slice(), want.as_slice()),
                ("h_n", &[], &[]),
                ("c_n", &[], &[]),
            ];
            let error =
                judge("Broken GPU (Vulkan)", &tensors).expect_err("wrong numbers are refused");
            assert!(matches!(error, Error::SelfTest { .. }), "{error}");
            assert!(error.to_string().contains("Broken GPU"), "{error}");
            assert!(error.to_string().contains(&format!("{count} of 2 elements")), "{error}");
        }
    }
}
