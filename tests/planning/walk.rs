//! Checks of the order of steps. A symbolic run of a recording replaces every value by its meaning.

use std::collections::HashMap;
use std::ops::Range;

use wgpu_rnn::internals::kernel::Family;
use wgpu_rnn::internals::kernel::persistent::EXCHANGE_START;
use wgpu_rnn::internals::kernel::uniforms::{Dims, PersistentDims, SequenceDims};
use wgpu_rnn::internals::plan::recording::{BufferId, Command, Dispatch};

use crate::soundness::{Checker, bound};

/// The content of a buffer during the run: the value of a layer after `steps` steps, for the first
/// `units` units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holds {
    layer: usize,
    steps: usize,
    units: usize,
}

/// The subject of a check. Formatted only on failure.
struct StepOf<'a> {
    what: &'a str,
    s: usize,
    layer: usize,
}

impl std::fmt::Display for StepOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: step {} of layer {}", self.what, self.s, self.layer)
    }
}

/// The sizes of a dispatch of several steps.
struct Walked {
    seq_len: u32,
    first_step: u32,
    first_index: u32,
    steps: u32,
    hidden_size: u32,
    weight_base: u32,
}

impl Walked {
    fn of(dims: &Dims) -> Self {
        match *dims {
            Dims::Sequence(SequenceDims {
                seq_len,
                first_step,
                first_index,
                steps,
                hidden_size,
                weight_base,
                ..
            })
            | Dims::Persistent(PersistentDims {
                seq_len,
                first_step,
                first_index,
                steps,
                hidden_size,
                weight_base,
                ..
            }) => Self { seq_len, first_step, first_index, steps, hidden_size, weight_base },
            _ => panic!("no dispatch of several steps: {dims:?}"),
        }
    }
}

/// A symbolic run of a recording.
pub struct Walk<'a> {
    checker: &'a Checker<'a>,
    /// The layer and units of each weight, by its buffer and its offset there.
    shards: HashMap<(BufferId, usize), (usize, Range<usize>)>,
    /// Buffers of `h`; for an LSTM also `c`; with a projection also its input, `m`.
    states: HashMap<BufferId, Holds>,
    /// The layer, the steps and the number of units in `gates_x`.
    gates_x: Option<(usize, Range<usize>, usize)>,
    /// Inputs and outputs of layers: the layer that reads them and the steps that are complete.
    sequences: HashMap<BufferId, (usize, Range<usize>)>,
}

impl<'a> Walk<'a> {
    pub fn start(checker: &'a Checker<'a>) -> Self {
        let (plan, config) = (&checker.plan, checker.config);
        let mut states = HashMap::new();
        for (layer, ids) in plan.states.iter().enumerate() {
            states.insert(ids.h[0], Holds { layer, steps: 0, units: config.state_size() });
            states.extend(ids.c.map(|c| (c, Holds { layer, steps: 0, units: config.hidden_size })));
        }
        let mut shards = HashMap::new();
        for layer in 0..checker.config.num_layers {
            for shard in checker.weights.layer(layer) {
                for weight in
                    [(shard.weight_ih, shard.input_base), (shard.weight_hh, shard.state_base)]
                {
                    let other = shards.insert(weight, (layer, shard.units.clone()));
                    assert!(
                        other.is_none(),
                        "{}: {weight:?} is the weight of one shard",
                        checker.what
                    );
                }
            }
            for shard in checker.weights.projection(layer) {
                let other = shards.insert((shard.weight_hr, 0), (layer, shard.units.clone()));
                assert!(
                    other.is_none(),
                    "{}: {:?} is the weight of one shard",
                    checker.what,
                    shard.weight_hr
                );
            }
        }
        let inputs =
            plan.input.iter().zip(&plan.segments).map(|(id, segment)| (*id, (0, segment.clone())));
        Self { checker, shards, states, gates_x: None, sequences: inputs.collect() }
    }

