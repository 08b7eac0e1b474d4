//! Plans of the schedule `wavefront`, in a symbolic run of each layer's steps.

use std::collections::HashMap;
use std::ops::Range;

use wgpu_rnn::internals::kernel::uniforms::{Dims, LinearDims, StepDims};
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::perf::calibration::Calibration;
use wgpu_rnn::internals::plan::limits::Limits;
use wgpu_rnn::internals::plan::recording::{BufferId, Command, Dispatch};
use wgpu_rnn::internals::plan::{
    Exchange, LayerState, Profile, Request, Target, WeightLayout, plan,
};
use wgpu_rnn::{Config, Error, Kind, Schedule};

use crate::soundness::{About, Checker, bound, checked, extent};
use crate::{GPU, webgpu, with};

/// The checks of a wavefront's dispatch, on top of the checks of every dispatch.
pub fn check(checker: &Checker<'_>, what: About<'_>, dispatch: &Dispatch) {
    let (config, plan) = (checker.config, &checker.plan);
    let (layers, batch, hidden) = (config.num_layers, plan.sizes.batch, config.hidden_size);
    let (columns, units) = (hidden * config.gate_count(), hidden.next_multiple_of(4));
    assert!(
        dispatch.bindings.iter().all(|id| plan.recording.whole(*id).0 == *id),
        "{what}: parts are not bound"
    );
    let size = |name| {
        checker.size_of(bound(dispatch, name).unwrap_or_else(|| panic!("{what}: {name} is bound")))
    };
    match &dispatch.dims {
        Dims::Linear(dims) => {
            let rows = (dims.steps * dims.batch) as usize;
            let features = (dims.half_quads * 4) as usize;
            let slots = if dispatch.place.layer == 0 { 1 } else { layers - 1 };
            assert_eq!(
                (dims.batch as usize, dims.columns as usize, dims.halves),
                (batch, columns, 1),
                "{what}: sizes"
            );
            assert!(
                (dims.weight_base + dims.directions) as usize <= slots,
                "{what}: its weights are among them"
            );
            assert_eq!(
                (size("weight"), size("bias")),
                (slots * columns * features, slots * columns),
                "{what}"
            );
            let x = dims.x_first_row as usize
                + (dims.directions as usize - 1) * dims.x_direction_rows as usize
                + rows;
            assert!(x * features <= size("x_same"), "{what}: x is there");
            let tiles = u64::from(dims.row_tiles)
                * u64::from(dims.column_tiles)
                * u64::from(dims.directions);
            checker.workgroups(what, dispatch, tiles);
            let (work, most) =
                (dispatch.work() - 1_000_000, checker.limits.max_work_per_submission);
            let one = plan.segments.iter().all(|segment| segment.len() == 1);
            assert!(
                one || work <= most,
                "{what}: {work} multiply-adds of {most} in one submission"
            );
        }
        Dims::Step(dims) => {
            let of_tile = extent(dispatch);
            let tiles = (dims.units.div_ceil(of_tile.0), dims.batch.div_ceil(of_tile.1));
            assert_eq!((dims.unit_tiles, dims.row_tiles), tiles, "{what}: tiles");
            let directions = u64::from(dims.directions);
            checker.workgroups(
                what,
                dispatch,
                u64::from(tiles.0) * u64::from(tiles.1) * directions,
            );
            assert_eq!(
                (dims.directions as usize, dims.weight_base),
                (layers, 0),
                "{what}: all layers"
            );
            assert_eq!((dims.units, dims.unit_offset), (dims.hidden_size, 0), "{what}: all units");
            assert_eq!(
                (dims.hidden_size as usize, dims.state_quads as usize * 4),
                (hidden, units),
                "{what}: units"
            );
            assert_eq!(size("weight"), layers * columns * units, "{what}: weight");
            assert_eq!(
                (size("h_in"), size("h_out")),
                (layers * batch * units, layers * batch * units),
                "{what}: h"
            );
            let own = bound(dispatch, "c").map_or(layers * hidden, |_| layers * batch * hidden);
            let found =
                bound(dispatch, "c").or(bound(dispatch, "bias_hn")).map(|id| checker.size_of(id));
            assert_eq!(found, (config.gate_count() > 1).then_some(own), "{what}: c, or bias_hn");
            let steps = dims.steps as usize;
            assert_eq!(steps % dims.layer_delay as usize, 0, "{what}: whole chunks");
            assert_eq!(size("y"), layers * steps * batch * units, "{what}: y");
            assert!(size("gates_x") >= layers * steps * batch * columns, "{what}: gates_x");
            assert_eq!(size("lengths"), batch, "{what}: lengths");
        }
        other => panic!("{what}: {other:?} in a wavefront"),
    }
}

