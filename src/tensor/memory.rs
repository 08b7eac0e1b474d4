//! Allocations on the host that fail with an error.

use std::fmt::Display;

use bytemuck::Zeroable;

use crate::error::{Error, Result};

/// The size in bytes from which an allocation is large. Smaller ones are in the allocator's own
/// memory, or follow from no input.
const LARGE: usize = 1 << 20;

/// The bytes that a large allocation leaves free. Small allocations abort the process when they
/// fail, so the large ones fail first.
const SPARE: usize = 8 << 20;

/// Returns whether the host's memory still holds [`SPARE`] bytes after `count` more values.
fn leaves_spare<T>(count: usize) -> bool {
    count.saturating_mul(size_of::<T>()) < LARGE
        || Vec::<u8>::new().try_reserve_exact(SPARE).is_ok()
}

/// Returns an empty vector with room for `count` values. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn reserved<T>(count: usize, what: impl Display) -> Result<Vec<T>> {
    let mut values = Vec::new();
    if values.try_reserve_exact(count).is_err() || !leaves_spare::<T>(count) {
        return Err(exhausted::<T>(count, what));
    }
    Ok(values)
}

/// Makes room for `count` more values, and for later ones. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn grow<T>(values: &mut Vec<T>, count: usize, what: impl Display) -> Result<()> {
    let before = values.capacity();
    let grown = values.try_reserve(count).is_ok();
    if grown && (values.capacity() == before || leaves_spare::<T>(values.capacity())) {
        return Ok(());
    }
    Err(exhausted::<T>(values.len().saturating_add(count), what))
}

/// Returns `count` zeros. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn zeroed<T: Zeroable>(count: usize, what: impl Display) -> Result<Vec<T>> {
    match bytemuck::allocation::try_zeroed_vec(count) {
        Ok(values) if leaves_spare::<T>(count) => Ok(values),
        _ => Err(exhausted::<T>(count, what)),
    }
}

/// Returns a copy of values. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub fn copied<T: Copy>(values: &[T], what: impl Display) -> Result<Vec<T>> {
    let mut copy = reserved(values.len(), what)?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// Checks that the host's memory holds `count` more values, before work that allocates as many at
/// most. `what` names them.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn room(count: usize, what: impl Display) -> Result<()> {
    if count < LARGE / size_of::<f32>() {
        return Ok(());
    }
    reserved::<f32>(count, what).map(drop)
}

/// Checks that the host's memory holds the values that a text of many names is parsed to: JSON, or
/// a token on each line. Each of them has its own small allocations. `what` names the text.
///
/// # Errors
/// [`Error::OutOfMemory`] when the host's memory does not hold them.
pub(crate) fn room_to_parse(text: &[u8], what: impl Display) -> Result<()> {
    // Maps and lists hold up to 256 bytes for each name, besides four copies of its text. A tensor
    // has four names in a header, and takes up to 1,200 bytes.
    let count = |separator| text.iter().filter(|&&byte| byte == separator).count();
    let names = [b':', b',', b'\n'].map(count).into_iter().max().unwrap_or(0);
    room(names.saturating_mul(64).saturating_add(text.len()), what)
}

/// The memory of work that allocates little by little.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// The bytes up to which there is room.
    checked: usize,
}

impl Growth {
    /// Says that the work has taken `bytes` bytes at most. Whenever they have doubled, it checks
    /// that the host's memory holds as many again. `what` names them.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the host's memory does not hold them.
    pub fn reaches(&mut self, bytes: usize, what: impl Display) -> Result<()> {
        if bytes <= self.checked {
            return Ok(());
        }
        self.checked = bytes.saturating_mul(2);
        room(bytes / size_of::<f32>(), what)
    }
}

fn exhausted<T>(count: usize, what: impl Display) -> Error {
    let bytes = count.saturating_mul(size_of::<T>());
    Error::OutOfMemory {
        adapter: "host".to_owned(),
        doing: format!("allocating {bytes} bytes for {what}"),
    }
}
