//! The uniforms of the kernels around recurrent layers in a network (`shaders/network`).

use bytemuck::{Pod, Zeroable};

/// The sizes of one `map` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct MapDims {
    /// Rows N.
    pub rows: u32,
    /// Features F of a row of y.
    pub features: u32,
    /// Values from one row of x to the next.
    pub x_stride: u32,
    /// Values from one row of y to the next.
    pub y_stride: u32,
    /// Values from one row of the other operand to the next; 0 if all rows read the same one.
    pub other_stride: u32,
    /// Values from one feature of the other operand to the next; 0 if all read the same one.
    pub other_step: u32,
    /// The operation; see [`operation`](crate::kernel::network::operation).
    pub operation: u32,
    /// The function of its result; see [`activation`](crate::kernel::families::activation).
    pub function: u32,
    /// The slope of leaky_relu below 0.
    pub slope: f32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 3],
}

/// The sizes of one `unfold` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct UnfoldDims {
    /// Rows N.
    pub rows: u32,
    /// Positions L of x.
    pub positions: u32,
    /// Positions M of y.
    pub outputs: u32,
    /// Channels C of each group.
    pub channels: u32,
    /// Groups G.
    pub groups: u32,
    /// Taps K of the kernel.
    pub kernel: u32,
    /// Positions of x from one output to the next.
    pub stride: u32,
    /// Positions of x from one tap to the next.
    pub dilation: u32,
    /// Positions before the first one of x.
    pub padding: u32,
    /// The values before and after x; see [`padding`](crate::kernel::network::padding).
    pub mode: u32,
    /// Values of x from one row to the next.
    pub x_row_stride: u32,
    /// Values of x from one position to the next.
    pub x_position_stride: u32,
    /// Values of x from one channel to the next.
    pub x_channel_stride: u32,
    /// Values W of a row of y: K · C, padded to quads.
    pub width: u32,
    /// The order of y; see [`order`](crate::kernel::network::order).
    pub order: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: u32,
}

/// The sizes of one `history` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct HistoryDims {
    /// Batch rows B.
    pub rows: u32,
    /// Steps H of the history.
    pub length: u32,
    /// Channels C.
    pub channels: u32,
    /// Time steps S of x.
    pub steps: u32,
    /// Values of x from one row to the next.
    pub x_row_stride: u32,
    /// Values of x from one step to the next.
    pub x_step_stride: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}

/// The sizes of one `layer_norm` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct LayerNormDims {
    /// Rows N.
    pub rows: u32,
    /// Features F.
    pub features: u32,
    /// Values from one row to the next, in x and in y.
    pub stride: u32,
    /// The term that keeps the variance from 0.
    pub eps: f32,
}

/// The sizes of one `softmax` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct SoftmaxDims {
    /// Rows N.
    pub rows: u32,
    /// Columns F.
    pub columns: u32,
    /// Values from one row to the next, in x and in y.
    pub stride: u32,
    /// 1 for the logarithm.
    pub is_log: u32,
    /// Rows B of the lengths; 0 if all columns count.
    pub batch: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 3],
}

/// The sizes of one `scores` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ScoresDims {
    /// Batch rows B.
    pub batch: u32,
    /// Steps M of the memory.
    pub steps: u32,
    /// Features F.
    pub features: u32,
    /// Values from one row of the query to the next.
    pub query_stride: u32,
    /// Values from one row of the keys to the next.
    pub keys_stride: u32,
    /// Values from one row of y to the next.
    pub y_stride: u32,
    /// 1 for Bahdanau's score.
    pub additive: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: u32,
}

/// The sizes of one `context` dispatch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ContextDims {
    /// Batch rows B.
    pub batch: u32,
    /// Steps M of the memory.
    pub steps: u32,
    /// Features F.
    pub features: u32,
    /// Values from one row of the shares to the next.
    pub shares_stride: u32,
    /// Values from one row of the memory to the next.
    pub memory_stride: u32,
    /// Values from one row of y to the next.
    pub y_stride: u32,
    /// Unused; a uniform's size is a multiple of 16.
    pub pad: [u32; 2],
}