    pub fn run(mut self) {
        let Checker { what, config, plan, .. } = self.checker;
        let (mut cleared, mut clears) = (None, 0);
        for command in &plan.recording.commands {
            match command {
                Command::Dispatch(dispatch) => match &dispatch.dims {
                    Dims::Sequence(_) | Dims::Persistent(_) => {
                        let dims = Walked::of(&dispatch.dims);
                        let first = (dims.first_step + dims.first_index) as usize;
                        let segment = plan.segments.iter().find(|segment| segment.contains(&first));
                        let segment = segment
                            .unwrap_or_else(|| panic!("{what}: step {first} is in a segment"))
                            .clone();
                        assert_eq!(
                            dims.first_step as usize, segment.start,
                            "{what}: the first step of the segment"
                        );
                        assert_eq!(dims.seq_len as usize, plan.sizes.seq_len, "{what}: T");
                        if matches!(dispatch.dims, Dims::Persistent(_)) && dims.first_index == 0 {
                            let exchange = bound(dispatch, "exchange");
                            let state = plan.recording.spec(plan.states[0].h[0]).len();
                            let end = EXCHANGE_START + segment.len() * state;
                            let want = exchange.map(|exchange| (exchange, end));
                            assert_eq!(cleared.take(), want, "{what}: words that were cleared");
                        }
                        let units = 0..dims.hidden_size as usize;
                        let steps = first..first + dims.steps as usize;
                        self.step(dispatch, (units, dims.weight_base), steps, &segment);
                    }
                    _ => self.project(dispatch),
                },
                Command::Clear { buffer, start, len } => {
                    let flag = clears == 0;
                    assert_eq!(
                        *start,
                        if flag { 0 } else { EXCHANGE_START },
                        "{what}: the flag once"
                    );
                    cleared = Some((*buffer, start + len));
                    clears += 1;
                }
                Command::Steps { count, first_step, .. } => {
                    let first = *first_step as usize;
                    let segment = first..first + *count as usize;
                    assert!(
                        plan.segments.contains(&segment),
                        "{what}: steps {segment:?} are a segment"
                    );
                    for index in 0..*count {
                        for dispatch in command.dispatches(index) {
                            let Dims::Step(dims) = &dispatch.dims else {
                                panic!("{what}: steps are made of steps")
                            };
                            assert_eq!(
                                dims.first_step as usize, segment.start,
                                "{what}: the first step of the segment"
                            );
                            assert_eq!(dims.seq_len as usize, plan.sizes.seq_len, "{what}: T");
                            let units =
                                dims.unit_offset as usize..(dims.unit_offset + dims.units) as usize;
                            let s = first + index as usize;
                            self.step(dispatch, (units, dims.weight_base), s..s + 1, &segment);
                        }
                    }
                }
            }
        }
        for (layer, ids) in plan.states.iter().enumerate() {
            let after = |units| Holds { layer, steps: plan.sizes.seq_len, units };
            let (h_n, c_n) = (self.states[&plan.final_h(layer)], ids.c.map(|c| self.states[&c]));
            assert_eq!(h_n, after(config.state_size()), "{what}: h_n of layer {layer}");
            assert_eq!(
                c_n,
                ids.c.map(|_| after(config.hidden_size)),
                "{what}: c_n of layer {layer}"
            );
        }
        for (id, segment) in plan.output.iter().zip(&plan.segments) {
            assert_eq!(
                self.sequences[id],
                (config.num_layers, segment.clone()),
                "{what}: output of {segment:?}"
            );
        }
    }

