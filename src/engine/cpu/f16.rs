//! The twin of every kernel whose weights are stored as f16: they are widened, and the rest is the f32 kernel's twin.

use super::Binding::{self, Matrix, Read, ReadWrite};
use super::twins::twin;
use crate::dtype::WeightType;
use crate::kernel::Kernel;
use crate::kernel::uniforms::Step;
use crate::plan::recording::Dispatch;

/// See `shaders/weight/f16.wgsl`.
pub(crate) fn widened(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let kernel = Kernel { weights: WeightType::F32, ..dispatch.kernel };
    let weight = kernel.bindings().position(|binding| binding.name == "weight");
    let Some(Matrix(words)) = weight.and_then(|weight| bindings.get(weight)) else {
        unreachable!("{} reads weights", kernel.name());
    };
    let wide = words.widened();
    let mut all: Vec<Binding<'_>> = bindings
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
