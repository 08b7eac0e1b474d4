//! Memory that remembers who touched each word, and refuses races.
//!
//! Two accesses of different invocations to the same word, one of which changes it, need an order:
//! * In workgroup memory a barrier of the workgroup between them gives it.
//! * In storage that barrier orders a read before a later write of the same workgroup. Only a
//!   barrier of storage also makes a write visible. No barrier orders workgroups.
//!
//! Atomics of one kind commute. The results of different kinds depend on their order, so these need
//! a barrier in workgroup memory, too. In storage, workgroups wait for each other by atomics or by
//! volatile words, which need no order. But a workgroup's first look at such a word after a change
//! sees the old word, unless the change and the look have an order.

use std::collections::HashMap;

use naga::{AddressSpace, GlobalVariable, MemoryDecorations, StorageAccess};

/// An access to a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    Read,
    Write,
    /// An atomic access; equal numbers commute.
    Atomic {
        kind: u8,
        writes: bool,
    },
}

impl Touch {
    pub const ATOMIC_LOAD: Self = Self::Atomic { kind: 0, writes: false };
    /// Stores do not commute with each other.
    pub const ATOMIC_STORE: Self = Self::Atomic { kind: 1, writes: true };

    fn changes(self) -> bool {
        matches!(self, Self::Write | Self::Atomic { writes: true, .. })
    }

    fn is_atomic(self) -> bool {
        matches!(self, Self::Atomic { .. })
    }

    fn commutes(self, other: Self) -> bool {
        self == other && self != Self::Write && self != Self::ATOMIC_STORE
    }

    fn verb(self) -> &'static str {
        if self.changes() { "writes" } else { "reads" }
    }
}

/// An access of one invocation.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    pub invocation: u32,
    pub workgroup: u32,
    /// Barriers of the workgroup before the access: of its memory, and of storage.
    pub barriers: u32,
    pub storage_barriers: u32,
    pub touch: Touch,
    /// The offset of the expression or statement in the text.
    pub site: u32,
}

/// Accesses of two invocations, the first and the last; as many as decide every race.
type Pair = [Option<Access>; 2];

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    changes: Pair,
    reads: Pair,
}

/// The words of one global variable.
#[derive(Debug)]
pub struct Variable {
    pub name: String,
    /// Whether each workgroup has its own words.
    is_workgroup: bool,
    /// Whether nothing writes it, so that no access is recorded.
    is_constant: bool,
    /// Whether workgroups wait for each other's words.
    is_volatile: bool,
    /// Words of one workgroup, or of all.
    size: usize,
    pub words: Vec<u32>,
    records: Vec<Record>,
    /// Changes of words for which workgroups wait, by their places.
    changes: HashMap<usize, Change>,
}

/// The last change of a word.
#[derive(Debug)]
struct Change {
    access: Access,
    before: u32,
    /// The workgroups that have looked at it since.
    seen: Vec<u32>,
}

/// Two accesses without an order.
pub struct Race {
    pub before: Access,
    pub now: Access,
}

impl Variable {
    /// A variable with its first words. In workgroup memory these are not there yet.
    pub fn new(variable: &GlobalVariable, size: usize, words: Vec<u32>, workgroups: usize) -> Self {
        let is_workgroup = variable.space == AddressSpace::WorkGroup;
        let writes = match variable.space {
            AddressSpace::Storage { access } => access.contains(StorageAccess::STORE),
            _ => is_workgroup,
        };
        let words = if is_workgroup { vec![0; size * workgroups] } else { words };
        Self {
            name: variable.name.clone().unwrap_or_default(),
            is_workgroup,
            is_constant: !writes,
            is_volatile: variable.memory_decorations.contains(MemoryDecorations::VOLATILE),
            size: if is_workgroup { size } else { words.len() },
            records: vec![Record::default(); if writes { words.len() } else { 0 }],
            words,
            changes: HashMap::new(),
        }
    }

    /// The place of a word of a workgroup.
    ///
    /// # Errors
    /// If the variable has fewer words.
    pub fn place(&self, offset: usize, workgroup: u32) -> Result<usize, String> {
        if offset >= self.size {
            return Err(format!("{} has {} words, not word {offset}", self.name, self.size));
        }
        Ok(offset + if self.is_workgroup { workgroup as usize * self.size } else { 0 })
    }

