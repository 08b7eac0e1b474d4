//! Tests of devices: one trial for each device and test. The CPU's engine is the device `cpu`.
//!
//! A trial that cannot run is ignored or fails. None passes without running.

#[path = "../common/adapters.rs"]
mod adapters;
#[path = "../common/bits.rs"]
mod bits;
#[path = "../common/chains.rs"]
mod chains;
#[path = "../common/conformance.rs"]
mod conformance;
#[path = "../common/attention.rs"]
mod decoders;
#[path = "../common/language_models.rs"]
mod language_models;
#[path = "../common/networks.rs"]
mod networks;
#[path = "../common/parameters.rs"]
mod parameters;
#[path = "../common/parts.rs"]
mod parts;
#[path = "../common/recordings.rs"]
mod recordings;
#[allow(dead_code, reason = "its main() is for those who run it")]
#[path = "../../examples/recovery.rs"]
mod recovery_example;
#[allow(dead_code, reason = "its main() is for those who run it")]
#[path = "../../examples/render_loop.rs"]
mod render_loop;
#[path = "../common/seeded.rs"]
mod seeded;
#[path = "../common/ticks.rs"]
mod ticks;

mod abandoned;
mod activation;
mod at_once;
mod beams;
mod bounds;
mod brought;
mod by_hand;
mod calibrate;
mod cases;
mod cells;
mod chained;
mod decoding;
mod dropout;
mod embedding;
mod f16;
mod faults;
mod generate;
mod invariance;
mod kernels;
mod language_model;
mod limits;
mod memory;
mod modules;
mod network_kernels;
mod pool;
mod queue;
mod record;
mod recovery;
mod sample;
mod score;
mod sessions;
mod shipped;
mod streams;
mod training;
mod transfer;
mod variants;
mod waiting;
mod wakers;
mod wavefront;

use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::gpu::AdapterEntry;
use wgpu_rnn::{Config, Device, LoadOptions, Params, Rnn, Schedule};

/// A test of one device. It opens the device itself, since some need other options.
type Test = fn(&Target) -> Result<(), Failed>;

/// The machine of a test.
#[derive(Clone)]
enum Machine {
    Cpu,
    Adapter(Box<AdapterEntry>),
}

/// A machine and a schedule.
#[derive(Clone)]
struct Target {
    machine: Machine,
    schedule: Schedule,
}

impl Target {
    /// Opens the machine without the self-test, which has a trial. SwiftShader compiles its kernels
    /// for more than a second.
    fn open(&self, options: &OpenOptions) -> Result<Device, Failed> {
        self.open_tested(&options.clone().skip_self_test())
    }

    /// Opens the machine with the self-test, unless `options` skip it.
    fn open_tested(&self, options: &OpenOptions) -> Result<Device, Failed> {
        Ok(match &self.machine {
            Machine::Cpu => Device::cpu_with(options)?,
            Machine::Adapter(entry) => Device::from_adapter(entry, options)?,
        })
    }

    fn is_software(&self) -> bool {
        matches!(&self.machine, Machine::Adapter(entry) if entry.is_software())
    }

    fn options(&self) -> LoadOptions {
        LoadOptions::new().schedule(self.schedule)
    }

    /// Returns a module that runs the target's schedule.
    fn rnn(&self, device: &Device, params: &Params) -> Result<Rnn, Failed> {
        Ok(Rnn::with_options(device, params, &self.options())?)
    }

    /// Returns whether the schedule supports projections.
    fn projects(&self) -> bool {
        matches!(self.schedule, Schedule::Auto | Schedule::Step | Schedule::StepTiled)
    }

    /// Returns whether the schedule runs no layers in shards.
    fn runs_whole_layers(&self) -> bool {
        let whole = [Schedule::Persistent, Schedule::Sequence, Schedule::Wavefront];
        whole.contains(&self.schedule)
    }

    /// Returns the configuration that is closest to this one and that the schedule supports. A
    /// wavefront has at least two layers, of one direction.
    fn suited(&self, config: Config) -> Config {
        if self.schedule == Schedule::Wavefront {
            let num_layers = config.num_layers.max(2);
            return config.num_layers(num_layers).bidirectional(false);
        }
        config
    }

