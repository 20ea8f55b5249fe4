//! All tasks of this agent: workers put theirs in and take them out, readers look.

use super::{Lease, View};
use crate::aggregate::{AggregateId, Plan};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

/// One input partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading its changelog: offsets read so far, of how many.
    Restoring { done: u64, of: u64 },
    /// Folding and committing.
    Running,
}

/// A task as readers see it.
#[derive(Debug)]
pub struct Task {
    pub id: TaskId,
    /// The config's source it belongs to.
    pub source: Arc<str>,
    pub plan: Arc<Plan>,
    pub view: RwLock<View>,
    pub lease: Arc<Lease>,
    phase: Mutex<Phase>,
    high_watermark: AtomicI64,
    last_stable_offset: AtomicI64,
    publish_from: AtomicI64,
    /// No record stands from the first of these input offsets up to the second.
    nothing_between: Mutex<(i64, i64)>,
    topic_id: OnceLock<Arc<str>>,
    pushed_through: Mutex<Vec<(AggregateId, i64)>>,
}

impl Task {
    pub fn new(id: TaskId, source: Arc<str>, plan: Arc<Plan>, lease: Arc<Lease>) -> Self {
        Task {
            id,
            source,
            plan,
            lease,
            view: RwLock::default(),
            phase: Mutex::new(Phase::Restoring { done: 0, of: 0 }),
            high_watermark: AtomicI64::new(-1),
            last_stable_offset: AtomicI64::new(-1),
            publish_from: AtomicI64::new(0),
            nothing_between: Mutex::new((-1, -1)),
            topic_id: OnceLock::new(),
            pushed_through: Mutex::default(),
        }
    }

    /// Sets the source topic's id, once; it is known when the restore begins.
    pub fn set_topic_id(&self, id: Arc<str>) {
        let _ = self.topic_id.set(id);
    }

    /// The source topic's id; empty while unknown, and where the cluster gives none.
    pub fn topic_id(&self) -> &str {
        self.topic_id.get().map_or("", |id| id)
    }

    pub fn phase(&self) -> Phase {
        *self.phase.lock()
    }

    pub fn set_phase(&self, phase: Phase) {
        *self.phase.lock() = phase;
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

    pub fn set_watermarks(&self, high: i64, last_stable: i64) {
        self.high_watermark.store(high, Ordering::Relaxed);
        self.last_stable_offset.store(last_stable, Ordering::Relaxed);
    }

    /// Notes that input offsets hold transaction markers and aborted records only: no reader will ever pass them.
    pub fn set_nothing_between(&self, from: i64, to: i64) {
        *self.nothing_between.lock() = (from, to);
    }

    /// Every closed window of the aggregate up to this end (Unix milliseconds) was pushed: for the next commit to keep.
    pub fn set_pushed_through(&self, aggregate: AggregateId, end: i64) {
        let mut pushed = self.pushed_through.lock();
        match pushed.iter_mut().find(|(known, _)| *known == aggregate) {
            Some((_, through)) => *through = end.max(*through),
            None => pushed.push((aggregate, end)),
        }
    }

    /// What [`Task::set_pushed_through`] was told last.
    pub fn pushed_through(&self, aggregate: AggregateId) -> Option<i64> {
        self.pushed_through.lock().iter().find(|(known, _)| *known == aggregate).map(|(_, end)| *end)
    }

    /// Committed input offset against the partition's end, in messages; `None` while unknown.
    pub fn lag(&self) -> Option<u64> {
        self.behind(self.high_watermark.load(Ordering::Relaxed))
    }

    /// The same against the last stable offset: what an open transaction on the source holds back is not in it.
    pub fn stable_lag(&self) -> Option<u64> {
        self.behind(self.last_stable_offset.load(Ordering::Relaxed))
    }

    fn behind(&self, end: i64) -> Option<u64> {
        let next = self.view.read().record().next_offset;
        let (from, to) = *self.nothing_between.lock();
        let next = if next == from { next.max(to) } else { next };
        (end >= 0 && self.phase() == Phase::Running).then(|| (end - next).max(0) as u64)
    }
}

/// The tasks of this agent.
#[derive(Debug, Default)]
pub struct Registry {
    tasks: RwLock<BTreeMap<TaskId, Arc<Task>>>,
    /// Partitions by source topic, as last seen in the cluster's metadata.
    partitions: RwLock<BTreeMap<Arc<str>, i32>>,
}

impl Registry {
    pub fn insert(&self, task: Arc<Task>) {
        self.tasks.write().insert(task.id.clone(), task);
    }

    pub fn remove(&self, id: &TaskId) {
        self.tasks.write().remove(id);
    }

    /// All tasks, ordered by topic and partition.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tasks.read().values().cloned().collect()
    }

    pub fn task(&self, id: &TaskId) -> Option<Arc<Task>> {
        self.tasks.read().get(id).cloned()
    }

    pub fn set_partitions(&self, topic: Arc<str>, count: i32) {
        self.partitions.write().insert(topic, count);
    }

    /// Source topics and how many partitions each has.
    pub fn partitions(&self) -> BTreeMap<Arc<str>, i32> {
        self.partitions.read().clone()
    }
}
