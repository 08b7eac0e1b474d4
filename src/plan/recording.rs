//! A recording: buffers and dispatches as plain data. A plan makes it and an engine executes it.

use crate::kernel::uniforms::Dims;
use crate::kernel::{Kernel, Overrides};

/// Index of a buffer in [`Recording::buffers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// A buffer to copy from, and a buffer of the same length to copy to.
pub type CopyPair = (BufferId, BufferId);

/// The quantity that an axis of a buffer counts. [`BufferSpec::axes`] lists the outermost axis
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Time steps in the order in which each direction visits them.
    Step,
    /// Batch rows.
    Row,
    /// Forward 0, reverse 1.
    Direction,
    /// Layers of a stack that share a buffer.
    Layer,
    /// Hidden units.
    Unit,
    /// Gates of a unit.
    Gate,
    /// Input features.
    Feature,
    /// Columns of a linear layer's output.
    Column,
    /// Settings of a kernel.
    Word,
    /// Sequences of a pool.
    Slot,
}

/// The use of a buffer, which decides its owner and its life between runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Filled once at load and shared by all plans of a model.
    Weight,
    /// Written by the host before each run.
    Input,
    /// Written by the host before each run, carried from step to step, read back after it.
    State,
    /// Written and read by kernels only.
    Scratch,
    /// Written by kernels and read back.
    Output,
}

/// A buffer of 32-bit values: its label, its axes and its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferSpec {
    /// Name for messages and GPU debuggers, such as `gates_x` or `layer 1 h`.
    pub label: String,
    /// Kind and extent of each axis, outermost first, padding included.
    pub axes: Vec<(Axis, usize)>,
    /// Owner and life of the buffer.
    pub role: Role,
}

impl BufferSpec {
    /// Returns the number of 32-bit values; `usize::MAX` where the product overflows.
    pub fn len(&self) -> usize {
        self.axes.iter().fold(1, |product, &(_, extent)| product.saturating_mul(extent))
    }

    /// Returns whether the buffer is empty; plans make no empty buffer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        (self.len() as u64).saturating_mul(4)
    }

    /// Returns the index along each axis of the value at `offset`.
    pub fn unravel(&self, mut offset: usize) -> Vec<(Axis, usize)> {
        let mut index: Vec<(Axis, usize)> = self
            .axes
            .iter()
            .rev()
            .map(|&(axis, extent)| {
                let at = offset % extent.max(1);
                offset /= extent.max(1);
                (axis, at)
            })
            .collect();
        index.reverse();
        index
    }
}

/// The part of the network that a dispatch computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The layer.
    pub layer: usize,
    /// The step of the whole sequence that the segment starts with.
    pub first_step: usize,
}

/// One dispatch of one kernel.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The kernel.
    pub kernel: Kernel,
    /// The layer of the dispatch, and the step of the sequence at which its segment starts; for
    /// reports.
    pub place: Place,
    /// Values of the pipeline's overrides.
    pub overrides: Overrides,
    /// The uniform at binding 0.
    pub dims: Dims,
    /// The storage buffers, in the order of the kernel's storage bindings.
    pub bindings: Vec<BufferId>,
    /// Workgroups along x, y and z.
    pub workgroups: [u32; 3],
    /// Whether the dispatch uses index 0 at every step. Its buffers hold one step, and each step
    /// overwrites the one before it.
    pub in_place: bool,
}

impl Dispatch {
    /// Returns the index at which the dispatch works in step `index` of its command.
    pub fn index(&self, index: u32) -> u32 {
        if self.in_place { 0 } else { index }
    }

    /// Returns the work that counts against `max_work_per_submission`: the multiply-adds, and a
    /// million for the dispatch.
    pub fn work(&self) -> u64 {
        self.multiply_adds().saturating_add(1_000_000)
    }

    /// Returns the multiply-adds, or a number that takes about the same time.
    pub fn multiply_adds(&self) -> u64 {
        let product =
            |sizes: &[u32]| sizes.iter().fold(1_u64, |p, &size| p.saturating_mul(u64::from(size)));
        match &self.dims {
            Dims::Linear(d) => {
                product(&[d.steps, d.batch, d.directions, d.columns, d.halves, d.half_quads, 4])
            }
            // At most four gates.
            Dims::Step(d) => product(&[d.batch, d.directions, d.units, 4, d.state_quads, 4]),
            Dims::Sequence(d) => {
                product(&[d.steps, d.batch, d.directions, d.hidden_size, 4, d.state_quads, 4])
            }
            Dims::Persistent(d) => {
                product(&[d.steps, d.batch, d.directions, d.hidden_size, 4, d.state_quads, 4])
            }
            Dims::Embed(d) => product(&[d.rows, d.quads, 4]),
            // Ten rounds of eight products.
            Dims::Dropout(d) => product(&[d.steps, d.batch, d.directions, d.quads, 80]),
            // One pass for the maximum and one for the sum, which takes an exponential.
            Dims::Nll(d) => product(&[d.rows, d.columns, 16]),
            // At most 44 passes: the maximum, each digit of a key, 33 sums of the share of
            // weight, the sum and the token.
            Dims::Sample(d) => product(&[d.batch, d.columns, 64]),
            // As the dispatches that it replaces: at most four gates, of the wider input.
            Dims::Generate(d) => {
                let width = d.state_quads.max(d.input_quads);
                let layers = product(&[d.layers, d.hidden_size, 4, 2, width, 4]);
                let decoder = product(&[d.ntoken, d.state_quads, 4]);
                let draw = product(&[d.ntoken, 64]);
                let step = layers.saturating_add(decoder).saturating_add(draw);
                step.saturating_mul(product(&[d.steps, d.batch]))
            }
            Dims::Slots(d) => product(&[d.rows, d.width]),
            Dims::Pack(d) => product(&[d.steps, d.batch, d.directions, d.width]),
            // A function takes about as long as 16 products.
            Dims::Map(d) => product(&[d.rows, d.features, 16]),
            Dims::Unfold(d) => product(&[d.groups, d.rows, d.outputs, d.width]),
            Dims::History(d) => product(&[d.rows, d.length, d.channels]),
            Dims::LayerNorm(d) => product(&[d.rows, d.features, 4]),
            Dims::Softmax(d) => product(&[d.rows, d.columns, 32]),
            Dims::Scores(d) => product(&[d.batch, d.steps, d.features, 16]),
            Dims::Context(d) => product(&[d.batch, d.steps, d.features]),
            // At most 256 invocations, and about a hundred operations in each iteration.
            Dims::Probe(d) => product(&[self.workgroups[0], 256, d.iterations, 128]),
            Dims::Residence(d) => product(&[self.workgroups[0], 256, d.rounds, 128]),
        }
    }
}

