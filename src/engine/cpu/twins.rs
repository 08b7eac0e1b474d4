//! The table of twins: the CPU function that mirrors each kernel, binding by binding.

use super::TwinBuffer::{self, Matrix, Read, ReadWrite};
use super::{
    Twin, dropout, embed, linear, nll, pack, persistent, probe, sample, sequence, slots, step,
};
use crate::dtype::WeightType;
use crate::kernel::uniforms::Step;
use crate::kernel::{Cell, Family, Kernel};
use crate::plan::recording::Dispatch;

/// Returns the twin of a kernel.
///
/// # Panics
/// When a recurrent kernel has no cell.
pub fn twin(kernel: Kernel) -> Twin {
    if kernel.weights != WeightType::F32 {
        return widened;
    }
    match (kernel.family, kernel.cell) {
        (Family::Matvec | Family::Tile, _) => linear::linear,
        (
            Family::Step | Family::StepTiled | Family::StepWave | Family::StepTiledWave,
            Some(cell),
        ) => match cell {
            Cell::Rnn => step::step_rnn,
            Cell::Lstm => step::step_lstm,
            Cell::Gru => step::step_gru,
        },
        (Family::StepUnprojected | Family::StepTiledUnprojected, _) => step::step_lstm_unprojected,
        (Family::StepProjection | Family::StepTiledProjection, _) => step::step_projection,
        (Family::Sequence, Some(Cell::Rnn)) => sequence::sequence_rnn,
        (Family::Sequence, Some(Cell::Lstm)) => sequence::sequence_lstm,
        (Family::Sequence, Some(Cell::Gru)) => sequence::sequence_gru,
        (Family::Persistent, Some(Cell::Rnn)) => persistent::persistent_rnn,
        (Family::Persistent, Some(Cell::Lstm)) => persistent::persistent_lstm,
        (Family::Persistent, Some(Cell::Gru)) => persistent::persistent_gru,
        (
            Family::Step
            | Family::StepTiled
            | Family::StepWave
            | Family::StepTiledWave
            | Family::Sequence
            | Family::Persistent,
            None,
        ) => unreachable!("{} has a cell", kernel.name()),
        (Family::Embed, _) => embed::embed,
        (Family::Dropout, _) => dropout::dropout,
        (Family::Nll, _) => nll::nll,
        (Family::Sample, _) => sample::sample,
        (Family::Gather, _) => slots::gather,
        (Family::Scatter, _) => slots::scatter,
        (Family::Pack, _) => pack::pack,
        (Family::Unpack, _) => pack::unpack,
        (Family::Chain, _) => probe::chain,
        (Family::Barrier, _) => probe::barrier,
        (Family::Bandwidth, _) => probe::bandwidth,
        (Family::MultiplyAdd, _) => probe::multiply_add,
        (Family::Residence, _) => probe::residence,
    }
}

/// The twin of every kernel whose weights are stored as f16: it widens them and calls the f32
/// kernel's twin; see `shaders/weight/f16.wgsl`.
fn widened(dispatch: &Dispatch, at: Step, bindings: &mut [TwinBuffer<'_>]) {
    let kernel = Kernel { weights: WeightType::F32, ..dispatch.kernel };
    let weight = kernel.bindings().position(|binding| binding.name == "weight");
    let Some(Matrix(words)) = weight.and_then(|weight| bindings.get(weight)) else {
        unreachable!("{} reads weights", kernel.name());
    };
    let wide = words.widened();
    let mut all: Vec<TwinBuffer<'_>> = bindings
        .iter_mut()
        .enumerate()
        .map(|(index, binding)| match binding {
            Matrix(_) if Some(index) == weight => Matrix(&wide),
            Matrix(panels) => Matrix(panels),
            Read(values) => Read(values),
            ReadWrite(values) => ReadWrite(values),
        })
        .collect();
    twin(kernel)(dispatch, at, &mut all);
}