    /// Runs a projection. It reads a segment and its mirror image, both complete, and adds its
    /// units to `gates_x`.
    fn project(&mut self, dispatch: &Dispatch) {
        let (what, segments) = (&self.checker.what, &self.checker.plan.segments);
        let Dims::Linear(dims) = &dispatch.dims else {
            panic!("{what}: only projections are outside of steps")
        };
        let (layer, units) =
            self.shards[&(dispatch.bindings[2], dims.weight_base as usize)].clone();
        let (same, mirrored) =
            (&self.sequences[&dispatch.bindings[0]], &self.sequences[&dispatch.bindings[1]]);
        assert_eq!(
            (same.0, mirrored.0),
            (layer, layer),
            "{what}: layer {layer} reads what is there for it"
        );
        let c = segments
            .iter()
            .position(|s| *s == same.1)
            .unwrap_or_else(|| panic!("{what}: {:?} is whole", same.1));
        assert_eq!(
            mirrored.1,
            segments[segments.len() - 1 - c],
            "{what}: the mirror image of segment {c}"
        );
        assert_eq!(dims.steps as usize, same.1.len(), "{what}: all steps of the segment");
        let gates = self.checker.config.gate_count();
        assert_eq!(
            dims.y_offset as usize,
            units.start * gates,
            "{what}: its units' place in gates_x"
        );
        assert_eq!(dims.columns as usize, units.len() * gates, "{what}: its units' gates");
        let done = match &self.gates_x {
            Some((l, segment, done)) if *l == layer && *segment == same.1 => *done,
            _ => 0,
        };
        assert_eq!(done, units.start, "{what}: shards of layer {layer} in turn");
        self.gates_x = Some((layer, same.1.clone(), units.end));
    }

    /// Runs steps `s..end`. They read the state of every unit after `s` steps, and write the state
    /// of their own units after `end`.
    fn step(
        &mut self,
        dispatch: &Dispatch,
        (units, slot): (Range<usize>, u32),
        steps: Range<usize>,
        segment: &Range<usize>,
    ) {
        let Checker { what, config, plan, .. } = self.checker;
        let (s, end) = (steps.start, steps.end);
        let of = |name| bound(dispatch, name).unwrap_or_else(|| panic!("{what}: {name} is bound"));
        let (layer, of_shard) = self.shards[&(of("weight"), slot as usize)].clone();
        assert_eq!(units, of_shard, "{what}: units");
        assert!(end <= segment.end, "{what}: steps {steps:?} are in {segment:?}");
        assert_eq!(of("lengths"), plan.lengths, "{what}: lengths");

        let about = StepOf { what, s, layer };
        let (hidden_size, state_size) = (config.hidden_size, config.state_size());
        let before = |units| Some(Holds { layer, steps: s, units });
        let holds = |id: BufferId| self.states.get(&id).copied();
        let family = dispatch.kernel.family;
        if matches!(family, Family::StepProjection | Family::StepTiledProjection) {
            let complete = Some(Holds { layer, steps: end, units: hidden_size });
            assert_eq!(
                holds(of("h_in")),
                complete,
                "{about}: what is projected is there for every unit"
            );
            assert_eq!(
                holds(of("h_before")),
                before(state_size),
                "{about}: h that rows at their end keep"
            );
        } else {
            let projected = Some((layer, segment.clone(), hidden_size));
            assert_eq!(
                self.gates_x, projected,
                "{about}: the projection of {segment:?} that it reads"
            );
            assert_eq!(holds(of("h_in")), before(state_size), "{about}: h that it reads");
        }
        // The first shard overwrites the buffer, and the others add to it.
        let started = Holds { layer, steps: end, units: units.start };
        for written in ["h_out", "m"].into_iter().filter_map(|name| bound(dispatch, name)) {
            assert!(units.start == 0 || holds(written) == Some(started), "{about}: shards in turn");
        }
        if let Some(c) = bound(dispatch, "c") {
            // In place: the units before this shard's are one step ahead.
            let want = if units.start == 0 { before(hidden_size) } else { Some(started) };
            assert_eq!(holds(c), want, "{about}: c that it updates");
        }
        for written in ["h_out", "m", "c"].into_iter().filter_map(|name| bound(dispatch, name)) {
            self.states.insert(written, Holds { units: units.end, ..started });
        }
        if let Some(y) = bound(dispatch, "y").filter(|_| units.end == state_size) {
            let first = s == segment.start;
            let so_far = if first { s..s } else { self.sequences[&y].1.clone() };
            assert!(first || self.sequences[&y].0 == layer + 1, "{about}: its y");
            assert_eq!(so_far, segment.start..s, "{about}: y has every step before");
            self.sequences.insert(y, (layer + 1, so_far.start..end));
        }
    }
}
