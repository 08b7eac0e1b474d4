//! Kernels as data.
//!
//! A [`Kernel`] is one compute entry point: a [`Family`] (what it does), a [`Cell`] (what a step
//! computes, where the family has cells), whether the cell is a variant of PyTorch's, and a
//! [`WeightType`] (how the weights that it reads are stored). It is a small value, not an object:
//! its bindings, overrides and needs follow from the family's row in [`families`], and its WGSL is
//! concatenated from fragments when a pipeline is made. WGSL takes declarations in any order, so
//! the family's own file comes first and a compiler's line numbers are that file's.
//!
//! `tests/shaders` walks [`Kernel::all`] and holds every row against its WGSL.

mod compiler;
pub mod families;
pub mod generate;
mod heads;
pub mod network;
pub mod persistent;
mod probes;
mod rows;
mod schedule;
mod text;
pub mod tiles;
pub mod uniforms;
pub mod variant;

pub use compiler::Compiler;
pub use families::{Family, Row};
pub use schedule::Schedule;

use crate::dtype::WeightType;
use crate::params::Kind;
use generate::GENERATE;
use heads::*;
use network::*;
use persistent::PERSISTENT;
use probes::*;
use rows::*;
use text::shader;
use uniforms::Dims;

/// How a kernel uses a storage binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
    /// `var<storage, read_write>` that nothing writes. From a binding that is declared as read-only
    /// drivers load values again, instead of holding them.
    Held,
}

/// A storage binding: its `@binding` number, its name in WGSL and its access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// `@binding(index)`.
    pub index: u32,
    /// The variable's name.
    pub name: &'static str,
    /// The variable's access mode.
    pub access: Access,
}

/// The workgroup size and memory of a specialised kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkgroupUse {
    /// Invocations along x, y and z.
    pub size: [u32; 3],
    /// Bytes of workgroup memory.
    pub storage: u32,
}

/// Values of a pipeline's overrides. A kernel reads those that its row lists; the others stay 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Overrides {
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
    /// Invocations that split one sum.
    pub lanes: u32,
    /// Batch rows of a workgroup or an invocation.
    pub rows: u32,
    /// Values of the state in workgroup memory.
    pub state: u32,
    /// 1 where invocations keep their weights in registers from step to step.
    pub in_registers: u32,
    /// Rows of a register tile, as the next three are of one.
    pub tile_rows: u32,
    /// Columns of a register tile.
    pub tile_columns: u32,
    /// Features of a stage.
    pub depth: u32,
    /// Groups of invocations that split each sum.
    pub slices: u32,
    /// Columns of an invocation.
    pub columns: u32,
    /// Quads of each gate's weights that an invocation holds.
    pub quads: u32,
    /// Batch rows that a workgroup advances at a time.
    pub chunk: u32,
    /// 1 where the state never leaves the workgroup.
    pub alone: u32,
    /// Units of an invocation. As the next two, it selects a fragment.
    pub units: u32,
    /// 1 where invocations pass values on within subgroups.
    pub subgroups: u32,
    /// 1 where workgroups exchange the state through volatile memory.
    pub volatile: u32,
    /// 1 where a plain RNN's nonlinearity is relu.
    pub relu: u32,
    /// The function that a linear layer applies to its sums; see [`families::activation`].
    pub activation: u32,
}

/// An override of a family: its name in WGSL, its place in [`Overrides`], and its legal values.
#[derive(Debug, Clone, Copy)]
pub struct Override {
    /// The override's name in WGSL.
    pub name: &'static str,
    /// The value among those of a pipeline.
    pub get: fn(&Overrides) -> u32,
    /// Changes the value among those of a pipeline.
    pub set: fn(&mut Overrides, u32),
    /// Every value that a plan may choose; tests specialise each of them.
    pub values: &'static [u32],
}

/// The computation of one step of a recurrent layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cell {
    /// `nn.RNN`.
    Rnn,
    /// `nn.LSTM`.
    Lstm,
    /// `nn.GRU`.
    Gru,
    /// The first half of a GRU whose reset gate comes before the product. It is no cell of PyTorch,
    /// and always reads `variant`.
    Reset,
}

