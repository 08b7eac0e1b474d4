//! The uniforms of the kernels: each struct is the doppelganger of the WGSL struct of the same name.
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
    /// Directions D: each multiplies the same features with its own weight, in its own order of time.
    pub directions: u32,
    /// Output columns N of each direction in this dispatch.
    pub columns: u32,
    /// Parts P of the features: 1 for a plain input, 2 for the output of a bidirectional layer.
    pub parts: u32,
    /// Quads (four values) of one part, padding included.
    pub part_quads: u32,
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
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: u32,
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
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// Which time step a `step` dispatch computes; bound with a dynamic offset into a table of all of them.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Step {
    /// The step's index in its segment.
    pub index: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 3],
}

/// The uniform of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dims {
    /// Of a `linear` dispatch.
    Linear(LinearDims),
    /// Of a `step` dispatch.
    Step(StepDims),
}

impl Dims {
    /// The bytes to upload.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Linear(dims) => bytemuck::bytes_of(dims),
            Self::Step(dims) => bytemuck::bytes_of(dims),
        }
    }
}
