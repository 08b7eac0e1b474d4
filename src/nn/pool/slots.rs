//! The open and closed slots of a pool.

use crate::error::{Error, Result};

/// A slot of a [`Pool`](super::Pool) while it is open. Copies name the same slot. After closing,
/// all of them are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    pub(super) index: u32,
    /// The number of times that the slot was closed.
    generation: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    open: bool,
    generation: u64,
    /// Whether a tick failed while it was changing the state.
    lost: bool,
}

/// The slots of a pool.
#[derive(Debug)]
pub(super) struct Slots {
    entries: Vec<Entry>,
    /// Closed slots; the next one to open is last.
    free: Vec<u32>,
}

impl Slots {
    pub fn new(count: usize) -> Self {
        Self { entries: vec![Entry::default(); count], free: (0..count as u32).rev().collect() }
    }

    /// Returns the number of open slots.
    pub fn open_count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn open(&mut self) -> Result<Slot> {
        let Some(index) = self.free.pop() else {
            let count = self.entries.len();
            return Err(Error::Option(format!(
                "all {count} slots of the pool are open; close one, or make a larger pool"
            )));
        };
        let entry = &mut self.entries[index as usize];
        *entry = Entry { open: true, lost: false, ..*entry };
        Ok(Slot { index, generation: entry.generation })
    }

    pub fn close(&mut self, slot: Slot) -> Result<()> {
        let entry = self.entry(slot)?;
        *entry = Entry { open: false, generation: entry.generation + 1, lost: false };
        self.free.push(slot.index);
        Ok(())
    }

    /// Checks that the slot is open and its state is known.
    pub fn check(&mut self, slot: Slot) -> Result<()> {
        if self.entry(slot)?.lost {
            return Err(Error::StateLost(format!(
                "the state of slot {} was lost in a tick that failed; reset or restore it",
                slot.index
            )));
        }
        Ok(())
    }

    /// Sets whether the state of an open slot is lost.
    pub fn set_lost(&mut self, slot: Slot, lost: bool) -> Result<()> {
        self.entry(slot)?.lost = lost;
        Ok(())
    }

    fn entry(&mut self, slot: Slot) -> Result<&mut Entry> {
        let entry = self.entries.get_mut(slot.index as usize);
        entry.filter(|entry| entry.open && entry.generation == slot.generation).ok_or_else(|| {
            Error::SlotClosed(format!(
                "slot {} of the pool is not open, or it was closed and opened anew",
                slot.index
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Slots};

    #[test]
    fn a_closed_slot_is_not_the_one_that_is_opened_in_its_place() {
        let mut slots = Slots::new(2);
        let (a, b) = (slots.open().expect("the first"), slots.open().expect("the second"));
        assert_ne!(a, b);
        let message = slots.open().expect_err("there are two").to_string();
        assert!(message.contains("all 2 slots"), "{message}");
        slots.close(a).expect("it is open");
        assert_eq!(slots.open_count(), 1);
        let again = slots.open().expect("one is free");
        assert_eq!(again.index, a.index, "the same place");
        for closed in [slots.check(a), slots.close(a), slots.set_lost(a, true)] {
            let message = closed.expect_err("a is closed").to_string();
            assert!(message.contains("slot 0 of the pool is not open"), "{message}");
        }
        slots.check(again).expect("it is open");
    }

    #[test]
    fn a_lost_state_is_told_until_there_is_another() {
        let mut slots = Slots::new(1);
        let slot = slots.open().expect("one");
        slots.set_lost(slot, true).expect("it is open");
        let error = slots.check(slot).expect_err("it is lost");
        assert!(matches!(error, Error::StateLost(_)), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("lost in a tick that failed"), "{message}");
        slots.set_lost(slot, false).expect("it is open");
        slots.check(slot).expect("it has another");
        slots.set_lost(slot, true).expect("it is open");
        slots.close(slot).expect("a lost one can be closed");
        let slot = slots.open().expect("one");
        slots.check(slot).expect("it begins with zeros");
    }
}
