//! The dispatches that copy between a network's buffers and the caller's tensors on the device.

use super::NetworkPlan;
use crate::error::Result;
use crate::kernel::Family;
use crate::kernel::uniforms::PackDims;
use crate::plan::limits::Limits;
use crate::plan::recording::BufferId;
use crate::plan::{Strided, Transfer, Transfers, pack};

/// The tensors of the caller that a pass of a network reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NetworkTensors {
    /// `[T, B, ·]`.
    pub input: Strided,
    /// `[T, B, ·]`.
    pub output: Strided,
    /// `[1, B, W]`, read and written; `None` means zeros.
    pub state: Option<[Strided; 2]>,
}

/// Plans the transfers of a pass. The caller has checked the strides: every value of every tensor
/// is within 32 bits.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) if the values need more workgroups than two axes hold.
pub(crate) fn network_transfers(
    plan: &NetworkPlan,
    tensors: &NetworkTensors,
    limits: &Limits,
) -> Result<Transfers> {
    let batch = plan.of.sizes.batch;
    let of = |family, name, sizes: [usize; 4], tensor: Strided, own: BufferId| {
        transfer(family, name, (sizes, batch), tensor, own, limits)
    };
    let NetworkTensors { input, output, state } = *tensors;
    let x = plan.input;
    let sizes = [x.steps, x.width(), x.stride(), 0];
    let mut gathers = vec![of(Family::Pack, "input", sizes, input, x.buffer)?];
    let y = plan.output;
    let sizes = [y.steps, y.width(), y.stride(), 0];
    let mut scatters = vec![of(Family::Unpack, "output", sizes, output, y.buffer)?];
    let mut first = 0;
    for part in &plan.states {
        let (features, stride) = (part.row.features, part.row.stride);
        match state {
            // A tensor without features: all of its values are padding, which is zero.
            None => {
                let sizes = [1, 0, stride, 0];
                gathers.push(of(Family::Pack, "state", sizes, input, part.read)?);
            }
            Some([read, written]) => {
                let sizes = [1, features, stride, first];
                gathers.push(of(Family::Pack, "state", sizes, read, part.read)?);
                scatters.push(of(Family::Unpack, "state", sizes, written, part.written)?);
            }
        }
        first += features;
    }
    Ok(Transfers { gathers, scatters })
}

/// Returns the copy of a tensor, by its steps, its features, the values of a row in the plan's
/// buffer, and the first feature in the caller's rows.
fn transfer(
    family: Family,
    name: &'static str,
    ([steps, features, width, first], batch): ([usize; 4], usize),
    tensor: Strided,
    own: BufferId,
    limits: &Limits,
) -> Result<Transfer> {
    let dims = PackDims {
        steps: steps as u32,
        batch: batch as u32,
        directions: 1,
        features: features as u32,
        width: width as u32,
        first_step: 0,
        seq_len: steps as u32,
        offset: tensor.offset + first as u32,
        step_stride: tensor.step_stride,
        row_stride: tensor.row_stride,
        pad: [0; 2],
    };
    let theirs = tensor.buffer;
    let bindings = if family == Family::Pack { [theirs, own] } else { [own, theirs] };
    Ok((name, pack::transfer(family, dims, bindings, limits)?))
}
