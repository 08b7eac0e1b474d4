//! A recording as a part of a larger one.

use crate::plan::recording::{BufferId, Command, Dispatch, Recording, Role};

/// Appends the commands of `part` to `whole`, and returns the buffers of `part` in `whole`.
///
/// `placed` returns the buffer of `whole` that takes the place of one of `part`. Other buffers
/// follow those of `whole`; the host no longer writes or reads them, unless they hold a state.
pub(super) fn splice(
    whole: &mut Recording,
    part: Recording,
    placed: impl Fn(BufferId) -> Option<BufferId>,
) -> Vec<BufferId> {
    let Recording { buffers, parts, mut commands, flag } = part;
    debug_assert!(flag.is_none(), "no workgroup waits for another in a part");
    let mut ids = Vec::with_capacity(buffers.len());
    for (index, mut spec) in buffers.into_iter().enumerate() {
        ids.push(placed(BufferId(index)).unwrap_or_else(|| {
            if spec.role != Role::State {
                spec.role = Role::Scratch;
            }
            whole.buffer(spec)
        }));
    }
    let of = |id: BufferId| ids[id.0];
    whole.parts.extend(parts.into_iter().map(|(part, all, start)| (of(part), of(all), start)));
    let place = |dispatch: &mut Dispatch| {
        dispatch.bindings.iter_mut().for_each(|id| *id = of(*id));
    };
    for command in &mut commands {
        match command {
            Command::Dispatch(dispatch) => place(dispatch),
            Command::Steps { by_parity, .. } => by_parity.iter_mut().flatten().for_each(place),
            Command::Clear { buffer, .. } => *buffer = of(*buffer),
        }
    }
    whole.commands.extend(commands);
    ids
}
