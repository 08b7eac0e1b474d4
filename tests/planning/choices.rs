//! The choices of `auto` on a discrete GPU that nobody measured, and the times that it predicts.

use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::perf::cost::Prediction;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::{Exchange, Profile, Request, Resident, Target, WeightLayout, plan};
use wgpu_rnn::{Config, Schedule};

use crate::GPU;
use Schedule::{Persistent, Sequence, Step, StepTiled, Wavefront};

/// A device whose workgroups do not wait for each other.
const ALONE: Exchange = Exchange::Refused("is not asked to");

/// An H200: one workgroup to each of 132 cores.
const WAITING: Exchange = Exchange::Resident(Resident {
    workgroups: 132,
    subgroup_size: 32,
    volatile: true,
    spins: 1 << 20,
});

/// Returns the schedule of a forward pass, the predictions and the reason.
fn choice(
    config: &Config,
    seq_len: usize,
    batch: usize,
    exchange: Exchange,
) -> (Schedule, Vec<Prediction>, String) {
    let mut limits = wgpu::Limits::defaults();
    (limits.max_storage_buffer_binding_size, limits.max_buffer_size) = (1 << 31, 1 << 31);
    limits.max_compute_workgroup_storage_size = 48 << 10;
    let limits = Limits::of(&limits, false);
    let weights = WeightLayout::new(config, &limits).expect("it fits");
    let sizes = Sizes { seq_len, batch };
    let request = Request { config, weights: &weights, sizes, training: false };
    let calibration = &Calibration::typical_of(Some(GPU));
    let profile = Profile { limits: &limits, calibration, target: Target::Gpu, exchange };
    let decision = plan(&request, &profile, Schedule::Auto).expect("auto always runs").schedule;
    (decision.schedule, decision.predictions, decision.reason)
}

/// The schedules that measurements on an H200 suggest for the networks of published models: where
/// workgroups do not wait for each other, and where they do.
#[test]
fn auto_takes_the_schedule_that_measurements_suggest() {
    // Layers and directions.
    let of = |config: Config, layers, directions| {
        config.num_layers(layers).bidirectional(directions == 2)
    };
    let lstm = |input, hidden, l, d| of(Config::lstm(input, hidden), l, d);
    let gru = |input, hidden, l, d| of(Config::gru(input, hidden), l, d);
    for (name, seq_len, batch, config, alone, waiting) in [
        ("Silero", 512, 1, lstm(128, 128, 1, 1), Step, Persistent),
        ("Silero, streams", 1, 64, lstm(128, 128, 1, 1), Step, Step),
        ("RNNoise", 1, 1, gru(384, 384, 3, 1), Step, Step),
        ("ocrs", 256, 100, gru(128, 256, 2, 2), StepTiled, StepTiled),
        ("pyannote", 589, 32, lstm(60, 128, 2, 2), Step, Persistent),
        ("Kokoro", 510, 1, lstm(640, 256, 1, 2), Step, Persistent),
        ("Encodec", 75, 1, lstm(512, 512, 2, 1), Wavefront, Persistent),
        ("UMX", 259, 1, lstm(512, 256, 3, 2), Step, Persistent),
        ("Bonito", 1667, 64, lstm(384, 384, 5, 1), Wavefront, Wavefront),
        ("word-LM", 35, 20, lstm(200, 200, 2, 1), Wavefront, Persistent),
        ("AWD", 70, 80, lstm(400, 1150, 3, 1), Wavefront, Wavefront),
        ("ANYmal", 1, 49_152, lstm(2, 8, 2, 1), StepTiled, StepTiled),
        ("DeepBench", 25, 64, lstm(1024, 1024, 1, 1), StepTiled, StepTiled),
        ("DeepFilterNet", 100, 1, gru(256, 256, 1, 1), Step, Persistent),
        ("MPS report", 128, 1, gru(384, 256, 1, 2), Step, Persistent),
        // Predicted to be as fast as `persistent`, which was not measured with so few units.
        ("few units", 35, 2, lstm(100, 20, 1, 1), Sequence, Sequence),
        ("many features", 35, 2, lstm(1027, 256, 1, 1), Step, Persistent),
        ("one row", 100, 1, lstm(128, 128, 1, 1), Step, Persistent),
        ("eight rows", 100, 8, lstm(256, 256, 1, 1), Step, Persistent),
        ("32 rows", 100, 32, lstm(512, 512, 1, 1), StepTiled, Persistent),
        ("many units", 100, 1, lstm(1024, 1024, 1, 1), Step, Persistent),
    ] {
        for (exchange, want) in [(ALONE, alone), (WAITING, waiting)] {
            let (schedule, _, reason) = choice(&config, seq_len, batch, exchange);
            assert_eq!(schedule, want, "{name}: {config:?}, {batch} rows: {reason}");
        }
    }
}

/// Times of a step of an LSTM or GRU on an H200, from dispatch to dispatch, in microseconds:
/// (rows, units, by `step`, by `step_tiled`). 0 is not measured.
const LSTM: [(usize, usize, f64, f64); 11] = [
    (1, 128, 3.4, 0.0),
    (8, 256, 5.28, 0.0),
    (16, 384, 6.39, 0.0),
    (16, 768, 0.0, 9.4),
    (32, 512, 14.25, 7.44),
    (64, 384, 0.0, 8.44),
    (64, 1024, 0.0, 31.7),
    (80, 1152, 0.0, 54.9),
    (128, 384, 0.0, 13.6),
    (256, 512, 0.0, 23.75),
    (1024, 256, 0.0, 22.53),
];
const GRU: [(usize, usize, f64, f64); 1] = [(16, 384, 6.16, 0.0)];

#[test]
fn predictions_are_within_a_quarter_of_the_measured_times() {
    let lstm = LSTM.map(|case| (Config::lstm(case.1, case.1), case));
    let gru = GRU.map(|case| (Config::gru(case.1, case.1), case));
    for (config, (batch, _, step, step_tiled)) in lstm.into_iter().chain(gru) {
        let (chosen, predictions, _) = choice(&config, 1, batch, ALONE);
        let best =
            if step > 0.0 && (step_tiled == 0.0 || step < step_tiled) { Step } else { StepTiled };
        assert_eq!(chosen, best, "{config:?}, {batch} rows: {predictions:?}");
        for (schedule, want) in [(Step, step), (StepTiled, step_tiled)] {
            let of_it = predictions.iter().find(|prediction| prediction.schedule == schedule);
            let got = of_it.expect("it is a candidate").step_us();
            assert!(
                want == 0.0 || (got / want - 1.0).abs() <= 0.25,
                "{config:?}, {batch} rows by {schedule}: {got:.2} µs predicted, {want} measured"
            );
        }
    }
}
