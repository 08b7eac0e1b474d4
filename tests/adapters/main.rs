//! Tests that need an adapter: one trial for each adapter and test, none of which passes by not running.
//!
//! The CPU engine is tested beside them as the device `cpu`.

#[path = "../common/adapters.rs"]
mod adapters;
#[path = "../common/bits.rs"]
mod bits;
#[path = "../common/conformance.rs"]
mod conformance;
#[path = "../common/parameters.rs"]
mod parameters;
#[path = "../common/parts.rs"]
mod parts;
#[path = "../common/seeded.rs"]
mod seeded;

mod activation;
mod cases;
mod invariance;
mod kernels;
mod limits;
mod networks;

use libtest_mimic::{Arguments, Failed, Trial};
use wgpu_rnn::Device;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::gpu::AdapterEntry;

/// A test of one device. It opens the device itself, since some need other options.
type Test = fn(&Target) -> Result<(), Failed>;

/// What a test runs on.
#[derive(Clone)]
enum Target {
    Cpu,
    Adapter(Box<AdapterEntry>),
}

impl Target {
    fn open(&self, options: &OpenOptions) -> Result<Device, Failed> {
        Ok(match self {
            Self::Cpu => Device::cpu_with(options)?,
            Self::Adapter(entry) => Device::from_adapter(entry, options)?,
        })
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
const EVERYWHERE: [(&str, Test); 17] = [
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
];

/// Tests of adapters alone: the CPU's engine is what they compare with.
const ON_ADAPTERS: [(&str, Test); 3] = [
    ("kernels_in_lockstep", kernels::lockstep),
    ("loop_canary", kernels::loop_canary),
    ("wide_layers_are_refused_on_software_adapters", limits::wide_layers),
];

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut add = |name: &str, tests: &[(&'static str, Test)], target: Option<Target>| {
        for (test, run) in tests {
            let (run, missing) = (*run, format!("this machine has no adapter called '{name}'"));
            // The collection is no part of this repository; without it its trial is reported as ignored.
            let no_data = *test == "conformance" && std::env::var_os("WGPU_RNN_CONFORMANCE").is_none();
            let ignored = no_data || (target.is_none() && !adapters::required());
            let target = target.clone();
            let trial = Trial::test(format!("{name}::{test}"), move || match &target {
                Some(target) => run(target),
                None => Err(Failed::from(missing)),
            });
            trials.push(trial.with_ignored_flag(ignored));
        }
    };
    add("cpu", &EVERYWHERE, Some(Target::Cpu));
    let wanted = adapters::wanted();
    if wanted.is_empty() {
        // Said as an ignored trial, so that a machine without adapters does not look tested.
        add("any adapter", &EVERYWHERE, None);
        add("any adapter", &ON_ADAPTERS, None);
    }
    for wanted in wanted {
        let target = wanted.entry.map(|entry| Target::Adapter(Box::new(entry)));
        add(&wanted.name, &EVERYWHERE, target.clone());
        add(&wanted.name, &ON_ADAPTERS, target);
    }
    libtest_mimic::run(&arguments, trials).exit();
}
