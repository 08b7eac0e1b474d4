//! The twin of every kernel whose weights are stored as f16: they are widened, and the rest is the f32 kernel's twin.

use super::Binding;
use crate::dims::Step;
use crate::recording::Dispatch;

/// See `shaders/weight/f16.wgsl`.
pub(crate) fn widened(dispatch: &Dispatch, at: Step, bindings: &mut [Binding<'_>]) {
    let kernel = dispatch.kernel.widened();
    let weight = kernel.bindings.iter().position(|binding| binding.name == "weight");
    let Some(Binding::Read(words)) = weight.and_then(|weight| bindings.get(weight)) else {
        unreachable!("{} reads weights", dispatch.kernel.name);
    };
    let halves: &[half::f16] = bytemuck::cast_slice(words);
    let values: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
    let mut all: Vec<Binding<'_>> = bindings
        .iter_mut()
        .enumerate()
        .map(|(index, binding)| match binding {
            _ if Some(index) == weight => Binding::Read(&values),
            Binding::Read(values) => Binding::Read(values),
            Binding::ReadWrite(values) => Binding::ReadWrite(values),
        })
        .collect();
    (kernel.twin)(dispatch, at, &mut all);
}
