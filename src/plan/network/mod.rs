//! The forward pass of a network: the recordings of its modules, one after another.

mod attention;
mod greedy;
mod layout;
mod modules;
mod recurrent;
mod splice;
mod transfers;
mod value;
mod windows;

pub use greedy::Greedy;
pub use layout::NetworkLayout;
pub(crate) use transfers::{NetworkTensors, network_transfers};
pub use value::Value;

use super::recording::{Axis, BufferId, BufferSpec, Command, Recording, Role};
use super::same_bits::resolve_layered;
use super::state::StateRow;
use super::{Carried, Profile, Request, TickPlan, check_binding, check_budget};
use crate::error::{Error, Result};
use crate::kernel::Schedule;
use crate::params::network::{Graph, Node, Op, StepShape};
use crate::params::validate::Sizes;
use layout::NodeWeights;

/// A part of the state of a network: the buffers before and after a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePart {
    /// The prefix of the module, and the part of its state, such as `lstm.h_l0`.
    pub label: String,
    /// The buffer that a run reads.
    pub read: BufferId,
    /// The buffer that a run leaves the state in; it may be the same.
    pub written: BufferId,
    /// A row of it.
    pub(crate) row: StateRow,
}

/// A recording of a network and where its inputs and outputs are.
#[derive(Debug, Clone)]
pub struct NetworkPlan {
    /// The sizes of the run.
    pub of: NetworkSizes,
    /// The buffers and dispatches.
    pub recording: Recording,
    /// The input.
    pub input: Value,
    /// The output.
    pub output: Value,
    /// Buffers of the valid steps of each row, `[B]`, u32, and the steps that they count.
    pub lengths: Vec<(BufferId, usize)>,
    /// The state of all modules, in their order.
    pub states: Vec<StatePart>,
    /// The memory that the network attends, and the buffer of its rows' valid steps.
    pub memory: Option<(Value, BufferId)>,
    /// The first commands, which depend on the memory alone.
    pub prologue: usize,
    /// The buffers of greedy decoding.
    pub greedy: Option<Greedy>,
    /// Whether a recurrent module runs in several segments.
    has_segments: bool,
}

/// The sizes of a run of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkSizes {
    /// T and B of the input.
    pub sizes: Sizes,
    /// The steps of the memory; 0 without one.
    pub memory: usize,
    /// The tokens to write, each the input of the next step; `None` for a run over an input.
    pub greedy: Option<usize>,
}

impl From<Sizes> for NetworkSizes {
    fn from(sizes: Sizes) -> Self {
        Self { sizes, memory: 0, greedy: None }
    }
}

impl NetworkPlan {
    /// Returns the bytes that a run takes on the device, weights included; see
    /// [`Plan::size`](super::Plan::size).
    pub fn size(&self) -> u64 {
        let read_back = self.states.iter().map(|part| part.read).chain([self.output.buffer]);
        read_back
            .map(|id| self.recording.spec(id).size())
            .fold(self.recording.size(), u64::saturating_add)
    }

    /// Returns the copies of the state from the buffers that a run writes to those that the next
    /// run reads.
    pub fn carried(&self) -> Vec<(BufferId, BufferId)> {
        self.states.iter().map(|part| (part.written, part.read)).collect()
    }

    /// Returns the plan as the ticks of a pool run it; `None` if a module has several segments.
    pub fn into_tick(self) -> Option<TickPlan> {
        if self.has_segments {
            return None;
        }
        let NetworkSizes { sizes, .. } = self.of;
        let of_lengths = |&(buffer, steps): &(BufferId, usize)| (buffer, sizes.seq_len / steps);
        let carried = self.states.iter().map(|part| Carried {
            read: part.read,
            written: part.written,
            width: part.row.stride,
        });
        Some(TickPlan {
            sizes,
            input: self.input.buffer,
            lengths: self.lengths.iter().map(of_lengths).collect(),
            output: self.output.buffer,
            carried: carried.collect(),
            recording: self.recording,
        })
    }
}

impl AsRef<Recording> for NetworkPlan {
    fn as_ref(&self) -> &Recording {
        &self.recording
    }
}

/// Returns the schedules of a network's recurrent modules for some rows, a schedule for each node.
///
/// # Errors
/// [`Error::Unsupported`] for a schedule that a module cannot run by, and for those that
/// [`plan_layered`](super::plan_layered) refuses.
pub fn network_schedules(
    graph: &Graph,
    layout: &NetworkLayout,
    sizes: Sizes,
    profile: &Profile<'_>,
    asked: Schedule,
) -> Result<Vec<Schedule>> {
    let of = |(index, node): (usize, &Node)| match (&node.op, layout.of_node(index)) {
        (Op::Rnn(config), NodeWeights::Rnn { weights, .. }) => {
            let request = Request { config, weights, sizes, training: false };
            let resolved = resolve_layered(asked, &request, profile, "a network")?;
            Ok(resolved.decision.schedule)
        }
        _ => Ok(Schedule::Auto),
    };
    graph.nodes.iter().enumerate().map(of).collect()
}

