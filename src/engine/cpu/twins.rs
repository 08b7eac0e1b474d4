//! The table of twins: the CPU function that mirrors each kernel, binding by binding.

use wgpu_rnn_simd::halves;

use super::TwinBuffer::{self, Matrix, Read, ReadWrite};
use super::{
    Twin, dropout, embed, generate, linear, network, nll, pack, persistent, probe, sample,
    sequence, slots, step,
};
use crate::dtype::WeightType;
use crate::kernel::uniforms::Step;
use crate::kernel::{Family, Kernel};
use crate::plan::recording::Dispatch;

/// Returns the twin of a kernel.
pub fn twin(kernel: Kernel) -> Twin {
    if kernel.weights != WeightType::F32 {
        return widened;
    }
    match kernel.family {
        Family::Matvec | Family::Tile => linear::linear,
        Family::Step | Family::StepTiled | Family::StepWave | Family::StepTiledWave => {
            step::step_of_cell
        }
        Family::StepUnprojected | Family::StepTiledUnprojected => step::step_unprojected,
        Family::StepProjection | Family::StepTiledProjection => step::step_projection,
        Family::StepCandidate | Family::StepTiledCandidate => step::step_candidate,
        Family::Sequence => sequence::sequence,
        Family::Persistent => persistent::persistent,
        Family::Embed => embed::embed,
        Family::Dropout => dropout::dropout,
        Family::Nll => nll::nll,
        Family::Sample => sample::sample,
        Family::Generate => generate::generate,
        Family::Gather => slots::gather,
        Family::Scatter => slots::scatter,
        Family::Pack => pack::pack,
        Family::Unpack => pack::unpack,
        Family::Map => network::map,
        Family::Unfold => network::unfold,
        Family::History => network::history,
        Family::LayerNorm => network::layer_norm,
        Family::Softmax => network::softmax,
        Family::Scores => network::scores,
        Family::Context => network::context,
        Family::Chain => probe::chain,
        Family::Barrier => probe::barrier,
        Family::Bandwidth => probe::bandwidth,
        Family::MultiplyAdd => probe::multiply_add,
        Family::Residence => probe::residence,
    }
}

/// The twin of every kernel whose weights are stored as f16: it widens them and calls the f32
/// kernel's twin; see `shaders/weight/f16.wgsl`.
fn widened(dispatch: &Dispatch, at: Step, bindings: &mut [TwinBuffer<'_>]) {
    let kernel = Kernel { weights: WeightType::F32, ..dispatch.kernel };
    let weight = kernel.bindings().position(|binding| binding.name == "weight");
    let (panels, values);
    let wide = match weight.and_then(|weight| bindings.get(weight)) {
        Some(Matrix(words)) => {
            panels = words.widened();
            Matrix(&panels)
        }
        Some(Read(words)) => {
            values = halves(words);
            Read(&values)
        }
        _ => unreachable!("{} reads weights", kernel.name()),
    };
    let mut wide = Some(wide);
    let mut all: Vec<TwinBuffer<'_>> = bindings
        .iter_mut()
        .enumerate()
        .map(|(index, binding)| match (wide.take_if(|_| Some(index) == weight), binding) {
            (Some(wide), _) => wide,
            (None, Matrix(panels)) => Matrix(panels),
            (None, Read(values)) => Read(values),
            (None, ReadWrite(values)) => ReadWrite(values),
        })
        .collect();
    twin(kernel)(dispatch, at, &mut all);
}
