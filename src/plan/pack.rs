//! The dispatches that copy between a plan's buffers and the caller's tensors on the device.

use std::ops::Range;

use super::{Plan, StateRow, planned};
use crate::dtype::WeightType;
use crate::error::Result;
use crate::kernel::families::COPIES_PER_WORKGROUP;
use crate::kernel::uniforms::{Dims, PackDims};
use crate::kernel::{Family, Kernel, Overrides};
use crate::params::config::Config;
use crate::params::validate::Sizes;
use crate::plan::limits::Limits;
use crate::plan::recording::{BufferId, Dispatch};
use crate::tensor::padded;

/// A tensor of the caller: its buffer and its strides in values. Features are contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strided {
    /// The buffer's id, after those of the plan.
    pub buffer: BufferId,
    /// The offset of the first value.
    pub offset: u32,
    /// The stride from one time step to the next; in a state, from one layer and direction to the
    /// next.
    pub step_stride: u32,
    /// The stride from one row to the next.
    pub row_stride: u32,
}

/// The tensors of the caller that a pass reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensors {
    /// `[T, B, I]`.
    pub input: Strided,
    /// `[B]`.
    pub lengths: Strided,
    /// `[L·D, B, R]`; `None` means zeros.
    pub h_0: Option<Strided>,
    /// `[L·D, B, H]`; `None` means zeros.
    pub c_0: Option<Strided>,
    /// `[T, B, D·R]`.
    pub output: Option<Strided>,
    /// `[L·D, B, R]`.
    pub h_n: Option<Strided>,
    /// `[L·D, B, H]`.
    pub c_n: Option<Strided>,
}

/// A dispatch and the name of the tensor that it transfers.
pub(crate) type Transfer = (&'static str, Dispatch);

/// The transfers that run before and after the plan's commands.
#[derive(Debug, Clone)]
pub(crate) struct Transfers {
    /// The transfers that read the caller's tensors, before the plan's commands.
    pub gathers: Vec<Transfer>,
    /// The transfers that write the caller's tensors, after the plan's commands.
    pub scatters: Vec<Transfer>,
}

/// Plans the transfers of a pass. The caller has checked the strides: every value of every tensor
/// is within 32 bits.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) if the values need more workgroups than two axes hold.
pub(crate) fn transfers(
    plan: &Plan,
    config: &Config,
    tensors: &Tensors,
    limits: &Limits,
) -> Result<Transfers> {
    let planner = Planner { plan, config, limits };
    let (h, c) = (StateRow::h(config), StateRow::c(config));
    let mut gathers = planner.segments(
        Family::Pack,
        "input",
        tensors.input,
        &plan.input,
        [1, config.input_size],
    )?;
    gathers.push(planner.lengths(tensors.lengths)?);
    // A tensor without features replaces a missing state: all of its values are padding, which is
    // zero.
    let or_nothing = |state: Option<Strided>, row: StateRow| match state {
        Some(state) => (state, row),
        None => (tensors.lengths, StateRow { features: 0, ..row }),
    };
    let (h_0, h_row) = or_nothing(tensors.h_0, h);
    gathers.extend(
        planner.states(Family::Pack, "h_0", h_0, h_row, |layer| Some(plan.states[layer].h[0]))?,
    );
    let (c_0, c_row) = or_nothing(tensors.c_0, c);
    gathers.extend(planner.states(Family::Pack, "c_0", c_0, c_row, |layer| plan.states[layer].c)?);
    let mut scatters = Vec::new();
    if let Some(output) = tensors.output {
        let width = [config.num_directions(), config.state_size()];
        scatters.extend(planner.segments(Family::Unpack, "output", output, &plan.output, width)?);
    }
    if let Some(h_n) = tensors.h_n {
        scatters.extend(
            planner.states(Family::Unpack, "h_n", h_n, h, |layer| Some(plan.final_h(layer)))?,
        );
    }
    if let Some(c_n) = tensors.c_n {
        scatters
            .extend(planner.states(Family::Unpack, "c_n", c_n, c, |layer| plan.states[layer].c)?);
    }
    Ok(Transfers { gathers, scatters })
}

struct Planner<'a> {
    plan: &'a Plan,
    config: &'a Config,
    limits: &'a Limits,
}