impl Cell {
    /// The cells of PyTorch's modules.
    pub const ALL: [Self; 3] = [Self::Rnn, Self::Lstm, Self::Gru];

    /// The stem of the cell's file in `shaders/cell`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rnn => "rnn",
            Self::Lstm => "lstm",
            Self::Gru => "gru",
            Self::Reset => "reset",
        }
    }

    /// Gates of a unit.
    pub const fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Reset => 2,
        }
    }

    /// Units that four columns of a tile hold: the gates of one, or one gate each.
    pub const fn units_of_quad(self) -> usize {
        if self.gates() == 1 { 4 } else { 1 }
    }

    /// Bytes of `Gates` in an array; `vec3<f32>` has the stride of `vec4<f32>`.
    pub const fn gates_stride(self) -> u32 {
        match self {
            Self::Rnn => 4,
            Self::Reset => 8,
            Self::Lstm | Self::Gru => 16,
        }
    }

    /// The bindings that only this cell has.
    const fn bindings(self) -> &'static [Binding] {
        match self {
            Self::Rnn => &[],
            Self::Lstm => const { &[write(8, "c")] },
            Self::Gru => const { &[read(8, "bias_hn")] },
            Self::Reset => const { &[write(8, "z_out"), VARIANT_BINDING] },
        }
    }

    /// The override that only this cell has.
    fn override_(self) -> Option<Override> {
        (self == Self::Rnn).then_some(RELU)
    }

    /// The cell's products, and the function that it applies to them. A variant has another
    /// function.
    const fn texts(self, variant: bool) -> &'static [&'static str] {
        match (self, variant) {
            (Self::Rnn, false) => &[shader!("cell/rnn"), shader!("advance/rnn")],
            (Self::Rnn, true) => &[shader!("cell/rnn"), shader!("advance/rnn_variant"), VARIANT],
            (Self::Lstm, false) => &[shader!("cell/lstm"), shader!("advance/lstm")],
            (Self::Lstm, true) => &[shader!("cell/lstm"), shader!("advance/lstm_variant"), VARIANT],
            (Self::Gru, false) => &[shader!("cell/gru"), shader!("advance/gru")],
            (Self::Gru, true) => &[shader!("cell/gru"), shader!("advance/gru_variant"), VARIANT],
            (Self::Reset, _) => &[shader!("cell/reset"), shader!("advance/reset"), VARIANT],
        }
    }
}

impl From<Kind> for Cell {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::RnnTanh | Kind::RnnRelu => Self::Rnn,
            Kind::Lstm => Self::Lstm,
            Kind::Gru => Self::Gru,
        }
    }
}

/// One compute entry point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The family.
    pub family: Family,
    /// The cell; `None` for families without one.
    pub cell: Option<Cell>,
    /// Whether it computes a variant of PyTorch's cell, whose settings a buffer has.
    pub variant: bool,
    /// How the weights that it reads are stored; f32 for families without weights.
    pub weights: WeightType,
}

impl Kernel {
    /// The kernel of a family without a cell. Families without weights ignore `weights`.
    pub fn new(family: Family, weights: WeightType) -> Self {
        let weights = if family.row().weights { weights } else { WeightType::F32 };
        Self { family, cell: None, variant: false, weights }
    }

    /// The kernel of a family with a cell.
    pub fn with_cell(family: Family, cell: Cell, weights: WeightType) -> Self {
        Self { cell: Some(cell), ..Self::new(family, weights) }
    }

    /// Whether the kernel has a variant. That of [`Cell::Reset`] is itself one.
    pub fn has_variant(self) -> bool {
        self.row().variants && self.cell != Some(Cell::Reset)
    }

    /// Every kernel: each family with each of its cells, their variants, and each type of its
    /// weights.
    pub fn all() -> impl Iterator<Item = Self> {
        Family::ALL.into_iter().flat_map(|family| {
            let row = family.row();
            let of_cells = row.cells.iter().copied().map(Some);
            let cells: Vec<_> = if row.cells.is_empty() { vec![None] } else { of_cells.collect() };
            let types = if row.weights { WeightType::ALL } else { &[WeightType::F32] };
            cells.into_iter().flat_map(move |cell| {
                types.iter().flat_map(move |&weights| {
                    let plain = Self { family, cell, variant: false, weights };
                    let variant = Self { variant: true, ..plain };
                    [plain, variant].into_iter().take(1 + usize::from(plain.has_variant()))
                })
            })
        })
    }

