//! The uniforms of the kernels: each struct mirrors the WGSL struct of the same name.
//!
//! `tests/shaders` reflects the shaders and compares every member's offset with these structs.

mod network;

pub use network::{
    ContextDims, HistoryDims, LayerNormDims, MapDims, ScoresDims, SoftmaxDims, UnfoldDims,
};

use bytemuck::{Pod, Zeroable};

/// The sizes of one dispatch of a linear layer (`matvec`, `tile32`, `tile64`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct LinearDims {
    /// Time steps S of the segment.
    pub steps: u32,
    /// Batch rows B.
    pub batch: u32,
    /// Directions D. Each multiplies the same features with its weight, in its order of time.
    pub directions: u32,
    /// Output columns N of each direction in this dispatch.
    pub columns: u32,
    /// Parts P of the features: 1 for a plain input, 2 for the output of a bidirectional layer.
    pub halves: u32,
    /// Quads (four values) of one part, padding included.
    pub half_quads: u32,
    /// Output values of one row, all directions: the stride from one (step, row) pair to the next.
    pub y_row_stride: u32,
    /// Output values from one direction to the next.
    pub y_direction_stride: u32,
    /// The first output column of this dispatch.
    pub y_offset: u32,
    /// Workgroups along the rows S·B.
    pub row_tiles: u32,
    /// Workgroups along the columns N.
    pub column_tiles: u32,
    /// Weight blocks before the first direction's block in `weight` and `bias`. The layers of a
    /// stack share both buffers.
    pub weight_base: u32,
    /// The first row of `x`.
    pub x_first_row: u32,
    /// Rows of `x` from one direction's first row to the next direction's; 0 if all directions read
    /// the same rows.
    pub x_direction_rows: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// The sizes of one `step` dispatch, the same for all steps of a segment.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct StepDims {
    /// Time steps T of the whole sequence.
    pub seq_len: u32,
    /// The step that this segment starts with.
    pub first_step: u32,
    /// Batch rows B.
    pub batch: u32,
    /// Directions D.
    pub directions: u32,
    /// Hidden units H of one direction.
    pub hidden_size: u32,
    /// Quads (four values) of one direction's state, padding included.
    pub state_quads: u32,
    /// Units U of each direction in this dispatch.
    pub units: u32,
    /// The first unit of this dispatch.
    pub unit_offset: u32,
    /// Workgroups along the units U.
    pub unit_tiles: u32,
    /// Workgroups along the batch rows B.
    pub row_tiles: u32,
    /// Weight blocks before the first direction's block. The layers of a stack share the weight
    /// buffers.
    pub weight_base: u32,
    /// In a wave, the index in the segment that the first layer computes at step index 0. In a
    /// wave, layers replace directions.
    pub first_index: u32,
    /// In a wave, the delay in steps from each layer to the layer above it; 0 elsewhere.
    pub layer_delay: u32,
    /// In a wave, the steps S of the segment, rounded up to whole chunks.
    pub steps: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// The sizes of one `sequence` dispatch, which computes `steps` steps of a segment.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct SequenceDims {
    /// Time steps T of the whole sequence.
    pub seq_len: u32,
    /// The step that this segment starts with.
    pub first_step: u32,
    /// The index in the segment at which this dispatch starts.
    pub first_index: u32,
    /// Steps of this dispatch.
    pub steps: u32,
    /// Batch rows B.
    pub batch: u32,
    /// Directions D.
    pub directions: u32,
    /// Hidden units H of one direction.
    pub hidden_size: u32,
    /// Quads (four values) of one direction's state, padding included.
    pub state_quads: u32,
    /// Workgroups along the batch rows B.
    pub row_tiles: u32,
    /// Weight blocks before the first direction's block. The layers of a stack share the weight
    /// buffers.
    pub weight_base: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// The sizes of one `persistent` dispatch, which computes `steps` steps of a segment.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct PersistentDims {
    /// Time steps T of the whole sequence.
    pub seq_len: u32,
    /// The step that this segment starts with.
    pub first_step: u32,
    /// The index in the segment at which this dispatch starts.
    pub first_index: u32,
    /// Steps of this dispatch.
    pub steps: u32,
    /// Batch rows B.
    pub batch: u32,
    /// Directions D.
    pub directions: u32,
    /// Hidden units H of one direction.
    pub hidden_size: u32,
    /// Quads (four values) of one direction's state, padding included.
    pub state_quads: u32,
    /// Workgroups along the units H.
    pub unit_tiles: u32,
    /// Workgroups along the batch rows B.
    pub row_tiles: u32,
    /// Weight blocks before the first direction's block. The layers of a stack share the weight
    /// buffers.
    pub weight_base: u32,
    /// Looks at a missing word before an invocation gives up.
    pub spins: u32,
}

