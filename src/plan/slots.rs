//! The ticks of a pool: gather states from slots, run the layers, scatter states to slots.

use std::ops::Range;

use super::same_bits::resolve_layered;
use super::{
    LayerState, Plan, Profile, Request, check_budget, halvings, largest, plan_layered, planned,
};
use crate::dtype::WeightType;
use crate::error::{Error, Result};
use crate::kernel::families::COPIES_PER_WORKGROUP;
use crate::kernel::uniforms::{Dims, SlotsDims};
use crate::kernel::{Family, Kernel, Overrides, Schedule};
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Recording, Role};

/// The commands of ticks up to a number of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Batch rows B of its dispatches.
    pub rows: usize,
    /// The range of its commands in the recording.
    pub commands: Range<usize>,
}

/// A recording with the commands of several numbers of rows. All of them use the buffers of the
/// largest.
#[derive(Debug, Clone)]
pub struct PoolPlan {
    /// The plan of the largest class. Its recording holds the commands of all classes.
    pub layers: Plan,
    /// The classes by increasing rows: powers of two, and the most rows of a tick.
    pub classes: Vec<Class>,
    /// The slot of each row of a tick: `[B]`, u32. Padding rows have
    /// [`NO_SLOT`](crate::kernel::families::NO_SLOT).
    pub slots: BufferId,
    /// The slots: `[N, W]`. For each layer, a slot holds h (R padded to quads) and, in an LSTM, c
    /// (H).
    pub store: BufferId,
    /// Values W of a slot.
    pub width: usize,
}

impl PoolPlan {
    /// Returns the bytes of the pool on the device: all buffers, with the weights, and the copy
    /// that reads back outputs. A read or write of a slot's state needs the bytes of one more slot
    /// while it lasts.
    pub fn size(&self) -> u64 {
        let Recording { buffers, .. } = &self.layers.recording;
        let read_back =
            buffers.iter().filter(|buffer| buffer.role == Role::Output).map(BufferSpec::size);
        read_back.fold(self.layers.recording.size(), u64::saturating_add)
    }

    /// Returns the smallest class that holds `rows` rows, or the largest class if none does.
    pub fn class(&self, rows: usize) -> &Class {
        let at = self.classes.partition_point(|class| class.rows < rows);
        &self.classes[at.min(self.classes.len() - 1)]
    }
}

/// Plans the ticks of a pool of `slots` slots. A tick has up to `sizes.seq_len` steps of up to
/// `sizes.batch` rows. It has fewer rows if the limits allow no more.
///
/// # Errors
/// [`Error::Limit`] names the limit that the slots, or one row, exceed. [`Error::Option`] if there
/// is no slot, or if a tick has too many steps. [`Error::Shape`] if there is no row or no step.
/// [`Error::Unsupported`] as [`plan`](super::plan()) returns it.
pub fn plan_pool(
    request: &Request<'_>,
    slots: usize,
    profile: &Profile<'_>,
    asked: Schedule,
) -> Result<PoolPlan> {
    let limits = profile.limits;
    if slots == 0 {
        return Err(Error::Option("a pool needs at least one slot".to_owned()));
    }
    let most = request.sizes.batch.min(slots);
    // All tick sizes share one decision, so a row's bits do not depend on its tick.
    let decision = resolve_layered(asked, &request.with_batch(most), profile, "a pool")?.decision;
    let plan_rows = |batch| -> Result<Plan> {
        let plan = plan_layered(&request.with_batch(batch), profile, decision.schedule, "a pool")?;
        Ok(Plan { schedule: decision.clone(), ..plan })
    };
    let one_segment = |&rows: &usize| plan_rows(rows).is_ok_and(|plan| plan.segments.len() == 1);
    let Some(rows) = largest(halvings(most), one_segment) else {
        plan_rows(most.min(1))?;
        return Err(too_long(request.sizes.seq_len, limits));
    };
    let mut layers = plan_rows(rows)?;
    let width = states(&layers, Way::Load).map(|(_, width)| width).sum();
    let store = BufferSpec {
        label: "slots' states".to_owned(),
        axes: vec![(Axis::Slot, slots), (Axis::Unit, width)],
        role: Role::State,
    };
    if store.size() > limits.max_binding() {
        return Err(Error::Limit {
            limit: limits.max_binding_name(),
            what: format!("the states of {slots} slots"),
            needed: store.size(),
            allowed: limits.max_binding(),
            advice: "use fewer slots, and several pools",
        });
    }
    let lengths = layers.lengths;
    let slots_of_rows =
        BufferSpec { label: "slots".to_owned(), axes: vec![(Axis::Row, rows)], role: Role::Input };
    let (slots, store) = (layers.recording.buffer(slots_of_rows), layers.recording.buffer(store));
    layers.recording.commands.clear();
    let mut classes = Vec::new();
    for batch in sizes_of_classes(rows) {
        let part = plan_rows(batch)?;
        // Plans of other sizes have the same buffers with other lengths.
        debug_assert_eq!(
            (part.lengths, &part.states),
            (lengths, &layers.states),
            "buffers of {batch} rows"
        );
        let first = layers.recording.commands.len();
        let moving = |way| move_states(&part, way, [slots, store], limits);
        layers.recording.commands.extend(moving(Way::Load)?);
        layers.recording.commands.extend(part.recording.commands.iter().cloned());
        layers.recording.commands.extend(moving(Way::Store)?);
        classes.push(Class { rows: batch, commands: first..layers.recording.commands.len() });
    }
    let plan = PoolPlan { layers, classes, slots, store, width };
    check_budget(plan.size(), limits)?;
    Ok(plan)
}

