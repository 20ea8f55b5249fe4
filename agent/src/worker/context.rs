//! What all workers of an agent share.

use crate::aggregate::Plan;
use crate::clock::Clock;
use crate::config::{Config, Guarantee, Source};
use crate::kafka::Settings;
use crate::replica::Replicas;
use crate::state::{Checkpointer, Registry, StateDir};
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use regex::Regex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("Kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error(transparent)]
    Restore(#[from] crate::replica::RestoreError),
    #[error(transparent)]
    Topic(#[from] super::TopicError),
    #[error("{0}")]
    Commit(String),
    #[error(
        "another process has the identity {0}: state directories must not be copied. Delete instance-id in the copy's state directory, or set kafka.membership: dynamic"
    )]
    SecondProcess(String),
    #[error("a bug: a thread panicked, see its message above; what was not committed is read again after a restart")]
    Panicked,
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A source with the plan of its aggregates.
#[derive(Debug)]
pub struct SourcePlan {
    pub source: Source,
    pub name: Arc<str>,
    pub plan: Arc<Plan>,
    patterns: Vec<Regex>,
}

impl SourcePlan {
    /// The sources of a checked config. A pattern that is no regex matches nothing (the config has been checked).
    pub fn all(config: &Config) -> Vec<SourcePlan> {
        let plan = |source: &Source| {
            Arc::new(Plan::new(source, &config.aggregates).with_label_bytes(config.limits.label_bytes))
        };
        let patterns = |source: &Source| {
            source.topics.iter().filter(|t| t.starts_with('^')).filter_map(|t| Regex::new(t).ok()).collect()
        };
        config
            .sources
            .iter()
            .map(|source| SourcePlan {
                name: source.name.as_str().into(),
                plan: plan(source),
                patterns: patterns(source),
                source: source.clone(),
            })
            .collect()
    }

    /// Whether `topic` is one of this source's.
    pub fn matches(&self, topic: &str) -> bool {
        self.source.topics.iter().any(|t| t == topic) || self.patterns.iter().any(|pattern| pattern.is_match(topic))
    }
}

/// Position of the source that `topic` belongs to. The agent's own topics belong to none, whatever a pattern says: reading
/// its dead letters would make new ones of them for ever.
pub fn source_of(sources: &[Arc<SourcePlan>], topic: &str) -> Option<usize> {
    let named = sources.iter().any(|source| source.source.topics.iter().any(|t| t == topic));
    let own = topic.ends_with("-dlq") || (topic.starts_with("streamgauge-") && topic.ends_with("-changelog"));
    if own && !named {
        return None;
    }
    sources.iter().position(|source| source.matches(topic))
}

/// What a worker tells about itself.
#[derive(Debug, Default)]
pub struct WorkerStatus {
    assigned: AtomicBool,
    aborts: AtomicU32,
    /// What keeps this worker from having partitions.
    trouble: Mutex<Option<String>>,
}

/// This many aborts in a row turn the agent unready.
const UNREADY_ABORTS: u32 = 5;

impl WorkerStatus {
    pub(super) fn assignment_known(&self) {
        self.assigned.store(true, Ordering::Release);
    }

    pub(super) fn is_assigned(&self) -> bool {
        self.assigned.load(Ordering::Acquire)
    }

    pub(super) fn set_aborts(&self, in_a_row: u32) {
        self.aborts.store(in_a_row, Ordering::Release);
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
        } else if self.aborts.load(Ordering::Acquire) >= UNREADY_ABORTS {
            Some("commits fail again and again; see the log".into())
        } else {
            None
        }
    }
}

/// An agent's shared parts.
pub struct Agent {
    pub config: Config,
    pub sources: Vec<Arc<SourcePlan>>,
    pub settings: Settings,
    pub state_dir: Arc<StateDir>,
    pub registry: Arc<Registry>,
    pub checkpointer: Arc<Checkpointer>,
    /// Copies of other agents' tasks, which restores continue.
    pub replicas: Arc<Replicas>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// Where the admin client's calls are waited for.
    pub runtime: tokio::runtime::Handle,
    pub stopping: AtomicBool,
    /// Take the changelog and dead-letter topics as they are: a mock cluster has no admin API to look at them with.
    pub topics_given: bool,
}

impl Agent {
    /// Position of the source that `topic` belongs to; see [`source_of`].
    pub fn source_of(&self, topic: &str) -> Option<usize> {
        source_of(&self.sources, topic)
    }

    pub fn transactional(&self) -> bool {
        self.config.state.guarantee == Guarantee::ExactlyOnce
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
