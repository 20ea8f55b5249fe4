//! Which of what was read is a page: pure.
//!
//! Each partition is read from some offset to its end. A page has the newest records of all; it must not have one while
//! another partition may have newer ones that were not read yet.

use super::showing::Event;
use crate::kafka::TopicPartition;
use std::collections::VecDeque;

/// The events of one record.
#[derive(Debug)]
pub struct Found {
    pub offset: i64,
    /// Unix milliseconds; 0 where the record does not say.
    pub written_at: i64,
    pub events: Vec<Event>,
}

/// What was read of one partition, from `start` up to `end`.
#[derive(Debug)]
pub struct Stretch {
    pub place: TopicPartition,
    /// The first offset that the log has.
    pub first: i64,
    pub start: i64,
    pub end: i64,
    /// The newest records with events, oldest first.
    pub found: VecDeque<Found>,
    /// Whether older ones than those were found, and let go.
    pub has_dropped: bool,
    /// Of all that was read; `None`: there was no record.
    pub oldest: Option<i64>,
}

impl Stretch {
    /// Whatever is older than this may stand behind something in this partition that nobody has read.
    fn known_from(&self) -> Option<i64> {
        match self.found.front() {
            Some(front) if self.has_dropped => Some(front.written_at),
            _ if self.start > self.first => self.oldest,
            _ => None,
        }
    }

    /// Where the next page ends here, now that these records are left.
    fn next_end(&self, left: &VecDeque<Found>, taken_from: Option<i64>) -> i64 {
        match left.back() {
            Some(newest) => newest.offset + 1,
            None if self.has_dropped => taken_from.unwrap_or(self.end),
            None => self.start,
        }
    }
}

/// A page, and what is left.
#[derive(Debug, Default)]
pub struct Cut {
    /// The newest first.
    pub events: Vec<Event>,
    /// Where the next page ends, in partitions that have something left.
    pub left: Vec<(TopicPartition, i64)>,
}

/// The newest records of all, at most `most`. There may be fewer although there is more to read: then what is left has them.
pub fn cut(mut stretches: Vec<Stretch>, most: usize) -> Cut {
    let known_from = stretches.iter().filter_map(Stretch::known_from).max().unwrap_or(i64::MIN);
    let mut lowest = vec![None; stretches.len()];
    let mut events = Vec::new();
    for _ in 0..most {
        // Within a partition the order is that of its offsets, whatever times its records claim.
        let newest = stretches
            .iter()
            .enumerate()
            .filter_map(|(at, stretch)| stretch.found.back().map(|found| (found.written_at, std::cmp::Reverse(at))));
        let Some((written_at, std::cmp::Reverse(at))) = newest.max() else { break };
        if written_at < known_from {
            break;
        }
        if let Some(found) = stretches[at].found.pop_back() {
            lowest[at] = Some(found.offset);
            events.extend(found.events.into_iter().rev());
        }
    }
    let next = stretches
        .iter()
        .zip(lowest)
        .map(|(stretch, lowest)| (stretch.place.clone(), stretch.first, stretch.next_end(&stretch.found, lowest)));
    let left = next.filter(|(_, first, end)| end > first).map(|(place, _, end)| (place, end)).collect();
    Cut { events, left }
}
