//! The families of kernels, and the constants that their WGSL and planning share.

use super::uniforms::Dims;
use super::{Binding, Cell, Kernel, Override, Overrides, WorkgroupUse};

/// The purpose of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// A linear layer over few rows.
    Matvec,
    /// A linear layer over many rows, in register tiles.
    Tile,
    /// One time step, few rows.
    Step,
    /// One time step up to the vector of its second product: that of an LSTM with `proj_size`, or
    /// of a GRU whose reset gate comes before the product.
    StepUnprojected,
    /// The projection of one time step.
    StepProjection,
    /// One time step of every layer of a stack, each some steps later than the one below it.
    StepWave,
    /// One time step, many rows.
    StepTiled,
    /// As [`StepUnprojected`](Self::StepUnprojected), many rows.
    StepTiledUnprojected,
    /// As [`StepProjection`](Self::StepProjection), many rows.
    StepTiledProjection,
    /// As [`StepWave`](Self::StepWave), many rows.
    StepTiledWave,
    /// The second half of one time step of a GRU whose reset gate comes before the product.
    StepCandidate,
    /// As [`StepCandidate`](Self::StepCandidate), many rows.
    StepTiledCandidate,
    /// Several time steps of some rows.
    Sequence,
    /// Several time steps of some rows and units, which exchange the state.
    Persistent,
    /// `nn.Embedding`: rows of a table by their tokens.
    Embed,
    /// Dropout in place.
    Dropout,
    /// The negative log-likelihood of targets.
    Nll,
    /// The next token, drawn from the softmax of the logits.
    Sample,
    /// Several tokens: embedding, layers, decoder and draws.
    Generate,
    /// The states of a pool's slots into the rows of a batch.
    Gather,
    /// The states of a batch's rows into the slots of a pool.
    Scatter,
    /// A caller's tensor into a plan's buffer.
    Pack,
    /// A plan's buffer into a caller's tensor.
    Unpack,
    /// Elementwise work: functions, sums and products.
    Map,
    /// The windows of a convolution as rows.
    Unfold,
    /// The steps that a causal convolution keeps.
    History,
    /// `nn.LayerNorm`.
    LayerNorm,
    /// `nn.Softmax` and `nn.LogSoftmax`.
    Softmax,
    /// The scores of attention.
    Scores,
    /// The context of attention.
    Context,
    /// Measures a dispatch that waits for the one before it.
    Chain,
    /// Measures barriers.
    Barrier,
    /// Measures reading.
    Bandwidth,
    /// Measures arithmetic.
    MultiplyAdd,
    /// Probes how many workgroups run at the same time.
    Residence,
}

impl Family {
    /// Every family, in the order of the data through a network; then those that measure.
    pub const ALL: [Self; 35] = [
        Self::Matvec,
        Self::Tile,
        Self::Step,
        Self::StepUnprojected,
        Self::StepProjection,
        Self::StepWave,
        Self::StepTiled,
        Self::StepTiledUnprojected,
        Self::StepTiledProjection,
        Self::StepTiledWave,
        Self::StepCandidate,
        Self::StepTiledCandidate,
        Self::Sequence,
        Self::Persistent,
        Self::Embed,
        Self::Dropout,
        Self::Nll,
        Self::Sample,
        Self::Generate,
        Self::Gather,
        Self::Scatter,
        Self::Pack,
        Self::Unpack,
        Self::Map,
        Self::Unfold,
        Self::History,
        Self::LayerNorm,
        Self::Softmax,
        Self::Scores,
        Self::Context,
        Self::Chain,
        Self::Barrier,
        Self::Bandwidth,
        Self::MultiplyAdd,
        Self::Residence,
    ];
}

