//! Recordings of the kernels in `shaders/probe`.

use std::sync::Arc;

use super::Run;
use crate::dtype::WeightType;
use crate::engine::device::Device;
use crate::engine::session::{Session, Weights};
use crate::engine::wait::Waiting;
use crate::error::Result;
use crate::kernel::families::PROBE_WORKGROUP;
use crate::kernel::uniforms::{Dims, ProbeDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::plan::check_kernel;
use crate::plan::recording::{
    Axis, BufferId, BufferSpec, Command, Dispatch, Place, Recording, Role,
};

/// The most loop iterations of one invocation, below the limit of every known adapter.
pub(super) const MAX_ITERATIONS: u64 = 50_000;

/// A recording of one kernel on a device.
pub(super) struct Probe {
    pub(super) session: Session,
    pub(super) result: BufferId,
}

impl Probe {
    /// One dispatch of a kernel over weights that it reads and `quads` quads that it writes.
    pub(super) fn on(
        device: &Device,
        family: Family,
        x: Option<(&Weights, &BufferSpec)>,
        groups: u64,
        (iterations, tiles): (u64, u64),
        quads: u64,
    ) -> Result<Self> {
        let dims = Dims::Probe(ProbeDims {
            iterations: iterations as u32,
            tiles: tiles as u32,
            pad: [0; 2],
        });
        let kernel = Kernel::new(family, WeightType::F32);
        check_kernel(kernel, &Overrides::default(), &dims, device.limits())?;
        let mut recording = Recording::default();
        let mut bindings: Vec<BufferId> =
            x.iter().map(|(_, spec)| recording.buffer((*spec).clone())).collect();
        let axes = vec![(Axis::Feature, quads as usize * 4)];
        let result =
            recording.buffer(BufferSpec { label: "y".to_owned(), axes, role: Role::Output });
        bindings.push(result);
        recording.commands.push(Command::Dispatch(Dispatch {
            kernel,
            place: Place::default(),
            overrides: Overrides::default(),
            dims,
            bindings,
            workgroups: [groups as u32, 1, 1],
            in_place: false,
        }));
        Self::of(device, recording, x.map(|(weights, _)| weights), result)
    }

    /// `steps` dispatches of `chain`, each of which depends on the previous one.
    pub(super) fn chain(device: &Device, steps: u64) -> Result<Self> {
        let mut recording = Recording::default();
        let mut buffer = |label: &str| {
            let axes = vec![(Axis::Feature, PROBE_WORKGROUP)];
            recording.buffer(BufferSpec { label: label.to_owned(), axes, role: Role::State })
        };
        let [x, y] = [buffer("x"), buffer("y")];
        let dispatch = |bindings| Dispatch {
            kernel: Kernel::new(Family::Chain, WeightType::F32),
            place: Place::default(),
            overrides: Overrides::default(),
            dims: Dims::Probe(ProbeDims { iterations: 1, tiles: 2, pad: [0; 2] }),
            bindings,
            workgroups: [1, 1, 1],
            in_place: false,
        };
        let by_parity = [vec![dispatch(vec![x, y])], vec![dispatch(vec![y, x])]];
        recording.commands.push(Command::Steps { count: steps as u32, first_step: 0, by_parity });
        let mut probe =
            Self::of(device, recording, None, if steps.is_multiple_of(2) { x } else { y })?;
        probe.session.write(x, &[0.0; PROBE_WORKGROUP])?;
        Ok(probe)
    }

    pub(super) fn of(
        device: &Device,
        recording: Recording,
        weights: Option<&Weights>,
        result: BufferId,
    ) -> Result<Self> {
        let none = Weights::load(device.engine(), &[], |_| Vec::new())?;
        Ok(Self { session: Session::new(Arc::new(recording), weights.unwrap_or(&none))?, result })
    }

    /// Measures a run in microseconds, by the device's clock if it has one.
    pub(super) async fn time(&mut self, waiting: Waiting) -> Result<f64> {
        self.run(waiting).await.map(|run| run.us)
    }

    /// Runs, and reads the result.
    pub(super) async fn run(&mut self, waiting: Waiting) -> Result<Run> {
        Run::of(&mut self.session, &[self.result], self.result, waiting).await
    }
}