impl Planner<'_> {
    /// Returns the transfers of the input or the output, one for each segment.
    fn segments(
        &self,
        family: Family,
        name: &'static str,
        tensor: Strided,
        own: &[BufferId],
        [directions, features]: [usize; 2],
    ) -> Result<Vec<Transfer>> {
        let Sizes { seq_len, batch } = self.plan.sizes;
        let transfer = |(segment, own): (&Range<usize>, &BufferId)| {
            let dims = PackDims {
                steps: segment.len() as u32,
                batch: batch as u32,
                directions: directions as u32,
                features: features as u32,
                width: padded(features) as u32,
                first_step: segment.start as u32,
                seq_len: seq_len as u32,
                offset: tensor.offset,
                step_stride: tensor.step_stride,
                row_stride: tensor.row_stride,
                pad: [0; 2],
            };
            self.transfer(family, name, dims, *own, tensor.buffer)
        };
        self.plan.segments.iter().zip(own).map(transfer).collect()
    }

    /// Returns the transfer of the rows' lengths, packed as a single row.
    fn lengths(&self, tensor: Strided) -> Result<Transfer> {
        let rows = self.plan.sizes.batch as u32;
        self.transfer(
            Family::Pack,
            "lengths",
            state_dims(tensor, [1, 1, rows, rows]),
            self.plan.lengths,
            tensor.buffer,
        )
    }

    /// Returns the transfers of h or c, one for each layer that has it.
    fn states(
        &self,
        family: Family,
        name: &'static str,
        tensor: Strided,
        StateRow { features, stride }: StateRow,
        own: impl Fn(usize) -> Option<BufferId>,
    ) -> Result<Vec<Transfer>> {
        let directions = self.config.num_directions() as u32;
        let sizes = [directions, self.plan.sizes.batch as u32, features as u32, stride as u32];
        let layers = (0..self.config.num_layers).filter_map(|layer| Some((layer, own(layer)?)));
        let transfer = |(layer, own)| {
            let offset = tensor.offset + layer as u32 * directions * tensor.step_stride;
            self.transfer(
                family,
                name,
                state_dims(Strided { offset, ..tensor }, sizes),
                own,
                tensor.buffer,
            )
        };
        layers.map(transfer).collect()
    }

    fn transfer(
        &self,
        family: Family,
        name: &'static str,
        dims: PackDims,
        own: BufferId,
        theirs: BufferId,
    ) -> Result<Transfer> {
        let bindings = if family == Family::Pack { [theirs, own] } else { [own, theirs] };
        Ok((name, transfer(family, dims, bindings, self.limits)?))
    }
}

/// Returns a `pack` or `unpack` dispatch from the first buffer to the second.
pub(super) fn transfer(
    family: Family,
    dims: PackDims,
    bindings: [BufferId; 2],
    limits: &Limits,
) -> Result<Dispatch> {
    let values = [dims.steps, dims.batch, dims.directions, dims.width]
        .map(u64::from)
        .into_iter()
        .product::<u64>();
    let workgroups = values.div_ceil(COPIES_PER_WORKGROUP as u64);
    let kernel = Kernel::new(family, WeightType::F32);
    let (overrides, dims) = (Overrides::default(), Dims::Pack(dims));
    planned(kernel, overrides, dims, bindings.to_vec(), workgroups, limits)
}

/// Returns the sizes for a tensor without a time axis. Directions take the outer axis, and none of
/// them is reversed.
fn state_dims(tensor: Strided, [directions, batch, features, width]: [u32; 4]) -> PackDims {
    PackDims {
        steps: directions,
        batch,
        directions: 1,
        features,
        width,
        first_step: 0,
        seq_len: directions,
        offset: tensor.offset,
        step_stride: tensor.step_stride,
        row_stride: tensor.row_stride,
        pad: [0; 2],
    }
}
