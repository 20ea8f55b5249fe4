//! What only the owner of a partition has to say of it. Its worker writes it, and the restore that comes before.

use crate::aggregate::{AggregateId, Plan};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// What keeps a restore from beginning, or a running task from being committed or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUp {
    /// For so long, as of the last look.
    pub waited: Duration,
    pub why: String,
}

#[derive(Debug, Default)]
pub struct Ownership {
    publish_from: AtomicI64,
    /// Why its restore cannot begin yet, or why it is not committed.
    held_up: Mutex<Option<HeldUp>>,
    /// Why its next record cannot be read yet.
    awaits_schema: Mutex<Option<HeldUp>>,
    /// Aggregates whose state is being deleted: the next commit writes tombstones and lists them no more.
    forgotten: Mutex<BTreeSet<AggregateId>>,
}

impl Ownership {
    /// Of the same task under another plan, which is held up by nothing yet.
    pub(super) fn under(&self, plan: &Plan) -> Ownership {
        let forgotten = self.forgotten.lock().iter().copied().filter(|&id| plan.aggregate(id).is_none()).collect();
        Ownership {
            publish_from: AtomicI64::new(self.publish_from.load(Ordering::Acquire)),
            forgotten: Mutex::new(forgotten),
            ..Ownership::default()
        }
    }

    /// Holds publication back until the input passes `offset`: the group had committed it, so series have shown it.
    pub fn publish_from(&self, offset: i64) {
        self.publish_from.store(offset, Ordering::Release);
    }

    /// Whether input up to `next_offset` is past what series have shown.
    pub(super) fn may_publish_at(&self, next_offset: i64) -> bool {
        next_offset >= self.publish_from.load(Ordering::Acquire)
    }

    /// What a restore or a commit waits for; `None` once it can go on.
    pub fn set_held_up(&self, held_up: Option<HeldUp>) {
        *self.held_up.lock() = held_up;
    }

    pub fn held_up(&self) -> Option<HeldUp> {
        self.held_up.lock().clone()
    }

    /// The schema that its next record waits for; `None` if it waits for none.
    pub fn set_awaits_schema(&self, awaits: Option<HeldUp>) {
        *self.awaits_schema.lock() = awaits;
    }

    pub fn awaits_schema(&self) -> Option<HeldUp> {
        self.awaits_schema.lock().clone()
    }

    /// Notes that an aggregate's state is being deleted.
    pub fn forget(&self, id: AggregateId) {
        self.forgotten.lock().insert(id);
    }

    pub fn is_forgotten(&self, id: AggregateId) -> bool {
        self.forgotten.lock().contains(&id)
    }
}
