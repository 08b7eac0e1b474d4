//! Dispatches of everything that the library plans, with the results of their twins.

use std::collections::HashMap;
use std::sync::Arc;

use wgpu_rnn::internals::engine::cpu::{Engine, Weight};
use wgpu_rnn::internals::kernel::uniforms::Dims;
use wgpu_rnn::internals::kernel::{Compiler, Family, Kernel, Overrides};
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::rates::KernelClass;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::recording::{Axis, BufferId, Command, Dispatch, Role};
use wgpu_rnn::internals::plan::{Exchange, Profile, Resident, Storage, Target};
use wgpu_rnn::{Config, Kind, Schedule, WeightType};

use crate::mutant::mutated;
use crate::program::{Program, Ran};
use crate::recordings::{Case, Cases, PROBES, early, fastest};
use crate::shapes;

/// Invocations, and multiply-adds, of a random sample at most.
const MOST_INVOCATIONS: u32 = 1 << 11;
const MOST_WORK: u64 = 1 << 16;
/// Rounds of random recordings, then language models and networks.
const ROUNDS: usize = 6;
const MODELS: usize = 30;
const CHAINS: usize = 20;
/// Hidden sizes and batches at the edges of tiles of 8, 16 and 32 units and of 8 and 16 rows.
const EDGES: [(usize, usize); 6] = [(5, 3), (16, 7), (7, 9), (9, 17), (31, 15), (33, 8)];

/// A dispatch with the words of its bindings before and after it, by its twin.
#[derive(Clone)]
pub struct Sample {
    what: String,
    pub dispatch: Dispatch,
    index: u32,
    pub before: Vec<Vec<u32>>,
    pub after: Vec<Vec<u32>>,
}

impl Sample {
    /// The text of its kernel.
    pub fn text(&self) -> String {
        self.dispatch.kernel.wgsl(&self.dispatch.overrides, Compiler::Naga)
    }

    /// The program of a text of its kernel.
    pub fn program(&self, text: String) -> Result<Program, String> {
        Program::new(self.dispatch.kernel, &self.dispatch.overrides, mutated(text))
    }

    pub fn run(&self, program: &Program) -> Result<Ran, String> {
        program.run(&self.dispatch, self.index, &self.before)
    }

    /// Runs a program and compares its buffers with the twin's.
    ///
    /// # Errors
    /// The first fault of the program or difference of its results.
    pub fn check(&self, program: &Program) -> Result<(), String> {
        let ran = self.run(program).map_err(|error| self.of(&error))?;
        let bindings = self.dispatch.kernel.bindings();
        for ((binding, got), want) in bindings.zip(&ran.buffers).zip(&self.after) {
            let error = difference(got, want);
            error.map_or(Ok(()), |error| Err(self.of(&format!("{}: {error}", binding.name))))?;
        }
        Ok(())
    }

    fn of(&self, error: &str) -> String {
        let Dispatch { kernel, overrides, .. } = &self.dispatch;
        format!("{}: {error}\n    in {overrides:?} of {}", kernel.name(), self.what)
    }
}

/// The first difference between the words of a kernel and its twin's. Floats may differ by the
/// rounding of long sums.
pub fn difference(got: &[u32], want: &[u32]) -> Option<String> {
    let float = |word: u32| f64::from(f32::from_bits(word));
    let is_float = |word: u32| word << 1 == 0 || (1e-30..1e30).contains(&float(word).abs());
    let scale = want.iter().filter(|&&word| is_float(word)).map(|&word| float(word).abs());
    let allowed = 1e-6 * scale.fold(1.0, f64::max);
    let close = |got: u32, want: u32| {
        let both_nan = float(got).is_nan() && float(want).is_nan();
        let near = is_float(got) && is_float(want) && (float(got) - float(want)).abs() <= allowed;
        got == want || both_nan || near
    };
    let at = got.iter().zip(want).position(|(&got, &want)| !close(got, want))?;
    let show = |word: u32| format!("{:e} ({word:#x})", f32::from_bits(word));
    Some(format!("word {at} is {}, want {}", show(got[at]), show(want[at])))
}

