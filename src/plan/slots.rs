//! The ticks of a pool: gather states from slots, run the layers, scatter states to slots.

use std::ops::Range;

use super::same_bits::resolve_layered;
use super::{Carried, Plan, Profile, Request, check_budget, halvings, plan_layered, planned};
use crate::dtype::WeightType;
use crate::error::{Error, Result};
use crate::kernel::families::COPIES_PER_WORKGROUP;
use crate::kernel::uniforms::{Dims, SlotsDims};
use crate::kernel::{Family, Kernel, Overrides, Schedule};
use crate::params::validate::Sizes;
use crate::plan::limits::Limits;
use crate::plan::recording::{Axis, BufferId, BufferSpec, Command, Recording, Role};

/// The recording of the next steps of a module or of a network, as a pool runs it.
#[derive(Debug, Clone)]
pub struct TickPlan {
    /// T and B.
    pub sizes: Sizes,
    /// The buffers and dispatches. A pool's recording has the dispatches of all classes.
    pub recording: Recording,
    /// The input: `[T, B, I]`, I padded to quads.
    pub input: BufferId,
    /// Valid steps of each row, `[B]`, u32, for each module that reads them, and the input steps
    /// of each step that they count.
    pub lengths: Vec<(BufferId, usize)>,
    /// The output: `[T, B, R]`, R padded to quads.
    pub output: BufferId,
    /// The contents of a slot, in order.
    pub carried: Vec<Carried>,
}

impl TickPlan {
    /// Returns the steps of a module's plan; `None` if the plan has several segments.
    pub fn of_layers(plan: Plan) -> Option<Self> {
        let (&[input], &[output]) = (&plan.input[..], &plan.output[..]) else { return None };
        let (lengths, carried) = (vec![(plan.lengths, 1)], plan.carried_rows());
        let Plan { sizes, recording, .. } = plan;
        Some(Self { sizes, recording, input, lengths, output, carried })
    }
}

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
    /// The steps of the largest class. Their recording holds the commands of all classes.
    pub tick: TickPlan,
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
        let Recording { buffers, .. } = &self.tick.recording;
        let read_back =
            buffers.iter().filter(|buffer| buffer.role == Role::Output).map(BufferSpec::size);
        read_back.fold(self.tick.recording.size(), u64::saturating_add)
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
/// The errors of [`plan_ticks`]; [`Error::Unsupported`] as [`plan`](super::plan()) returns it.
pub fn plan_pool(
    request: &Request<'_>,
    slots: usize,
    profile: &Profile<'_>,
    asked: Schedule,
) -> Result<PoolPlan> {
    let sizes = largest_tick(slots, request.sizes)?;
    // All tick sizes share one decision, so a row's bits do not depend on its tick.
    let of_all = request.with_batch(sizes.batch);
    let schedule = resolve_layered(asked, &of_all, profile, "a pool")?.decision.schedule;
    let plan_rows = |batch| -> Result<Option<TickPlan>> {
        let plan = plan_layered(&request.with_batch(batch), profile, schedule, "a pool")?;
        Ok(TickPlan::of_layers(plan))
    };
    plan_ticks(slots, sizes, profile.limits, plan_rows)
}

/// Returns the sizes of a tick with as many rows as a pool of `slots` slots can fill.
///
/// # Errors
/// [`Error::Option`] if there is no slot.
pub fn largest_tick(slots: usize, asked: Sizes) -> Result<Sizes> {
    if slots == 0 {
        return Err(Error::Option("a pool needs at least one slot".to_owned()));
    }
    Ok(Sizes { batch: asked.batch.min(slots), ..asked })
}

/// Plans the ticks of a pool from the plans of their steps. `plan_rows` returns the steps of a
/// number of rows, or `None` where they need several segments. It gives a buffer of the plan the
/// same [`BufferId`] for any number of rows.
///
/// # Errors
/// [`Error::Limit`] names the limit that the slots, or one row, exceed. [`Error::Option`] if a tick
/// has too many steps. [`Error::Shape`] if there is no row or no step. Other errors of `plan_rows`.
pub fn plan_ticks(
    slots: usize,
    sizes: Sizes,
    limits: &Limits,
    plan_rows: impl Fn(usize) -> Result<Option<TickPlan>>,
) -> Result<PoolPlan> {
    let planned = halvings(sizes.batch).find_map(|rows| plan_rows(rows).ok().flatten());
    let Some(mut tick) = planned else {
        plan_rows(sizes.batch.min(1))?;
        return Err(too_long(sizes.seq_len, limits));
    };
    let rows = tick.sizes.batch;
    let width = tick.carried.iter().map(|state| state.width).sum();
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
    let slots_of_rows =
        BufferSpec { label: "slots".to_owned(), axes: vec![(Axis::Row, rows)], role: Role::Input };
    let (slots, store) = (tick.recording.buffer(slots_of_rows), tick.recording.buffer(store));
    tick.recording.commands.clear();
    let mut classes = Vec::new();
    for batch in sizes_of_classes(rows) {
        let Some(part) = plan_rows(batch)? else {
            return Err(too_long(sizes.seq_len, limits));
        };
        // Plans of other sizes have the same buffers with other lengths.
        let buffers =
            |plan: &TickPlan| (plan.input, plan.output, plan.lengths.clone(), plan.carried.clone());
        debug_assert_eq!(buffers(&part), buffers(&tick), "buffers of {batch} rows");
        let first = tick.recording.commands.len();
        let moving = |way| move_states(&part.carried, batch, way, [slots, store], limits);
        tick.recording.commands.extend(moving(Way::Load)?);
        tick.recording.commands.extend(part.recording.commands.iter().cloned());
        tick.recording.commands.extend(moving(Way::Store)?);
        classes.push(Class { rows: batch, commands: first..tick.recording.commands.len() });
    }
    let plan = PoolPlan { tick, classes, slots, store, width };
    check_budget(plan.size(), limits)?;
    Ok(plan)
}

/// The direction of a move: states out of slots, or into slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Load,
    Store,
}

/// Returns the dispatches that move the states of `rows` rows.
pub(super) fn move_states(
    states: &[Carried],
    rows: usize,
    way: Way,
    [slots, store]: [BufferId; 2],
    limits: &Limits,
) -> Result<Vec<Command>> {
    let stride: usize = states.iter().map(|state| state.width).sum();
    let mut offset = 0;
    let mut commands = Vec::new();
    for &Carried { read, written, width } in states {
        let dims = SlotsDims {
            rows: rows as u32,
            width: width as u32,
            stride: stride as u32,
            offset: offset as u32,
        };
        offset += width;
        let (family, bindings) = match way {
            Way::Load => (Family::Gather, vec![slots, store, read]),
            Way::Store => (Family::Scatter, vec![slots, written, store]),
        };
        let kernel = Kernel::new(family, WeightType::F32);
        let workgroups = ((rows * width) as u64).div_ceil(COPIES_PER_WORKGROUP as u64);
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