/// The direction of a move: states out of slots, or into slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Load,
    Store,
}

/// Returns the contents of a slot: the plan's buffers, before or after its run, and the values of a
/// row in each.
pub(super) fn states(plan: &Plan, way: Way) -> impl Iterator<Item = (BufferId, usize)> {
    let of_layer = move |(layer, ids): (usize, &LayerState)| {
        let h = if way == Way::Load { ids.h[0] } else { plan.final_h(layer) };
        [Some(h), ids.c].into_iter().flatten()
    };
    let ids = plan.states.iter().enumerate().flat_map(of_layer);
    ids.map(|id| (id, plan.recording.spec(id).len() / plan.sizes.batch))
}

/// Returns the dispatches that move the states of all rows of a plan.
pub(super) fn move_states(
    plan: &Plan,
    way: Way,
    [slots, store]: [BufferId; 2],
    limits: &Limits,
) -> Result<Vec<Command>> {
    let stride: usize = states(plan, way).map(|(_, width)| width).sum();
    let mut offset = 0;
    let mut commands = Vec::new();
    for (state, width) in states(plan, way) {
        let dims = SlotsDims {
            rows: plan.sizes.batch as u32,
            width: width as u32,
            stride: stride as u32,
            offset: offset as u32,
        };
        offset += width;
        let (family, bindings) = match way {
            Way::Load => (Family::Gather, vec![slots, store, state]),
            Way::Store => (Family::Scatter, vec![slots, state, store]),
        };
        let kernel = Kernel::new(family, WeightType::F32);
        let workgroups = ((plan.sizes.batch * width) as u64).div_ceil(COPIES_PER_WORKGROUP as u64);
        let dispatch =
            planned(kernel, Overrides::default(), Dims::Slots(dims), bindings, workgroups, limits)?;
        commands.push(Command::Dispatch(dispatch));
    }
    Ok(commands)
}

/// Returns the powers of two below `rows`, and `rows`.
fn sizes_of_classes(rows: usize) -> impl Iterator<Item = usize> {
    (0..).map(|i| 1 << i).take_while(move |&size| size < rows).chain([rows])
}

fn too_long(steps: usize, limits: &Limits) -> Error {
    Error::Option(format!(
        "a tick of {steps} steps does not fit into {} of {} bytes; use fewer steps",
        limits.max_binding_name(),
        limits.max_binding()
    ))
}
