//! Tests that need an adapter: one trial for each adapter and test, none of which passes by not running.
//!
//! The CPU engine is tested beside them as the device `cpu`.

#[path = "../common/adapters.rs"]
mod adapters;
#[path = "../common/bits.rs"]
mod bits;
#[path = "../common/conformance.rs"]
mod conformance;
#[path = "../common/language_models.rs"]
mod language_models;
#[path = "../common/parameters.rs"]
mod parameters;
#[path = "../common/parts.rs"]
mod parts;
#[allow(dead_code, reason = "its main() is for those who run it")]
#[path = "../../examples/recovery.rs"]
mod recovery_example;
#[allow(dead_code, reason = "its main() is for those who run it")]
#[path = "../../examples/render_loop.rs"]
mod render_loop;
#[path = "../common/seeded.rs"]
mod seeded;

mod activation;
mod alike;
mod brought;
mod by_hand;
mod calibrate;
mod cases;
mod cells;
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
mod networks;
mod pool;
mod record;
mod recovery;
mod sample;
mod score;
mod sessions;
mod shipped;
mod streams;
mod training;
mod transfer;
mod waiting;
mod wavefront;

use libtest_mimic::{Arguments, Failed, Trial};
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::engine::gpu::AdapterEntry;
use wgpu_rnn::{Config, Device, Params, Rnn, RnnOptions, Schedule};

/// A test of one device. It opens the device itself, since some need other options.
type Test = fn(&Target) -> Result<(), Failed>;

/// What a test runs on.
#[derive(Clone)]
enum Machine {
    Cpu,
    Adapter(Box<AdapterEntry>),
}

/// A machine, and how the recurrence is laid on it.
#[derive(Clone)]
struct Target {
    machine: Machine,
    schedule: Schedule,
}

impl Target {
    fn open(&self, options: &OpenOptions) -> Result<Device, Failed> {
        Ok(match &self.machine {
            Machine::Cpu => Device::cpu_with(options)?,
            Machine::Adapter(entry) => Device::from_adapter(entry, options)?,
        })
    }

    fn options(&self) -> RnnOptions {
        RnnOptions::default().schedule(self.schedule)
    }

    /// A module as the target's schedule runs it.
    fn rnn(&self, device: &Device, params: &Params) -> Result<Rnn, Failed> {
        Ok(Rnn::with_options(device, params, &self.options())?)
    }

    /// Whether the schedule has projections.
    fn projects(&self) -> bool {
        matches!(self.schedule, Schedule::Auto | Schedule::Step)
    }