    fn device(&self) -> Result<Device, Failed> {
        self.open(&OpenOptions::default())
    }
}

/// Fails the trial with a message unless `condition` holds.
fn ensure(condition: bool, message: impl Into<String>) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(Failed::from(message.into())) }
}

/// A test's requirement besides a device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// The collection of cases, which is not in this repository.
    Conformance,
    /// A backend whose memory wgpu counts.
    CountedMemory,
    /// Limits that only software adapters have.
    SoftwareAdapter,
    /// A driver that refuses allocations of 1 GiB. Other adapters skip the trial.
    SwiftShader,
    /// Two directions, which a wavefront does not support: it skips the trial.
    TwoDirections,
}

/// A row of the table: a test, its machines and schedules, and its requirement.
struct Row {
    name: &'static str,
    run: Test,
    /// Whether the test also runs on the CPU's engine, and not only compares adapters with it.
    cpu: bool,
    /// On which machines the test runs with the schedule that the library chooses.
    auto: On,
    /// On which machines it runs with each schedule by name.
    by_schedule: On,
    need: Need,
}

/// The machines of a test.
#[derive(Clone, Copy)]
enum On {
    None,
    /// The CPU, each GPU, and the first software adapter, which is the fastest.
    First,
    /// The CPU, each GPU, and one software adapter. Software adapters take long and run the same
    /// kernels, so they take turns from test to test and from schedule to schedule.
    InTurns,
    All,
}

/// Returns a test of every device, with the schedule that the library chooses.
const fn everywhere(name: &'static str, run: Test) -> Row {
    Row { name, run, cpu: true, auto: On::All, by_schedule: On::None, need: Need::Nothing }
}

/// Returns a test of adapters only.
const fn on_adapters(name: &'static str, run: Test) -> Row {
    Row { cpu: false, ..everywhere(name, run) }
}

impl Row {
    /// Runs the test on one of the software adapters only: it tests the library's logic, and other
    /// tests compare the numbers of each driver.
    const fn in_turns(self) -> Self {
        Self { auto: On::InTurns, ..self }
    }

    /// Also runs the test with each schedule by name, on software adapters in turns.
    const fn by_schedule(self) -> Self {
        Self { by_schedule: On::InTurns, ..self }
    }

    /// As [`in_turns`](Self::in_turns), with any schedule, for a test that takes a slow software
    /// adapter a minute.
    const fn on_the_first(self) -> Self {
        let by_schedule = if let On::None = self.by_schedule { On::None } else { On::First };
        Self { auto: On::First, by_schedule, ..self }
    }

    /// Also runs the test with each schedule by name, on every machine.
    const fn by_schedule_everywhere(self) -> Self {
        Self { by_schedule: On::All, ..self }
    }

    const fn needs(self, need: Need) -> Self {
        Self { need, ..self }
    }
}

/// The self-test passes with each kind of shader module, and where limits cut the plan.
fn self_test(target: &Target) -> Result<(), Failed> {
    for options in [
        OpenOptions::default(),
        OpenOptions::default().runtime_checks(true),
        OpenOptions::default().limit("max_storage_buffer_binding_size", 16_384),
    ] {
        target.open_tested(&options)?;
    }
    Ok(())
}

