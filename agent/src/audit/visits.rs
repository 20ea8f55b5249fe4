//! Sessions, counted again: every event looks for its neighbours among all that have not ended.

use crate::measure::SessionRule;

/// The sessions of one key in one partition.
#[derive(Debug, Default)]
pub struct Visits {
    /// First and last event.
    open: Vec<(i64, i64)>,
    pub closed: u64,
    /// The last event of the newest.
    pub newest: Option<i64>,
}

impl Visits {
    pub fn open(&self) -> u64 {
        self.open.len() as u64
    }

    /// Ends what nothing can be added to any more.
    pub fn end(&mut self, stream_time: i64, rule: &SessionRule) {
        let before = self.open.len();
        self.open.retain(|(_, last)| last + rule.gap_ms + rule.grace_ms > stream_time);
        self.closed += (before - self.open.len()) as u64;
    }

    /// The same when nothing is open any more.
    pub fn all_ended(self) -> Visits {
        Visits { closed: self.closed + self.open(), open: Vec::new(), ..self }
    }

    pub fn add(&mut self, at: i64, stream_time: i64, rule: &SessionRule) {
        self.end(stream_time, rule);
        self.open.sort_by_key(|(_, last)| *last);
        let (mut first, mut last, mut alone) = (at, at, true);
        let mut others = Vec::new();
        for (start, end) in std::mem::take(&mut self.open) {
            let (from, to) = (first.min(start), last.max(end));
            if start - rule.gap_ms <= at && at <= end + rule.gap_ms && to - from <= rule.max_ms {
                (first, last, alone) = (from, to, false);
            } else {
                others.push((start, end));
            }
        }
        self.open = others;
        if !alone || at + rule.gap_ms + rule.grace_ms > stream_time {
            self.open.push((first, last));
            self.newest = self.newest.max(Some(last));
        }
    }
}
