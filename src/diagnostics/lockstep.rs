//! Lockstep: every dispatch runs on the GPU and through its twin from the same inputs, and the two
//! outputs are compared.
//!
//! A free run shows how far a device drifts from the definition. Lockstep shows which kernel is
//! wrong, and where.

mod report;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostics::compare::Tolerance;
use crate::engine::cpu;
use crate::engine::device::Device;
use crate::engine::gpu;
use crate::engine::session::{Session, Weights};
use crate::engine::wait::Waiting;
use crate::error::{Error, Result};
use crate::kernel::Access;
use crate::kernel::uniforms::Dims;
use crate::nn::options::LoadOptions;
use crate::nn::pack::{Inputs, Packer};
use crate::nn::rnn::Rnn;
use crate::nn::rnn::forward::ForwardPlan;
use crate::nn::runner::Prepared;
use crate::params::{Params, validate};
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Dispatch, Recording};
use crate::tensor::{State, Tensor};
pub use report::{KernelReport, WorstElement};

/// Runs `params` over `input` on `device` and through the twins, dispatch by dispatch.
///
/// `options` apply as in [`Rnn::with_options`]. If the batch needs several passes, only the
/// first is compared. `tolerance` allows each value a difference. Its absolute part grows with the
/// largest value that the twin wrote, because sums of large products round in proportion to them.
///
/// # Errors
/// [`Error::Unsupported`] for the CPU, whose engine *is* the twins; the errors of
/// [`Rnn::forward`](crate::Rnn::forward).
pub fn lockstep(
    device: &Device,
    params: &Params,
    input: &Tensor,
    lengths: Option<&[usize]>,
    state: Option<&State>,
    tolerance: Tolerance,
    options: &LoadOptions,
) -> Result<Vec<KernelReport>> {
    let waiting = device.blocking()?;
    pollster::block_on(run(device, params, (input, lengths, state), tolerance, options, waiting))
}

/// The asynchronous form of [`lockstep`].
///
/// # Errors
/// The errors of [`lockstep`].
pub async fn lockstep_async(
    device: &Device,
    params: &Params,
    input: &Tensor,
    lengths: Option<&[usize]>,
    state: Option<&State>,
    tolerance: Tolerance,
    options: &LoadOptions,
) -> Result<Vec<KernelReport>> {
    run(device, params, (input, lengths, state), tolerance, options, Waiting::Await).await
}

async fn run(
    device: &Device,
    params: &Params,
    (input, lengths, state): (&Tensor, Option<&[usize]>, Option<&State>),
    tolerance: Tolerance,
    options: &LoadOptions,
    waiting: Waiting,
) -> Result<Vec<KernelReport>> {
    let config = &options.configure(params)?;
    let shapes = state.map(|s| (s.h.shape(), s.c.as_ref().map(Tensor::shape)));
    let checked = validate::forward(config, input.shape(), shapes)?;
    if let Some(lengths) = lengths {
        validate::lengths(lengths, checked)?;
    }
    let inputs = Inputs { input: input.view(), lengths, state, seed: None, sizes: checked.sizes };
    let sizes = inputs.live_sizes();
    if sizes.batch == 0 || sizes.seq_len == 0 {
        return Ok(Vec::new());
    }
    let rnn = Rnn::with_options(device, params, options)?;
    let mut prepared = rnn.prepare(rnn.pass_sizes(sizes, false)?, false)?;
    let Prepared { plan: ForwardPlan { layers: plan, .. }, session, packed, .. } = &mut prepared;
    let recording = Arc::new(plan.recording.clone());
    let (layout, weights) = (rnn.layout(), rnn.layout().buffers().len());
    let mut pair = Pair::new(&recording, session, weights, |index| layout.pack(index, params))?;
    let rows = 0..plan.sizes.batch;
    let packer = Packer::of(config, plan, &inputs, rows);
    packer.write_inputs(&inputs, packed, |id, values| pair.write(id, values))?;
    let place = (sizes.seq_len, config.kind.gate_names());
    pair.compare(&recording, tolerance, place, waiting).await
}

/// Runs a recording on `device` and through the twins as [`lockstep`] does. Its first buffers are
/// the `weights`; `start` returns the contents of each buffer before the run.
///
/// # Errors
/// The errors of [`lockstep`].
#[doc(hidden)]
pub fn lockstep_of(
    device: &Device,
    recording: &Arc<Recording>,
    weights: usize,
    start: impl Fn(usize) -> Vec<f32>,
    tolerance: Tolerance,
) -> Result<Vec<KernelReport>> {
    let loaded = Weights::load(device.engine(), &recording.buffers[..weights], &start)?;
    let session = Session::new(Arc::clone(recording), &loaded)?;
    let mut pair = Pair::new(recording, &session, weights, &start)?;
    for id in (weights..recording.buffers.len()).map(BufferId) {
        if recording.whole(id).0 == id {
            pair.write(id, Some(&start(id.0)))?;
        }
    }
    pollster::block_on(pair.compare(recording, tolerance, (0, &[]), device.blocking()?))
}

