//! All tasks of this agent: workers put theirs in and take them out, readers look.

use super::{Lease, Publication, SourceTopic, SourceTopics, TaskId, View};
use crate::aggregate::{AggregateId, Plan};
use crate::clock::{BootTime, Moment};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
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
    high_watermark: AtomicI64,
    last_stable_offset: AtomicI64,
    publish_from: AtomicI64,
    /// Why its restore cannot begin yet, or why it is not committed.
    held_up: Mutex<Option<HeldUp>>,
    /// Why its next record cannot be read yet.
    awaits_schema: Mutex<Option<HeldUp>>,
    /// No record stands from the first of these input offsets up to the second.
    nothing_between: Mutex<(i64, i64)>,
    topic_id: OnceLock<Arc<str>>,
    origin: OnceLock<Origin>,
    /// Of a replica: everything before this changelog offset is in the view.
    changelog_position: AtomicI64,
    /// Boot time, in milliseconds, of the last sign of life: of a replica's owner, or of the broker that has the input.
    heard: AtomicI64,
    /// The same of the first since which there was never silence.
    heard_since: AtomicI64,
    /// What its owner publishes for the group.
    pub publication: Arc<Publication>,
    /// When the last input was read, as far as this process has seen it.
    last_input: Mutex<Option<LastInput>>,
    /// Told of each commit.
    commits: OnceLock<Arc<Notify>>,
    /// Aggregates whose state is being deleted: the next commit writes tombstones and lists them no more.
    forgotten: Mutex<BTreeSet<AggregateId>>,
}

/// What one process knows of when a partition's last input was read.
#[derive(Clone, Copy, Debug)]
struct LastInput {
    /// As the offset record has it, by the wall clock of whoever wrote it.
    recorded: i64,
    /// When this process first saw it.
    seen: BootTime,
    /// Another one was seen before: so it is no older than that.
    is_new: bool,
}

impl Task {
    pub fn new(id: TaskId, source: Arc<str>, plan: Arc<Plan>, lease: Arc<Lease>) -> Self {
        Task {
            id,
            source,
            plan,
            lease,
            view: Arc::default(),
            phase: Mutex::new(Phase::Restoring { done: 0, of: 0 }),
            high_watermark: AtomicI64::new(-1),
            last_stable_offset: AtomicI64::new(-1),
            publish_from: AtomicI64::new(0),
            held_up: Mutex::default(),
            awaits_schema: Mutex::default(),
            nothing_between: Mutex::new((-1, -1)),
            topic_id: OnceLock::new(),
            origin: OnceLock::new(),
            changelog_position: AtomicI64::new(0),
            heard: AtomicI64::new(-1),
            heard_since: AtomicI64::new(-1),
            publication: Arc::default(),
            last_input: Mutex::default(),
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

    /// Notes a sign of life: of a replica's owner, or of the broker that has the input.
    pub fn hear(&self, at: BootTime) {
        if self.unheard(at).is_none_or(|silence| silence >= self.lease.length()) {
            self.heard_since.store(at.as_millis(), Ordering::Release);
        }
        self.heard.fetch_max(at.as_millis(), Ordering::Release);
    }

    /// Time since the last sign of life; `None`: there was none.
    pub fn unheard(&self, now: BootTime) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Acquire);
        (heard >= 0).then(|| now.since(BootTime::from_millis(heard)))
    }

    /// For how long there have been signs of life, never further apart than a lease is long.
    pub fn heard_for(&self, now: BootTime) -> Duration {
        let since = self.heard_since.load(Ordering::Acquire);
        if since < 0 { Duration::ZERO } else { now.since(BootTime::from_millis(since)) }
    }