/// Samples of every kernel, by devices that differ in what `persistent` may use.
pub fn samples() -> Vec<Sample> {
    let limits = Limits::of(&wgpu::Limits::defaults(), false);
    let storages = WeightType::ALL.iter().map(|&weights| Storage { weights, widened: false });
    let storages: Vec<Storage> = storages.collect();
    let resident = |workgroups, subgroup_size, volatile| {
        Exchange::Resident(Resident { workgroups, subgroup_size, volatile, spins: 100 })
    };
    let calibration = &fastest(KernelClass::Step);
    let profile =
        Profile { limits: &limits, calibration, target: Target::Gpu, exchange: Exchange::OneStep };
    let mut source = Cases::new(profile, storages.clone()).expect("legal limits");
    let mut found = Found::default();
    let exchanges = [(0, false), (8, false), (32, true), (0, true)]
        .map(|(size, volatile)| resident(8, size, volatile));
    for &storage in &storages {
        for exchange in [Exchange::OneStep, exchanges[0], exchanges[1]] {
            let profile = Profile { exchange, ..profile };
            for draw in [(0.8, 5, 0.9), (0.8, 0, 0.6), (0.0, 0, 0.6)] {
                let sizes = (70, 9, Sizes { seq_len: 2, batch: 2 });
                let cases = source.generations(storage, &profile, sizes, draw).expect("plans");
                cases.iter().for_each(|case| found.add(case, true));
            }
        }
        for &kind in Kind::ALL {
            for exchange in exchanges {
                let profile = Profile { exchange, ..profile };
                found.add_edges(&mut source, &profile, storage, &[Schedule::Persistent], kind);
            }
            for class in [KernelClass::Step, KernelClass::StepTiled] {
                let profile = Profile { calibration: &fastest(class), ..profile };
                found.add_edges(&mut source, &profile, storage, &[Schedule::Wavefront], kind);
            }
            let others = [Schedule::Step, Schedule::StepTiled, Schedule::Sequence];
            found.add_edges(&mut source, &profile, storage, &others, kind);
        }
    }
    for shapes in [shapes::tiles, shapes::columns, shapes::lanes, shapes::rows] {
        found.samples.extend(shapes(&mut source, &profile, storages[0]));
    }
    for &storage in &storages {
        let profile = Profile { exchange: resident(32, 0, false), ..profile };
        found.samples.extend(shapes::waiting(&mut source, &profile, storage));
    }
    for _ in 0..ROUNDS {
        source.round().expect("plans, or refusals").iter().for_each(|case| found.add(case, false));
    }
    for _ in 0..MODELS {
        let case = source.language_model().expect("a plan, or a refusal");
        case.iter().for_each(|case| found.add(case, false));
    }
    for _ in 0..CHAINS {
        source
            .chain()
            .expect("a plan, or a refusal")
            .iter()
            .for_each(|case| found.add(case, false));
    }
    let probes = PROBES.iter().filter(|&&family| family != Family::Residence);
    probes.for_each(|&family| found.add(&source.probe(family), true));
    // One workgroup writes its values; of several that would be a race, which no host asks for.
    for (groups, keep) in [(3, 0), (1, 1)] {
        found.add(&source.residence(groups, keep), true);
    }
    found.samples
}

/// Samples of the kernels of one recording.
pub fn of_case(case: &Case) -> Vec<Sample> {
    let mut found = Found::default();
    found.add(case, true);
    found.samples
}

#[derive(Default)]
struct Found {
    samples: Vec<Sample>,
    /// The number of samples of a kernel of one step, or of several.
    alike: HashMap<(Kernel, Overrides, bool), usize>,
}

impl Found {
    /// Modules whose sizes lie at the edges of tiles. A row has NaN in its state.
    fn add_edges(
        &mut self,
        source: &mut Cases<'_>,
        profile: &Profile<'_>,
        storage: Storage,
        schedules: &[Schedule],
        kind: Kind,
    ) {
        for &schedule in schedules {
            let projected = kind == Kind::Lstm && schedule != Schedule::Sequence;
            for (at, (hidden_size, batch)) in EDGES.into_iter().enumerate() {
                let layers = if schedule == Schedule::Wavefront { 2 } else { 1 };
                let config = Config::new(kind, 3, hidden_size).num_layers(layers);
                let config = config.bidirectional(layers == 1 && batch % 2 == 0);
                let sizes = Sizes { seq_len: 3, batch };
                for proj_size in [0, hidden_size - 2].into_iter().take(1 + usize::from(projected)) {
                    let plain = config.clone().proj_size(proj_size);
                    let varied = (at % 2 == 0).then(|| source.varied(plain.clone()));
                    let early = varied.clone().map(early);
                    for module in [Some(plain), varied, early].into_iter().flatten() {
                        let module = (schedule, module);
                        let case = source.exactly(profile, storage, module, sizes, false);
                        if let Some(mut case) = case.expect("a plan, or a refusal") {
                            spoil(&mut case);
                            self.add(&case, true);
                        }
                    }
                }
            }
        }
    }