    /// The family's row.
    pub fn row(self) -> &'static Row {
        self.family.row()
    }

    /// The name in messages, reports and GPU debuggers, such as `step_lstm_f16`.
    pub fn name(self) -> String {
        let mut name = self.row().name.to_owned();
        let variant = self.variant.then_some("variant");
        let words = self.cell.map(Cell::name).into_iter().chain(variant);
        for word in words.chain(self.weights.suffix()) {
            name.push('_');
            name.push_str(word);
        }
        name
    }

    /// The WGSL: the compiler's directives, the family's file and the fragments that it needs.
    /// Overrides that the family's row lists among its [`choices`](Row::choices) select fragments.
    pub fn wgsl(self, overrides: &Overrides, compiler: Compiler) -> String {
        let row = self.row();
        [compiler.directives(overrides), row.source]
            .into_iter()
            .chain(row.fragments.iter().copied())
            .chain((row.fragments_of)(self, overrides))
            .collect()
    }

    /// The storage bindings, in the order of
    /// [`Dispatch::bindings`](crate::plan::recording::Dispatch::bindings).
    pub fn bindings(self) -> impl Iterator<Item = Binding> {
        let of_cell = self.cell.map_or(&[][..], Cell::bindings);
        let variant = self.variant.then_some(VARIANT_BINDING);
        self.row().bindings.iter().chain(of_cell).copied().chain(variant)
    }

    /// The overrides.
    pub fn overrides(self) -> impl Iterator<Item = Override> {
        self.row().overrides.iter().copied().chain(self.cell.and_then(Cell::override_))
    }

    /// The needs of a workgroup under some override values.
    pub fn workgroup(self, overrides: &Overrides) -> WorkgroupUse {
        (self.row().workgroup)(self.cell, overrides)
    }

    /// An upper bound of the loop iterations of one invocation.
    pub fn loop_iterations(self, dims: &Dims, overrides: &Overrides) -> u64 {
        (self.row().loop_iterations)(dims, overrides)
    }
}

impl Family {
    /// The family's row.
    pub const fn row(self) -> &'static Row {
        match self {
            Self::Matvec => &MATVEC,
            Self::Tile => &TILE,
            Self::Step => &STEP,
            Self::StepUnprojected => &STEP_UNPROJECTED,
            Self::StepProjection => &STEP_PROJECTION,
            Self::StepWave => &STEP_WAVE,
            Self::StepTiled => &STEP_TILED,
            Self::StepTiledUnprojected => &STEP_TILED_UNPROJECTED,
            Self::StepTiledProjection => &STEP_TILED_PROJECTION,
            Self::StepTiledWave => &STEP_TILED_WAVE,
            Self::StepCandidate => &STEP_CANDIDATE,
            Self::StepTiledCandidate => &STEP_TILED_CANDIDATE,
            Self::Sequence => &SEQUENCE,
            Self::Persistent => &PERSISTENT,
            Self::Embed => &EMBED,
            Self::Dropout => &DROPOUT,
            Self::Nll => &NLL,
            Self::Sample => &SAMPLE,
            Self::Generate => &GENERATE,
            Self::Gather => &GATHER,
            Self::Scatter => &SCATTER,
            Self::Pack => &PACK,
            Self::Unpack => &UNPACK,
            Self::Map => &MAP,
            Self::Unfold => &UNFOLD,
            Self::History => &HISTORY,
            Self::LayerNorm => &LAYER_NORM,
            Self::Softmax => &SOFTMAX,
            Self::Scores => &SCORES,
            Self::Context => &CONTEXT,
            Self::Chain => &CHAIN,
            Self::Barrier => &BARRIER,
            Self::Bandwidth => &BANDWIDTH,
            Self::MultiplyAdd => &MULTIPLY_ADD,
            Self::Residence => &RESIDENCE,
        }
    }
}
