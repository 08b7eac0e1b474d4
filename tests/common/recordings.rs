//! Recordings of random modules, and what their buffers hold before a run.

#![allow(dead_code, reason = "each test program uses some of it")]

mod random_networks;

use random_networks::{RandomNetwork, TOKENS};
use wgpu_rnn::internals::kernel::families::NO_SLOT;
use wgpu_rnn::internals::kernel::uniforms::{
    ContextDims, Dims, PackDims, ProbeDims, ResidenceDims, ScoresDims, SoftmaxDims,
};
use wgpu_rnn::internals::kernel::{Family, Kernel, Overrides};
use wgpu_rnn::internals::params::language_model::LanguageModelConfig;
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::perf::rates::{KernelClass, Rate};
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::recording::{
    Axis, BufferId, BufferSpec, Command, Dispatch, Place, Recording, Role,
};
use wgpu_rnn::internals::plan::{
    GenerationLayout, LanguageModelLayout, NetworkLayout, Plan, Profile, Request, Storage, Wanted,
    WeightLayout, network_schedules, plan, plan_generation, plan_generation_at_once, plan_network,
    plan_pass, plan_pool,
};
use wgpu_rnn::language_model::LanguageModelParams;
use wgpu_rnn::network::StepShape;
use wgpu_rnn::variant::{ActivationFunction, Coupling, Reset, Variant};
use wgpu_rnn::{Config, Device, Error, Kind, Params, Schedule, WeightType};

/// The first contents of buffers that kernels write: a value that no kernel computes.
pub const UNWRITTEN: u32 = 0x3f9e_07a5;

/// A recording with the words of its buffers before the run. Its weights come first.
#[derive(Clone)]
pub struct Case {
    pub what: String,
    pub recording: Recording,
    pub weights: usize,
    pub contents: Vec<Vec<u32>>,
}

impl Case {
    /// The kernels that it runs.
    pub fn kernels(&self) -> impl Iterator<Item = Kernel> {
        let of_command = |command: &Command| {
            let dispatches = (0..command.count().min(2)).flat_map(|at| command.dispatches(at));
            dispatches.map(|dispatch| dispatch.kernel).collect::<Vec<_>>()
        };
        self.recording.commands.iter().flat_map(of_command)
    }
}

/// The same module without a second product in a step, which some schedules lack.
fn one_product(mut config: Config) -> Config {
    config.variant.projection_clip = None;
    config.variant.reset = Reset::AfterProduct;
    config.proj_size(0)
}

/// The same module, whose reset gate comes before the product if it is a GRU.
pub fn early(mut config: Config) -> Config {
    if config.kind == Kind::Gru {
        config.variant.reset = Reset::BeforeProduct;
    }
    config
}

/// A source of cases for one device.
pub struct Cases<'a> {
    profile: Profile<'a>,
    /// How the device stores f32 weights, and perhaps f16 weights.
    storages: Vec<Storage>,
    limits: Vec<Limits>,
    random: Mt19937,
}

impl<'a> Cases<'a> {
    pub fn of(device: &'a Device) -> Result<Self, Error> {
        let storages = WeightType::ALL.iter().filter_map(|&weights| device.storage(weights).ok());
        Self::new(device.profile(), storages.collect())
    }

    pub fn new(profile: Profile<'a>, storages: Vec<Storage>) -> Result<Self, Error> {
        let lowered = [
            // Workgroups in two dimensions, some of which have nothing to do.
            ("max_compute_workgroups_per_dimension", 7),
            ("max_compute_workgroups_per_dimension", 3),
            // Segments of time, and shards of weights.
            ("max_storage_buffer_binding_size", 16_384),
            ("max_storage_buffer_binding_size", 5_000),
            ("max_steps_per_dispatch", 3),
        ];
        let with = |(name, value)| {
            let mut limits = profile.limits.clone();
            limits.set(name, value).map(|()| limits)
        };
        let mut limits: Vec<_> = lowered.into_iter().map(with).collect::<Result<_, _>>()?;
        limits.push(profile.limits.clone());
        Ok(Self { profile, storages, limits, random: Mt19937::new(12) })
    }

