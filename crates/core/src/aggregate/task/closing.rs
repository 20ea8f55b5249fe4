//! Which key's session closes next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::table::{KeyTable, Record};
use crate::aggregate::key::KeyBytes;
use crate::measure::{MeasureState, SessionRule};

/// Keys with open sessions by when the first of theirs closes, or before that: it may have gone on since, which is looked
/// up when its turn comes. Nothing is kept until somebody asks.
#[derive(Debug, Default)]
pub(super) struct Closing(Option<Queue>);

#[derive(Debug, Default)]
struct Queue {
    heap: BinaryHeap<Reverse<(i64, KeyBytes)>>,
    /// When the turn of each key comes; other entries of the heap are out of date.
    turns: HashMap<KeyBytes, i64>,
}

impl Queue {
    fn add(&mut self, record: &Record, rule: &SessionRule) {
        let Some(closes) = next_close(record, rule) else { return };
        // A late event may begin a session that closes before the one that is waited for.
        if self.turns.get(&record.key).is_none_or(|&turn| closes < turn) {
            self.turns.insert(record.key.clone(), closes);
            self.heap.push(Reverse((closes, record.key.clone())));
        }
    }
}

impl Closing {
    /// Takes note of a key that may have open sessions.
    #[inline]
    pub fn add(&mut self, record: &Record, rule: &SessionRule) {
        if let Some(queue) = &mut self.0 {
            queue.add(record, rule);
        }
    }

    /// Takes a key out that has a session which closes at that time or before; gives its number.
    pub fn take_due(&mut self, table: &KeyTable, stream_time: i64, rule: &SessionRule) -> Option<u32> {
        let queue = self.0.get_or_insert_with(|| {
            let mut queue = Queue::default();
            table.records().iter().for_each(|record| queue.add(record, rule));
            queue
        });
        while queue.heap.peek().is_some_and(|Reverse((closes, _))| *closes <= stream_time) {
            let Some(Reverse((turn, key))) = queue.heap.pop() else { break };
            if queue.turns.get(&key) != Some(&turn) {
                continue;
            }
            queue.turns.remove(&key);
            let Some(number) = table.find(&key) else { continue };
            match next_close(table.record(number), rule) {
                Some(closes) if closes <= stream_time => return Some(number),
                _ => queue.add(table.record(number), rule),
            }
        }
        None
    }
}

fn next_close(record: &Record, rule: &SessionRule) -> Option<i64> {
    let total = record.total.as_ref()?;
    let sessions = total.measures.iter().filter_map(|state| match state {
        MeasureState::Sessions(sessions) => sessions.next_close(rule),
        _ => None,
    });
    sessions.min()
}
