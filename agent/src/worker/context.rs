//! What all workers of an agent share.

use crate::clock::Clock;
use crate::config::{Config, Guarantee};
use crate::kafka::{Settings, names_missing_acl};
use crate::replica::Replicas;
use crate::schemas::SchemaKeeper;
use crate::sources::{Plans, Sources};
use crate::state::{Checkpointer, Registry, StateDir};
use crate::stop::Stop;
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// What a worker tells about itself.
#[derive(Debug, Default)]
pub struct WorkerStatus {
    assigned: AtomicBool,
    aborts: AtomicU32,
    /// Why the last commit was aborted.
    aborted: Mutex<String>,
    /// Number of the plans that this worker folds by.
    plans: AtomicU64,
    /// What keeps this worker from having partitions.
    trouble: Mutex<Option<String>>,
}

/// This many aborts in a row turn the agent unready.
const UNREADY_ABORTS: u32 = 5;

impl WorkerStatus {
    pub(super) fn assignment_known(&self) {
        self.assigned.store(true, Ordering::Release);
    }

    pub(super) fn set_plans(&self, number: u64) {
        self.plans.store(number, Ordering::Release);
    }

    /// Number of the plans that this worker folds by.
    pub fn plans(&self) -> u64 {
        self.plans.load(Ordering::Acquire)
    }

    pub(super) fn is_assigned(&self) -> bool {
        self.assigned.load(Ordering::Acquire)
    }

    pub(super) fn aborted(&self, in_a_row: u32, why: &str) {
        *self.aborted.lock() = why.to_owned();
        self.aborts.store(in_a_row, Ordering::Release);
    }

    pub(super) fn committed(&self) {
        self.aborts.store(0, Ordering::Release);
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }

    /// Why this worker is not ready; `None` if it is.
    pub fn unready(&self) -> Option<String> {
        if let Some(trouble) = self.trouble.lock().clone() {
            return Some(trouble);
        }
        if !self.assigned.load(Ordering::Acquire) {
            Some("waiting for the group's first assignment".into())
        } else {
            let (aborts, why) = (self.aborts.load(Ordering::Acquire), self.aborted.lock());
            let is_lasting = aborts >= UNREADY_ABORTS || aborts > 0 && names_missing_acl(&why);
            is_lasting.then(|| format!("commits fail again and again: {why}"))
        }
    }
}

/// An agent's shared parts.
pub struct Agent {
    /// As of the start; of what a reload changes, [`Agent::sources`] are in force.
    pub config: Config,
    pub sources: Arc<Sources>,
    pub settings: Settings,
    pub state_dir: Arc<StateDir>,
    pub registry: Arc<Registry>,
    pub checkpointer: Arc<Checkpointer>,
    /// Copies of other agents' tasks, which restores continue.
    pub replicas: Arc<Replicas>,
    /// Who knows the schemas of records that begin with the id of theirs.
    pub schemas: Option<Arc<SchemaKeeper>>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// Where the admin client's calls are waited for.
    pub runtime: tokio::runtime::Handle,
    pub stop: Stop,
    /// A topic seems to be gone: look at the cluster before the next look is due.
    pub look_soon: AtomicBool,
    /// Partitions are nobody's: a worker is to leave the group and join it again.
    pub rejoin: AtomicBool,
    /// Take the changelog and dead-letter topics as they are: a mock cluster has no admin API to look at them with.
    pub topics_given: bool,
}

impl Agent {
    /// Position of the source that `topic` belongs to.
    pub fn source_of(&self, topic: &str) -> Option<usize> {
        self.plans().source_of(topic)
    }

    pub fn plans(&self) -> Arc<Plans> {
        self.sources.now()
    }

    pub fn guarantee(&self) -> Guarantee {
        self.config.state.guarantee
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_requested()
    }
}