    fn pick(&mut self, from: &[usize]) -> usize {
        from[self.random.next_u32() as usize % from.len()]
    }

    fn config(&mut self) -> Config {
        let kind = Kind::ALL[self.pick(&[0, 1, 2, 2, 3, 3])];
        let hidden_size = self.pick(&[1, 2, 5, 16, 31, 33, 64, 130]);
        let proj_size = if kind == Kind::Lstm { self.pick(&[0, 0, 1, 4, 30]) } else { 0 };
        let config = Config::new(kind, self.pick(&[1, 3, 4, 17, 40]), hidden_size)
            .num_layers(self.pick(&[1, 2, 2, 3]))
            .bidirectional(self.pick(&[0, 1]) == 1)
            .bias(self.pick(&[0, 1, 1]) == 1)
            .proj_size(proj_size.min(hidden_size - 1));
        // Each variant is a kernel more, which adapters compile.
        match self.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]) {
            0 => config,
            1 => self.varied(config),
            _ => early(self.varied(config)),
        }
    }

    /// A module whose cell differs from PyTorch's: other functions, and perhaps clips, peepholes or
    /// coupled gates.
    pub fn varied(&mut self, config: Config) -> Config {
        let is_lstm = config.kind == Kind::Lstm;
        let mut function = || {
            let function = ActivationFunction::ALL[self.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])];
            function.with(Some([0.3, 0.5, 1.1][self.pick(&[0, 1, 2])]), Some(0.2))
        };
        let functions = [[(); 3]; 2].map(|direction| direction.map(|()| function()));
        let mut variant = Variant::default();
        variant.functions = Some(functions);
        variant.gate_clip = [None, Some(0.4), Some(2.0)][self.pick(&[0, 1, 2])];
        if is_lstm {
            variant.cell_clip = [None, Some(0.3)][self.pick(&[0, 1])];
            variant.projection_clip = (config.proj_size > 0).then_some(0.1);
            variant.peepholes = self.pick(&[0, 1]) == 1;
            variant.coupling =
                [None, Some(Coupling::ForgetFromInput), Some(Coupling::InputFromForget)]
                    [self.pick(&[0, 1, 2])];
        }
        config.variant(variant)
    }

    fn storage(&mut self) -> Storage {
        let at = self.pick(&[0, 1]);
        self.storages[at.min(self.storages.len() - 1)]
    }

    fn limits(&mut self) -> Limits {
        let at = self.random.next_u32() as usize % self.limits.len();
        self.limits[at].clone()
    }

    /// Recordings of everything that the library plans. Limits and schedules refuse some.
    pub fn round(&mut self) -> Result<Vec<Case>, Error> {
        let mut cases = Vec::new();
        for &schedule in Schedule::ALL {
            cases.extend(self.network(schedule)?);
        }
        for schedule in [Schedule::Step, Schedule::StepTiled, Schedule::Sequence] {
            cases.extend(self.pool(schedule)?);
        }
        for _ in 0..2 {
            cases.extend(self.language_model()?);
            cases.extend(self.chain()?);
        }
        cases.extend(self.transfer(Family::Pack)?);
        cases.extend(self.transfer(Family::Unpack)?);
        cases.extend(self.attention()?);
        Ok(cases)
    }

    /// A forward pass by a schedule; `None` where the schedule or a limit refuses it.
    pub fn network(&mut self, schedule: Schedule) -> Result<Option<Case>, Error> {
        let training = schedule != Schedule::Wavefront && self.pick(&[0, 0, 1]) == 1;
        let mut config = self.config().dropout(if training { 0.5 } else { 0.0 });
        if schedule == Schedule::Wavefront {
            let layers = config.num_layers.max(2);
            config = one_product(config.num_layers(layers).bidirectional(false));
        } else if schedule == Schedule::Sequence {
            config = one_product(config);
        }
        let sizes = Sizes {
            seq_len: self.pick(&[1, 2, 3, 7, 16]),
            batch: self.pick(&[1, 2, 3, 8, 9, 33, 70]),
        };
        self.planned(schedule, config, sizes, training)
    }

    fn planned(
        &mut self,
        schedule: Schedule,
        config: Config,
        sizes: Sizes,
        training: bool,
    ) -> Result<Option<Case>, Error> {
        let (limits, storage) = (self.limits(), self.storage());
        // A wavefront takes the kernel of the faster schedule.
        let class = [KernelClass::Step, KernelClass::StepTiled][self.pick(&[0, 1])];
        let profile = Profile { limits: &limits, calibration: &fastest(class), ..self.profile };
        self.exactly(&profile, storage, (schedule, config), sizes, training)
    }

    /// A forward pass of a module by a schedule; `None` where the schedule or a limit refuses it.
    pub fn exactly(
        &mut self,
        profile: &Profile<'_>,
        storage: Storage,
        (schedule, config): (Schedule, Config),
        sizes: Sizes,
        training: bool,
    ) -> Result<Option<Case>, Error> {
        let Some(weights) = possible(WeightLayout::stored(&config, storage, profile.limits))?
        else {
            return Ok(None);
        };
        let request = Request { config: &config, weights: &weights, sizes, training };
        let Some(plan) = possible(plan(&request, profile, schedule))? else { return Ok(None) };
        let params = Params::init(&config, 1)?;
        let given = self.of_layers(&plan, sizes.seq_len);
        let what = format!("{schedule}: {config:?}, {sizes:?}, {storage:?}");
        let pack = |index| weights.pack(index, &params);
        Ok(Some(self.case(what, plan.recording, weights.buffers().len(), pack, given)))
    }

    /// A forward pass by each kernel of a variant.
    pub fn variants(&mut self, storage: Storage) -> Result<Vec<Case>, Error> {
        let mut cases = Vec::new();
        let sizes = Sizes { seq_len: 3, batch: 5 };
        for class in [KernelClass::Step, KernelClass::StepTiled] {
            let profile = Profile { calibration: &fastest(class), ..self.profile };
            for &schedule in Schedule::ALL {
                let layers = if schedule == Schedule::Wavefront { 2 } else { 1 };
                for kind in [Kind::RnnTanh, Kind::Lstm, Kind::Gru] {
                    let plain = Config::new(kind, 5, 9).num_layers(layers);
                    let projected = (kind == Kind::Lstm).then(|| plain.clone().proj_size(6));
                    for config in [Some(plain), projected].into_iter().flatten() {
                        let varied = self.varied(config);
                        for config in [early(varied.clone()), varied] {
                            let module = (schedule, config);
                            cases.extend(self.exactly(&profile, storage, module, sizes, false)?);
                        }
                    }
                }
            }
        }
        Ok(cases)
    }

    /// Networks whose every buffer is used to its end.
    pub fn whole(&mut self) -> Result<Vec<Case>, Error> {
        let full = self.profile.limits.clone();
        self.limits = vec![full];
        let wholes = [
            (Schedule::Step, Config::gru(8, 12).num_layers(2).bidirectional(true)),
            (Schedule::Step, Config::lstm(8, 12).proj_size(8)),
            (Schedule::StepTiled, Config::lstm(4, 8).bidirectional(true)),
            (Schedule::Persistent, Config::gru(4, 8).bidirectional(true)),
            (Schedule::Sequence, Config::rnn(4, 8)),
            (Schedule::Wavefront, Config::gru(8, 8).num_layers(2)),
        ];
        let mut cases = Vec::new();
        for (schedule, config) in wholes {
            let sizes = Sizes { seq_len: 4, batch: 4 };
            let mut case = self.planned(schedule, config, sizes, false)?.expect("a small network");
            // All rows have all steps.
            let lengths = |spec: &BufferSpec| spec.label == "lengths";
            let at = case.recording.buffers.iter().position(lengths).expect("lengths");
            case.contents[at].fill(4);
            cases.push(case);
        }
        Ok(cases)
    }

    /// Lengths from 0 to T, and the settings of dropout.
    fn of_layers(&mut self, plan: &Plan, seq_len: usize) -> Vec<(BufferId, Vec<u32>)> {
        let lengths = self.words(&plan.recording, plan.lengths, seq_len as u32 + 1);
        let dropout = plan.dropout.map(|id| self.words(&plan.recording, id, u32::MAX));
        [Some(lengths), dropout].into_iter().flatten().collect()
    }

    /// Random words below `end` for a buffer.
    fn words(&mut self, recording: &Recording, id: BufferId, end: u32) -> (BufferId, Vec<u32>) {
        (id, (0..recording.spec(id).len()).map(|_| self.random.next_u32() % end).collect())
    }

    fn case(
        &mut self,
        what: String,
        recording: Recording,
        weights: usize,
        pack: impl Fn(usize) -> Vec<f32>,
        given: Vec<(BufferId, Vec<u32>)>,
    ) -> Case {
        let mut contents: Vec<Vec<u32>> = Vec::new();
        for (index, spec) in recording.buffers.iter().enumerate() {
            contents.push(match spec.role {
                Role::Weight => to_words(&pack(index)),
                Role::Input | Role::State => {
                    to_words(&self.random.uniform_vec(spec.len(), -1.0, 1.0))
                }
                Role::Scratch | Role::Output => vec![UNWRITTEN; spec.len()],
            });
        }
        given.into_iter().for_each(|(id, words)| contents[id.0] = words);
        Case { what, recording, weights, contents }
    }

    /// Ticks of a pool, of all numbers of rows.
    pub fn pool(&mut self, schedule: Schedule) -> Result<Option<Case>, Error> {
        let config = one_product(self.config().bidirectional(false));
        let (limits, storage) = (self.limits(), self.storage());
        let sizes = Sizes { seq_len: self.pick(&[1, 2, 3]), batch: self.pick(&[1, 3, 8, 33]) };
        let slots = self.pick(&[1, 5, 40]);
        let profile = Profile { limits: &limits, ..self.profile };
        let Some(weights) = possible(WeightLayout::stored(&config, storage, &limits))? else {
            return Ok(None);
        };
        let request = Request { config: &config, weights: &weights, sizes, training: false };
        let Some(pool) = possible(plan_pool(&request, slots, &profile, schedule))? else {
            return Ok(None);
        };
        let recording = pool.tick.recording.clone();
        let lengths = pool.tick.lengths.iter();
        let words = |&(id, _)| self.words(&recording, id, sizes.seq_len as u32 + 1);
        let mut given: Vec<_> = lengths.map(words).collect();
        // Slots from the last one on; rows without a slot in between and after them.
        let mut free = (0..slots as u32).rev();
        let rows = 0..recording.spec(pool.slots).len();
        let of_row = |row| if row % 3 == 1 { NO_SLOT } else { free.next().unwrap_or(NO_SLOT) };
        given.push((pool.slots, rows.map(of_row).collect()));
        let params = Params::init(&config, 1)?;
        let what = format!("a pool of {slots} by {schedule}: {config:?}, {sizes:?}, {storage:?}");
        let pack = |index| weights.pack(index, &params);
        Ok(Some(self.case(what, recording, weights.buffers().len(), pack, given)))
    }

    /// A pass of a language model, or a generation.
    pub fn language_model(&mut self) -> Result<Option<Case>, Error> {
        let kind = Kind::ALL[self.pick(&[0, 1, 2, 3])];
        let (ntoken, nhid) = (self.pick(&[1, 7, 65, 300]), self.pick(&[4, 9, 33]));
        let tied = self.pick(&[0, 1]) == 1;
        let ninp = if tied { nhid } else { self.pick(&[3, 8, 20]) };
        let config = LanguageModelConfig::new(kind, ntoken, ninp, nhid, self.pick(&[1, 2]));
        let config = config.tie_weights(tied).dropout(0.25);
        let (limits, storage) = (self.limits(), self.storage());
        let sizes = Sizes { seq_len: self.pick(&[1, 2, 5]), batch: self.pick(&[1, 3, 20]) };
        let profile = Profile { limits: &limits, ..self.profile };
        let Some(layout) = possible(LanguageModelLayout::stored(&config, storage, &limits))? else {
            return Ok(None);
        };
        let params = LanguageModelParams::init(&config, 1)?;
        let weights = layout.buffers().len();
        let what = format!("{config:?}, {sizes:?}, {storage:?}");
        let pack = |index| layout.pack(index, &params);
        let training = self.pick(&[0, 1]) == 1;
        let wanted = match self.pick(&[0, 1, 2, 3, 3, 3]) {
            0 => Wanted::State,
            1 => Wanted::Logits,
            2 => Wanted::Losses,
            _ => {
                let settings = self.settings();
                if self.pick(&[0, 1]) == 1 {
                    return self.at_once((&layout, &params), sizes, settings, &profile, what);
                }
                return self.by_steps((&layout, &params), sizes, settings, &profile, what);
            }
        };
        let plan = plan_pass(&layout, sizes, wanted, training, &profile);
        let Some(plan) = possible(plan)? else { return Ok(None) };
        let recording = plan.layers.recording.clone();
        let mut given = self.of_layers(&plan.layers, sizes.seq_len);
        given.push(self.words(&recording, plan.tokens, ntoken as u32));
        // Targets that are no token, too.
        given.extend(plan.targets.map(|id| self.words(&recording, id, 2 * ntoken as u32)));
        Ok(Some(self.case(format!("{wanted:?}: {what}"), recording, weights, pack, given)))
    }

    /// A generation whose every step has its own dispatches.
    fn by_steps(
        &mut self,
        (layout, params): (&LanguageModelLayout, &LanguageModelParams),
        sizes: Sizes,
        settings: Vec<u32>,
        profile: &Profile<'_>,
        what: String,
    ) -> Result<Option<Case>, Error> {
        let plan = plan_generation(layout, sizes.batch, sizes.seq_len, profile);
        let Some(plan) = possible(plan)? else { return Ok(None) };
        let mut given = self.of_layers(&plan.layers, 1);
        let recording = plan.layers.recording;
        given.push(self.words(&recording, plan.token, params.config().ntoken as u32));
        given.push((plan.settings, settings));
        let (weights, pack) = (layout.buffers().len(), |index| layout.pack(index, params));
        Ok(Some(self.case(format!("generation: {what}"), recording, weights, pack, given)))
    }

    /// A generation in one dispatch.
    fn at_once(
        &mut self,
        (layout, params): (&LanguageModelLayout, &LanguageModelParams),
        sizes: Sizes,
        settings: Vec<u32>,
        profile: &Profile<'_>,
        what: String,
    ) -> Result<Option<Case>, Error> {
        let Some(layout) = possible(GenerationLayout::new(layout, profile.limits))? else {
            return Ok(None);
        };
        let plan = plan_generation_at_once(&layout, sizes.batch, sizes.seq_len, profile);
        let Some(plan) = possible(plan)? else { return Ok(None) };
        // Tokens beyond the vocabulary, too.
        let given = vec![(plan.settings, settings)];
        let (weights, recording) = (layout.buffers().len(), plan.layers.recording);
        let pack = |index| layout.pack(index, params);
        Ok(Some(self.case(format!("at once: {what}"), recording, weights, pack, given)))
    }

    /// Settings of a draw: of the likeliest token, or among all or the largest.
    fn settings(&mut self) -> Vec<u32> {
        let temperature = [0.0, 0.8][self.pick(&[0, 1])];
        settings(temperature, self.pick(&[0, 1, 5, 1000]) as u32, 0.0)
    }

    /// Generations of each cell, in one dispatch and step by step, with settings of the draw.
    pub fn generations(
        &mut self,
        storage: Storage,
        profile: &Profile<'_>,
        (ntoken, hidden_size, sizes): (usize, usize, Sizes),
        (temperature, top_k, top_p): (f32, u32, f32),
    ) -> Result<Vec<Case>, Error> {
        let mut cases = Vec::new();
        for kind in [Kind::RnnTanh, Kind::Lstm, Kind::Gru] {
            let config = LanguageModelConfig::new(kind, ntoken, 6, hidden_size, 2);
            let layout = LanguageModelLayout::stored(&config, storage, profile.limits)?;
            let model = (&layout, &LanguageModelParams::init(&config, 1)?);
            let what = format!("{config:?}, {sizes:?}, {storage:?}");
            let settings = settings(temperature, top_k, top_p);
            cases.extend(self.at_once(model, sizes, settings.clone(), profile, what.clone())?);
            cases.extend(self.by_steps(model, sizes, settings, profile, what)?);
        }
        Ok(cases)
    }

    /// Logits of so many tokens that the decoder runs in large tiles.
    pub fn many_tokens(&mut self, storage: Storage) -> Result<Case, Error> {
        let config = LanguageModelConfig::new(Kind::RnnTanh, 4_100, 4, 4, 1);
        let sizes = Sizes { seq_len: 8, batch: 64 };
        let layout = LanguageModelLayout::stored(&config, storage, self.profile.limits)?;
        let plan = plan_pass(&layout, sizes, Wanted::Logits, false, &self.profile)?;
        let params = LanguageModelParams::init(&config, 1)?;
        let recording = plan.layers.recording.clone();
        let mut given = self.of_layers(&plan.layers, sizes.seq_len);
        given.push(self.words(&recording, plan.tokens, config.ntoken as u32));
        let what = format!("{config:?}, {sizes:?}, {storage:?}");
        let pack = |index| layout.pack(index, &params);
        Ok(self.case(what, recording, layout.buffers().len(), pack, given))
    }

    /// A tensor of a caller into a plan's buffer, or back; the tensor ends where its buffer does.
    /// `None` where a limit refuses it.
    pub fn transfer(&mut self, family: Family) -> Result<Option<Case>, Error> {
        let [steps, more, first_step, batch, directions, features, padding] =
            [&[1, 4, 30], &[0, 5, 9], &[0, 3, 2], &[1, 2, 3], &[1, 2, 2], &[0, 5, 33], &[0, 3, 2]]
                .map(|from| self.pick(from) as u32);
        let width = (features + padding).max(1);
        let seq_len = steps + first_step + more;
        let row_stride = directions * features + self.pick(&[0, 2]) as u32;
        let step_stride = batch * row_stride + self.pick(&[0, 11]) as u32;
        let offset = self.pick(&[0, 3]) as u32;
        let dims = PackDims {
            steps,
            batch,
            directions,
            features,
            width,
            first_step,
            seq_len,
            offset,
            step_stride,
            row_stride,
            pad: [0; 2],
        };
        let last = (seq_len - 1) * step_stride + (batch - 1) * row_stride + directions * features;
        let own = (steps * batch * directions * width) as usize;
        let theirs = (offset + last).max(1) as usize;
        let sizes = if family == Family::Pack { [theirs, own] } else { [own, theirs] };
        let limits = self.limits();
        let folded = limits.fold_workgroups("transfer", (own as u64).div_ceil(64));
        let kernel = (family, Overrides::default());
        let by_hand = |workgroups| self.by_hand(kernel, Dims::Pack(dims), &sizes, workgroups);
        Ok(possible(folded)?.map(by_hand))
    }

    /// A chain of random modules as one recording.
    pub fn chain(&mut self) -> Result<Option<Case>, Error> {
        let modules = self.pick(&[3, 6, 9]);
        let network = RandomNetwork::new(&mut self.random, modules)?;
        let params = network.definition.read(&network.weights, "")?;
        let (limits, storage) = (self.limits(), self.storage());
        let schedules = [Schedule::Auto, Schedule::Step, Schedule::StepTiled, Schedule::Sequence];
        let schedule = schedules[self.pick(&[0, 1, 2, 3])];
        let sizes = Sizes { seq_len: self.pick(&[1, 2, 5, 8]), batch: self.pick(&[1, 1, 2, 3, 9]) };
        let profile = Profile { limits: &limits, ..self.profile };
        let graph = params.graph();
        let Some(layout) = possible(NetworkLayout::new(graph, storage, &limits))? else {
            return Ok(None);
        };
        let schedules = network_schedules(graph, &layout, sizes, &profile, schedule);
        let Some(schedules) = possible(schedules)? else { return Ok(None) };
        let plan = plan_network(graph, &layout, sizes.into(), &profile, &schedules);
        let Some(plan) = possible(plan)? else { return Ok(None) };
        let lengths =
            |(id, steps): &(BufferId, usize)| self.words(&plan.recording, *id, *steps as u32 + 1);
        let mut given: Vec<_> = plan.lengths.iter().map(lengths).collect();
        if graph.input == StepShape::Token {
            given.push(self.words(&plan.recording, plan.input.buffer, TOKENS as u32));
        }
        let what = format!("{schedule}: {:?}, {sizes:?}, {storage:?}", network.definition);
        let (weights, pack) = (layout.buffers().len(), |index| layout.pack(index, &params));
        Ok(Some(self.case(what, plan.recording, weights, pack, given)))
    }

    /// The kernels of attention: scores, their softmax over the steps that each row has, and the
    /// mean of the memory. Each buffer ends where its last row does.
    pub fn attention(&mut self) -> Result<Vec<Case>, Error> {
        let [batch, steps, features] =
            [[1, 2, 3], [1, 2, 7], [1, 5, 70]].map(|from| self.pick(&from) as u32);
        let [a, b, c] = [(); 3].map(|()| self.pick(&[0, 1, 6]) as u32);
        let workgroup_size = self.pick(&[32, 64, 256]) as u32;
        let by_row = Overrides { workgroup_size, ..Overrides::default() };
        // Values from the first row to the end of the last.
        let size = |rows: u32, stride: u32, width: u32| ((rows - 1) * stride + width) as usize;
        let of_query = |more: u32| size(batch, features + more, features);
        let of_memory = |more: u32| size(batch * steps, features + more, features);
        let of_scores = |more: u32| size(batch, steps + more, steps);
        let scores = ScoresDims {
            batch,
            steps,
            features,
            query_stride: features + a,
            keys_stride: features + b,
            y_stride: steps + c,
            additive: self.pick(&[0, 1]) as u32,
            pad: 0,
        };
        let softmax = SoftmaxDims {
            rows: batch,
            columns: steps,
            stride: steps + c,
            is_log: self.pick(&[0, 1]) as u32,
            batch,
            pad: [0; 3],
        };
        let context = ContextDims {
            batch,
            steps,
            features,
            shares_stride: steps + a,
            memory_stride: features + b,
            y_stride: features + c,
            pad: [0; 2],
        };
        let sizes: [Vec<usize>; 3] = [
            vec![of_query(a), of_memory(b), features as usize, of_scores(c)],
            vec![of_scores(c), batch as usize, of_scores(c)],
            vec![of_scores(a), of_memory(b), of_query(c)],
        ];
        let plain = Overrides::default();
        let kernels = [
            (Family::Scores, by_row, Dims::Scores(scores), batch * steps),
            (Family::Softmax, by_row, Dims::Softmax(softmax), batch),
            (Family::Context, plain, Dims::Context(context), (batch * features).div_ceil(64)),
        ];
        let limits = self.limits();
        let mut cases = Vec::new();
        for ((family, overrides, dims, count), sizes) in kernels.into_iter().zip(sizes) {
            let folded = limits.fold_workgroups("attention", count.into());
            let Some(workgroups) = possible(folded)? else { continue };
            let mut case = self.by_hand((family, overrides), dims, &sizes, workgroups);
            if family == Family::Softmax {
                // Lengths of 0 and beyond the memory, too.
                let (id, lengths) = self.words(&case.recording, BufferId(1), steps + 2);
                case.contents[id.0] = lengths;
            }
            cases.push(case);
        }
        Ok(cases)
    }

    /// A kernel that measures a device, on buffers of the least size.
    pub fn probe(&mut self, family: Family) -> Case {
        let (groups, sizes): (_, &[usize]) = match family {
            Family::Bandwidth => (3, &[8 * 256 * 4, 3 * 256]),
            Family::MultiplyAdd => (3, &[3 * 64 * 4]),
            Family::Chain => (1, &[64, 64]),
            // More workgroups than a workgroup has invocations, which write what they keep.
            Family::Residence => return self.residence(300, 1),
            _ => (1, &[64]),
        };
        let dims = Dims::Probe(ProbeDims { iterations: 5, tiles: 8, pad: [0; 2] });
        self.by_hand((family, Overrides::default()), dims, sizes, [groups, 1, 1])
    }

    /// Workgroups that wait for each other in three rounds.
    pub fn residence(&mut self, groups: u32, keep: u32) -> Case {
        let dims = Dims::Residence(ResidenceDims { rounds: 3, looks: 5, keep, pad: 0 });
        let sizes = [32 * 256 * 4, 3 * groups as usize, 2];
        self.by_hand((Family::Residence, Overrides::default()), dims, &sizes, [groups, 1, 1])
    }

    fn by_hand(
        &mut self,
        (family, overrides): (Family, Overrides),
        dims: Dims,
        sizes: &[usize],
        workgroups: [u32; 3],
    ) -> Case {
        let mut recording = Recording::default();
        let bindings = sizes.iter().map(|&size| {
            let axes = vec![(Axis::Word, size)];
            recording.buffer(BufferSpec { label: format!("{family:?}"), axes, role: Role::State })
        });
        let dispatch = Dispatch {
            bindings: bindings.collect(),
            kernel: Kernel::new(family, WeightType::F32),
            place: Place::default(),
            overrides,
            dims,
            workgroups,
            in_place: false,
        };
        recording.commands.push(Command::Dispatch(dispatch));
        self.case(format!("{dims:?}"), recording, 0, |_| Vec::new(), Vec::new())
    }
}

/// Families that measure a device.
pub const PROBES: [Family; 5] =
    [Family::Chain, Family::Barrier, Family::Bandwidth, Family::MultiplyAdd, Family::Residence];

/// `None` where a limit or a schedule refuses a plan.
fn possible<T>(planned: Result<T, Error>) -> Result<Option<T>, Error> {
    match planned {
        Ok(planned) => Ok(Some(planned)),
        Err(Error::Limit { .. } | Error::Unsupported(_) | Error::Option(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The figures of a device on which steps of this class are the fastest.
pub fn fastest(class: KernelClass) -> Calibration {
    let mut calibration = Calibration::typical_of(None);
    let rates = [KernelClass::Step, KernelClass::StepTiled].map(|part| {
        let multiply_adds_per_us = if part == class { 1e6 } else { 1.0 };
        Rate { part, rows: 1, sums: None, multiply_adds_per_us }
    });
    calibration.rates = rates.to_vec();
    calibration
}

fn settings(temperature: f32, top_k: u32, top_p: f32) -> Vec<u32> {
    vec![1, 2, temperature.to_bits(), top_k, 3, top_p.to_bits(), 0, 0]
}

fn to_words(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