    /// Runs a recording by its twins, and keeps dispatches of kernels that are not there yet.
    fn add(&mut self, case: &Case, of_any_size: bool) {
        let Case { what, recording, weights, contents } = case;
        let floats = |words: &[u32]| words.iter().map(|&w| f32::from_bits(w)).collect::<Vec<_>>();
        let of_weight = |at: usize| Weight::new(&recording.buffers[at], floats(&contents[at]));
        let packed = Arc::new((0..*weights).map(of_weight).collect());
        let mut engine = Engine::new(Arc::new(recording.clone()), packed).expect("memory");
        for (at, words) in contents.iter().enumerate().skip(*weights) {
            if recording.whole(BufferId(at)).0 == BufferId(at) {
                engine.buffer_mut(BufferId(at)).copy_from_slice(&floats(words));
            }
        }
        let words = |engine: &Engine, dispatch: &Dispatch| -> Vec<Vec<u32>> {
            let of = |id: &BufferId| match contents.get(id.0) {
                Some(words) if id.0 < *weights => words.clone(),
                _ => engine.buffer(*id).iter().map(|value| value.to_bits()).collect(),
            };
            dispatch.bindings.iter().map(of).collect()
        };
        for command in &recording.commands {
            if let &Command::Clear { buffer, start, len } = command {
                engine.clear(buffer, start, len);
            }
            for index in 0..command.count() {
                for dispatch in command.dispatches(index) {
                    let wanted = self.wants(dispatch, of_any_size);
                    let before = wanted.then(|| words(&engine, dispatch));
                    engine.dispatch(dispatch, index);
                    if let Some(before) = before {
                        let after = words(&engine, dispatch);
                        let (what, dispatch) = (what.clone(), dispatch.clone());
                        self.samples.push(Sample { what, dispatch, index, before, after });
                    }
                }
            }
        }
    }

    fn wants(&mut self, dispatch: &Dispatch, of_any_size: bool) -> bool {
        let Dispatch { kernel, overrides, workgroups, .. } = dispatch;
        let invocations = kernel.workgroup(overrides).size[0] * workgroups.iter().product::<u32>();
        let is_small = invocations <= MOST_INVOCATIONS && dispatch.multiply_adds() <= MOST_WORK;
        let many_steps = match dispatch.dims {
            Dims::Sequence(dims) => dims.steps > 1,
            Dims::Persistent(dims) => dims.steps > 1,
            _ => false,
        };
        // The settings of `sample` choose its branches. Kernels of many sizes are cheap.
        let most = match kernel.family {
            Family::Sample => 64,
            _ if dispatch.overrides == Overrides::default() => 24,
            Family::Matvec | Family::Tile => 24,
            _ if many_steps => 2,
            _ => 3,
        };
        let alike = self.alike.entry((*kernel, *overrides, many_steps)).or_default();
        let wanted = *alike < most && (is_small || of_any_size);
        *alike += usize::from(wanted);
        wanted
    }
}

/// Puts NaN into the second row of each state and into the last, which rows past the end repeat.
fn spoil(case: &mut Case) {
    for (spec, words) in case.recording.buffers.iter().zip(&mut case.contents) {
        let rows =
            spec.axes.iter().find(|(axis, _)| *axis == Axis::Row).map_or(0, |(_, rows)| *rows);
        let has_units = spec.axes.iter().any(|(axis, _)| *axis == Axis::Unit);
        if spec.role != Role::State || !has_units {
            continue;
        }
        for (at, word) in words.iter_mut().enumerate() {
            let place = spec.unravel(at);
            if [1, rows.saturating_sub(1)].iter().any(|&row| place.contains(&(Axis::Row, row))) {
                *word = f32::NAN.to_bits();
            }
        }
    }
}
