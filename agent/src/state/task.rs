//! One partition's task as readers see it. Its parts have one writer each: the view is the committer's (of a restore or a replica,
//! `replica/`'s), the input's ends and what an owner says are the worker's, how far a replica has followed is `replica/`'s,
//! what is published is the publisher's.

use super::commits::Commits;
use super::following::Following;
use super::input_ends::InputEnds;
use super::last_input::LastInput;
use super::ownership::Ownership;
use super::signs_of_life::SignsOfLife;
use super::{Lease, Publication, TaskId, View};
use crate::aggregate::Plan;
use crate::clock::Moment;
use parking_lot::{Mutex, RwLock};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use streamgauge_proto::storage::v1::Origin;

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
    /// What its owner has to say; nothing of a replica.
    pub ownership: Ownership,
    /// How far a replica has come; nothing of an owner.
    pub following: Arc<Following>,
    topic_id: OnceLock<Arc<str>>,
    origin: OnceLock<Origin>,
    /// Of a replica's owner, or of the broker that has the input.
    pub life: Arc<SignsOfLife>,
    /// What its owner publishes for the group.
    pub publication: Arc<Publication>,
    last_input: Arc<LastInput>,
    /// Told of each commit.
    commits: OnceLock<Arc<Commits>>,
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
            ownership: Ownership::default(),
            following: Arc::default(),
            topic_id: OnceLock::new(),
            origin: OnceLock::new(),
            publication: Arc::default(),
            last_input: Arc::default(),
            commits: OnceLock::new(),
        }
    }

    /// Whether this follows another agent's task.
    pub fn is_replica(&self) -> bool {
        matches!(self.phase(), Phase::Replica { .. })
    }

    /// How long no input has been read; `None` before the first commit.
    pub fn without_input(&self, now: Moment) -> Option<Duration> {
        let recorded = self.view.read().record().last_input_at_ms;
        self.last_input.without_input(recorded, now)
    }

    /// Has `told` told of each commit from now on.
    pub(super) fn tell_of_commits(&self, told: &Arc<Commits>) {
        let _ = self.commits.set(told.clone());
    }

    /// A commit has been put into the view.
    pub fn committed(&self) {
        if let Some(commits) = self.commits.get() {
            commits.tell();
        }
    }

    /// The same task under another plan of its source, with the same committed view.
    pub fn with_plan(&self, source: Arc<str>, plan: Arc<Plan>) -> Task {
        Task {
            ownership: self.ownership.under(&plan),
            id: self.id.clone(),
            source,
            plan,
            lease: self.lease.clone(),
            view: self.view.clone(),
            phase: Mutex::new(self.phase()),
            input: self.input.clone(),
            following: self.following.clone(),
            topic_id: self.topic_id.clone(),
            origin: self.origin.clone(),
            life: self.life.clone(),
            publication: self.publication.clone(),
            last_input: self.last_input.clone(),
            commits: self.commits.clone(),
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

    /// Whether this task's group-wide series may be shown now: it runs, its worker's lease holds, and its input has
    /// passed what the group had committed before the task was restored.
    pub fn is_published(&self) -> bool {
        self.phase() == Phase::Running
            && self.lease.holds()
            && self.ownership.may_publish_at(self.view.read().record().next_offset)
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