/// The time step that a `step` dispatch computes. A dynamic offset selects it from a table of all
/// steps.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Step {
    /// The step's index in its segment.
    pub index: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 3],
}

/// The sizes of one `embed` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct EmbedDims {
    /// Rows S·B.
    pub rows: u32,
    /// The token of the first row in this dispatch's weight.
    pub first_token: u32,
    /// Rows of this dispatch's weight.
    pub tokens: u32,
    /// Quads (four values) of one row, padding included.
    pub quads: u32,
}

/// The sizes of one `dropout` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct DropoutDims {
    /// Time steps S of the segment.
    pub steps: u32,
    /// The step that this segment starts with.
    pub first_step: u32,
    /// Time steps T of the whole sequence.
    pub seq_len: u32,
    /// Batch rows B.
    pub batch: u32,
    /// Directions D.
    pub directions: u32,
    /// Quads (four values) of one direction, padding included.
    pub quads: u32,
    /// The number of this dropout site in the network. The forward direction uses it; the reverse
    /// direction uses the next number.
    pub site: u32,
    /// The dropout threshold: a value is kept if its random word is not below it.
    pub threshold: u32,
    /// The factor of kept values.
    pub scale: f32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 3],
}

/// The sizes of one `nll` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct NllDims {
    /// Rows S·B.
    pub rows: u32,
    /// Logits N of one row.
    pub columns: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// The sizes of one `sample` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct SampleDims {
    /// Batch rows B.
    pub batch: u32,
    /// Logits N of one row.
    pub columns: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// The sizes of one `generate` dispatch, which generates `steps` tokens of each row.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct GenerateDims {
    /// Steps of this dispatch.
    pub steps: u32,
    /// The step at which this dispatch starts.
    pub first_step: u32,
    /// Batch rows B.
    pub batch: u32,
    /// Layers L.
    pub layers: u32,
    /// Hidden units H.
    pub hidden_size: u32,
    /// Quads (four values) of a state, padding included.
    pub state_quads: u32,
    /// Quads of a row of the embedding, padding included.
    pub input_quads: u32,
    /// Tokens N of the vocabulary.
    pub ntoken: u32,
    /// The first quad of the decoder in the weights.
    pub decoder: u32,
    /// Workgroups, which share the units and the logits.
    pub workgroups: u32,
    /// Looks at a missing word before an invocation gives up.
    pub spins: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: u32,
}

/// The sizes of one `gather` or `scatter` dispatch (`SlotsDims` in `shaders/pool/io.wgsl`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct SlotsDims {
    /// Batch rows B.
    pub rows: u32,
    /// Values W of a row.
    pub width: u32,
    /// Values of a slot.
    pub stride: u32,
    /// The offset of the values in a slot.
    pub offset: u32,
}

