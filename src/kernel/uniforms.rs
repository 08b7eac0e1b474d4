//! The uniforms of the kernels: each struct is the doppelganger of the WGSL struct of the same
//! name.
//!
//! `tests/shaders.rs` reflects the shaders and compares every member's offset with these.

use bytemuck::{Pod, Zeroable};

/// The sizes of one `linear` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct LinearDims {
    /// Time steps S of the segment.
    pub steps: u32,
    /// Batch rows B.
    pub batch: u32,
    /// Directions D: each multiplies the same features with its own weight, in its own order of
    /// time.
    pub directions: u32,
    /// Output columns N of each direction in this dispatch.
    pub columns: u32,
    /// Parts P of the features: 1 for a plain input, 2 for the output of a bidirectional layer.
    pub halves: u32,
    /// Quads (four values) of one part, padding included.
    pub half_quads: u32,
    /// Output values of one row, all directions: the distance from one (step, row) to the next.
    pub y_row_stride: u32,
    /// Output values from one direction to the next.
    pub y_direction_stride: u32,
    /// The first output column of this dispatch.
    pub y_offset: u32,
    /// Workgroups along the rows S·B.
    pub row_tiles: u32,
    /// Workgroups along the columns N.
    pub column_tiles: u32,
    /// How many others come before the first direction in `weight` and `bias`, which the layers of
    /// a stack share.
    pub weight_base: u32,
    /// The first row of `x`.
    pub x_first_row: u32,
    /// Rows of `x` from one direction's to the next's; 0 where all directions read the same rows.
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
    /// How many others come before the first direction in the weights, which the layers of a stack
    /// share.
    pub weight_base: u32,
    /// Of a wave, where layers take the place of directions: where in the segment the first layer
    /// is at index 0.
    pub first_index: u32,
    /// Of a wave: steps by which each layer is behind the one below it; 0 elsewhere.
    pub layer_delay: u32,
    /// Of a wave: steps S of the segment, rounded up to whole chunks.
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
    /// Where in the segment this dispatch starts.
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
    /// How many others come before the first direction in the weights, which the layers of a stack
    /// share.
    pub weight_base: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// Which time step a `step` dispatch computes; bound with a dynamic offset into a table of all of
/// them.
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
    /// The token that the first row of this dispatch's weight belongs to.
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
    /// Which dropout of the network this is; its forward direction has this number, its reverse
    /// direction the next one.
    pub site: u32,
    /// A value is kept where its random word is not below.
    pub threshold: u32,
    /// What kept values are multiplied by.
    pub scale: f32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 3],
}

/// The sizes of one `score` dispatch.
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

/// The sizes of one `load_slots` or `store_slots` dispatch (`SlotsDims` in
/// `shaders/shared/slots.wgsl`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct SlotsDims {
    /// Batch rows B.
    pub rows: u32,
    /// Values W of a row.
    pub width: u32,
    /// Values of a slot.
    pub stride: u32,
    /// Where in a slot the values are.
    pub offset: u32,
}

/// The sizes of one `gather` or `scatter` dispatch: where a plan's buffer has its values, and where
/// the caller has them.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct PackDims {
    /// Time steps S of the segment; for a state its directions.
    pub steps: u32,
    /// Batch rows B.
    pub batch: u32,
    /// Directions D side by side in the caller's rows, the second of which the plan has in reverse
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
    /// The caller's first value.
    pub offset: u32,
    /// The caller's values from one step to the next.
    pub step_stride: u32,
    /// The caller's values from one row to the next.
    pub row_stride: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// Uniform of the kernels that measure a device (`ProbeDims` in `shaders/calibrate/*.wgsl`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ProbeDims {
    /// Rounds of what is measured, in each invocation.
    pub iterations: u32,
    /// Tiles of what is read; 2 where nothing is.
    pub tiles: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// The uniform of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dims {
    /// Of a `linear` dispatch.
    Linear(LinearDims),
    /// Of a `step` dispatch.
    Step(StepDims),
    /// Of a `sequence` dispatch.
    Sequence(SequenceDims),
    /// Of an `embed` dispatch.
    Embed(EmbedDims),
    /// Of a `dropout` dispatch.
    Dropout(DropoutDims),
    /// Of a `score` dispatch.
    Nll(NllDims),
    /// Of a `sample` dispatch.
    Sample(SampleDims),
    /// Of a `load_slots` or `store_slots` dispatch.
    Slots(SlotsDims),
    /// Of a `gather` or `scatter` dispatch.
    Pack(PackDims),
    /// Of a dispatch that measures a device.
    Probe(ProbeDims),
}

impl Dims {
    /// The bytes to upload.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Linear(dims) => bytemuck::bytes_of(dims),
            Self::Step(dims) => bytemuck::bytes_of(dims),
            Self::Sequence(dims) => bytemuck::bytes_of(dims),
            Self::Embed(dims) => bytemuck::bytes_of(dims),
            Self::Dropout(dims) => bytemuck::bytes_of(dims),
            Self::Nll(dims) => bytemuck::bytes_of(dims),
            Self::Sample(dims) => bytemuck::bytes_of(dims),
            Self::Slots(dims) => bytemuck::bytes_of(dims),
            Self::Pack(dims) => bytemuck::bytes_of(dims),
            Self::Probe(dims) => bytemuck::bytes_of(dims),
        }
    }
}
