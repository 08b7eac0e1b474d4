//! Each kernel against its twin, dispatch by dispatch.

use libtest_mimic::Failed;
use wgpu_rnn::device::OpenOptions;
use wgpu_rnn::internals::diagnostics::compare::Tolerance;
use wgpu_rnn::internals::diagnostics::lockstep::lockstep as compare_in_lockstep;
use wgpu_rnn::internals::params::random::Mt19937;
use wgpu_rnn::{Config, Kind, LoadOptions, Params, Schedule, State, Tensor};

use crate::{Target, ensure};

/// Ugly sizes: hidden size, batch, layers, both directions or one, seed.
const SHAPES: [(usize, usize, usize, bool); 10] = [
    (1, 1, 1, false),
    (2, 3, 2, true),
    (5, 2, 1, true),
    (31, 1, 2, false),
    (33, 9, 1, false),
    (64, 4, 1, true),
    (65, 8, 1, false),
    (66, 23, 1, true),
    (129, 1, 1, true),
    (257, 5, 1, false),
];

pub fn lockstep(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    // A binding this small cuts time and weights, so that lockstep covers segments and shards.
    let small =
        target.open(&OpenOptions::default().limit("max_storage_buffer_binding_size", 16_384))?;
    for (kind, projected) in Kind::ALL
        .iter()
        .map(|&kind| (kind, false))
        .chain(target.projects().then_some((Kind::Lstm, true)))
    {
        for (hidden_size, batch, num_layers, bidirectional) in SHAPES {
            let (seq_len, input_size) = (3, hidden_size % 7 + 1);
            // All units but one, or about half of them: the quads of the state, or fewer quads.
            let proj_size =
                if projected { hidden_size - 1 - batch % 2 * (hidden_size / 2) } else { 0 };
            if projected && proj_size == 0 {
                continue;
            }
            let config = Config::new(kind, input_size, hidden_size).num_layers(num_layers);
            let config = target.suited(config.bidirectional(bidirectional).proj_size(proj_size));
            let params = Params::init(&config, hidden_size as u64)?;
            let mut generator = Mt19937::new(batch as u64);
            let mut random = |shape: [usize; 3]| {
                Tensor::new(shape, generator.uniform_vec(shape.iter().product(), -2.0, 2.0))
            };
            let input = random([seq_len, batch, input_size])?;
            let states = |units| [config.num_layers * config.num_directions(), batch, units];
            let h = random(states(config.state_size()))?;
            let state = State {
                h,
                c: (kind == Kind::Lstm).then(|| random(states(hidden_size))).transpose()?,
            };
            // The rows end at different steps, the first one at the last.
            let lengths: Vec<usize> = (0..batch).map(|row| seq_len - row % seq_len).collect();
            let whole = target.runs_whole_layers();
            let cut = hidden_size <= 65 && !whole;
            for device in if cut { vec![&device, &small] } else { vec![&device] } {
                let reports = compare_in_lockstep(
                    device,
                    &params,
                    &input,
                    Some(&lengths),
                    Some(&state),
                    Tolerance::F32,
                    &LoadOptions::new().schedule(target.schedule),
                )?;
                // A wave does not project the rows of a whole segment, and may use another kernel.
                let kernels = 2 + usize::from(projected);
                let more = usize::from(target.schedule == Schedule::Wavefront);
                ensure(
                    (kernels..=kernels + more).contains(&reports.len()),
                    format!("{kernels} kernels were expected: {reports:?}"),
                )?;
                for report in reports {
                    let place = report.worst.as_ref().map(ToString::to_string).unwrap_or_default();
                    ensure(
                        report.agrees() && report.count > 0,
                        format!("{kind} {hidden_size}: {report:?} {place}"),
                    )?;
                }
            }
        }
    }
    Ok(())
}

/// The longest sums that plans allow one invocation on this adapter. A driver that stops a loop
/// early, as Mesa's software driver does after 65,535 iterations, makes every result too small.
pub fn loop_canary(target: &Target) -> Result<(), Failed> {
    let device = target.device()?;
    // 65,536 input features are 4,096 tiles of a linear kernel and 28,688 counted iterations.
    // 32,768 units are the same number for `step`.
    let input_size = 65_536;
    let params =
        Params::from_fn(&Config::new(Kind::RnnRelu, input_size, 2).bias(false), |name, shape| {
            let value = if name.starts_with("weight_ih") { 1.0 } else { 0.0 };
            Ok(vec![value; shape.iter().product()])
        })?;
    let rnn = wgpu_rnn::Rnn::new(&device, &params)?;
    let (output, _) =
        rnn.forward(&Tensor::new([1, 1, input_size], vec![1.0; input_size])?, None)?;
    // Whole numbers up to 2^24 are exact in f32 in any order.
    ensure(
        output.data() == [input_size as f32; 2],
        format!("linear: got {:?}, want {input_size}", output.data()),
    )?;
    let hidden_size = 8_192;
    let params =
        Params::from_fn(&Config::new(Kind::RnnRelu, 1, hidden_size).bias(false), |name, shape| {
            // One row of ones suffices: the first unit sums the whole state.
            let mut values = vec![0.0; shape.iter().product()];
            if name.starts_with("weight_hh") {
                values[..hidden_size].fill(1.0);
            }
            Ok(values)
        })?;
    let rnn = wgpu_rnn::Rnn::new(&device, &params)?;
    let state = State { h: Tensor::new([1, 1, hidden_size], vec![1.0; hidden_size])?, c: None };
    let (output, _) = rnn.forward(&Tensor::zeros([1, 1, 1])?, Some(&state))?;
    ensure(
        output.data()[0] == hidden_size as f32,
        format!("step: got {}, want {hidden_size}", output.data()[0]),
    )
}
