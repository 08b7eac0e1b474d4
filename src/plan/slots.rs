//! The ticks of a pool: state out of slots, the layers, state back into slots.

use std::ops::Range;

use super::schedule::resolve_layered;
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

/// The commands of ticks of up to so many rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// B of its dispatches.
    pub rows: usize,
    /// Which of the recording's commands it runs.
    pub commands: Range<usize>,
}

/// A recording that holds the commands of several numbers of rows, all on the buffers of the
/// largest.
#[derive(Debug, Clone)]
pub struct PoolPlan {
    /// The plan of the largest class. Its recording has the commands of all.
    pub layers: Plan,
    /// By growing rows: powers of two, and the most rows of a tick.
    pub classes: Vec<Class>,
    /// The slot of each row of a tick, [`NO_SLOT`](crate::kernel::families::NO_SLOT) for rows that
    /// fill up: `[B]`, u32.
    pub slots: BufferId,
    /// The slots: `[N, W]`. A slot has for each layer h (R padded to quads) and, of an LSTM, c (H).
    pub store: BufferId,
    /// W, the values of a slot.
    pub width: usize,
}

impl PoolPlan {
    /// Bytes that the pool takes on the device, weights included: all buffers, and the copy through
    /// which outputs are read back. Reading or writing the state of a slot takes those of one slot
    /// more while it lasts.
    pub fn size(&self) -> u64 {
        let Recording { buffers, .. } = &self.layers.recording;
        let read_back =
            buffers.iter().filter(|buffer| buffer.role == Role::Output).map(BufferSpec::size);
        self.layers.recording.size() + read_back.sum::<u64>()
    }

    /// The smallest class for so many rows, the largest for more.
    pub fn class(&self, rows: usize) -> &Class {
        let at = self.classes.partition_point(|class| class.rows < rows);
        &self.classes[at.min(self.classes.len() - 1)]
    }
}

/// Plans the ticks of a pool of `slots` slots, each of up to `sizes.seq_len` steps of up to
/// `sizes.batch` rows; of fewer rows where more do not fit.
///
/// # Errors
/// [`Error::Limit`] naming the limit that the slots, or one row, would exceed; [`Error::Option`]
/// when there is no slot or a tick has too many steps, [`Error::Shape`] when there is no row or no
/// step; [`Error::Unsupported`] as [`plan`](super::plan()).
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
    // One decision for ticks of all sizes, so that a row's bits do not depend on its tick.
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
        // Plans of other sizes have the same buffers, of other lengths.
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

/// Whether states come out of slots or go into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Load,
    Store,
}

/// What a slot keeps: where a plan has it before or after its run, and the values of a row.
fn states(plan: &Plan, way: Way) -> impl Iterator<Item = (BufferId, usize)> {
    let of_layer = move |(layer, ids): (usize, &LayerState)| {
        let h = if way == Way::Load { ids.h[0] } else { plan.final_h(layer) };
        [Some(h), ids.c].into_iter().flatten()
    };
    let ids = plan.states.iter().enumerate().flat_map(of_layer);
    ids.map(|id| (id, plan.recording.spec(id).len() / plan.sizes.batch))
}

/// Moves the states of all rows of a plan.
fn move_states(
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

/// Powers of two, and `rows`.
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
