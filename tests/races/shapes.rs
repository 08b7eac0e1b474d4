//! Shapes of kernels that large sizes have, on small ones that end one row or unit before or after
//! a workgroup's.

use wgpu_rnn::internals::kernel::families::MATVEC_GROUPS;
use wgpu_rnn::internals::kernel::persistent::Persistent;
use wgpu_rnn::internals::kernel::tiles::Tile;
use wgpu_rnn::internals::kernel::uniforms::Dims;
use wgpu_rnn::internals::kernel::{Cell, Family, Overrides};
use wgpu_rnn::internals::params::validate::Sizes;
use wgpu_rnn::internals::plan::recording::{Command, Dispatch};
use wgpu_rnn::internals::plan::{Profile, Storage};
use wgpu_rnn::{Config, Schedule, WeightType};

use crate::recordings::Cases;
use crate::samples::{Sample, of_case};

/// The tiles of `plan/tiles.rs` that the samples of small matrices do not have.
const TILES: [Tile; 5] = [
    Tile { rows: 64, columns: 64, depth: 16, own_rows: 8, slices: 1 },
    Tile { rows: 80, columns: 64, depth: 16, own_rows: 4, slices: 1 },
    Tile { rows: 32, columns: 32, depth: 16, own_rows: 4, slices: 1 },
    Tile { rows: 32, columns: 32, depth: 16, own_rows: 4, slices: 4 },
    // No plan has it yet. An invocation fetches four quads of rows.
    Tile { rows: 64, columns: 32, depth: 16, own_rows: 8, slices: 1 },
];

/// A step of each cell and a matrix product, in each tile. The last tile of rows has one, or all
/// but one.
pub fn tiles(source: &mut Cases<'_>, profile: &Profile<'_>, storage: Storage) -> Vec<Sample> {
    let modules = [
        (Config::rnn(5, 65), 65),
        (Config::lstm(5, 17), 81),
        (Config::gru(5, 15).bidirectional(true), 63),
        (Config::rnn(5, 9).num_layers(2).bidirectional(true), 33),
    ];
    let of_module = |(config, batch)| {
        let module = (Schedule::StepTiled, config);
        let sizes = Sizes { seq_len: 1, batch };
        let case = source.exactly(profile, storage, module, sizes, false).expect("a plan");
        let mut samples = of_case(&case.expect("step_tiled runs every module"));
        samples.retain(|sample| sample.dispatch.overrides.tile_rows > 0);
        samples
    };
    let samples: Vec<Sample> = modules.into_iter().flat_map(of_module).collect();
    samples.iter().flat_map(|sample| TILES.map(|tile| of_tile(sample, tile))).collect()
}

/// A product whose invocations have several columns, as for large layers.
pub fn columns(source: &mut Cases<'_>, profile: &Profile<'_>, storage: Storage) -> Vec<Sample> {
    let module = (Schedule::Step, Config::lstm(40, 9));
    let sizes = Sizes { seq_len: 1, batch: 9 };
    let case = source.exactly(profile, storage, module, sizes, false).expect("a plan");
    let mut samples = of_case(&case.expect("step runs every module"));
    samples.retain(|sample| sample.dispatch.kernel.family == Family::Matvec);
    samples.iter().flat_map(|sample| [2, 4].map(|columns| of_columns(sample, columns))).collect()
}

/// Generations in which a lane has all four loads of a sum, and in which 32 lanes share it.
pub fn lanes(source: &mut Cases<'_>, profile: &Profile<'_>, storage: Storage) -> Vec<Sample> {
    let model = (7, 57, Sizes { seq_len: 1, batch: 1 });
    let cases = source.generations(storage, profile, model, (0.8, 0, 0.0)).expect("plans");
    let mut samples: Vec<Sample> = cases.iter().flat_map(of_case).collect();
    samples.retain(|sample| sample.dispatch.kernel.family == Family::Generate);
    let of_lanes = |(sample, lanes): (&Sample, u32)| {
        let mut sample = sample.clone();
        sample.dispatch.overrides.lanes = lanes;
        sample
    };
    samples.iter().flat_map(|sample| [(sample, 4), (sample, 32)]).map(of_lanes).collect()
}

