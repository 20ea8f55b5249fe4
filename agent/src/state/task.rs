//! One partition's task as readers see it. Its parts have one writer each: the view is the committer's (of a restore or a replica,
//! `replica/`'s), the input's ends are the worker's, what is published is the publisher's.

use super::input_ends::InputEnds;
use super::last_input::LastInput;
use super::signs_of_life::SignsOfLife;
use super::{Lease, Publication, TaskId, View};
use crate::aggregate::{AggregateId, Plan};
use crate::clock::Moment;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use streamgauge_proto::storage::v1::Origin;
use tokio::sync::Notify;

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading its changelog: offsets read so far, of how many.
    Restoring { done: u64, of: u64 },
    /// Folding and committing.
    Running,
    /// Following the changelog of another agent's task. What is still to be read of it, in changelog offsets, if known.
    Replica { behind: Option<u64> },
}

/// What keeps a restore from beginning, or a running task from being committed or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUp {
    /// For so long, as of the last look.
    pub waited: Duration,
    pub why: String,
}

/// A task as readers see it.
#[derive(Debug)]
pub struct Task {
    pub id: TaskId,
    /// The config's source it belongs to.
    pub source: Arc<str>,
    pub plan: Arc<Plan>,
    /// Shared with the task's successor under another plan.
    pub view: Arc<RwLock<View>>,
    pub lease: Arc<Lease>,
    phase: Mutex<Phase>,
    /// How far its input goes; its worker says so.
    pub input: Arc<InputEnds>,
    publish_from: AtomicI64,
    /// Why its restore cannot begin yet, or why it is not committed.
    held_up: Mutex<Option<HeldUp>>,
    /// Why its next record cannot be read yet.
    awaits_schema: Mutex<Option<HeldUp>>,
    topic_id: OnceLock<Arc<str>>,
    origin: OnceLock<Origin>,
    /// Of a replica: everything before this changelog offset is in the view.
    changelog_position: AtomicI64,
    /// Of a replica's owner, or of the broker that has the input.
    pub life: Arc<SignsOfLife>,
    /// What its owner publishes for the group.
    pub publication: Arc<Publication>,
    last_input: Arc<LastInput>,
    /// Told of each commit.
    commits: OnceLock<Arc<Notify>>,
    /// Aggregates whose state is being deleted: the next commit writes tombstones and lists them no more.
    forgotten: Mutex<BTreeSet<AggregateId>>,
}

impl Task {
    pub fn new(id: TaskId, source: Arc<str>, plan: Arc<Plan>, lease: Arc<Lease>) -> Self {
        Task {
            life: Arc::new(SignsOfLife::no_further_apart_than(lease.length())),
            id,
            source,
            plan,
            lease,
            view: Arc::default(),
            phase: Mutex::new(Phase::Restoring { done: 0, of: 0 }),
            input: Arc::default(),
            publish_from: AtomicI64::new(0),
            held_up: Mutex::default(),
            awaits_schema: Mutex::default(),
            topic_id: OnceLock::new(),
            origin: OnceLock::new(),
            changelog_position: AtomicI64::new(0),
            publication: Arc::default(),
            last_input: Arc::default(),
            commits: OnceLock::new(),
            forgotten: Mutex::default(),
        }
    }

    /// Whether this follows another agent's task.
    pub fn is_replica(&self) -> bool {
        matches!(self.phase(), Phase::Replica { .. })
    }

    /// Everything before this changelog offset is in the view; of replicas only.
    pub fn changelog_position(&self) -> i64 {
        self.changelog_position.load(Ordering::Acquire)
    }

    pub fn set_changelog_position(&self, position: i64) {
        self.changelog_position.fetch_max(position, Ordering::Release);
    }

    /// How long no input has been read; `None` before the first commit.
    pub fn without_input(&self, now: Moment) -> Option<Duration> {
        let recorded = self.view.read().record().last_input_at_ms;
        self.last_input.without_input(recorded, now)
    }

    /// Has `told` notified of each commit from now on.
    pub(super) fn tell_of_commits(&self, told: &Arc<Notify>) {
        let _ = self.commits.set(told.clone());
    }

    /// A commit has been put into the view.
    pub fn committed(&self) {
        if let Some(commits) = self.commits.get() {
            commits.notify_one();
        }
    }

    /// The same task under another plan of its source, with the same committed view.
    pub fn with_plan(&self, source: Arc<str>, plan: Arc<Plan>) -> Task {
        let forgotten = self.forgotten.lock().iter().copied().filter(|&id| plan.aggregate(id).is_none()).collect();
        let atomic = |value: &AtomicI64| AtomicI64::new(value.load(Ordering::Acquire));
        Task {
            id: self.id.clone(),
            source,
            plan,
            lease: self.lease.clone(),
            view: self.view.clone(),
            phase: Mutex::new(self.phase()),
            input: self.input.clone(),
            publish_from: atomic(&self.publish_from),
            held_up: Mutex::default(),
            awaits_schema: Mutex::default(),
            topic_id: self.topic_id.clone(),
            origin: self.origin.clone(),
            changelog_position: atomic(&self.changelog_position),
            life: self.life.clone(),
            publication: self.publication.clone(),
            last_input: self.last_input.clone(),
            commits: self.commits.clone(),
            forgotten: Mutex::new(forgotten),
        }
    }

    /// Notes that an aggregate's state is being deleted.
    pub fn forget(&self, id: AggregateId) {
        self.forgotten.lock().insert(id);
    }

    pub fn is_forgotten(&self, id: AggregateId) -> bool {
        self.forgotten.lock().contains(&id)
    }

    /// Sets the source topic's id, once; it is known when the restore begins.
    pub fn set_topic_id(&self, id: Arc<str>) {
        let _ = self.topic_id.set(id);
    }

    /// The source topic's id; empty while unknown, and where the cluster gives none.
    pub fn topic_id(&self) -> &str {
        self.topic_id.get().map_or("", |id| id)
    }

    /// Sets what the task's changelog is of, once; it is known when the restore ends.
    pub fn set_origin(&self, origin: Origin) {
        let _ = self.origin.set(origin);
    }

    pub fn origin(&self) -> Option<&Origin> {
        self.origin.get()
    }

    pub fn phase(&self) -> Phase {
        *self.phase.lock()
    }

    pub fn set_phase(&self, phase: Phase) {
        *self.phase.lock() = phase;
    }

    /// What a restore waits for; `None` once it can go on.
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

    /// Whether this task's group-wide series may be shown now: it runs, its worker's lease holds, and its input has
    /// passed what the group had committed before the task was restored.
    pub fn is_published(&self) -> bool {
        self.phase() == Phase::Running
            && self.lease.holds()
            && self.view.read().record().next_offset >= self.publish_from.load(Ordering::Acquire)
    }

    /// Holds publication back until the input passes `offset`: the group had committed it, so series have shown it.
    pub fn set_publish_from(&self, offset: i64) {
        self.publish_from.store(offset, Ordering::Release);
    }

    /// Committed input offset against the partition's end, in messages; `None` while unknown.
    pub fn lag(&self) -> Option<u64> {
        self.if_running(|next| self.input.behind(next))
    }

    /// The same against the last stable offset: what an open transaction on the source holds back is not in it.
    pub fn stable_lag(&self) -> Option<u64> {
        self.if_running(|next| self.input.stably_behind(next))
    }

    fn if_running(&self, behind: impl FnOnce(i64) -> Option<u64>) -> Option<u64> {
        let next = self.view.read().record().next_offset;
        (self.phase() == Phase::Running).then(|| behind(next))?
    }
}
