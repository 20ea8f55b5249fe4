//! What all workers of an agent share.

use crate::aggregate::Plan;
use crate::clock::Clock;
use crate::config::{Config, Guarantee, Source};
use crate::kafka::Settings;
use crate::replica::Replicas;
use crate::state::{Checkpointer, Registry, StateDir};
use crate::telemetry::Metrics;
use parking_lot::{Mutex, RwLock};
use regex::Regex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

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
        "{task}: the state was made of records up to offset {next}, some of which the partition no longer has: an unclean leader election has cut it, and it has grown again since. To begin anew, stop the group's agents and run: streamgauge state reset -c FILE"
    )]
    Truncated { task: String, next: i64 },
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

    /// Whether both fold the same from the same topics.
    pub fn is_same(&self, other: &SourcePlan) -> bool {
        let aggregates = |plan: &Plan| plan.aggregates.iter().map(|a| (a.id, a.config.clone())).collect::<Vec<_>>();
        self.source == other.source
            && self.plan.label_bytes == other.plan.label_bytes
            && aggregates(&self.plan) == aggregates(&other.plan)
    }

    /// Whether `topic` is one of this source's.
    pub fn matches(&self, topic: &str) -> bool {
        self.source.topics.iter().any(|t| t == topic) || self.patterns.iter().any(|pattern| pattern.is_match(topic))
    }
}

fn source_of(sources: &[Arc<SourcePlan>], topic: &str) -> Option<usize> {
    let named = sources.iter().any(|source| source.source.topics.iter().any(|t| t == topic));
    let own = topic.ends_with("-dlq") || (topic.starts_with("streamgauge-") && topic.ends_with("-changelog"));
    if own && !named { None } else { sources.iter().position(|source| source.matches(topic)) }
}

/// Those of `known` that a config's sources read.
pub fn source_topics<'a>(config: &Config, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let plans = Plans::new(0, config);
    let mut topics: Vec<_> = known.filter(|topic| plans.source_of(topic).is_some()).map(str::to_owned).collect();
    topics.sort();
    topics
}

/// What a worker tells about itself.
#[derive(Debug, Default)]
pub struct WorkerStatus {
    assigned: AtomicBool,
    aborts: AtomicU32,
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

/// The sources in force, each with the plan of its aggregates.
#[derive(Debug)]
pub struct Plans {
    /// Grows with each reload.
    pub number: u64,
    pub sources: Vec<Arc<SourcePlan>>,
}

impl Plans {
    pub fn new(number: u64, config: &Config) -> Plans {
        Plans { number, sources: SourcePlan::all(config).into_iter().map(Arc::new).collect() }
    }

    /// Position of the source that `topic` belongs to; see [`Agent::source_of`].
    pub fn source_of(&self, topic: &str) -> Option<usize> {
        source_of(&self.sources, topic)
    }

    /// Topics and patterns to subscribe to.
    pub fn topics(&self) -> Vec<&str> {
        self.sources.iter().flat_map(|source| source.source.topics.iter().map(String::as_str)).collect()
    }
}

/// An agent's shared parts.
pub struct Agent {
    /// As of the start; of what a reload changes, [`Agent::plans`] is in force.
    pub config: Config,
    pub plans: Arc<RwLock<Arc<Plans>>>,
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
    /// How many partitions each topic had when this agent, or the group before it, first saw it: those from there on
    /// were added since, and are read from their beginning whatever the source's `start` says.
    pub first_seen: Mutex<HashMap<Arc<str>, i32>>,
    /// Partitions are nobody's: a worker is to leave the group and join it again.
    pub rejoin: AtomicBool,
    /// Take the changelog and dead-letter topics as they are: a mock cluster has no admin API to look at them with.
    pub topics_given: bool,
}

impl Agent {
    /// Position of the source that `topic` belongs to; see [`source_of`].
    pub fn source_of(&self, topic: &str) -> Option<usize> {
        self.plans().source_of(topic)
    }

    pub fn plans(&self) -> Arc<Plans> {
        self.plans.read().clone()
    }

    pub fn transactional(&self) -> bool {
        self.config.state.guarantee == Guarantee::ExactlyOnce
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