    /// A module like this one that the schedule has: a wavefront is of layers of one direction.
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

/// Tests of every device.
const EVERYWHERE: &[(&str, Test)] = &[
    ("fixtures", cases::fixtures),
    ("conformance", cases::conformance),
    ("a_wrong_expectation_fails", cases::a_wrong_expectation_fails),
    ("activations_saturate_and_stay_finite", activation::saturates),
    ("nan_stays_in_its_row", activation::nan_stays_in_its_row),
    ("networks_against_the_definition", networks::against_the_definition),
    ("rows_of_different_length", networks::lengths),
    ("same_bits_on_every_run", networks::same_bits),
    ("calls_do_not_influence_each_other", networks::calls_are_independent),
    ("pieces_of_time_change_no_bit", invariance::pieces_of_time),
    ("rows_do_not_depend_on_the_batch", invariance::rows_of_a_batch),
    ("padding_does_not_matter", invariance::padding),
    ("time_reversed_swaps_directions", invariance::time_reversed),
    ("chunks_of_time", limits::chunks),
    ("shards_of_weights_and_passes_of_rows", limits::shards_and_passes),
    ("more_rows_than_workgroups", limits::many_rows),
    ("long_sequences", limits::long_sequences),
    ("a_wavefront_is_step_to_the_last_bit", wavefront::is_step),
    ("states_go_from_schedule_to_schedule", wavefront::between_schedules),
    ("a_wavefront_refuses_by_name", wavefront::refusals),
    ("weights_stored_as_f16", f16::rounded_weights),
    ("values_beyond_f16_are_refused", f16::values_beyond),
    ("embed_writes_its_shard", embedding::shards),
    ("embedding_looks_up_rows", embedding::lookups),
    ("embedding_fixtures", embedding::fixtures),
    ("transfers_find_their_place", transfer::words_find_their_place),
    ("dropout_masks", dropout::masks),
    ("dropout_masks_are_those_of_the_whole", dropout::masks_are_those_of_the_whole),
    ("dropout_fractions", dropout::fractions),
    ("score_losses", score::losses),
    ("score_of_sure_and_odd_rows", score::sure_and_odd_rows),
    ("sample_draws", sample::draws),
    ("sample_greedy", sample::greedy),
    ("sample_with_nothing_to_draw_from", sample::nothing_to_draw_from),
    ("sample_top_k", sample::top_k),
    ("sample_frequencies", sample::frequencies),
    ("sample_canary", sample::canary),
    ("cells_in_a_loop_are_the_layer", cells::loop_is_the_layer),
    ("cells_take_rows_with_and_without_their_axis", cells::shapes),
    ("cells_refuse_by_name", cells::refusals),
    ("pieces_of_a_stream_are_the_whole", streams::pieces_are_the_whole),
    ("sessions_carry_buffers", sessions::carry),
    ("sessions_have_parts_of_buffers", sessions::parts),
    ("states_of_streams", streams::states),
    ("slots_of_a_pool_are_streams", pool::slots_are_streams),
    ("pools_of_several_threads", pool::threads),
    ("snapshots_of_slots", pool::snapshots),
    ("pools_refuse_by_name", pool::refusals),
    ("calibration_gives_figures", calibrate::figures),
    ("bench_rows_agree", calibrate::rows),
    ("streams_refuse_by_name", streams::refusals),
    ("language_models_of_pytorch", language_model::fixtures),
    ("language_models_losses_of_pytorch", language_model::losses),
    ("language_models_in_pieces", language_model::pieces),
    ("language_models_in_passes", language_model::passes),
    ("language_models_in_shards", language_model::shards),
    ("language_models_of_rows_of_different_length", language_model::lengths),
    ("language_models_from_call_to_call", language_model::calls_are_independent),
    ("training_between_layers", training::between_layers),
    ("training_without_dropout", training::without_dropout),
    ("training_by_seeds", training::seeds),
    ("training_of_language_models", training::language_models),
    ("training_of_language_models_without_dropout", training::language_models_without_dropout),
    ("generation_greedy_is_a_loop_of_forward", generate::greedy_is_a_loop_of_forward),
    ("generation_draws_by_the_definition", generate::sampling_is_forward_and_the_definition),
    ("generation_of_rows_and_chunks", generate::rows_and_chunks),
    ("generation_within_limits", generate::limits),
    ("generators_are_independent", generate::generators_are_independent),
    ("generation_states", generate::states),
    ("generation_with_nothing_to_draw_from", generate::nothing_to_draw_from),
    ("generation_refusals", generate::refusals),
    ("shipped_model_predicts", shipped::predicts),
    ("shipped_model_writes_what_the_cpu_writes", shipped::writes_what_the_cpu_writes),
    ("futures_of_any_executor", waiting::futures),
    ("futures_of_modules", waiting::modules),
    ("futures_that_are_dropped", waiting::dropped),
    ("threads_at_once", waiting::threads),
    ("language_models_refuse_by_name", language_model::refusals),
    ("language_models_refuse_arguments", language_model::arguments),
];

/// Tests of every device that each schedule has to pass.
const OF_SCHEDULES: &[(&str, Test)] = &[
    ("fixtures", cases::fixtures),
    ("conformance", cases::conformance),
    ("nan_stays_in_its_row", activation::nan_stays_in_its_row),
    ("networks_against_the_definition", networks::against_the_definition),
    ("rows_of_different_length", networks::lengths),
    ("same_bits_on_every_run", networks::same_bits),
    ("calls_do_not_influence_each_other", networks::calls_are_independent),
    ("pieces_of_time_change_no_bit", invariance::pieces_of_time),
    ("rows_do_not_depend_on_the_batch", invariance::rows_of_a_batch),
    ("padding_does_not_matter", invariance::padding),
    ("time_reversed_swaps_directions", invariance::time_reversed),
    ("chunks_of_time", limits::chunks),
    ("steps_of_a_dispatch", limits::steps_per_dispatch),
    ("pieces_of_a_stream_are_the_whole", streams::pieces_are_the_whole),
    ("slots_of_a_pool_are_streams", pool::slots_are_streams),
];

/// The same for adapters alone.
const OF_SCHEDULES_ON_ADAPTERS: &[(&str, Test)] = &[("kernels_in_lockstep", kernels::lockstep)];

/// Tests of adapters alone: the CPU's engine is what they compare with.
const ON_ADAPTERS: &[(&str, Test)] = &[
    ("devices_that_the_program_brought", brought::same_numbers),
    ("callbacks_stay_the_programs", brought::callbacks),
    ("limits_of_a_device_that_was_brought", brought::limits),
    ("devices_that_are_lost", brought::lost),
    ("what_drivers_refuse", faults::refused_by_the_driver),
    ("memory_planned_is_taken", memory::planned_is_taken),
    ("memory_in_steady_state", memory::steady),
    ("memory_given_back", memory::given_back),
    ("memory_within_a_budget", memory::budget),
    ("recovery_elsewhere", recovery::elsewhere),
    ("recovery_of_a_step_under_way", recovery::under_way),
    ("recovery_of_a_text", recovery::generation),
    ("example_recovery", recovery::example),
    ("futures_of_devices_that_the_program_polls", waiting::program_polls),
    ("futures_of_devices_that_are_lost", waiting::lost),
    ("recorded_passes_are_forward", record::as_forward),
    ("recorded_passes_of_any_layout", record::layouts),
    ("recorded_passes_one_after_the_other", record::one_after_the_other),
    ("recorded_passes_in_pieces", record::cut),
    ("recorded_passes_refuse_by_name", record::refusals),
    ("example_render_loop", record::example),
    ("kernels_in_lockstep", kernels::lockstep),
    ("f16_kernels_in_lockstep", f16::kernels),
    ("loop_canary", kernels::loop_canary),
    ("probes_do_what_their_twins_do", calibrate::twins),
    ("logarithms", score::logarithms),
    ("score_canary", score::canary),
    ("sample_draws_are_those_of_the_cpu", sample::draws_are_those_of_the_cpu),
    ("wide_layers_are_refused_on_software_adapters", limits::wide_layers),
];

/// Tests of a driver that gives no allocation of 1 GiB.
const ON_SWIFTSHADER: &[(&str, Test)] = &[("out_of_memory", faults::out_of_memory)];

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut add = |name: &str,
                   tests: &[(&'static str, Test)],
                   machine: Option<&Machine>,
                   schedule: Schedule| {
        for (test, run) in tests {
            // A wavefront has no directions to swap.
            if schedule == Schedule::Wavefront && *test == "time_reversed_swaps_directions" {
                continue;
            }
            let (run, missing) = (*run, format!("this machine has no adapter called '{name}'"));
            // The collection is no part of this repository; without it its trial is reported as ignored.
            let no_data =
                *test == "conformance" && std::env::var_os("WGPU_RNN_CONFORMANCE").is_none();
            let of_memory = ["memory_planned_is_taken", "memory_within_a_budget"].contains(test);
            let uncounted =
                matches!(machine, Some(Machine::Adapter(entry)) if !memory::is_counted(entry));
            let ignored =
                no_data || (of_memory && uncounted) || (machine.is_none() && !adapters::required());
            let target = machine.map(|machine| Target { machine: machine.clone(), schedule });
            let title = match schedule {
                Schedule::Auto => format!("{name}::{test}"),
                _ => format!("{name}::{schedule}::{test}"),
            };
            let trial = Trial::test(title, move || match &target {
                Some(target) => run(target),
                None => Err(Failed::from(missing)),
            });
            trials.push(trial.with_ignored_flag(ignored));
        }
    };
    let schedules: Vec<Schedule> =
        Schedule::ALL.into_iter().filter(|s| *s != Schedule::Auto).collect();
    add("cpu", EVERYWHERE, Some(&Machine::Cpu), Schedule::Auto);
    schedules.iter().for_each(|schedule| add("cpu", OF_SCHEDULES, Some(&Machine::Cpu), *schedule));
    let mut wanted: Vec<(String, Option<Machine>)> = adapters::wanted()
        .into_iter()
        .map(|wanted| (wanted.name, wanted.entry.map(|entry| Machine::Adapter(Box::new(entry)))))
        .collect();
    if wanted.is_empty() {
        // Said as ignored trials, so that a machine without adapters does not look tested.
        wanted.push(("any adapter".to_owned(), None));
    }
    for (name, machine) in &wanted {
        let machine = machine.as_ref();
        add(name, EVERYWHERE, machine, Schedule::Auto);
        add(name, ON_ADAPTERS, machine, Schedule::Auto);
        if name.to_lowercase().contains("swiftshader") {
            add(name, ON_SWIFTSHADER, machine, Schedule::Auto);
        }
        for schedule in &schedules {
            add(name, OF_SCHEDULES, machine, *schedule);
            add(name, OF_SCHEDULES_ON_ADAPTERS, machine, *schedule);
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