    /// Records an access to a word.
    ///
    /// # Errors
    /// The earlier access, if the two race.
    pub fn touch(&mut self, place: usize, now: Access) -> Result<(), Box<Race>> {
        if self.is_constant {
            return Ok(());
        }
        let ordered = |before: &Access| self.is_ordered(before, &now);
        let record = &self.records[place];
        let reads = record.reads.iter().filter(|_| now.touch.changes());
        for before in record.changes.iter().chain(reads).flatten() {
            if !ordered(before) {
                return Err(Box::new(Race { before: *before, now }));
            }
        }
        // The first place is free, or has the last access of the same invocation, or one that a
        // barrier orders before all that follow. The second place keeps another workgroup's.
        let free = |slot: &Option<Access>| slot.is_none_or(|before| self.is_past(&before, &now));
        let own = |slot: &Option<Access>| slot.is_some_and(|b| b.invocation == now.invocation);
        let far = |slot: &Option<Access>| slot.is_some_and(|b| b.workgroup != now.workgroup);
        let pair = if now.touch.changes() { &record.changes } else { &record.reads };
        let at = match pair {
            [first, _] if free(first) || own(first) => 0,
            [_, second] if !free(second) && far(second) => return Ok(()),
            _ => 1,
        };
        // Different changes by one invocation commute with nothing.
        let mixed =
            own(&pair[at]) && !free(&pair[at]) && pair[at].is_some_and(|b| b.touch != now.touch);
        let touch = if mixed && now.touch.is_atomic() { Touch::ATOMIC_STORE } else { now.touch };
        let record = &mut self.records[place];
        let pair = if now.touch.changes() { &mut record.changes } else { &mut record.reads };
        pair[at] = Some(Access { touch, ..now });
        Ok(())
    }

    /// The word that an invocation finds.
    pub fn read(&mut self, place: usize, now: &Access) -> u32 {
        let late = self.changes.get(&place).is_some_and(|change| {
            let Change { access, seen, .. } = change;
            let own = access.invocation == now.invocation;
            !own && !self.is_past(access, now) && !seen.contains(&now.workgroup)
        });
        match self.changes.get_mut(&place).filter(|_| late) {
            Some(change) => {
                change.seen.push(now.workgroup);
                change.before
            }
            None => self.words[place],
        }
    }

    /// Changes a word.
    pub fn write(&mut self, place: usize, now: &Access, word: u32) {
        let before = std::mem::replace(&mut self.words[place], word);
        if !self.is_workgroup && (self.is_volatile || now.touch.is_atomic()) {
            self.changes.insert(place, Change { access: *now, before, seen: Vec::new() });
        }
    }

    /// Whether a word of workgroup memory has no value yet.
    pub fn is_unwritten(&self, place: usize) -> bool {
        self.is_workgroup && self.records[place].changes[0].is_none()
    }

    fn is_ordered(&self, before: &Access, now: &Access) -> bool {
        let may_cross = !self.is_workgroup
            && (self.is_volatile || before.touch.is_atomic() && now.touch.is_atomic());
        may_cross
            || before.invocation == now.invocation
            || before.touch.commutes(now.touch)
            || self.is_past(before, now)
    }

    /// Whether a barrier orders an earlier access before this one, and all later ones.
    fn is_past(&self, before: &Access, now: &Access) -> bool {
        let barrier = before.barriers < now.barriers;
        let storage_barrier = before.storage_barriers < now.storage_barriers;
        before.workgroup == now.workgroup
            && if self.is_workgroup || !before.touch.changes() { barrier } else { storage_barrier }
    }
}

impl Race {
    /// The race in words; `line` names the place of an access.
    pub fn describe(&self, variable: &str, line: impl Fn(u32) -> String) -> String {
        let Self { before, now } = self;
        format!(
            "{variable}: invocation {} {} a word at {}, and invocation {} {} it at {}, with no \
             barrier between",
            before.invocation,
            before.touch.verb(),
            line(before.site),
            now.invocation,
            now.touch.verb(),
            line(now.site)
        )
    }
}
