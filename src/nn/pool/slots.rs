//! The open and closed slots of a pool.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::tensor::reserved;

/// A slot of a [`Pool`](super::Pool) while it is open. Copies name the same slot. After closing,
/// all of them are invalid. Other pools refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The identity of the pool.
    pool: u64,
    pub(super) index: u32,
    /// The number of times that the slot was closed.
    generation: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    open: bool,
    generation: u64,
    /// The number of times that the state was replaced.
    replaced: u64,
    /// The last tick that had the slot; 0 before the first one.
    tick: u64,
    /// Whether a tick failed while it was changing the state.
    lost: bool,
}

/// A state that a tick changes: the state of a slot, until another one replaces it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changing {
    pub slot: Slot,
    replaced: u64,
}

/// The slots of a pool.
#[derive(Debug)]
pub(super) struct Slots {
    /// The identity of the pool: no other pool of the process has it.
    pool: u64,
    entries: Vec<Entry>,
    /// The number of ticks.
    ticks: u64,
    /// Closed slots; the next one to open is last.
    free: Vec<u32>,
}

impl Slots {
    /// The slots of a new pool, all closed.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the host's memory does not hold them.
    pub fn new(count: usize) -> Result<Self> {
        static POOLS: AtomicU64 = AtomicU64::new(0);
        let (mut entries, mut free) = (reserved(count, "slots")?, reserved(count, "slots")?);
        entries.resize(count, Entry::default());
        free.extend((0..count as u32).rev());
        Ok(Self { pool: POOLS.fetch_add(1, Ordering::Relaxed), entries, ticks: 0, free })
    }

    /// Returns the number of open slots.
    pub fn open_count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn open(&mut self) -> Result<Slot> {
        let Some(index) = self.free.pop() else {
            let count = self.entries.len();
            return Err(Error::PoolFull(format!(
                "all {count} slots of the pool are open; close one, or make a larger pool"
            )));
        };
        let entry = &mut self.entries[index as usize];
        *entry = Entry { open: true, lost: false, ..*entry };
        Ok(Slot { pool: self.pool, index, generation: entry.generation })
    }

    pub fn close(&mut self, slot: Slot) -> Result<()> {
        let entry = self.entry(slot)?;
        *entry = Entry { open: false, generation: entry.generation + 1, lost: false, ..*entry };
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

    /// Records that a state replaces the one of an open slot, and returns the new one.
    pub fn replace(&mut self, slot: Slot) -> Result<Changing> {
        let entry = self.entry(slot)?;
        (entry.lost, entry.replaced) = (false, entry.replaced + 1);
        Ok(Changing { slot, replaced: entry.replaced })
    }

    /// Begins a tick.
    pub fn tick(&mut self) {
        self.ticks += 1;
    }

    /// Returns the state that this tick is about to change, once.
    pub fn changing(&mut self, slot: Slot) -> Result<Changing> {
        let tick = self.ticks;
        let entry = self.entry(slot)?;
        if std::mem::replace(&mut entry.tick, tick) == tick {
            return Err(Error::Option(format!(
                "slot {} is twice in a tick; a tick runs each slot once",
                slot.index
            )));
        }
        Ok(Changing { slot, replaced: entry.replaced })
    }

    /// Marks a state as lost, unless the slot was closed or has another state by now.
    pub fn lose(&mut self, Changing { slot, replaced }: Changing) {
        if let Ok(entry) = self.entry(slot) {
            entry.lost |= entry.replaced == replaced;
        }
    }

    fn entry(&mut self, slot: Slot) -> Result<&mut Entry> {
        let Slot { pool, index, generation } = slot;
        if pool != self.pool {
            return Err(Error::Option(format!(
                "slot {index} is of another pool; use it with the pool that opened it"
            )));
        }
        let entry = self.entries.get_mut(index as usize);
        entry.filter(|entry| entry.open && entry.generation == generation).ok_or_else(|| {
            Error::SlotClosed(format!(
                "slot {index} of the pool is not open, or it was closed and opened anew"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Slots};

    fn slots(count: usize) -> Slots {
        Slots::new(count).expect("a few slots")
    }

    #[test]
    fn a_closed_slot_is_not_the_one_that_is_opened_in_its_place() {
        let mut slots = slots(2);
        let (a, b) = (slots.open().expect("the first"), slots.open().expect("the second"));
        assert_ne!(a, b);
        let message = slots.open().expect_err("there are two").to_string();
        assert!(message.contains("all 2 slots"), "{message}");
        slots.tick();
        let changing = slots.changing(a).expect("it is open");
        slots.close(a).expect("it is open");
        assert_eq!(slots.open_count(), 1);
        let again = slots.open().expect("one is free");
        assert_eq!(again.index, a.index, "the same place");
        slots.lose(changing);
        for closed in [slots.check(a), slots.close(a), slots.replace(a).map(drop)] {
            let message = closed.expect_err("a is closed").to_string();
            assert!(message.contains("slot 0 of the pool is not open"), "{message}");
        }
        slots.check(again).expect("the closed slot's tick does not concern it");
    }

    #[test]
    fn slots_of_other_pools_are_refused() {
        let (mut ours, mut theirs) = (slots(2), slots(2));
        let (slot, other) = (ours.open().expect("a slot"), theirs.open().expect("a slot"));
        assert_ne!(slot, other, "equal places in two pools");
        ours.tick();
        let calls = [ours.check(other), ours.close(other), ours.replace(other).map(drop)];
        for call in calls.into_iter().chain([ours.changing(other).map(drop)]) {
            let error = call.expect_err("it is of another pool");
            assert!(matches!(&error, Error::Option(text) if text.contains("another pool")));
        }
        ours.check(slot).expect("its own slot");
    }

    #[test]
    fn a_lost_state_is_told_until_there_is_another() {
        let mut slots = slots(2);
        let (slot, other) = (slots.open().expect("one"), slots.open().expect("another"));
        slots.tick();
        let changing = slots.changing(slot).expect("it is open");
        slots.lose(changing);
        let error = slots.check(slot).expect_err("it is lost");
        assert!(matches!(error, Error::StateLost(_)), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("lost in a tick that failed"), "{message}");
        slots.check(other).expect("the tick did not have it");
        slots.replace(slot).expect("it is open");
        slots.check(slot).expect("it has another");
        slots.lose(changing);
        slots.check(slot).expect("a tick before the new state does not concern it");
        slots.tick();
        let changing = slots.changing(slot).expect("it is open");
        let twice = slots.changing(slot).expect_err("this tick has it").to_string();
        assert!(twice.contains("slot 0 is twice in a tick"), "{twice}");
        slots.lose(changing);
        slots.close(slot).expect("a lost one can be closed");
        let slot = slots.open().expect("one");
        slots.check(slot).expect("it begins with zeros");
    }
}
