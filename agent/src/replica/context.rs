//! What a restore works with: its settings, its clients, and the ends of the logs concerned.

use super::error::RestoreError;
use super::file::Files;
use super::identity::TopicIds;
use super::origin::Beginning;
use super::position::LossPolicy;
use super::replicas::Replicas;
use crate::clock::Clock;
use crate::kafka::{GroupConsumer, Isolation, PartitionReader, Settings, TopicPartition, is_passing};
use crate::state::Task;
use crate::telemetry::Metrics;
use rdkafka::error::KafkaResult;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_WAIT: Duration = Duration::from_millis(20);
/// How long a changelog may stay unstable before the log says so (and again after each such time).
const UNSTABLE_WARNING: Duration = Duration::from_secs(15);

/// A task to be restored.
#[derive(Clone)]
pub struct RestoreTask {
    pub task: Arc<Task>,
    pub policy: LossPolicy,
    pub changelog: Arc<str>,
}

/// What a restore needs.
#[derive(Clone)]
pub struct RestoreContext {
    pub settings: Settings,
    pub consumer: Arc<GroupConsumer>,
    pub files: Files,
    /// Replicas that this agent keeps, to be continued.
    pub replicas: Option<Arc<Replicas>>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// Set when nobody waits any more.
    pub cancelled: Arc<AtomicBool>,
    /// Of the source topic that the tasks are of.
    pub ids: TopicIds,
    pub beginning: Arc<Beginning>,
}

/// The clients that a restore reads with. Made ahead, while something else has to be waited for, they save the time it
/// takes to connect.
pub struct Readers {
    pub(super) all: PartitionReader,
    pub(super) stable: PartitionReader,
}

impl Readers {
    /// Makes both, and has them connect to the leaders of `topic`'s partitions.
    pub fn connect(settings: &Settings, topic: &str) -> Result<Readers, RestoreError> {
        let reader = |isolation| {
            PartitionReader::create(settings, isolation)
                .map_err(|error| RestoreError::Kafka { what: "changelog reader", error })
        };
        let readers = Readers { all: reader(Isolation::ReadUncommitted)?, stable: reader(Isolation::ReadCommitted)? };
        // Whoever uses them asks again; this only opens the connections.
        for reader in [&readers.all, &readers.stable] {
            let partitions = reader.partition_count(topic, CALL_TIMEOUT).ok().flatten().unwrap_or(0);
            let partitions: Vec<_> = (0..partitions).map(|partition| (Arc::from(topic), partition)).collect();
            let _ = reader.ends(&partitions, CALL_TIMEOUT);
        }
        Ok(readers)
    }
}

/// The ends of the logs concerned, read once for all tasks.
pub(super) struct Ends {
    pub cluster_id: String,
    /// High watermarks of the changelog partitions; their last stable offsets have reached them.
    pub changelog: HashMap<TopicPartition, i64>,
    pub input_first: HashMap<TopicPartition, i64>,
    pub input_end: HashMap<TopicPartition, i64>,
}

impl Ends {
    pub fn read(
        context: &RestoreContext,
        Readers { all, stable }: &Readers,
        tasks: &[RestoreTask],
        input: &[TopicPartition],
    ) -> Result<Ends, RestoreError> {
        let partitions: Vec<_> = tasks.iter().map(|t| (t.changelog.clone(), t.task.id.partition)).collect();
        let changelog = context.retry("changelog ends", || all.ends(&partitions, CALL_TIMEOUT))?;
        let began = context.clock.boot_time();
        let mut warned = Duration::ZERO;
        loop {
            let last_stable = context.retry("changelog ends", || stable.ends(&partitions, CALL_TIMEOUT))?;
            let hanging: Vec<_> = partitions.iter().filter(|p| last_stable[*p] < changelog[*p]).collect();
            let Some(first) = hanging.first() else { break };
            let waited = context.clock.boot_time().since(began);
            context.metrics.restore_unstable(waited);
            if waited - warned >= UNSTABLE_WARNING {
                warned = waited;
                tracing::warn!(
                    partitions = hanging.len(),
                    "changelog {}/{} has had an open transaction at offset {} for {} s; the brokers abort it after its timeout. \
                     If it stays: kafka-transactions.sh find-hanging",
                    first.0,
                    first.1,
                    last_stable[*first],
                    waited.as_secs()
                );
            }
            context.pause(RETRY_WAIT)?;
        }
        Ok(Ends {
            cluster_id: all.cluster_id(CALL_TIMEOUT).unwrap_or_default(),
            changelog,
            input_first: context.retry("input's beginnings", || all.beginnings(input, CALL_TIMEOUT))?,
            input_end: context.retry("input's ends", || all.ends(input, CALL_TIMEOUT))?,
        })
    }
}

impl RestoreContext {
    fn pause(&self, wait: Duration) -> Result<(), RestoreError> {
        std::thread::sleep(wait);
        if self.cancelled.load(Ordering::Acquire) { Err(RestoreError::Cancelled) } else { Ok(()) }
    }

    /// Calls until it succeeds or fails for good; leaders move, and a fresh topic takes a moment to be known.
    pub(super) fn retry<T>(
        &self,
        what: &'static str,
        mut call: impl FnMut() -> KafkaResult<T>,
    ) -> Result<T, RestoreError> {
        loop {
            match call() {
                Ok(value) => return Ok(value),
                Err(error) if is_passing(&error) => {
                    tracing::debug!(what, "asking again: {error}");
                    self.pause(RETRY_WAIT)?;
                }
                Err(error) => return Err(RestoreError::Kafka { what, error }),
            }
        }
    }
}