/// Steps of `persistent` whose workgroups wait for each other, by every exchange. The last module
/// has so large a state that each invocation copies four words, or quads.
pub fn waiting(source: &mut Cases<'_>, profile: &Profile<'_>, storage: Storage) -> Vec<Sample> {
    let few = Persistent {
        lanes: 32,
        quads: 1,
        units: 1,
        chunk: 2,
        rows: 4,
        alone: false,
        subgroups: false,
        volatile: false,
    };
    // f16 weights differ in a fragment that the small modules have.
    let modules = if storage.weights == WeightType::F32 { 5 } else { 3 };
    let large = Persistent { quads: 4, units: 4, chunk: 8, rows: 8, ..few };
    let mut found = Vec::new();
    for (config, batch, shape) in [
        (Config::rnn(3, 65), 5, Persistent { units: 4, ..few }),
        (Config::lstm(3, 17), 5, few),
        (Config::gru(3, 17).bidirectional(true), 9, Persistent { units: 2, ..few }),
        (Config::rnn(3, 125), 3, Persistent { lanes: 4, quads: 8, ..few }),
        (Config::rnn(1, 388), 8, large),
    ]
    .into_iter()
    .take(modules)
    {
        let sizes = Sizes { seq_len: 3, batch };
        let module = (Schedule::Persistent, config);
        let case = source.exactly(profile, storage, module, sizes, false).expect("a plan");
        let mut case = case.expect("persistent runs the module");
        for (subgroups, volatile) in [(false, false), (true, true)] {
            for command in &mut case.recording.commands {
                if let Command::Dispatch(dispatch) = command {
                    reshape(dispatch, Persistent { subgroups, volatile, ..shape });
                }
            }
            let samples = of_case(&case).into_iter();
            found.extend(samples.filter(|s| s.dispatch.kernel.family == Family::Persistent));
        }
    }
    found
}

/// Steps of `sequence` whose workgroups have several rows, and more units than invocations.
pub fn rows(source: &mut Cases<'_>, profile: &Profile<'_>, storage: Storage) -> Vec<Sample> {
    let modules = [Config::rnn(3, 130), Config::lstm(3, 17), Config::gru(3, 15)];
    let of_module = |config| {
        let module = (Schedule::Sequence, config);
        let sizes = Sizes { seq_len: 3, batch: 5 };
        let case = source.exactly(profile, storage, module, sizes, false).expect("a plan");
        let mut samples = of_case(&case.expect("sequence runs the module"));
        samples.retain(|sample| sample.dispatch.kernel.family == Family::Sequence);
        samples
    };
    let mut samples: Vec<Sample> = modules.into_iter().flat_map(of_module).collect();
    for sample in &mut samples {
        let dispatch = &mut sample.dispatch;
        let Dims::Sequence(dims) = &mut dispatch.dims else { unreachable!("sequence") };
        (dispatch.overrides.rows, dispatch.overrides.state) = (4, 3072);
        dims.row_tiles = dims.batch.div_ceil(4);
        dispatch.workgroups = [dims.row_tiles * dims.directions, 1, 1];
    }
    samples
}

/// Gives a dispatch of `persistent` another shape.
fn reshape(dispatch: &mut Dispatch, shape: Persistent) {
    let Dims::Persistent(dims) = &mut dispatch.dims else { return };
    dims.unit_tiles = dims.hidden_size.div_ceil(shape.tile());
    dims.row_tiles = dims.batch.div_ceil(shape.rows);
    dispatch.workgroups = [dims.unit_tiles * dims.row_tiles * dims.directions, 1, 1];
    dispatch.overrides = Overrides { relu: dispatch.overrides.relu, ..shape.overrides() };
}

/// The same product with more columns for each invocation.
fn of_columns(sample: &Sample, columns: u32) -> Sample {
    let mut sample = sample.clone();
    let dispatch = &mut sample.dispatch;
    dispatch.overrides.columns = columns;
    let Dims::Linear(dims) = &mut dispatch.dims else { unreachable!("a matrix product") };
    dims.column_tiles = dims.columns.div_ceil(columns * MATVEC_GROUPS as u32);
    dispatch.workgroups = [dims.row_tiles * dims.column_tiles * dims.directions, 1, 1];
    sample
}

/// The same work in another tile.
fn of_tile(sample: &Sample, tile: Tile) -> Sample {
    let mut sample = sample.clone();
    let dispatch = &mut sample.dispatch;
    let Overrides { relu, activation, .. } = dispatch.overrides;
    dispatch.overrides = Overrides { relu, activation, ..tile.overrides() };
    let count = match &mut dispatch.dims {
        Dims::Step(dims) => {
            // A quad of columns is four units of a plain RNN, or one unit with its gates.
            let units = if dispatch.kernel.cell == Some(Cell::Rnn) { 4 } else { 1 };
            dims.unit_tiles = dims.units.div_ceil(tile.columns / 4 * units);
            dims.row_tiles = dims.batch.div_ceil(tile.rows);
            dims.unit_tiles * dims.row_tiles * dims.directions
        }
        Dims::Linear(dims) => {
            dims.row_tiles = (dims.steps * dims.batch).div_ceil(tile.rows);
            dims.column_tiles = dims.columns.div_ceil(tile.columns);
            dims.row_tiles * dims.column_tiles * dims.directions
        }
        other => unreachable!("{other:?} has no tiles"),
    };
    dispatch.workgroups = [count, 1, 1];
    sample
}