/// The facts that all kernels of a family share.
#[derive(Debug)]
pub struct Row {
    /// The family's name.
    pub name: &'static str,
    /// The entry point, which is also the stem of the family's file.
    pub entry: &'static str,
    /// The family's file.
    pub source: &'static str,
    /// The fragments that every kernel of the family needs.
    pub fragments: &'static [&'static str],
    /// The fragments that depend on the kernel and on the override values of `choices`.
    pub fragments_of: fn(Kernel, &Overrides) -> Vec<&'static str>,
    /// The cells that the family is composed with.
    pub cells: &'static [Cell],
    /// Whether the family has kernels for variants of its cells too.
    pub variants: bool,
    /// Whether the family reads weights through a fragment of `shaders/weight`.
    pub weights: bool,
    /// Whether binding 1 is the dynamic uniform that holds the step index.
    pub stepped: bool,
    /// The overrides that select fragments. The WGSL does not declare them.
    pub choices: &'static [Override],
    /// The storage bindings without the cell's own.
    pub bindings: &'static [Binding],
    /// The overrides without the cell's own.
    pub overrides: &'static [Override],
    /// Workgroup size and memory.
    pub workgroup: fn(Option<Cell>, &Overrides) -> WorkgroupUse,
    /// An upper bound of the loop iterations of one invocation.
    pub loop_iterations: fn(&Dims, &Overrides) -> u64,
}

/// Values of ACTIVATION, and functions of `map`; see `shaders/lib/function.wgsl`.
pub mod activation {
    /// The sums as they are.
    pub const NONE: u32 = 0;
    /// The sigmoid of the sums.
    pub const SIGMOID: u32 = 1;
    /// 0 below 0.
    pub const RELU: u32 = 2;
    /// The hyperbolic tangent.
    pub const TANH: u32 = 3;
    /// x · σ(x).
    pub const SILU: u32 = 4;
    /// x · Φ(x).
    pub const GELU: u32 = 5;
    /// The approximation of GELU by tanh.
    pub const GELU_TANH: u32 = 6;
    /// x above 0, and a multiple of it below. Products lack it.
    pub const LEAKY_RELU: u32 = 7;
    /// The functions that products apply to their sums.
    pub const OF_PRODUCTS: &[u32] = &[NONE, SIGMOID, RELU, TANH, SILU, GELU, GELU_TANH];
}

/// Most rows of a `matvec` workgroup.
pub const MATVEC_MAX_ROWS: usize = 8;
/// Groups of a `matvec` workgroup, each of which has the columns of an invocation.
pub const MATVEC_GROUPS: usize = 8;
/// Most rows that one invocation of `step` sums at a time.
pub const STEP_MAX_ROWS: u32 = 8;
/// Values of STATE: 4, 12 and 32 KiB of workgroup memory. With the middle one and the sums of most
/// specialisations 16 KiB, which every device has, are enough.
pub const SEQUENCE_STATES: &[u32] = &[1024, 3072, 8192];
/// Quads of each gate's weights that a lane of `sequence` keeps in registers at most.
pub const SEQUENCE_REGISTER_QUADS: usize = 4;
/// Invocations of a workgroup of the kernels that move one quad or one value in each.
pub const COPIES_PER_WORKGROUP: usize = 64;
/// In a tick, the slot of a row that only fills the tick up.
pub const NO_SLOT: u32 = u32::MAX;
/// The token that `sample` writes where there is nothing to draw from: the logits have NaN, or
/// their largest is infinite.
pub const NO_TOKEN: u32 = u32::MAX;
/// The last word of the counter of `sample`'s random numbers; `dropout` has its site there.
pub const SAMPLE_SITE: u32 = u32::MAX;
/// Invocations of a workgroup of `chain`, of `barrier` and of `multiply_add`.
pub const PROBE_WORKGROUP: usize = 64;
/// Invocations of a workgroup of `bandwidth`, and so quads of a tile.
pub const BANDWIDTH_TILE_QUADS: usize = 256;
/// Tiles that a workgroup of `bandwidth` sums in one iteration.
pub const BANDWIDTH_BLOCK_TILES: usize = 4;
/// Barriers of an iteration of `barrier`.
pub const BARRIERS_PER_ITERATION: u64 = 2;
/// Multiply-adds of an iteration of one invocation of `multiply_add`.
pub const MULTIPLY_ADDS_PER_ITERATION: u64 = 128;
/// Invocations of a workgroup of `residence`.
pub const RESIDENCE_WORKGROUP: usize = 256;
/// Most workgroups of a dispatch of `residence`.
pub const RESIDENCE_MOST: u64 = 1024;
/// Quads that each invocation of `residence` holds from its first round to its last.
pub const RESIDENCE_QUADS: usize = 32;