/// A symbolic run of a recording.
struct Walk<'a> {
    checker: &'a Checker<'a>,
    /// The number of steps of each layer that each of the two `h` buffers, and `c`, are after.
    states: HashMap<BufferId, Vec<usize>>,
    /// Whether the segment's projections and outputs are complete, by layer and step.
    gates_x: Vec<Vec<bool>>,
    y: Vec<Vec<bool>>,
    /// Index of the segment.
    segment: usize,
}

/// Runs a plan symbolically and checks each step.
pub fn walk(checker: &Checker<'_>) {
    let (plan, layers) = (&checker.plan, checker.config.num_layers);
    let (mut states, units) = (HashMap::new(), checker.config.hidden_size);
    let mut place = |id: BufferId, layer: usize, units: usize| {
        let (whole, start) = plan.recording.whole(id);
        assert_eq!(
            start,
            layer * plan.sizes.batch * units,
            "{}: {id:?} is the part of layer {layer}",
            checker.what
        );
        states.entry(whole).or_insert(vec![0; layers]);
    };
    for (layer, LayerState { h: [even, odd], c }) in plan.states.iter().enumerate() {
        place(*even, layer, units.next_multiple_of(4));
        place(*odd, layer, units.next_multiple_of(4));
        c.iter().for_each(|c| place(*c, layer, units));
    }
    Walk { checker, states, gates_x: Vec::new(), y: Vec::new(), segment: 0 }.run();
}

