//! The replicas that an agent keeps: of every partition (global view), or of those that fall to it as a standby.
//!
//! One thread tails the changelogs. A replica that has caught up can be read; one whose task comes to this agent is given
//! to the restore, which then has only the changelog's last records to read.

use super::error::RestoreError;
use super::file::{Files, Followed, Kept, Opened, Patience};
use super::follower::ChangelogFollower;
use super::identity::{Limits, TopicIds};
use super::origin::check_origin;
use super::replay::{Replay, ReplayError};
use crate::aggregate::Plan;
use crate::clock::{BootTime, Clock};
use crate::kafka::{Admin, Reading, Settings};
use crate::publish::unmarked;
use crate::sources::{Sources, changelog_topic};
use crate::state::{Checkpointer, Directory, Lease, Pending, Phase, Registry, Task, TaskId};
use crate::stop::Stop;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at what to keep.
const RECONCILE: Duration = Duration::from_millis(200);
/// How often lags are looked at.
const LAGS: Duration = Duration::from_millis(500);
/// A replica that could not be read is tried again after this.
const RETRY: Duration = Duration::from_secs(30);
const IDLE_WAIT: Duration = Duration::from_millis(5);
/// Records taken from one topic before the next has its turn.
const TURN: usize = 2_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What replicas are made of.
pub struct ReplicaSettings {
    pub settings: Settings,
    pub files: Files,
    pub registry: Arc<Registry>,
    pub directory: Arc<Directory>,
    pub checkpointer: Arc<Checkpointer>,
    pub clock: Clock,
    pub standbys: usize,
    pub global_view: bool,
    pub sources: Arc<Sources>,
}

/// All replicas of this agent.
pub struct Replicas {
    settings: ReplicaSettings,
    held: Mutex<HashMap<TaskId, Held>>,
}

/// One replica.
struct Held {
    task: Arc<Task>,
    stage: Stage,
}

enum Stage {
    CatchingUp(Box<Opened>),
    Following(Replay),
}

impl Replicas {
    pub fn new(settings: ReplicaSettings) -> Replicas {
        Replicas { settings, held: Mutex::default() }
    }

    /// Whether the config asks for replicas at all.
    pub fn are_wanted(&self) -> bool {
        self.settings.standbys > 0 || self.settings.global_view
    }

    /// Gives a replica away: its task is taken over by this agent. Nothing of it can be read here any more.
    pub fn take(&self, id: &TaskId) -> Option<Kept> {
        let Held { task, stage } = self.held.lock().remove(id)?;
        self.settings.registry.remove_replica(id);
        match stage {
            Stage::CatchingUp(opened) => Some(Kept::CatchingUp(opened)),
            Stage::Following(replay) => {
                let (store, pending) = self.settings.checkpointer.take(&task)?;
                let view = std::mem::take(&mut *task.view.write());
                Some(Kept::Following(Box::new(Followed { view, replay, store, pending })))
            }
        }
    }

    /// Keeps the replicas until it is told to stop, then closes their files.
    pub fn run(&self, stop: &Stop) {
        let mut work = Work { replicas: self, topics: HashMap::new(), admin: None, failed: HashMap::new() };
        let clock = &self.settings.clock;
        let (mut reconciled, mut looked): (Option<BootTime>, Option<BootTime>) = (None, None);
        let due = |last: Option<BootTime>, every| last.is_none_or(|last| clock.boot_time().since(last) >= every);
        while !stop.is_requested() {
            if due(reconciled, RECONCILE) {
                reconciled = Some(clock.boot_time());
                work.reconcile();
                work.mark_publishers();
            }
            let lags = due(looked, LAGS);
            if lags {
                looked = Some(clock.boot_time());
            }
            if !work.tail(lags) {
                stop.sleep(IDLE_WAIT);
            }
        }
        let ids: Vec<TaskId> = self.held.lock().keys().cloned().collect();
        ids.iter().for_each(|id| self.drop_replica(id));
    }

    fn drop_replica(&self, id: &TaskId) {
        self.settings.registry.remove_replica(id);
        let held = self.held.lock().remove(id);
        if let Some(Held { task, .. }) = held {
            self.settings.checkpointer.remove(&task);
        }
    }

