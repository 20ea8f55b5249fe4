//! Which key has been unseen for the longest time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::table::KeyTable;
use crate::aggregate::key::{KeyBytes, is_overflow};

/// Keys by when they were last seen, as far as that is known here: each may have been seen since, which is looked up when its
/// turn comes. Nothing is kept until somebody asks.
#[derive(Debug, Default)]
pub(super) struct Idle(Option<BinaryHeap<Reverse<(i64, KeyBytes)>>>);

impl Idle {
    /// Takes note of a new key.
    pub fn add(&mut self, key: &KeyBytes, seen: i64) {
        if let Some(heap) = &mut self.0 {
            heap.push(Reverse((seen, key.clone())));
        }
    }

    /// To be called when keys have been dropped: the next question looks at all there are.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    /// Takes the key out that has been unseen for the longest time, of several the first in byte order; gives its number.
    pub fn take_longest(&mut self, table: &KeyTable) -> Option<u32> {
        let heap = self.0.get_or_insert_with(|| {
            let usual = table.records().iter().filter(|record| !is_overflow(&record.key));
            usual.map(|record| Reverse((record.last_seen(), record.key.clone()))).collect()
        });
        while let Some(Reverse((known, key))) = heap.pop() {
            let Some(number) = table.find(&key) else { continue };
            let seen = table.record(number).last_seen();
            if seen <= known {
                return Some(number);
            }
            heap.push(Reverse((seen, key)));
        }
        None
    }
}
