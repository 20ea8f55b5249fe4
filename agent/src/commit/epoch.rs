//! What a worker freezes and hands to its committer.

use super::MemberId;
use crate::aggregate::Frozen;
use crate::sources::dead_letter_topic;
use crate::state::Task;
use std::sync::Arc;

/// An event that could not be decoded or folded, on its way to the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it goes, unless that is the usual topic of its source topic.
    pub topic: Option<Arc<str>>,
    pub key: Option<Vec<u8>>,
    /// What of the payload is kept.
    pub payload: Option<Vec<u8>>,
    /// Size of the whole payload.
    pub bytes: usize,
    pub offset: i64,
    /// Which of the record's events it is, from 0; `None`: all of the record.
    pub event: Option<usize>,
    /// The record's Kafka timestamp, Unix milliseconds.
    pub timestamp: Option<i64>,
    /// A word for metrics and a header: `not_json`, `missing_timestamp`, …
    pub reason: &'static str,
    /// The same for people.
    pub detail: String,
}

impl DeadLetter {
    /// Name of the topic that takes a letter about a record of `source`.
    pub fn goes_to(&self, source: &str) -> String {
        self.topic.as_deref().map_or_else(|| dead_letter_topic(source), str::to_owned)
    }

    /// Bytes it holds, roughly.
    pub fn size(&self) -> usize {
        let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        64 + bytes(&self.key) + bytes(&self.payload) + self.detail.len()
    }
}

/// One task's part of an epoch.
#[derive(Debug)]
pub struct TaskEpoch {
    pub task: Arc<Task>,
    pub frozen: Frozen,
    pub dead_letters: Vec<DeadLetter>,
    /// The next input offset: everything before it is in the state.
    pub next_offset: i64,
    /// Leader epoch of the last record before it, where known.
    pub leader_epoch: Option<i32>,
    /// Number of owners this task has had, this one included.
    pub owner_epoch: u64,
}

/// What is committed in one transaction.
#[derive(Debug)]
pub struct Epoch {
    pub number: u64,
    /// The assignment number it was frozen under.
    pub assignment: u64,
    /// Whom the group had given these tasks to.
    pub given_to: MemberId,
    pub tasks: Vec<TaskEpoch>,
    /// What its records came to, keys and values; known once it has been sealed.
    pub bytes: usize,
}

impl Epoch {
    /// Entries to be written, tombstones among them.
    pub fn entries(&self) -> usize {
        self.tasks.iter().map(|task| task.frozen.entries.len() + task.frozen.expired.len()).sum()
    }
}

/// Why an epoch was aborted, as a metric's label and as what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// A rebalance was going on: normal, try again.
    Rebalancing,
    /// The broker doubts our membership: no commit until the group says something new.
    Membership,
    /// The assignment changed after it was frozen: what the worker still has is committed with the next epoch.
    Reassigned,
    /// The group has put this member out, or others have committed for it: everything held counts as lost.
    Fenced,
    /// It could not be written within the transaction's timeout: less is committed at a time from now on.
    TimedOut,
    /// Kafka could not take it: brokers down, topic missing.
    Kafka,
}

impl AbortReason {
    pub const ALL: [AbortReason; 6] = [
        AbortReason::Rebalancing,
        AbortReason::Membership,
        AbortReason::Reassigned,
        AbortReason::Fenced,
        AbortReason::TimedOut,
        AbortReason::Kafka,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            AbortReason::Rebalancing => "rebalancing",
            AbortReason::Membership => "membership",
            AbortReason::Reassigned => "reassigned",
            AbortReason::Fenced => "fenced",
            AbortReason::TimedOut => "timed_out",
            AbortReason::Kafka => "kafka",
        }
    }
}
