//! The keys of one aggregate in one task: from label values to the total and the panes.

use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::aggregate::cell::Cell;
use crate::aggregate::key::{KeyBytes, Pane};

/// One key. A million of these are ordinary, so they are kept small.
#[derive(Debug)]
pub(super) struct Record {
    pub key: KeyBytes,
    /// Absent while only panes are left of a key whose total has expired.
    pub total: Option<Arc<Cell>>,
    pub total_dirty: bool,
    /// Ascending; the last one is usually hit.
    pub panes: SmallVec<[PaneSlot; 1]>,
}

/// One pane of a key.
#[derive(Debug)]
pub(super) struct PaneSlot {
    end: i64,
    pub cell: Arc<Cell>,
    late: u16,
    pub dirty: bool,
}

impl PaneSlot {
    pub fn pane(&self) -> Pane {
        Pane { end: self.end, late: self.late }
    }
}

impl Record {
    fn new(key: KeyBytes) -> Record {
        Record { key, total: None, total_dirty: false, panes: SmallVec::new() }
    }

    /// The cell of a pane or of the total, if there is one, and its dirty flag.
    pub fn existing_mut(&mut self, pane: Pane) -> Option<(&mut Arc<Cell>, &mut bool)> {
        if pane == Pane::TOTAL {
            return self.total.as_mut().map(|cell| (cell, &mut self.total_dirty));
        }
        let at = self.position(pane).ok()?;
        let slot = &mut self.panes[at];
        Some((&mut slot.cell, &mut slot.dirty))
    }

    pub fn contains(&self, pane: Pane) -> bool {
        if pane == Pane::TOTAL { self.total.is_some() } else { self.position(pane).is_ok() }
    }

    /// The cell of a pane or of the total, made by `empty` if there is none, and its dirty flag.
    #[inline]
    pub fn cell_mut(&mut self, pane: Pane, empty: impl FnOnce() -> Arc<Cell>) -> (&mut Arc<Cell>, &mut bool) {
        if pane == Pane::TOTAL {
            return (self.total.get_or_insert_with(empty), &mut self.total_dirty);
        }
        let at = self.position(pane).unwrap_or_else(|at| {
            self.panes.insert(at, PaneSlot { end: pane.end, late: pane.late, cell: empty(), dirty: false });
            at
        });
        let slot = &mut self.panes[at];
        (&mut slot.cell, &mut slot.dirty)
    }

    #[inline]
    fn position(&self, pane: Pane) -> Result<usize, usize> {
        match self.panes.last() {
            None => Err(0),
            Some(last) if last.pane() == pane => Ok(self.panes.len() - 1),
            Some(last) if last.pane() < pane => Err(self.panes.len()),
            Some(_) => self.panes.binary_search_by_key(&pane, PaneSlot::pane),
        }
    }

    /// When the key was last seen.
    pub fn last_seen(&self) -> i64 {
        match &self.total {
            Some(total) => total.last_seen,
            None => self.panes.iter().map(|slot| slot.cell.last_seen).max().unwrap_or(i64::MIN),
        }
    }

    /// Every cell with its pane.
    pub fn cells(&self) -> impl Iterator<Item = (Pane, &Arc<Cell>)> {
        let total = self.total.iter().map(|cell| (Pane::TOTAL, cell));
        total.chain(self.panes.iter().map(|slot| (slot.pane(), &slot.cell)))
    }
}

/// Records in a vector, so that growing never leaves holes as wide as a record; the index holds only their numbers.
#[derive(Debug, Default)]
pub(super) struct KeyTable {
    index: HashTable<u32>,
    records: Vec<Record>,
}

impl KeyTable {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn record(&self, number: u32) -> &Record {
        &self.records[number as usize]
    }

    pub fn record_mut(&mut self, number: u32) -> &mut Record {
        &mut self.records[number as usize]
    }

    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.index.find(xxh3_64(key), |&number| *self.records[number as usize].key == *key).copied()
    }

    /// The key's number; if it is new, it is added.
    pub fn find_or_insert(&mut self, key: KeyBytes) -> u32 {
        let KeyTable { index, records } = self;
        let hash = |&other: &u32| xxh3_64(&records[other as usize].key);
        match index.entry(xxh3_64(&key), |&number| records[number as usize].key == key, hash) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let number = records.len() as u32;
                new.insert(number);
                records.push(Record::new(key));
                number
            }
        }
    }

    pub fn reserve(&mut self, keys: usize) {
        let records = &self.records;
        self.index.reserve(keys, |&other| xxh3_64(&records[other as usize].key));
        self.records.reserve_exact(keys);
    }

    /// Adds a key that is not there yet.
    pub fn insert(&mut self, key: KeyBytes) -> u32 {
        let number = self.records.len() as u32;
        let records = &self.records;
        self.index.insert_unique(xxh3_64(&key), number, |&other| xxh3_64(&records[other as usize].key));
        self.records.push(Record::new(key));
        number
    }

    /// Gives a key's number to a new key, which is not there yet, and has no cells; gives what was there.
    pub fn replace(&mut self, number: u32, key: KeyBytes) -> Record {
        let hash = xxh3_64(&key);
        let old = std::mem::replace(&mut self.records[number as usize], Record::new(key));
        if let Ok(entry) = self.index.find_entry(xxh3_64(&old.key), |&found| found == number) {
            entry.remove();
        }
        let records = &self.records;
        self.index.insert_unique(hash, number, |&other| xxh3_64(&records[other as usize].key));
        old
    }

    /// Drops the cells for which `keep` says no, and the keys of which nothing is left.
    pub fn retain(&mut self, mut keep: impl FnMut(&KeyBytes, Pane, &Cell) -> bool) {
        let mut number = 0;
        while number < self.records.len() {
            let Record { key, total, total_dirty, panes } = &mut self.records[number];
            if total.as_ref().is_some_and(|cell| !keep(key, Pane::TOTAL, cell)) {
                *total = None;
                *total_dirty = false;
            }
            panes.retain(|slot| keep(key, slot.pane(), &slot.cell));
            if total.is_none() && panes.is_empty() {
                self.remove(number);
            } else {
                if panes.len() <= panes.inline_size() && panes.spilled() {
                    panes.shrink_to_fit();
                }
                number += 1;
            }
        }
    }

    fn remove(&mut self, number: usize) {
        let removed = self.records.swap_remove(number);
        let is = |wanted: usize| move |&found: &u32| found as usize == wanted;
        if let Ok(entry) = self.index.find_entry(xxh3_64(&removed.key), is(number)) {
            entry.remove();
        }
        if let Some(moved) = self.records.get(number)
            && let Some(found) = self.index.find_mut(xxh3_64(&moved.key), is(self.records.len()))
        {
            *found = number as u32;
        }
    }
}