    /// The partitions whose replicas belong here now.
    fn wanted(&self) -> BTreeSet<TaskId> {
        let Replicas { settings, .. } = self;
        let group = settings.directory.group();
        let partitions = settings.registry.partitions();
        let all = partitions.iter().flat_map(|(topic, &count)| TaskId::all_of(topic, count));
        all.filter(|id| settings.registry.task(id).is_none() && settings.sources.of_topic(&id.topic).is_some())
            .filter(|id| {
                let own = settings.directory.own();
                settings.global_view || own.is_some_and(|own| group.standbys(id, settings.standbys).contains(own))
            })
            .collect()
    }
}

/// What only the thread has.
struct Work<'a> {
    replicas: &'a Replicas,
    topics: HashMap<Arc<str>, ChangelogFollower>,
    admin: Option<Admin>,
    failed: HashMap<TaskId, BootTime>,
}

impl Work<'_> {
    /// Begins what is wanted and not there, ends what is there and not wanted.
    fn reconcile(&mut self) {
        if !self.replicas.are_wanted() {
            return;
        }
        let wanted = self.replicas.wanted();
        self.replicas.drop_outdated();
        let held: Vec<TaskId> = self.replicas.held.lock().keys().cloned().collect();
        // What is being restored is taken by the restore.
        let restoring = |id: &TaskId| {
            let task = self.replicas.settings.registry.task(id);
            task.is_some_and(|task| matches!(task.phase(), Phase::Restoring { .. }))
        };
        for id in held.iter().filter(|id| !wanted.contains(*id) && !restoring(id)) {
            tracing::info!(replica = %id, "no longer kept here");
            self.replicas.drop_replica(id);
        }
        for follower in self.topics.values_mut() {
            let held = self.replicas.held.lock();
            follower.keep(|id| held.contains_key(id));
        }
        let now = self.replicas.settings.clock.boot_time();
        self.failed.retain(|_, since| now.since(*since) < RETRY);
        for id in wanted.into_iter().filter(|id| !held.contains(id)) {
            if self.failed.contains_key(&id) {
                continue;
            }
            match self.begin(&id) {
                Ok(()) | Err(RestoreError::Cancelled) => {}
                Err(error) => self.fail(&id, &error.to_string()),
            }
        }
    }

    fn fail(&mut self, id: &TaskId, error: &str) {
        tracing::warn!(replica = %id, "not kept, trying again in {} s: {error}", RETRY.as_secs());
        self.failed.insert(id.clone(), self.replicas.settings.clock.boot_time());
        self.replicas.drop_replica(id);
    }

    fn begin(&mut self, id: &TaskId) -> Result<(), RestoreError> {
        let settings = &self.replicas.settings;
        let Some(source) = settings.sources.of_topic(&id.topic) else { return Ok(()) };
        // It may have become this agent's own since it was wanted.
        if settings.registry.task(id).is_some() {
            return Ok(());
        }
        if !self.topics.contains_key(&id.topic) {
            let changelog: Arc<str> = changelog_topic(settings.settings.group(), &id.topic).into();
            let ids = ids(&mut self.admin, &settings.settings, &id.topic, &changelog);
            let follower = ChangelogFollower::new(&settings.settings, id.topic.clone(), changelog, ids)?;
            self.topics.insert(id.topic.clone(), follower);
        }
        let Some(follower) = self.topics.get_mut(&id.topic) else { return Ok(()) };
        // Its owner makes the changelog, and begins it; before that there is nothing to follow.
        let Some(mark) = follower.end_of(id.partition)?.filter(|&end| end > 0) else { return Ok(()) };
        let identity = settings.files.identity(id, &follower.ids, &follower.cluster_id);
        let opened = settings.files.open(id, &source.plan, identity, Limits::changelog(mark), Patience::None)?;
        // It is never held here; but as long as its owner's is how long its owner may be silent.
        let lease = Arc::new(Lease::new(settings.clock.clone(), settings.settings.lease()));
        let task = Arc::new(Task::new(id.clone(), source.name.clone(), source.plan.clone(), lease));
        let behind = Some((mark - opened.from).max(0) as u64);
        task.set_phase(Phase::Replica { behind });
        follower.follow(id, opened.from)?;
        tracing::debug!(replica = %id, from = opened.from, to = mark, "catching up");
        self.replicas.held.lock().insert(id.clone(), Held { task, stage: Stage::CatchingUp(Box::new(opened)) });
        // It may have become this agent's own in the meantime; then its restore waits for the file.
        if settings.registry.task(id).is_some() {
            self.replicas.drop_replica(id);
        }
        Ok(())
    }

    /// Reads what has come. False if nothing has.
    fn tail(&mut self, lags: bool) -> bool {
        let mut any = false;
        let mut failed = Vec::new();
        for follower in self.topics.values_mut() {
            let mut silent = 0;
            for _ in 0..TURN {
                let id = |partition| TaskId { topic: follower.topic.clone(), partition };
                let result = match follower.read() {
                    Reading::Record(record) => {
                        any = true;
                        let id = id(record.partition());
                        self.replicas.settings.files.metrics.replica_record();
                        let key = record.key().unwrap_or_default();
                        let applied = self.replicas.apply(&id, record.offset(), key, record.payload());
                        applied.map_err(|error| (id, error.to_string()))
                    }
                    Reading::End { partition } => {
                        let id = id(partition.partition);
                        self.replicas.at_end(&id).map_err(|error| (id, error))
                    }
                    // Something other than a record may have been served in its place.
                    Reading::Nothing if silent < 3 => {
                        silent += 1;
                        continue;
                    }
                    Reading::Nothing => {
                        self.replicas.drained(follower);
                        break;
                    }
                    Reading::Error(error) => {
                        tracing::debug!(topic = %follower.changelog, "replicas: {error}");
                        break;
                    }
                };
                failed.extend(result.err());
            }
            if lags {
                follower.look();
            }
        }
        failed.iter().for_each(|(id, error)| self.fail(id, error));
        any
    }

    /// Before a replica is in merged totals that this agent publishes, it has to be known how far its changelog was.
    fn mark_publishers(&mut self) {
        if !self.replicas.settings.global_view {
            return;
        }
        let ReplicaSettings { sources, registry, .. } = &self.replicas.settings;
        for inputs in &sources.now().inputs {
            if let Some((publisher, ids)) = unmarked(inputs, registry) {
                let topics: BTreeSet<&Arc<str>> = ids.iter().map(|id| &id.topic).collect();
                let ends = |topic: &Arc<str>| self.topics.get(topic)?.ends().ok();
                let ends = topics.into_iter().filter_map(ends).flatten();
                for (id, end) in ends.filter(|(id, _)| ids.contains(id)) {
                    publisher.publication.set_mark(id, end);
                }
            }
        }
    }
}