/// The GPU engine and the engine of the twins.
struct Pair<'a> {
    gpu: &'a gpu::Engine,
    cpu: cpu::Engine,
}

impl<'a> Pair<'a> {
    /// The engine of `session`, and a CPU engine that reads the same weights.
    fn new(
        recording: &Arc<Recording>,
        session: &'a Session,
        weights: usize,
        pack: impl Fn(usize) -> Vec<f32>,
    ) -> Result<Self> {
        let Session::Gpu(gpu) = session else {
            return Err(Error::Unsupported(
                "lockstep on the cpu, which runs the twins themselves; name a GPU".to_owned(),
            ));
        };
        let weight = |(index, spec)| cpu::Weight::new(spec, pack(index));
        let weights = recording.buffers[..weights].iter().enumerate().map(weight).collect();
        Ok(Self { gpu, cpu: cpu::Engine::new(Arc::clone(recording), Arc::new(weights))? })
    }

    /// Runs each dispatch on both engines and compares the buffers that it writes. T and the gates'
    /// letters name the place of a value.
    async fn compare(
        mut self,
        recording: &Recording,
        tolerance: Tolerance,
        (seq_len, gates): (usize, &[&'static str]),
        waiting: Waiting,
    ) -> Result<Vec<KernelReport>> {
        let mut reports: BTreeMap<String, KernelReport> = BTreeMap::new();
        for (at, command) in recording.commands.iter().enumerate() {
            if let &Command::Clear { buffer, start, len } = command {
                self.cpu.clear(buffer, start, len);
                self.gpu.run_clear(at)?;
            }
            for index in 0..command.count() {
                for (which, dispatch) in command.dispatches(index).iter().enumerate() {
                    self.cpu.dispatch(dispatch, index);
                    self.gpu.run_dispatch(at, index, which)?;
                    let name = dispatch.kernel.name();
                    let report =
                        reports.entry(name.clone()).or_insert_with(|| KernelReport::of(name));
                    report.dispatches += 1;
                    let bound = dispatch.kernel.bindings().zip(&dispatch.bindings);
                    for (_, id) in bound.filter(|(binding, _)| binding.access == Access::ReadWrite)
                    {
                        let spec = recording.spec(*id);
                        let range = written_range(spec, dispatch, index);
                        let got = self.gpu.fetch(*id, range.clone(), waiting).await?;
                        let want = self.cpu.buffer(*id)[range.clone()].to_vec();
                        // Both continue with the twin's values, so that a fault shows only in the
                        // kernel that has it.
                        self.gpu.write_at(*id, range.start, &want)?;
                        let at = |offset| range.start + offset;
                        report.add(&got, &want, tolerance, |offset| {
                            locate(spec, dispatch, index, at(offset), seq_len, gates)
                        });
                    }
                }
            }
        }
        Ok(reports.into_values().collect())
    }

    /// Writes the values of a buffer, or zeros.
    fn write(&mut self, id: BufferId, values: Option<&[f32]>) -> Result<()> {
        let Some(values) = values else {
            self.cpu.buffer_mut(id).fill(0.0);
            self.gpu.clear(id);
            return Ok(());
        };
        self.cpu.buffer_mut(id).copy_from_slice(values);
        self.gpu.write(id, values)
    }
}

/// The values of a buffer that a dispatch may have written: one step of a sequence, or a whole
/// state.
fn written_range(spec: &BufferSpec, dispatch: &Dispatch, index: u32) -> Range<usize> {
    match spec.axes.first() {
        Some(&(Axis::Step, steps)) if dispatch.kernel.row().stepped => {
            let step = spec.len() / steps.max(1);
            index as usize * step..(index as usize + 1) * step
        }
        _ => 0..spec.len(),
    }
}

fn locate(
    spec: &BufferSpec,
    dispatch: &Dispatch,
    index: u32,
    offset: usize,
    seq_len: usize,
    gates: &[&'static str],
) -> WorstElement {
    let axes = spec.unravel(offset);
    let get = |axis| axes.iter().find(|(kind, _)| *kind == axis).map(|&(_, at)| at);
    let direction = get(Axis::Direction).unwrap_or(0);
    let layer = get(Axis::Layer).unwrap_or(dispatch.place.layer);
    let now = match &dispatch.dims {
        Dims::Step(dims) if dims.layer_delay > 0 => {
            (dims.first_index + index).saturating_sub(layer as u32 * dims.layer_delay)
        }
        _ => index,
    };
    let step = dispatch.place.first_step + get(Axis::Step).unwrap_or(now as usize);
    WorstElement {
        buffer: spec.label.clone(),
        layer,
        direction,
        time: if direction == 1 { seq_len.saturating_sub(1 + step) } else { step },
        row: get(Axis::Row).unwrap_or(0),
        unit: get(Axis::Unit).unwrap_or(0),
        gate: get(Axis::Gate).and_then(|gate| gates.get(gate).copied()),
        got: 0.0,
        want: 0.0,
        ratio: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{KernelReport, WorstElement, locate};
    use crate::diagnostics::compare::Tolerance;
    use crate::dtype::WeightType;
    use crate::kernel::uniforms::{Dims, StepDims};
    use crate::kernel::{Cell, Family, Kernel, Overrides};
    use crate::plan::recording::{Axis, BufferSpec, Dispatch, Place, Role};

    fn dispatch() -> Dispatch {
        let dims = <StepDims as bytemuck::Zeroable>::zeroed();
        Dispatch {
            kernel: Kernel::with_cell(Family::Step, Cell::Lstm, WeightType::F32),
            place: Place { layer: 1, first_step: 10 },
            overrides: Overrides::default(),
            dims: Dims::Step(dims),
            bindings: Vec::new(),
            workgroups: [1; 3],
            in_place: false,
        }
    }

    fn spec() -> BufferSpec {
        let axes = vec![
            (Axis::Step, 3),
            (Axis::Row, 2),
            (Axis::Direction, 2),
            (Axis::Unit, 5),
            (Axis::Gate, 4),
        ];
        BufferSpec { label: "gates_x".to_owned(), axes, role: Role::Scratch }
    }

    #[test]
    fn an_element_is_located_in_the_words_of_the_model() {
        // Step 2, row 1, reverse, unit 3, gate f of a segment that starts at step 10 of 20.
        let offset = (((2 * 2 + 1) * 2 + 1) * 5 + 3) * 4 + 1;
        let at = locate(&spec(), &dispatch(), 0, offset, 20, &["i", "f", "g", "o"]);
        assert_eq!((at.layer, at.direction, at.time), (1, 1, 20 - 1 - 12), "{at}");
        assert_eq!((at.row, at.unit, at.gate), (1, 3, Some("f")), "{at}");
    }

    #[test]
    fn an_element_of_a_wave_is_located_in_its_layer() {
        let mut wave = dispatch();
        let Dims::Step(dims) = &mut wave.dims else { unreachable!("made above") };
        (dims.first_index, dims.layer_delay) = (12, 4);
        let axes = vec![(Axis::Layer, 3), (Axis::Row, 2), (Axis::Unit, 5)];
        let state = BufferSpec { label: "c".to_owned(), axes, role: Role::Scratch };
        // Layer 2, row 1, unit 3, at index 1 of the wave: 8 steps after the first layer.
        let at = locate(&state, &wave, 1, (2 * 2 + 1) * 5 + 3, 20, &[]);
        assert_eq!((at.layer, at.time, at.row, at.unit), (2, 10 + 12 + 1 - 8, 1, 3), "{at}");
    }

    #[test]
    fn a_wrong_value_is_reported_where_it_is() {
        let report = |got: &[f32]| {
            let mut report = KernelReport {
                kernel: "step_lstm".to_owned(),
                dispatches: 1,
                count: 0,
                mismatches: 0,
                max_abs: 0.0,
                worst: None,
            };
            let place = |offset| WorstElement {
                unit: offset,
                ..locate(&spec(), &dispatch(), 0, 0, 20, &[])
            };
            report.add(got, &[0.5, -0.25, 1.0], Tolerance::F32, place);
            report
        };
        assert!(report(&[0.5, -0.25, 1.0]).agrees(), "equal values agree");
        for wrong in [
            [0.5, 0.25, 1.0],
            [0.5, f32::NAN, 1.0],
            [0.5, f32::INFINITY, 1.0],
            [0.5, 0.0, 1.000_001],
        ] {
            let report = report(&wrong);
            assert!(!report.agrees(), "{wrong:?} differs at 1");
            assert_eq!(
                report.worst.map(|worst| worst.unit),
                Some(1),
                "{wrong:?} differs most at 1"
            );
        }
    }
}