/// The sizes of one `pack` or `unpack` dispatch: the layout of the plan's buffer and of the
/// caller's tensor.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct PackDims {
    /// Time steps S of the segment. For a state, its directions.
    pub steps: u32,
    /// Batch rows B.
    pub batch: u32,
    /// Directions D, adjacent in the caller's rows. The plan's buffer has the second in reverse
    /// order.
    pub directions: u32,
    /// Values F of each direction.
    pub features: u32,
    /// Values W of each direction in the plan's buffer, padding included.
    pub width: u32,
    /// The step that this segment starts with.
    pub first_step: u32,
    /// Time steps T of the whole sequence.
    pub seq_len: u32,
    /// The offset of the caller's first value.
    pub offset: u32,
    /// The caller's stride from one step to the next.
    pub step_stride: u32,
    /// The caller's stride from one row to the next.
    pub row_stride: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// The sizes of one dispatch that measures a device (`ProbeDims` in `shaders/probe/*.wgsl`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ProbeDims {
    /// Rounds of the measured operation in each invocation.
    pub iterations: u32,
    /// Tiles of the buffer that is read; 2 if the kernel reads none.
    pub tiles: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// The sizes of one `residence` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ResidenceDims {
    /// Rounds in which every workgroup waits for all others.
    pub rounds: u32,
    /// Looks of an invocation at words that are not there yet, over all rounds.
    pub looks: u32,
    /// 0. With another value the kernel writes the sums of the values that it holds.
    pub keep: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: u32,
}

/// The uniform of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dims {
    /// The uniform of a linear layer's dispatch.
    Linear(LinearDims),
    /// The uniform of a `step` dispatch.
    Step(StepDims),
    /// The uniform of a `sequence` dispatch.
    Sequence(SequenceDims),
    /// The uniform of a `persistent` dispatch.
    Persistent(PersistentDims),
    /// The uniform of an `embed` dispatch.
    Embed(EmbedDims),
    /// The uniform of a `dropout` dispatch.
    Dropout(DropoutDims),
    /// The uniform of an `nll` dispatch.
    Nll(NllDims),
    /// The uniform of a `sample` dispatch.
    Sample(SampleDims),
    /// The uniform of a `generate` dispatch.
    Generate(GenerateDims),
    /// The uniform of a `gather` or `scatter` dispatch.
    Slots(SlotsDims),
    /// The uniform of a `pack` or `unpack` dispatch.
    Pack(PackDims),
    /// The uniform of a `map` dispatch.
    Map(MapDims),
    /// The uniform of an `unfold` dispatch.
    Unfold(UnfoldDims),
    /// The uniform of a `history` dispatch.
    History(HistoryDims),
    /// The uniform of a `layer_norm` dispatch.
    LayerNorm(LayerNormDims),
    /// The uniform of a `softmax` dispatch.
    Softmax(SoftmaxDims),
    /// The uniform of a `scores` dispatch.
    Scores(ScoresDims),
    /// The uniform of a `context` dispatch.
    Context(ContextDims),
    /// The uniform of a dispatch that measures a device.
    Probe(ProbeDims),
    /// The uniform of a `residence` dispatch.
    Residence(ResidenceDims),
}

impl Dims {
    /// Returns the bytes to upload.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Linear(dims) => bytemuck::bytes_of(dims),
            Self::Step(dims) => bytemuck::bytes_of(dims),
            Self::Sequence(dims) => bytemuck::bytes_of(dims),
            Self::Persistent(dims) => bytemuck::bytes_of(dims),
            Self::Embed(dims) => bytemuck::bytes_of(dims),
            Self::Dropout(dims) => bytemuck::bytes_of(dims),
            Self::Nll(dims) => bytemuck::bytes_of(dims),
            Self::Sample(dims) => bytemuck::bytes_of(dims),
            Self::Generate(dims) => bytemuck::bytes_of(dims),
            Self::Slots(dims) => bytemuck::bytes_of(dims),
            Self::Pack(dims) => bytemuck::bytes_of(dims),
            Self::Map(dims) => bytemuck::bytes_of(dims),
            Self::Unfold(dims) => bytemuck::bytes_of(dims),
            Self::History(dims) => bytemuck::bytes_of(dims),
            Self::LayerNorm(dims) => bytemuck::bytes_of(dims),
            Self::Softmax(dims) => bytemuck::bytes_of(dims),
            Self::Scores(dims) => bytemuck::bytes_of(dims),
            Self::Context(dims) => bytemuck::bytes_of(dims),
            Self::Probe(dims) => bytemuck::bytes_of(dims),
            Self::Residence(dims) => bytemuck::bytes_of(dims),
        }
    }
}