/// All tests of this program.
const TABLE: &[Row] = &[
    everywhere("self_test_passes", self_test),
    everywhere("fixtures", cases::fixtures).by_schedule(),
    everywhere("conformance", cases::conformance).by_schedule().needs(Need::Conformance),
    everywhere("a_wrong_expectation_fails", cases::a_wrong_expectation_fails),
    everywhere("activations_saturate_and_stay_finite", activation::saturates),
    everywhere("activations_are_precise", activation::are_precise),
    everywhere("nan_stays_in_its_row", activation::nan_stays_in_its_row).by_schedule(),
    everywhere("networks_against_the_definition", modules::against_the_definition).by_schedule(),
    everywhere("variants_against_the_definition", variants::against_the_definition)
        .in_turns()
        .by_schedule(),
    everywhere("variants_in_shards_and_f16", variants::in_shards_and_f16).in_turns(),
    everywhere("reverse_is_the_reverse_direction", variants::reverse_is_the_reverse_direction)
        .in_turns()
        .by_schedule()
        .needs(Need::TwoDirections),
    everywhere("rows_of_different_length", modules::lengths).in_turns().by_schedule(),
    everywhere("same_bits_on_every_run", modules::same_bits).by_schedule(),
    everywhere("calls_do_not_influence_each_other", modules::calls_are_independent)
        .in_turns()
        .by_schedule(),
    everywhere("pieces_of_time_change_no_bit", invariance::pieces_of_time)
        .by_schedule()
        .on_the_first(),
    everywhere("rows_do_not_depend_on_the_batch", invariance::rows_of_a_batch)
        .by_schedule()
        .on_the_first(),
    everywhere("padding_does_not_matter", invariance::padding).by_schedule().on_the_first(),
    everywhere("persistent_is_step_to_the_last_bit", invariance::persistent_is_step).in_turns(),
    everywhere("time_reversed_swaps_directions", invariance::time_reversed)
        .in_turns()
        .by_schedule()
        .needs(Need::TwoDirections),
    everywhere("chunks_of_time", limits::chunks).by_schedule().on_the_first(),
    everywhere("shards_of_weights_and_passes_of_rows", limits::shards_and_passes).on_the_first(),
    everywhere("more_rows_than_workgroups", limits::many_rows).in_turns(),
    everywhere("long_sequences", limits::long_sequences).in_turns(),
    everywhere("a_wavefront_is_step_to_the_last_bit", wavefront::is_step).on_the_first(),
    everywhere("a_wavefront_is_step_tiled_to_the_last_bit", wavefront::is_step_tiled)
        .on_the_first(),
    everywhere("states_go_from_schedule_to_schedule", wavefront::between_schedules).in_turns(),
    everywhere("a_wavefront_refuses_by_name", wavefront::refusals).in_turns(),
    everywhere("weights_stored_as_f16", f16::rounded_weights).on_the_first(),
    everywhere("values_beyond_f16_are_refused", f16::values_beyond).in_turns(),
    everywhere("embed_writes_its_shard", embedding::shards).in_turns(),
    everywhere("embedding_looks_up_rows", embedding::lookups).in_turns(),
    everywhere("embedding_fixtures", embedding::fixtures),
    everywhere("transfers_find_their_place", transfer::words_find_their_place),
    everywhere("networks_of_pytorch", chained::fixtures),
    everywhere("decoders_of_pytorch", decoding::fixtures).in_turns(),
    everywhere("networks_in_slots", decoding::slots).in_turns(),
    on_adapters("networks_in_recorded_passes", decoding::recorded).in_turns(),
    everywhere("networks_in_f16", chained::in_f16).on_the_first(),
    on_adapters("networks_in_lockstep", chained::in_lockstep).on_the_first(),
    everywhere("map_functions", network_kernels::functions),
    everywhere("map_operations", network_kernels::operations),
    everywhere("unfold_windows", network_kernels::windows),
    everywhere("history_lengths", network_kernels::histories),
    everywhere("layer_norm_rows", network_kernels::layer_norms),
    everywhere("softmax_rows", network_kernels::softmaxes),
    everywhere("attention_scores_and_context", network_kernels::attention),
    everywhere("dropout_masks", dropout::masks),
    everywhere("dropout_masks_are_those_of_the_whole", dropout::masks_are_those_of_the_whole)
        .in_turns(),
    everywhere("dropout_fractions", dropout::fractions).in_turns(),
    everywhere("score_losses", score::losses),
    everywhere("score_of_sure_and_odd_rows", score::sure_and_odd_rows),
    everywhere("sample_draws", sample::draws),
    everywhere("sample_greedy", sample::greedy).in_turns(),
    everywhere("sample_with_nothing_to_draw_from", sample::nothing_to_draw_from).in_turns(),
    everywhere("sample_top_k", sample::top_k).in_turns(),
    everywhere("sample_top_p", sample::top_p).in_turns(),
    everywhere("sample_frequencies", sample::frequencies).in_turns(),
    everywhere("sample_canary", sample::canary),
    everywhere("cells_in_a_loop_are_the_layer", cells::loop_is_the_layer).in_turns(),
    everywhere("cells_take_rows_with_and_without_their_axis", cells::shapes).in_turns(),
    everywhere("cells_refuse_by_name", cells::refusals).in_turns(),
    everywhere("pieces_of_a_stream_are_the_whole", streams::pieces_are_the_whole)
        .by_schedule()
        .on_the_first(),
    everywhere("sessions_carry_buffers", sessions::carry).in_turns(),
    everywhere("sessions_have_parts_of_buffers", sessions::parts).in_turns(),
    everywhere("sessions_clear_buffers", sessions::clears).in_turns(),
    everywhere("states_of_streams", streams::states).in_turns(),
    everywhere("slots_of_a_pool_are_streams", pool::slots_are_streams).in_turns().by_schedule(),
    everywhere("pools_of_several_threads", pool::threads).in_turns(),
    everywhere("snapshots_of_slots", pool::snapshots).in_turns(),
    everywhere("pools_refuse_by_name", pool::refusals).in_turns(),
    everywhere("pools_reuse_memory_of_other_sizes", pool::sizes_in_turns).in_turns(),
    on_adapters("pools_of_a_lost_device", pool::lost).in_turns(),
    everywhere("queues_serve_many_clients", queue::serve).in_turns(),
    everywhere("calibration_gives_figures", calibrate::figures).in_turns(),
    everywhere("bench_rows_agree", calibrate::rows).in_turns(),
    everywhere("streams_refuse_by_name", streams::refusals).in_turns(),
    everywhere("language_models_of_pytorch", language_model::fixtures),
    everywhere("language_models_losses_of_pytorch", language_model::losses).in_turns(),
    everywhere("language_models_in_pieces", language_model::pieces).in_turns(),
    everywhere("language_models_in_passes", language_model::passes).on_the_first(),
    everywhere("language_models_in_shards", language_model::shards).in_turns(),
    everywhere("language_models_of_rows_of_different_length", language_model::lengths).in_turns(),
    everywhere("language_models_from_call_to_call", language_model::calls_are_independent)
        .in_turns(),
    everywhere("training_between_layers", training::between_layers).on_the_first(),
    everywhere("training_without_dropout", training::without_dropout).in_turns(),
    everywhere("training_by_seeds", training::seeds).in_turns(),
    everywhere("training_of_language_models", training::language_models).in_turns(),
    everywhere(
        "training_of_language_models_without_dropout",
        training::language_models_without_dropout,
    )
    .in_turns(),
    everywhere("generation_greedy_is_a_loop_of_forward", generate::greedy_is_a_loop_of_forward)
        .in_turns(),
    everywhere(
        "generation_draws_by_the_definition",
        generate::sampling_is_forward_and_the_definition,
    )
    .in_turns(),
    everywhere("generation_of_rows_and_chunks", generate::rows_and_chunks).in_turns(),
    everywhere("generation_stops", generate::stops).in_turns(),
    everywhere("beam_search", beams::searches).in_turns(),
    everywhere("beam_search_refusals", beams::refusals).in_turns(),
    everywhere("generation_within_limits", generate::limits).in_turns(),
    everywhere("generators_are_independent", generate::generators_are_independent).in_turns(),
    everywhere("generation_states", generate::states).in_turns(),
    everywhere("generation_with_nothing_to_draw_from", generate::nothing_to_draw_from).in_turns(),
    everywhere("generation_refusals", generate::refusals).in_turns(),
    everywhere("generation_at_once", at_once::texts).in_turns(),
    on_adapters("generation_at_once_choices", at_once::choices).in_turns(),
    everywhere("shipped_model_predicts", shipped::predicts),
    everywhere("shipped_model_writes_what_the_cpu_writes", shipped::writes_what_the_cpu_writes)
        .on_the_first(),
    everywhere("futures_of_any_executor", waiting::futures).in_turns(),
    everywhere("futures_of_modules", waiting::modules).in_turns(),
    everywhere("futures_that_are_dropped", waiting::dropped).on_the_first(),
    everywhere("threads_at_once", waiting::threads),
    everywhere("language_models_refuse_by_name", language_model::refusals).in_turns(),
    everywhere("language_models_refuse_arguments", language_model::arguments).in_turns(),
    Row {
        auto: On::None,
        by_schedule: On::First,
        ..everywhere("steps_of_a_dispatch", limits::steps_per_dispatch)
    },
    on_adapters("devices_that_the_program_brought", brought::same_numbers).in_turns(),
    on_adapters("callbacks_stay_the_programs", brought::callbacks).in_turns(),
    on_adapters("limits_of_a_device_that_was_brought", brought::limits).in_turns(),
    on_adapters("devices_that_are_lost", brought::lost),
    on_adapters("fixtures_with_runtime_checks", cases::fixtures_with_runtime_checks)
        .by_schedule()
        .on_the_first(),
    on_adapters("indices_stay_in_bounds", bounds::indices).on_the_first(),
    on_adapters("indices_beyond_a_buffer_are_found", bounds::indices_beyond).on_the_first(),
    on_adapters("runtime_checks_change_nothing", bounds::checked_and_unchecked).on_the_first(),
    on_adapters("runtime_checks_by_option", bounds::option).in_turns(),
    on_adapters("what_drivers_refuse", faults::refused_by_the_driver),
    on_adapters("memory_planned_is_taken", memory::planned_is_taken)
        .on_the_first()
        .needs(Need::CountedMemory),
    on_adapters("memory_in_steady_state", memory::steady).on_the_first(),
    on_adapters("memory_given_back", memory::given_back).in_turns(),
    on_adapters("memory_within_a_budget", memory::budget).needs(Need::CountedMemory),
    on_adapters("wakers_that_panic", wakers::panics).in_turns(),
    on_adapters("wakers_that_await", wakers::awaits).in_turns(),
    on_adapters("wakers_that_drop_the_device", wakers::drops).in_turns(),
    on_adapters("wakers_run_in_the_programs_polls", wakers::of_the_program).in_turns(),
    on_adapters("errors_of_the_program_stay_the_programs", wakers::uncaptured).in_turns(),
    on_adapters("recovery_elsewhere", recovery::elsewhere).in_turns(),
    on_adapters("recovery_of_a_step_under_way", recovery::under_way).in_turns(),
    on_adapters("recovery_of_a_text", recovery::generation).in_turns(),
    on_adapters("example_recovery", recovery::example).in_turns(),
    on_adapters("futures_of_devices_that_the_program_polls", waiting::program_polls).in_turns(),
    on_adapters("futures_of_devices_that_are_lost", waiting::lost).in_turns(),
    on_adapters("recorded_passes_are_forward", record::as_forward),
    on_adapters("recorded_passes_of_any_layout", record::layouts).in_turns(),
    on_adapters("recorded_passes_one_after_the_other", record::one_after_the_other).in_turns(),
    on_adapters("recorded_passes_in_pieces", record::cut).in_turns(),
    on_adapters("recorded_passes_refuse_by_name", record::refusals).in_turns(),
    on_adapters("example_render_loop", record::example).in_turns(),
    on_adapters("kernels_in_lockstep", kernels::lockstep).by_schedule_everywhere(),
    on_adapters("f16_kernels_in_lockstep", f16::kernels),
    on_adapters("loop_canary", kernels::loop_canary),
    on_adapters("probes_do_what_their_twins_do", calibrate::twins),
    on_adapters("abandoned_forward_passes", abandoned::forward).needs(Need::SoftwareAdapter),
    on_adapters("abandoned_futures", abandoned::futures).in_turns().needs(Need::SoftwareAdapter),
    on_adapters("abandoned_streams", abandoned::streams).in_turns().needs(Need::SoftwareAdapter),
    on_adapters("abandoned_texts", abandoned::texts).in_turns().needs(Need::SoftwareAdapter),
    on_adapters("abandoned_threads", abandoned::threads).in_turns().needs(Need::SoftwareAdapter),
    on_adapters("abandoned_pools_and_passes", abandoned::pools_and_passes).in_turns(),
    on_adapters("logarithms", score::logarithms),
    on_adapters("score_canary", score::canary),
    on_adapters("sample_draws_are_those_of_the_cpu", sample::draws_are_those_of_the_cpu),
    on_adapters("wide_layers_are_refused_on_software_adapters", limits::wide_layers)
        .needs(Need::SoftwareAdapter),
    on_adapters("out_of_memory", faults::out_of_memory).needs(Need::SwiftShader),
];