/// Plans a forward pass of a network, whose recurrent modules run by the schedules of their nodes.
///
/// # Errors
/// [`Error::Limit`] naming the limit that the sizes exceed; [`Error::Shape`] when there is no step
/// or no row, and where a convolution has too few steps; the errors of [`network_schedules`].
pub fn plan_network(
    graph: &Graph,
    layout: &NetworkLayout,
    of: NetworkSizes,
    profile: &Profile<'_>,
    schedules: &[Schedule],
) -> Result<NetworkPlan> {
    let NetworkSizes { sizes, memory, greedy } = of;
    let Sizes { seq_len, batch } = sizes;
    debug_assert!(seq_len <= 1 || !graph.is_stepwise(), "a step reads the one before it");
    if seq_len == 0 || batch == 0 {
        return Err(Error::Shape(format!(
            "a network runs at least one step of one row, but got {seq_len} steps of {batch} rows"
        )));
    }
    let buffers = layout.buffers().to_vec();
    let mut planner = Planner {
        layout,
        profile: *profile,
        schedules,
        batch,
        recording: Recording { buffers, ..Recording::default() },
        lengths: Vec::new(),
        states: Vec::new(),
        memory: None,
        hidden: Vec::new(),
        has_segments: false,
    };
    let steps = graph.steps(seq_len, memory)?;
    let input = planner.value("input", graph.input, seq_len, Role::Input)?;
    // An unflattened input costs nothing: [C, L] arrives channel by channel.
    let input = Value { flat: true, ..input };
    let mut values = vec![input];
    let (fused, of_memory) = (graph.fused(), graph.of_memory());
    let mut prologue = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let before = planner.recording.commands.len();
        let inputs: Vec<Value> = node.inputs.iter().map(|&value| values[value]).collect();
        values.push(planner.node(index, node, &inputs, steps[index + 1], &fused)?);
        if of_memory[index] {
            prologue.extend(planner.recording.commands.split_off(before));
        }
    }
    let output = planner.output(values[graph.output])?;
    let Planner { mut recording, lengths, states, memory, has_segments, .. } = planner;
    let commands = prologue.len();
    recording.commands.splice(0..0, prologue);
    let plan = NetworkPlan {
        of,
        recording,
        input,
        output,
        lengths,
        states,
        memory,
        prologue: commands,
        greedy: None,
        has_segments,
    };
    let plan = match greedy {
        Some(count) => plan.greedy(count, profile.limits)?,
        None => plan,
    };
    check_budget(plan.size(), profile.limits)?;
    Ok(plan)
}

/// A network being planned.
struct Planner<'a> {
    layout: &'a NetworkLayout,
    profile: Profile<'a>,
    /// The schedule of each recurrent node.
    schedules: &'a [Schedule],
    batch: usize,
    recording: Recording,
    lengths: Vec<(BufferId, usize)>,
    states: Vec<StatePart>,
    /// The memory, and the buffer of its rows' valid steps.
    memory: Option<(Value, BufferId)>,
    /// Recurrent nodes, and the buffers of their last layers' states that other nodes read.
    hidden: Vec<(usize, BufferId)>,
    /// Whether a recurrent module runs in several segments.
    has_segments: bool,
}

impl Planner<'_> {
    /// Adds a buffer, after a check of its size.
    fn buffer(&mut self, label: &str, axes: Vec<(Axis, usize)>, role: Role) -> Result<BufferId> {
        let spec = BufferSpec { label: label.to_owned(), axes, role };
        check_binding(
            spec.size(),
            &format!("the buffer '{label}' of a network"),
            self.profile.limits,
        )?;
        Ok(self.recording.buffer(spec))
    }

    /// Adds the buffer of a value.
    fn value(&mut self, label: &str, shape: StepShape, steps: usize, role: Role) -> Result<Value> {
        let flat = role == Role::Input;
        let value = Value { buffer: BufferId(0), shape, steps, flat };
        let axes = vec![
            (Axis::Step, steps),
            (Axis::Row, self.batch),
            (Axis::Unit, value.positions()),
            (Axis::Feature, value.stride()),
        ];
        Ok(Value { buffer: self.buffer(label, axes, role)?, ..value })
    }

    /// Returns the buffer of the rows' valid steps, of values with `steps` steps.
    fn lengths(&mut self, steps: usize) -> Result<BufferId> {
        if let Some((id, _)) = self.lengths.iter().find(|(_, of)| *of == steps) {
            return Ok(*id);
        }
        let id = self.buffer("lengths", vec![(Axis::Row, self.batch)], Role::Input)?;
        self.lengths.push((id, steps));
        Ok(id)
    }

    fn push(&mut self, dispatch: super::recording::Dispatch) {
        self.recording.commands.push(Command::Dispatch(dispatch));
    }

    /// Makes a value the output, which the host reads. The input itself is copied.
    fn output(&mut self, value: Value) -> Result<Value> {
        let value = match self.recording.spec(value.buffer).role {
            Role::Input => self.copy("output", value)?,
            _ => value,
        };
        self.recording.buffers[value.buffer.0].role = Role::Output;
        Ok(value)
    }
}

impl Graph {
    /// Returns, for each value, the function that the product before it applies: a function right
    /// after a linear layer or a convolution, whose value nothing else reads.
    fn fused(&self) -> Vec<Option<u32>> {
        let mut readers = vec![0_usize; self.nodes.len() + 1];
        readers[self.output] += 1;
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|&value| readers[value] += 1);
        let mut fused = vec![None; readers.len()];
        for node in &self.nodes {
            let (Op::Function(function), &[x]) = (&node.op, &node.inputs[..]) else { continue };
            let product = x.checked_sub(1).map(|node| &self.nodes[node].op);
            if readers[x] == 1 && matches!(product, Some(Op::Linear { .. } | Op::Conv1d { .. })) {
                fused[x] = modules::of_product(*function);
            }
        }
        fused
    }
}