impl Walk<'_> {
    fn run(mut self) {
        let Checker { what, plan, config, .. } = self.checker;
        let mut turns = 0;
        for command in &plan.recording.commands {
            match command {
                Command::Dispatch(dispatch) => self.project(dispatch),
                Command::Clear { .. } => panic!("{what}: a wave clears nothing"),
                Command::Steps { count, first_step, .. } => {
                    assert_eq!(
                        *first_step as usize, turns,
                        "{what}: h changes places at every step"
                    );
                    turns += *count as usize;
                    for index in 0..*count {
                        let [dispatch] = command.dispatches(index) else {
                            panic!("{what}: one dispatch to a step")
                        };
                        self.step(dispatch, index);
                    }
                }
            }
        }
        self.end_of_segment();
        assert_eq!(self.segment + 1, plan.segments.len(), "{what}: all segments");
        assert_eq!(turns, plan.turns, "{what}: turns");
        for (layer, state) in plan.states.iter().enumerate() {
            for id in std::iter::once(plan.final_h(layer)).chain(state.c) {
                let after = self.states[&plan.recording.whole(id).0][layer];
                assert_eq!(
                    after,
                    plan.sizes.seq_len,
                    "{what}: {} at the end",
                    plan.recording.spec(id).label
                );
            }
        }
        assert!(config.num_layers > 1, "{what}: a stack");
    }

    /// Asserts that every step of every layer ran.
    fn end_of_segment(&self) {
        let (what, plan) = (&self.checker.what, &self.checker.plan);
        let steps = plan.segments[self.segment].len();
        let done = self.y.iter().all(|y| y[..steps].iter().all(|&step| step));
        assert!(done, "{what}: all steps of all layers of segment {}", self.segment);
    }

    fn project(&mut self, dispatch: &Dispatch) {
        let Checker { what, plan, config, weights, .. } = self.checker;
        let Dims::Linear(dims) = &dispatch.dims else {
            panic!("{what}: only projections are outside of steps")
        };
        let (batch, columns) = (plan.sizes.batch, config.hidden_size * config.gate_count());
        assert_eq!(dims.y_row_stride as usize, columns, "{what}: rows of gates_x");
        let x = bound(dispatch, "x_same").expect("bound above");
        if let Some(segment) = plan.input.iter().position(|id| *id == x) {
            if segment > 0 {
                self.end_of_segment();
                assert_eq!(segment, self.segment + 1, "{what}: segments in order");
            }
            self.segment = segment;
            let steps = plan.segments[segment].len();
            assert_eq!(
                weights.layer(0)[0].weight_ih,
                bound(dispatch, "weight").expect("bound above"),
                "{what}"
            );
            assert_eq!(
                (dims.steps as usize, dims.y_offset, dims.directions),
                (steps, 0, 1),
                "{what}: all steps"
            );
            // Other layers have whole chunks. The dims of the first step give the chunk.
            self.gates_x = vec![vec![false; 2 * steps]; config.num_layers];
            self.gates_x[0][..steps].fill(true);
            self.y = vec![vec![false; 2 * steps]; config.num_layers];
            return;
        }
        assert_eq!(
            weights.layer(1)[0].weight_ih,
            bound(dispatch, "weight").expect("bound above"),
            "{what}"
        );
        let rows =
            self.checker.size_of(x) / (config.num_layers * config.hidden_size.next_multiple_of(4));
        let steps = rows / batch;
        for d in 0..dims.directions {
            let layer = (dims.weight_base + d) as usize + 1;
            let read = self.range(
                dims,
                (dims.x_first_row + d * dims.x_direction_rows) as usize / batch,
                steps,
            );
            assert_eq!(read.0, layer - 1, "{what}: what the layer below layer {layer} wrote");
            let start = (dims.y_offset + d * dims.y_direction_stride) as usize / (batch * columns);
            let written = self.range(dims, start, steps);
            assert_eq!(written, (layer, read.1.clone()), "{what}: the same steps of layer {layer}");
            for s in written.1 {
                let padding = s >= plan.segments[self.segment].len();
                assert!(
                    padding || self.y[layer - 1][s],
                    "{what}: layer {layer} reads step {s} that is there"
                );
                assert!(
                    !self.gates_x[layer][s],
                    "{what}: step {s} of layer {layer} is projected once"
                );
                self.gates_x[layer][s] = true;
            }
        }
    }

    /// Returns the layer and the steps of rows from `start` on, if each layer has `steps` steps.
    fn range(&self, dims: &LinearDims, start: usize, steps: usize) -> (usize, Range<usize>) {
        let first = start % steps;
        assert!(first + dims.steps as usize <= steps, "{}: steps of one layer", self.checker.what);
        (start / steps, first..first + dims.steps as usize)
    }

    fn step(&mut self, dispatch: &Dispatch, index: u32) {
        let Checker { what, plan, .. } = self.checker;
        let Dims::Step(dims) = &dispatch.dims else { panic!("{what}: steps are made of steps") };
        let StepDims { first_step, first_index, layer_delay, steps, .. } = *dims;
        let segment = &plan.segments[self.segment];
        assert_eq!(first_step as usize, segment.start, "{what}: the first step of the segment");
        let of = |name| bound(dispatch, name);
        let (Some(h_in), Some(h_out)) = (of("h_in"), of("h_out")) else {
            panic!("{what}: h is bound")
        };
        let output = plan.recording.whole(plan.output[self.segment]);
        let slab = self.checker.size_of(output.0) / plan.states.len();
        assert_eq!(
            (Some(output.0), output.1),
            (of("y"), slab * (plan.states.len() - 1)),
            "{what}: the last layer's y"
        );
        for layer in 0..plan.states.len() {
            let before = self.states[&h_in][layer];
            let s = (first_index + index)
                .checked_sub(layer as u32 * layer_delay)
                .filter(|s| *s < steps);
            let s = s.map(|s| s as usize);
            // Steps that fill up the last chunk are past every row's end.
            let begun = s.filter(|s| *s < segment.len());
            self.states.get_mut(&h_out).expect("both are there")[layer] =
                before + usize::from(begun.is_some());
            if let Some(s) = s {
                assert!(
                    begun.is_some() || segment.end == plan.sizes.seq_len,
                    "{what}: only the last chunk is filled up"
                );
                self.y[layer][s] = true;
            }
            if let Some(s) = begun {
                assert_eq!(before, segment.start + s, "{what}: h of layer {layer} before step {s}");
                assert!(
                    self.gates_x[layer][s],
                    "{what}: the projection of step {s} of layer {layer} is there"
                );
                if let Some(c) = of("c") {
                    let c = &mut self.states.get_mut(&c).expect("c is there")[layer];
                    assert_eq!(*c, before, "{what}: c of layer {layer} before step {s}");
                    *c += 1;
                }
            }
        }
    }
}