/// One entry of a recording.
#[derive(Debug, Clone)]
pub enum Command {
    /// A dispatch that runs once.
    Dispatch(Dispatch),
    /// Dispatches that run for every step of a segment. The state alternates between two buffers.
    Steps {
        /// Steps of the segment: the step index runs over `0..count`.
        count: u32,
        /// The step of the whole sequence at index 0. Its parity decides which set comes first.
        first_step: u32,
        /// The dispatches of an even and of an odd step. Only their state buffers differ.
        by_parity: [Vec<Dispatch>; 2],
    },
    /// Sets the `len` values of a buffer from the value `start` on to 0.
    Clear {
        /// The buffer.
        buffer: BufferId,
        /// The first value.
        start: usize,
        /// The number of values.
        len: usize,
    },
}

impl Command {
    /// Returns the dispatches of step `index`; for other commands, `index` is 0.
    pub fn dispatches(&self, index: u32) -> &[Dispatch] {
        match self {
            Self::Dispatch(dispatch) => std::slice::from_ref(dispatch),
            Self::Steps { first_step, by_parity, .. } => {
                &by_parity[((first_step + index) % 2) as usize]
            }
            Self::Clear { .. } => &[],
        }
    }

    /// Returns the number of times that the command runs.
    pub fn count(&self) -> u32 {
        match self {
            Self::Dispatch(_) | Self::Clear { .. } => 1,
            Self::Steps { count, .. } => *count,
        }
    }
}

/// The buffers and the commands of one forward pass.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Every buffer; the model's weights come first.
    pub buffers: Vec<BufferSpec>,
    /// Buffers that are parts of others: the part, its whole, and the offset of the part in the
    /// whole. Hosts write, read and copy a part like any buffer; kernels bind the whole.
    pub parts: Vec<(BufferId, BufferId, usize)>,
    /// The commands in order. Each dispatch sees all writes of the dispatches before it.
    pub commands: Vec<Command>,
    /// A buffer whose first word is not 0 after a run in which a workgroup waited in vain. The
    /// results of such a run are void. `None` where no workgroup waits for another.
    pub flag: Option<BufferId>,
}

impl Recording {
    /// Adds a buffer.
    pub fn buffer(&mut self, spec: BufferSpec) -> BufferId {
        self.buffers.push(spec);
        BufferId(self.buffers.len() - 1)
    }

    /// Adds a buffer that is a part of `whole`, from the value `start` on. `whole` is not a part
    /// itself.
    ///
    /// # Panics
    /// If the part ends after the whole.
    pub fn part(&mut self, whole: BufferId, start: usize, spec: BufferSpec) -> BufferId {
        assert!(
            start + spec.len() <= self.spec(whole).len(),
            "{} is a part of {}",
            spec.label,
            self.spec(whole).label
        );
        let part = self.buffer(spec);
        self.parts.push((part, whole, start));
        part
    }

    /// Returns the buffer with a buffer's values, and their offset in it. A part returns its whole;
    /// another buffer returns itself.
    pub fn whole(&self, id: BufferId) -> (BufferId, usize) {
        let part = self.parts.iter().find(|(part, ..)| *part == id);
        part.map_or((id, 0), |&(_, whole, start)| (whole, start))
    }

    /// Returns the spec of a buffer.
    pub fn spec(&self, id: BufferId) -> &BufferSpec {
        &self.buffers[id.0]
    }

    /// Returns the number of dispatches of a run.
    pub fn dispatch_count(&self) -> u64 {
        self.commands
            .iter()
            .map(|command| u64::from(command.count()) * command.dispatches(0).len() as u64)
            .fold(0, u64::saturating_add)
    }

    /// Returns the bytes of all buffers; parts count once.
    pub fn size(&self) -> u64 {
        let parts = self.parts.iter().map(|&(part, ..)| self.spec(part).size());
        let all = self.buffers.iter().map(BufferSpec::size).fold(0, u64::saturating_add);
        all.saturating_sub(parts.fold(0, u64::saturating_add))
    }
}