    /// How long no input has been read; `None` before the first commit. A wall clock that was ahead when input was read, or
    /// is now, makes it no shorter than this process has seen, and no longer once it has seen input being read.
    pub fn without_input(&self, now: Moment) -> Option<Duration> {
        let recorded = self.view.read().record().last_input_at_ms;
        if recorded <= 0 {
            return None;
        }
        let mut last = self.last_input.lock();
        let last = match &mut *last {
            Some(known) if known.recorded == recorded => *known,
            other => *other.insert(LastInput { recorded, seen: now.boot, is_new: other.is_some() }),
        };
        let seen = now.boot.since(last.seen);
        let by_the_wall = Duration::from_millis(now.unix_millis.saturating_sub(recorded).max(0) as u64);
        Some(if last.is_new { seen } else { seen.max(by_the_wall) })
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
            high_watermark: atomic(&self.high_watermark),
            last_stable_offset: atomic(&self.last_stable_offset),
            publish_from: atomic(&self.publish_from),
            held_up: Mutex::default(),
            awaits_schema: Mutex::default(),
            nothing_between: Mutex::new(*self.nothing_between.lock()),
            topic_id: self.topic_id.clone(),
            origin: self.origin.clone(),
            changelog_position: atomic(&self.changelog_position),
            heard: atomic(&self.heard),
            heard_since: atomic(&self.heard_since),
            publication: self.publication.clone(),
            last_input: Mutex::new(*self.last_input.lock()),
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

    pub fn set_watermarks(&self, high: i64, last_stable: i64) {
        self.high_watermark.store(high, Ordering::Relaxed);
        self.last_stable_offset.store(last_stable, Ordering::Relaxed);
    }

    /// Learns of a later end without fetching.
    pub fn raise_watermarks(&self, end: i64) {
        self.high_watermark.fetch_max(end, Ordering::Relaxed);
        self.last_stable_offset.fetch_max(end, Ordering::Relaxed);
    }

    /// Notes that input offsets hold transaction markers and aborted records only: no reader will ever pass them.
    pub fn set_nothing_between(&self, from: i64, to: i64) {
        *self.nothing_between.lock() = (from, to);
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
    /// In the order in which they came. A partition may have several for a while: a worker that the group has put out does
    /// not know yet that another one of this process has its partitions.
    tasks: RwLock<BTreeMap<TaskId, Vec<Arc<Task>>>>,
    /// Copies of other agents' tasks.
    replicas: RwLock<BTreeMap<TaskId, Arc<Task>>>,
    topics: RwLock<Arc<SourceTopics>>,
    commits: Arc<Notify>,
}

impl Registry {
    /// Resolves after a commit of any task or replica, also after one that came since the last call. For one waiter.
    pub async fn commit(&self) {
        self.commits.notified().await;
    }

    pub fn insert(&self, task: Arc<Task>) {
        let _ = task.commits.set(self.commits.clone());
        self.tasks.write().entry(task.id.clone()).or_default().push(task);
    }

    /// Puts a task in the place of the one that it goes on from.
    pub fn replace(&self, before: &Arc<Task>, task: Arc<Task>) {
        let _ = task.commits.set(self.commits.clone());
        let mut tasks = self.tasks.write();
        let its = tasks.get_mut(&before.id).and_then(|all| all.iter_mut().find(|known| Arc::ptr_eq(known, before)));
        if let Some(place) = its {
            *place = task;
        }
    }

    /// Takes out this very task, and no other of the same partition. True if nobody here has the partition any more.
    pub fn remove(&self, task: &Arc<Task>) -> bool {
        let mut tasks = self.tasks.write();
        let Some(all) = tasks.get_mut(&task.id) else { return true };
        all.retain(|known| !Arc::ptr_eq(known, task));
        let gone = all.is_empty();
        if gone {
            tasks.remove(&task.id);
        }
        gone
    }

    /// One task a partition, ordered by topic and partition.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tasks.read().values().filter_map(|all| in_force(all)).cloned().collect()
    }

    pub fn task(&self, id: &TaskId) -> Option<Arc<Task>> {
        self.tasks.read().get(id).and_then(|all| in_force(all)).cloned()
    }

    pub fn insert_replica(&self, replica: Arc<Task>) {
        let _ = replica.commits.set(self.commits.clone());
        self.replicas.write().insert(replica.id.clone(), replica);
    }

    pub fn remove_replica(&self, id: &TaskId) {
        self.replicas.write().remove(id);
    }

    /// Copies of other agents' tasks that may be read, ordered by topic and partition.
    pub fn replicas(&self) -> Vec<Arc<Task>> {
        self.replicas.read().values().cloned().collect()
    }

    pub fn replica(&self, id: &TaskId) -> Option<Arc<Task>> {
        self.replicas.read().get(id).cloned()
    }

    /// Notes that the cluster has a source topic with so many partitions.
    pub fn set_partitions(&self, topic: Arc<str>, count: i32) {
        let mut topics = self.topics.write();
        Arc::make_mut(&mut topics).by_name.entry(topic).or_default().partitions = count;
    }

    /// Notes all source topics that the cluster has: others are gone.
    pub fn set_topics(&self, topics: BTreeMap<Arc<str>, SourceTopic>) {
        *self.topics.write() = Arc::new(SourceTopics { by_name: topics, is_whole: true });
    }

    /// The source topics as the cluster was last seen.
    pub fn topics(&self) -> Arc<SourceTopics> {
        self.topics.read().clone()
    }

    /// Source topics and how many partitions each has.
    pub fn partitions(&self) -> BTreeMap<Arc<str>, i32> {
        self.topics().by_name.iter().map(|(name, topic)| (name.clone(), topic.partitions)).collect()
    }
}

/// Of several tasks of one partition the newest that runs, else the newest.
fn in_force(tasks: &[Arc<Task>]) -> Option<&Arc<Task>> {
    tasks.iter().rev().find(|task| task.phase() == Phase::Running).or(tasks.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::samples::{aggregate, plan};
    use crate::clock::Clock;
    use std::time::Duration;

    fn task(phase: Phase) -> Arc<Task> {
        let lease = Arc::new(Lease::new(Clock::manual(0), Duration::from_secs(1)));
        let id = TaskId { topic: "events".into(), partition: 0 };
        let task = Task::new(id, "events".into(), plan(aggregate()), lease);
        task.set_phase(phase);
        Arc::new(task)
    }

    const RESTORING: Phase = Phase::Restoring { done: 0, of: 0 };

    fn shows(registry: &Registry, task: &Arc<Task>) -> bool {
        registry.task(&task.id).is_some_and(|shown| Arc::ptr_eq(&shown, task)) && registry.tasks().len() == 1
    }

    #[test]
    fn a_worker_that_lost_a_partition_takes_out_its_own_task_and_no_other() {
        let registry = Registry::default();
        let (old, new) = (task(Phase::Running), task(RESTORING));
        registry.insert(old.clone());
        registry.insert(new.clone());
        assert!(shows(&registry, &old), "what was committed can be read until the new owner has it");
        new.set_phase(Phase::Running);
        assert!(shows(&registry, &new));
        // The loser gives its own away, twice, and what it says last of a task under another plan is for nobody.
        assert!(!registry.remove(&old));
        assert!(!registry.remove(&old));
        registry.replace(&old, task(Phase::Running));
        assert!(shows(&registry, &new));
        assert!(registry.remove(&new));
        assert!(registry.tasks().is_empty());
    }

    #[test]
    fn an_owner_stays_when_a_worker_hears_late_of_what_it_was_given_and_lost_again() {
        let registry = Registry::default();
        let (owner, late) = (task(Phase::Running), task(RESTORING));
        registry.insert(owner.clone());
        registry.insert(late.clone());
        assert!(!registry.remove(&late));
        assert!(shows(&registry, &owner));
    }
}