#[test]
fn waves_of_every_size_are_sound() {
    let (mut walked, mut cut) = (0, 0);
    let limits = [
        webgpu(),
        Limits::host(),
        with("max_storage_buffer_binding_size", 1 << 14),
        with("max_work_per_submission", 40_000),
        with("memory_budget", 150_000),
    ];
    for (limits, kind) in
        limits.iter().flat_map(|limits| Kind::ALL.iter().map(move |&kind| (limits, kind)))
    {
        for (num_layers, hidden_size) in [(2, 1), (2, 16), (3, 5), (4, 13), (7, 2)] {
            let config = Config::new(kind, 3, hidden_size).num_layers(num_layers);
            let weights = WeightLayout::new(&config, limits).expect("a unit fits");
            for (seq_len, batch) in
                [1, 2, 3, 4, 5, 9, 16, 17, 50, 101].into_iter().flat_map(|t| [(t, 1), (t, 9)])
            {
                let sizes = Sizes { seq_len, batch };
                match checked(&config, &weights, sizes, limits, GPU, Schedule::Wavefront) {
                    Ok(checker) => {
                        walk(&checker);
                        walked += 1;
                        cut += usize::from(checker.plan.segments.len() > 1);
                    }
                    Err(Error::Unsupported(why)) => {
                        assert!(why.starts_with("the schedule 'wavefront' "), "{why}")
                    }
                    Err(Error::Limit { .. }) => {}
                    Err(error) => panic!("{config:?}, {sizes:?}: {error}"),
                }
            }
        }
    }
    assert!(walked > 1000 && cut > 100, "{walked} walked, {cut} of them in segments");
}

/// A wavefront has fewer dispatches than one layer after the other, by the formula.
#[test]
fn waves_make_fewer_dispatches() {
    let config = Config::lstm(32, 32).num_layers(3);
    let limits = webgpu();
    let weights = WeightLayout::new(&config, &limits).expect("small weights");
    let sizes = Sizes { seq_len: 100, batch: 1 };
    let count = |schedule| {
        let checker =
            checked(&config, &weights, sizes, &limits, GPU, schedule).expect("small sizes");
        checker.plan.recording.dispatch_count()
    };
    // 13 chunks of 8, and two more for the layers that start later.
    assert_eq!(
        (count(Schedule::Step), count(Schedule::Wavefront)),
        (3 * 101, 100 + 2 * 8 + 13 + 2)
    );
}

#[test]
fn what_waves_cannot_run_is_refused_by_name() {
    let stack = Config::gru(4, 8).num_layers(2);
    let small = with("max_storage_buffer_binding_size", 1024);
    let refusal = |config: &Config, limits: &Limits, training| {
        let (sizes, schedule) = (Sizes { seq_len: 3, batch: 1 }, Schedule::Wavefront);
        let weights = &WeightLayout::new(config, limits)?;
        let calibration = &Calibration::typical_of(Some(GPU));
        let profile =
            Profile { limits, calibration, target: Target::Gpu, exchange: Exchange::OneStep };
        plan(&Request { config, weights, sizes, training }, &profile, schedule)
    };
    for (config, limits, training, why) in [
        (stack.clone().num_layers(1), webgpu(), false, "needs at least two layers"),
        (stack.clone().bidirectional(true), webgpu(), false, "runs one direction"),
        (
            Config::lstm(4, 8).num_layers(2).proj_size(3),
            webgpu(),
            false,
            "has no projection (proj_size)",
        ),
        (stack.clone(), small, false, "needs the weights of all layers in one binding"),
        (stack.clone().dropout(0.5), webgpu(), true, "has no dropout between layers"),
    ] {
        let message = refusal(&config, &limits, training).expect_err("it cannot run").to_string();
        let want = format!("unsupported: the schedule 'wavefront' {why}");
        assert!(
            message.starts_with(&want) && message.ends_with("; use 'step', or 'auto'"),
            "{message}: want {want}"
        );
    }
    refusal(&stack.dropout(0.5), &webgpu(), false)
        .expect("dropout does not matter outside of training");
}