/// An adapter or the CPU, by name. Without a machine every trial fails or is ignored.
struct Place {
    name: String,
    machine: Option<Machine>,
    /// The position among the software adapters, and their number.
    software: Option<(usize, usize)>,
}

/// Counts the software adapters.
fn count_software(places: &mut [Place]) {
    let is_software = |place: &&mut Place| place.entry().is_some_and(AdapterEntry::is_software);
    let all = places.iter_mut().filter(is_software).count();
    let found = places.iter_mut().filter(is_software);
    found.enumerate().for_each(|(at, place)| place.software = Some((at, all)));
}

impl Place {
    fn entry(&self) -> Option<&AdapterEntry> {
        match self.machine.as_ref()? {
            Machine::Cpu => None,
            Machine::Adapter(entry) => Some(entry),
        }
    }

    /// Returns whether this place has a trial of this row, which is number `at` of the table.
    fn has(&self, at: usize, row: &Row, schedule: Schedule) -> bool {
        let here = row.cpu || !matches!(self.machine, Some(Machine::Cpu));
        let machines = if schedule == Schedule::Auto { row.auto } else { row.by_schedule };
        let scheduled = match machines {
            On::None => false,
            On::First => self.software.is_none_or(|(place, _)| place == 0),
            On::InTurns => self.has_the_turn(at, schedule),
            On::All => true,
        };
        let suited = match row.need {
            Need::SwiftShader => self.name.to_lowercase().contains("swiftshader"),
            Need::TwoDirections => schedule != Schedule::Wavefront,
            _ => true,
        };
        here && scheduled && suited
    }

