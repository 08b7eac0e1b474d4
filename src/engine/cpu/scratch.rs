//! The memory that twins allocate while they run. Their allocations abort the process when they
//! fail, so a run checks that the host has the memory first.

use super::threads::threads_for;
use crate::dtype::WeightType;
use crate::kernel::Cell;
use crate::kernel::uniforms::{Dims, LinearDims};
use crate::plan::recording::{Dispatch, Recording};

/// The values of a row in a list of slices: an address and a length, twice, since a list grows to a
/// power of two.
const LISTED: usize = 2 * size_of::<&[f32]>() / size_of::<f32>();

/// The most buffers that a step writes; each has a list of its rows.
const WRITTEN: usize = 3;

/// Returns an upper bound of the values that the twin of a dispatch allocates.
pub(super) fn of(dispatch: &Dispatch, recording: &Recording) -> usize {
    // The number of the pool counts only where it is needed; see `threads`.
    let threads = match threads_for(dispatch.multiply_adds(), 2) {
        1 => 1,
        _ => rayon::current_num_threads(),
    };
    let gates = dispatch.kernel.cell.map_or(1, Cell::gates);
    // The sums of each row, in memory that grows to at most twice of them, and the lists of rows.
    let step = |[rows, units]: [usize; 2]| {
        let lists = LISTED * (1 + WRITTEN * threads.min(units));
        rows.saturating_mul(2 * units * gates + lists)
    };
    let rows = |directions: u32, batch: u32| directions as usize * batch as usize;
    // A twin of many steps alternates between two states.
    let steps = |rows: usize, units: u32, quads: u32| {
        let states = rows.saturating_mul(2 * 4 * quads as usize);
        states.saturating_add(step([rows, units as usize]))
    };
    let own = match &dispatch.dims {
        Dims::Linear(dims) => linear(dims, threads),
        Dims::Step(dims) => step([rows(dims.directions, dims.batch), dims.units as usize]),
        Dims::Sequence(dims) => {
            steps(rows(dims.directions, dims.batch), dims.hidden_size, dims.state_quads)
        }
        Dims::Persistent(dims) => {
            steps(rows(dims.directions, dims.batch), dims.hidden_size, dims.state_quads)
        }
        Dims::Generate(dims) => {
            steps(rows(dims.layers, dims.batch), dims.hidden_size, dims.state_quads)
        }
        // These work in place, or keep a value for each invocation of a workgroup.
        _ => 0,
    };
    own.saturating_add(widened(dispatch, recording))
}

/// A linear layer gathers its input where a direction does not read it in order, and lists the rows
/// of y. Threads that share the columns have a list each.
fn linear(dims: &LinearDims, threads: usize) -> usize {
    let rows = dims.steps as usize * dims.batch as usize;
    let in_order = dims.halves == 1 && (dims.directions == 1 || dims.x_direction_rows > 0);
    let gathered = if in_order { 0 } else { dims.halves as usize * dims.half_quads as usize * 4 };
    let parts = if rows < dims.columns as usize { 2 * threads } else { 1 };
    rows.saturating_mul(gathered + LISTED * parts)
}

/// Weights of f16 become f32: unpacked words in a list that grows, then two values of each word,
/// and these packed again.
fn widened(dispatch: &Dispatch, recording: &Recording) -> usize {
    let weight = dispatch.kernel.bindings().position(|binding| binding.name == "weight");
    match weight.and_then(|weight| dispatch.bindings.get(weight)) {
        Some(id) if dispatch.kernel.weights != WeightType::F32 => {
            recording.spec(*id).len().saturating_mul(6)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::{LISTED, linear, of};
    use crate::kernel::Schedule;
    use crate::kernel::uniforms::{Dims, LinearDims};
    use crate::params::config::Config;
    use crate::params::validate::Sizes;
    use crate::perf::calibration::Calibration;
    use crate::plan::limits::Limits;
    use crate::plan::{Exchange, Profile, Request, Target, WeightLayout, plan};

    fn plain() -> LinearDims {
        let zero = LinearDims::zeroed();
        LinearDims { steps: 1000, batch: 10, directions: 1, halves: 1, half_quads: 8, ..zero }
    }

    #[test]
    fn only_an_input_out_of_order_is_copied() {
        let dims = plain();
        let plain = linear(&dims, 1);
        assert_eq!(plain, 10_000 * LISTED, "a list of the rows");
        let second = LinearDims { halves: 2, ..dims };
        assert_eq!(linear(&second, 1) - plain, 10_000 * 2 * 32, "both directions of a layer");
        let reverse = LinearDims { directions: 2, ..dims };
        assert_eq!(linear(&reverse, 1) - plain, 10_000 * 32, "the input in reverse");
        let copied = LinearDims { x_direction_rows: 10_000, ..reverse };
        assert_eq!(linear(&copied, 1), plain, "each direction has its input");
    }

    #[test]
    fn a_recurrence_has_room_for_its_sums_and_its_states() {
        let (config, limits) = (Config::lstm(3, 12).bidirectional(true), Limits::host());
        let weights = WeightLayout::new(&config, &limits).expect("a small layer");
        let sizes = Sizes { seq_len: 5, batch: 7 };
        let request = Request { config: &config, weights: &weights, sizes, training: false };
        let calibration = &Calibration::typical_of(None);
        let (target, exchange) = (Target::Host, Exchange::OneStep);
        let profile = Profile { limits: &limits, calibration, target, exchange };
        for (schedule, states) in
            [(Schedule::Step, 0), (Schedule::Sequence, 2), (Schedule::Persistent, 2)]
        {
            let plan = plan(&request, &profile, schedule).expect("a small pass");
            let all = plan.recording.commands.iter().flat_map(|command| command.dispatches(0));
            let recurrent = all.filter(|dispatch| !matches!(dispatch.dims, Dims::Linear(_)));
            let found: Vec<usize> =
                recurrent.map(|dispatch| of(dispatch, &plan.recording)).collect();
            assert!(!found.is_empty(), "{schedule}");
            // Rows of both directions, with four gates of 12 units and lists of one thread.
            let wanted = 14 * (2 * 4 * 12 + 4 * LISTED + 12 * states);
            assert!(found.iter().all(|&found| found == wanted), "{schedule}: {found:?}, {wanted}");
        }
    }
}
