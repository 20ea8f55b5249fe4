//! What a worker remembers of its backpressure: which partitions are not read until memory is free again, and what was
//! looked at when.

use crate::clock::BootTime;
use crate::kafka::TopicPartition;
use std::collections::BTreeSet;
use std::time::Duration;

/// Resident memory is read this often at most.
const LOOK: Duration = Duration::from_millis(10);
/// While paused, freed memory is given back this often.
const TRIM: Duration = Duration::from_millis(250);
/// The ends of paused partitions are asked for this often: without fetching nobody tells how far behind they are.
const ENDS: Duration = Duration::from_secs(1);
/// So long after a pause, with everything committed, it is the state itself that fills the budget.
const STUCK: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Pauses {
    paused: BTreeSet<TopicPartition>,
    since: Option<BootTime>,
    warned: bool,
    looked: Option<BootTime>,
    trimmed: Option<BootTime>,
    asked: Option<BootTime>,
}

impl Pauses {
    pub fn is_paused(&self) -> bool {
        !self.paused.is_empty()
    }

    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.paused.iter().cloned().collect()
    }

    /// Those of these that are not paused yet.
    pub fn fresh(&self, read: impl Iterator<Item = TopicPartition>) -> Vec<TopicPartition> {
        read.filter(|partition| !self.paused.contains(partition)).collect()
    }

    pub fn add(&mut self, partitions: Vec<TopicPartition>, now: BootTime) {
        self.paused.extend(partitions);
        self.since.get_or_insert(now);
    }

    /// Ends all pauses; gives what was paused.
    pub fn end(&mut self) -> Vec<TopicPartition> {
        (self.since, self.warned) = (None, false);
        std::mem::take(&mut self.paused).into_iter().collect()
    }

    /// Ends the pauses of these; says how many there were.
    pub fn forget(&mut self, partitions: &[TopicPartition]) -> usize {
        partitions.iter().filter(|partition| self.paused.remove(*partition)).count()
    }

    pub fn is_to_look(&mut self, now: BootTime) -> bool {
        is_due(&mut self.looked, now, LOOK)
    }

    pub fn is_to_trim(&mut self, now: BootTime) -> bool {
        is_due(&mut self.trimmed, now, TRIM)
    }

    pub fn is_to_ask(&mut self, now: BootTime) -> bool {
        is_due(&mut self.asked, now, ENDS)
    }

    /// True once, when pausing has lasted so long that it will not help.
    pub fn is_stuck(&mut self, now: BootTime) -> bool {
        let long = self.since.is_some_and(|since| now.since(since) >= STUCK);
        long && !std::mem::replace(&mut self.warned, true)
    }
}

fn is_due(last: &mut Option<BootTime>, now: BootTime, every: Duration) -> bool {
    let due = last.is_none_or(|last| now.since(last) >= every);
    if due {
        *last = Some(now);
    }
    due
}