impl Replicas {
    /// After a reload, replicas of another plan do not have what the new one asks for.
    fn drop_outdated(&self) {
        let is_outdated = |held: &Held| {
            let now = self.settings.sources.of_topic(&held.task.id.topic);
            let ids = |plan: &Plan| plan.aggregates.iter().map(|aggregate| aggregate.id).collect::<Vec<_>>();
            now.is_none_or(|source| ids(&source.plan) != ids(&held.task.plan))
        };
        let held = self.held.lock();
        let outdated: Vec<TaskId> =
            held.iter().filter(|(_, held)| is_outdated(held)).map(|(id, _)| id.clone()).collect();
        drop(held);
        outdated.iter().for_each(|id| self.drop_replica(id));
    }

    fn apply(&self, id: &TaskId, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<(), ReplayError> {
        let mut held = self.held.lock();
        let Some(Held { task, stage }) = held.get_mut(id) else { return Ok(()) };
        match stage {
            Stage::CatchingUp(opened) => {
                if let Some(record) = opened.replay.take(offset, key, value)? {
                    check_origin(record.origin.as_ref(), self.settings.settings.group(), &id.topic)?;
                    opened.replay.commit(record, &mut opened.view.write());
                }
                Ok(())
            }
            Stage::Following(replay) => {
                if let Some(record) = replay.take(offset, key, value)? {
                    check_origin(record.origin.as_ref(), self.settings.settings.group(), &id.topic)?;
                    replay.commit(record.clone(), &mut task.view.write());
                    if let Some(error) = replay.unreadable() {
                        return Err(error.clone());
                    }
                    let next = replay.changelog_next();
                    self.settings.checkpointer.committed(id, replay.take_changes().0, &record, Some(next));
                    task.following.reach(next);
                    task.life.hear(self.settings.clock.boot_time());
                    task.committed();
                }
                Ok(())
            }
        }
    }

    /// Everything there is was read: what is held is as good as its owner's.
    fn at_end(&self, id: &TaskId) -> Result<(), String> {
        let mut held = self.held.lock();
        match held.get(id).map(|held| &held.stage) {
            None => return Ok(()),
            Some(Stage::Following(replay)) => {
                let is_sound =
                    !self.settings.files.guarantee.is_transactional() || replay.is_sound(&held[id].task.view.read());
                drop(held);
                return if is_sound {
                    Ok(())
                } else {
                    Err(self.rebuild(id, "a replica does not match its fingerprint"))
                };
            }
            // Without an offset record there is no state yet.
            Some(Stage::CatchingUp(opened)) if !opened.replay.has_state() => return Ok(()),
            Some(Stage::CatchingUp(_)) => {}
        }
        let Some(Held { task, stage: Stage::CatchingUp(opened) }) = held.remove(id) else { return Ok(()) };
        let Opened { mut replay, view, store, mut checkpoint, from_scratch, .. } = *opened;
        let finished = replay.finish(&mut view.write());
        if let Err(error) = finished {
            drop((held, store));
            let detail = error.to_string();
            return Err(if from_scratch { detail } else { self.rebuild(id, &detail) });
        }
        *task.view.write() = std::mem::take(&mut view.write());
        checkpoint.changelog_offset = replay.changelog_next();
        checkpoint.offset_record = Some(task.view.read().record().clone());
        let (changes, is_file_empty) = replay.take_changes();
        let pending = Pending { changes, checkpoint, is_file_empty };
        self.settings.checkpointer.add_replica(&task, store, pending);
        task.following.reach(replay.changelog_next());
        task.set_phase(Phase::Replica { behind: Some(0) });
        tracing::info!(replica = %id, "caught up; following");
        held.insert(id.clone(), Held { task: task.clone(), stage: Stage::Following(replay) });
        // Under the lock, so that whoever takes it away finds it to remove.
        self.settings.registry.insert_replica(task);
        Ok(())
    }

    /// Ends a replica and its file; it begins anew from the changelog. Returns why, for the log.
    fn rebuild(&self, id: &TaskId, detail: &str) -> String {
        self.drop_replica(id);
        let path = self.settings.files.state_dir.task_file(&id.topic, id.partition);
        match self.settings.files.discard(id, &path, "fingerprint", detail) {
            Ok(()) => detail.to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Nothing waits to be read: what had been fetched by the last look has been applied, markers included.
    fn drained(&self, follower: &ChangelogFollower) {
        let held = self.held.lock();
        for (partition, ends) in follower.seen() {
            let id = TaskId { topic: follower.topic.clone(), partition: *partition };
            let Some(Held { task, stage: Stage::Following(_) }) = held.get(&id) else { continue };
            task.following.reach(ends.fetched);
            let behind = (ends.high - task.following.position()).max(0) as u64;
            task.set_phase(Phase::Replica { behind: Some(behind) });
        }
    }
}

/// Without ids a replica works as well; it only cannot tell a topic from an earlier one of the same name.
fn ids(admin: &mut Option<Admin>, settings: &Settings, topic: &str, changelog: &str) -> TopicIds {
    if admin.is_none() {
        *admin = Admin::create(settings, CALL_TIMEOUT).ok();
    }
    let found = admin.as_ref().map(|admin| admin.topic_ids(&[topic, changelog]));
    let mut found = found.and_then(Result::ok).unwrap_or_default();
    let mut id = |name| found.remove(name).unwrap_or_default().into();
    TopicIds { source: id(topic), changelog: id(changelog) }
}
