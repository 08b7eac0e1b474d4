//! The length of segments, and the cuts of a sequence.

use std::ops::Range;

use super::second::second_product;
use super::{MAX_SEGMENT_STEPS, MAX_SEQ_LEN, Request};
use crate::error::{Error, Result};
use crate::kernel::persistent::EXCHANGE_START;
use crate::params::config::Kind;
use crate::params::validate::Sizes;
use crate::plan::limits::Limits;
use crate::tensor::padded;

/// The size of projections in bytes above which longer segments gain nothing. A GPU with gigabytes
/// to bind is fully busy at this size.
const GATES_X_SIZE: u64 = 256 << 20;

/// The buffers that a schedule adds for each step of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// No buffer.
    Nothing,
    /// The exchange of `persistent`: the state after each step.
    Exchange,
}

/// Returns the most steps of a segment that the limits allow, at least 1.
pub(super) fn max_steps(request: &Request<'_>, limits: &Limits, added: Added) -> Result<usize> {
    let &Request { config, weights, sizes, .. } = request;
    check_sizes(sizes)?;
    let directions = config.num_directions() as u64;
    let (batch, seq_len) = (sizes.batch as u64, sizes.seq_len as u64);
    // The bytes of one time step. An overflow needs more rows than there are addresses, so saturate
    // and report the limit.
    let bytes = |values: u64| batch.saturating_mul(values).saturating_mul(4);
    let gates_x = bytes(directions * (config.hidden_size * config.gate_count()) as u64);
    let input = bytes(padded(config.input_size) as u64);
    let output = bytes(directions * padded(config.state_size()) as u64);
    let state = bytes(directions * padded(config.state_size().max(config.hidden_size)) as u64);
    let (exchange, flag) = match added {
        Added::Nothing => (0, 0),
        Added::Exchange => (output, EXCHANGE_START as u64 * 4),
    };
    let binding = limits.max_binding();
    for (what, needed) in [
        ("the input projection of one time step (gates_x)", gates_x),
        ("the input of one time step", input),
        ("the output of one time step", output),
        ("the exchange of one time step", exchange.saturating_add(flag)),
        ("the state of one layer", state),
    ] {
        if needed > binding {
            return Err(Error::Limit {
                limit: limits.max_binding_name(),
                what: what.to_owned(),
                needed,
                allowed: binding,
                advice: "use a smaller batch or hidden size, or another device",
            });
        }
    }
    let by_binding = [gates_x, input, output]
        .map(|bytes| binding / bytes.max(1))
        .into_iter()
        .chain([(binding - flag) / exchange.max(1)])
        .min()
        .unwrap_or(1);
    // An input projection is one dispatch, which no submission boundary can divide.
    let features =
        padded(config.input_size).max(config.num_directions() * padded(config.state_size())) as u64;
    let by_work = limits.max_work_per_submission / (gates_x / 4).saturating_mul(features).max(1);
    let by_size = GATES_X_SIZE / gates_x.max(1);
    let steps = by_binding.min(by_work).min(by_size).min(MAX_SEGMENT_STEPS as u64).min(seq_len);

    // The parts that no cut makes smaller come first. The rest of the budget goes to gates_x.
    let layers = config.num_layers as u64;
    let states_per_layer = if config.kind == Kind::Lstm { 3 } else { 2 };
    let fixed = [
        weights.size(),
        seq_len.saturating_mul(input),
        // Two sets of layer outputs, and the copy that reads back the last one.
        seq_len.saturating_mul(output).saturating_mul(layers.min(2) + 1),
        // The states, and the copies that read back one h and c.
        layers.saturating_mul(2 * states_per_layer - 1).saturating_mul(state),
        // The vector of the second product.
        if second_product(config).is_some() { state } else { 0 },
        bytes(1),
        // The settings of dropout.
        if request.has_dropout() { 16 } else { 0 },
        flag,
    ]
    .into_iter()
    .fold(0_u64, u64::saturating_add);
    let each_step = gates_x.saturating_add(exchange);
    let needed = fixed.saturating_add(each_step);
    if needed > limits.memory_budget {
        return Err(Error::Limit {
            limit: "memory_budget",
            what: format!("a forward pass of {seq_len} steps and {batch} rows"),
            needed,
            allowed: limits.memory_budget,
            advice: "raise the budget, or use a smaller batch or shorter sequences",
        });
    }
    let by_budget = (limits.memory_budget - fixed) / each_step.max(1);
    Ok(steps.min(by_budget).max(1) as usize)
}

/// Rejects empty sizes, and more steps than kernels can count.
fn check_sizes(sizes: Sizes) -> Result<()> {
    if sizes.seq_len == 0 {
        return Err(Error::Shape("Expected sequence length to be larger than 0 in RNN".to_owned()));
    }
    if sizes.batch == 0 {
        return Err(Error::Shape(
            "a batch of 0 rows has nothing to plan: its results are empty".to_owned(),
        ));
    }
    if sizes.seq_len > MAX_SEQ_LEN {
        return Err(Error::Unsupported(format!(
            "a sequence of {} steps: the most is {MAX_SEQ_LEN}",
            sizes.seq_len
        )));
    }
    Ok(())
}

/// Cuts `seq_len` steps into the fewest segments of at most `max_steps` steps. The cut is
/// symmetric: segment c is as long as segment n−1−c. Within that, the lengths differ as little as
/// possible.
pub(super) fn cut(seq_len: usize, max_steps: usize) -> Vec<Range<usize>> {
    let mut count = seq_len.div_ceil(max_steps);
    // An odd length cannot be cut symmetrically into an even number of segments.
    if count.is_multiple_of(2) && seq_len % 2 == 1 {
        count += 1;
    }
    let (short, mut longer) = (seq_len / count, seq_len % count);
    let mut lengths = vec![short; count];
    if longer % 2 == 1 {
        // The count is odd here, so there is a middle segment.
        lengths[count / 2] += 1;
        longer -= 1;
    }
    for i in 0..longer / 2 {
        lengths[i] += 1;
        lengths[count - 1 - i] += 1;
    }
    let mut start = 0;
    lengths
        .into_iter()
        .map(|length| {
            start += length;
            start - length..start
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn cuts_are_symmetric_complete_and_short_enough() {
        for seq_len in 1..60 {
            for max_steps in 1..=seq_len {
                let segments = cut(seq_len, max_steps);
                let n = segments.len();
                let mut next = 0;
                for (c, segment) in segments.iter().enumerate() {
                    assert_eq!(
                        segment.start, next,
                        "T = {seq_len}, at most {max_steps}: no gap, no overlap"
                    );
                    assert!(
                        !segment.is_empty() && segment.len() <= max_steps,
                        "T = {seq_len}, at most {max_steps}"
                    );
                    assert_eq!(
                        segment.len(),
                        segments[n - 1 - c].len(),
                        "T = {seq_len}, at most {max_steps}"
                    );
                    next = segment.end;
                }
                assert_eq!(next, seq_len, "T = {seq_len}, at most {max_steps}: all steps covered");
                assert!(
                    n <= seq_len.div_ceil(max_steps) + 1,
                    "T = {seq_len}, at most {max_steps}: {n} segments"
                );
            }
        }
    }
}