    /// Returns whether a trial is reported as ignored.
    fn ignores(&self, row: &Row) -> bool {
        let unmet = match row.need {
            Need::Conformance => conformance::is_absent(),
            Need::CountedMemory => self.entry().is_some_and(|entry| !memory::is_counted(entry)),
            Need::SoftwareAdapter => self.entry().is_some_and(|entry| !entry.is_software()),
            Need::Nothing | Need::SwiftShader | Need::TwoDirections => false,
        };
        unmet || (self.machine.is_none() && !adapters::required())
    }

    /// Returns whether this is the software adapter that runs row `at` by this schedule.
    fn has_the_turn(&self, at: usize, schedule: Schedule) -> bool {
        let position = Schedule::ALL.iter().position(|&other| other == schedule);
        let turn = at + position.unwrap_or_default();
        self.software.is_none_or(|(place, all)| turn % all == place)
    }

    fn trial(&self, row: &Row, schedule: Schedule) -> Trial {
        let (name, test, run) = (&self.name, row.name, row.run);
        let target = self.machine.clone().map(|machine| Target { machine, schedule });
        let missing = format!("this machine has no adapter called '{name}'");
        let title = match schedule {
            Schedule::Auto => format!("{name}::{test}"),
            _ => format!("{name}::{schedule}::{test}"),
        };
        let named = title.clone();
        let trial = Trial::test(title, move || match &target {
            Some(target) => timed(&named, || run(target)),
            None => Err(Failed::from(missing)),
        });
        trial.with_ignored_flag(self.ignores(row))
    }
}

/// Runs a trial, and reports one that takes long: the log shows where the time goes.
fn timed<R>(title: &str, run: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = run();
    if start.elapsed() > LONG {
        eprintln!("{title} took {} s", start.elapsed().as_secs());
    }
    result
}

const LONG: Duration = Duration::from_secs(5);

fn main() {
    let mut arguments = Arguments::from_args();
    // A trial waits for its device and for the driver's compiler, which uses one core.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(2 * cores);
    let mut places =
        vec![Place { name: "cpu".to_owned(), machine: Some(Machine::Cpu), software: None }];
    places.extend(adapters::wanted().into_iter().map(|wanted| {
        let machine = wanted.entry.map(|entry| Machine::Adapter(Box::new(entry)));
        Place { name: wanted.name, machine, software: None }
    }));
    if places.len() == 1 {
        // Ignored trials show that a machine without adapters is not tested.
        places.push(Place { name: "any adapter".to_owned(), machine: None, software: None });
    }
    count_software(&mut places);
    let mut trials = Vec::new();
    for place in &places {
        for &schedule in Schedule::ALL {
            let rows = TABLE.iter().enumerate().filter(|(at, row)| place.has(*at, row, schedule));
            trials.extend(rows.map(|(_, row)| place.trial(row, schedule)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
