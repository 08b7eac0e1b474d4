//! The order of the steps: a recording is walked through, every value replaced by what it stands for.

use std::collections::HashMap;
use std::ops::Range;

use wgpu_rnn::Kind;
use wgpu_rnn::dims::Dims;
use wgpu_rnn::recording::{BufferId, Command, Dispatch};

use crate::soundness::Checker;

/// What a buffer holds while a recording is walked: the value of a layer after so many steps, for the units so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holds {
    layer: usize,
    steps: usize,
    units: usize,
}

/// A recording as it runs, every value replaced by what it stands for.
pub struct Walk<'a> {
    checker: &'a Checker<'a>,
    /// Layer and units of each weight.
    shards: HashMap<BufferId, (usize, Range<usize>)>,
    /// `h` buffers and, for an LSTM, `c`.
    states: HashMap<BufferId, Holds>,
    /// `gates_x`: the layer and the steps that it was projected for, and how many units.
    gates_x: Option<(usize, Range<usize>, usize)>,
    /// Inputs and outputs of layers: which layer reads them, and the steps that are complete.
    sequences: HashMap<BufferId, (usize, Range<usize>)>,
}

impl<'a> Walk<'a> {
    pub fn start(checker: &'a Checker<'a>) -> Self {
        let (plan, hidden_size) = (&checker.plan, checker.config.hidden_size);
        let mut states = HashMap::new();
        for (layer, ids) in plan.states.iter().enumerate() {
            let before = Holds { layer, steps: 0, units: hidden_size };
            states.insert(ids.h[0], before);
            states.extend(ids.c.map(|c| (c, before)));
        }
        let mut shards = HashMap::new();
        for layer in 0..checker.config.num_layers {
            for shard in checker.weights.layer(layer) {
                for weight in [shard.weight_ih, shard.weight_hh] {
                    let other = shards.insert(weight, (layer, shard.units.clone()));
                    assert!(other.is_none(), "{}: {weight:?} is the weight of one shard", checker.what);
                }
            }
        }
        let inputs = plan.input.iter().zip(&plan.segments).map(|(id, segment)| (*id, (0, segment.clone())));
        Self { checker, shards, states, gates_x: None, sequences: inputs.collect() }
    }

    pub fn run(mut self) {
        let Checker { what, config, plan, .. } = self.checker;
        for command in &plan.recording.commands {
            match command {
                Command::Dispatch(dispatch) => self.project(dispatch),
                Command::Steps { count, first_step, .. } => {
                    let first = *first_step as usize;
                    let segment = first..first + *count as usize;
                    assert!(plan.segments.contains(&segment), "{what}: steps {segment:?} are a segment");
                    for index in 0..*count {
                        for dispatch in command.dispatches(index) {
                            self.step(dispatch, first + index as usize, &segment);
                        }
                    }
                }
            }
        }
        let after = |layer| Holds { layer, steps: plan.sizes.seq_len, units: config.hidden_size };
        for (layer, ids) in plan.states.iter().enumerate() {
            assert_eq!(self.states[&plan.final_h(layer)], after(layer), "{what}: h_n of layer {layer}");
            assert_eq!(ids.c.map(|c| self.states[&c]), ids.c.map(|_| after(layer)), "{what}: c_n of layer {layer}");
        }
        for (id, segment) in plan.output.iter().zip(&plan.segments) {
            assert_eq!(self.sequences[id], (config.num_layers, segment.clone()), "{what}: output of {segment:?}");
        }
    }

    /// A projection reads a segment and its mirror image, both complete, and adds its units to `gates_x`.
    fn project(&mut self, dispatch: &Dispatch) {
        let (what, segments) = (&self.checker.what, &self.checker.plan.segments);
        let Dims::Linear(dims) = &dispatch.dims else { panic!("{what}: only projections are outside of steps") };
        let (layer, units) = self.shards[&dispatch.bindings[2]].clone();
        let (same, mirrored) = (&self.sequences[&dispatch.bindings[0]], &self.sequences[&dispatch.bindings[1]]);
        assert_eq!((same.0, mirrored.0), (layer, layer), "{what}: layer {layer} reads what is there for it");
        let c = segments.iter().position(|s| *s == same.1).unwrap_or_else(|| panic!("{what}: {:?} is whole", same.1));
        assert_eq!(mirrored.1, segments[segments.len() - 1 - c], "{what}: the mirror image of segment {c}");
        assert_eq!(dims.steps as usize, same.1.len(), "{what}: all steps of the segment");
        let gates = self.checker.config.gate_count();
        assert_eq!(dims.y_offset as usize, units.start * gates, "{what}: its units' place in gates_x");
        assert_eq!(dims.columns as usize, units.len() * gates, "{what}: its units' gates");
        let done = match &self.gates_x {
            Some((l, segment, done)) if *l == layer && *segment == same.1 => *done,
            _ => 0,
        };
        assert_eq!(done, units.start, "{what}: shards of layer {layer} in turn");
        self.gates_x = Some((layer, same.1.clone(), units.end));
    }

    /// Step `s` reads the state after s steps of every unit, and writes that after s + 1 of its own.
    fn step(&mut self, dispatch: &Dispatch, s: usize, segment: &Range<usize>) {
        let Checker { what, config, plan, .. } = self.checker;
        let Dims::Step(dims) = &dispatch.dims else { panic!("{what}: steps are made of steps") };
        let hidden_size = config.hidden_size;
        let [_, weight, h_in, h_out, y, lengths, own @ ..] = dispatch.bindings.as_slice() else {
            panic!("{what}: bindings")
        };
        let (layer, units) = self.shards[weight].clone();
        assert_eq!(dims.unit_offset as usize..(dims.unit_offset + dims.units) as usize, units, "{what}: units");
        assert_eq!(dims.first_step as usize, segment.start, "{what}: the first step of the segment");
        assert_eq!(dims.seq_len as usize, plan.sizes.seq_len, "{what}: T");
        assert_eq!(*lengths, plan.lengths, "{what}: lengths");
        assert_eq!(
            self.gates_x,
            Some((layer, segment.clone(), hidden_size)),
            "{what}: step {s} of layer {layer} reads the projection of {segment:?}"
        );
        let before = Holds { layer, steps: s, units: hidden_size };
        assert_eq!(self.states.get(h_in), Some(&before), "{what}: h that step {s} of layer {layer} reads");
        // A first shard overwrites what the buffer held, the others add to it.
        let started = Holds { layer, steps: s + 1, units: units.start };
        assert!(units.start == 0 || self.states.get(h_out) == Some(&started), "{what}: shards of step {s} in turn");
        self.states.insert(*h_out, Holds { units: units.end, ..started });
        if let (Kind::Lstm, [c]) = (config.kind, own) {
            // In place: units before this shard's are a step ahead.
            let held = self.states[c];
            let want = if units.start == 0 { before } else { started };
            assert_eq!(held, want, "{what}: c that step {s} of layer {layer} updates");
            self.states.insert(*c, Holds { units: units.end, ..started });
        }
        if units.end == hidden_size {
            let first = s == segment.start;
            let so_far = if first { s..s } else { self.sequences[y].1.clone() };
            assert!(first || self.sequences[y].0 == layer + 1, "{what}: y of step {s} of layer {layer}");
            assert_eq!(so_far, segment.start..s, "{what}: y has every step before {s}");
            self.sequences.insert(*y, (layer + 1, so_far.start..s + 1));
        }
    }
}
