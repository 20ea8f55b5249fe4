//! What a restore works with: its settings, its tasks, and its clients.

use super::error::RestoreError;
use super::file::Files;
use super::identity::TopicIds;
use super::origin::Beginning;
use super::position::LossPolicy;
use super::replicas::Replicas;
use crate::clock::Clock;
use crate::kafka::{GroupConsumer, Isolation, PartitionReader, Settings, TopicPartition, is_passing};
use crate::state::Task;
use crate::stop::Stop;
use crate::telemetry::Metrics;
use rdkafka::error::KafkaResult;
use std::sync::Arc;
use std::time::Duration;

/// Bounds a call that nobody can interrupt: a restore that nobody wants any more is to end within a second.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(1);
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// A task to be restored.
#[derive(Clone)]
pub struct RestoreTask {
    pub task: Arc<Task>,
    pub policy: LossPolicy,
    pub changelog: Arc<str>,
    /// Requested once nobody wants this task restored any more: it was revoked, or is being restored anew.
    pub stop: Stop,
}

impl RestoreTask {
    pub fn input(&self) -> TopicPartition {
        self.task.id.clone()
    }

    pub fn changelog_partition(&self) -> TopicPartition {
        TopicPartition::new(self.changelog.clone(), self.task.id.partition)
    }
}

/// What a restore needs.
#[derive(Clone)]
pub struct RestoreContext {
    pub settings: Settings,
    pub consumer: Arc<GroupConsumer>,
    /// The id that the worker's own transactions run under.
    pub transactional_id: String,
    pub files: Files,
    /// Replicas that this agent keeps, to be continued.
    pub replicas: Option<Arc<Replicas>>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
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
            let partitions: Vec<_> = TopicPartition::all_of(&topic.into(), partitions).collect();
            let _ = reader.ends_each(&partitions, CALL_TIMEOUT);
        }
        Ok(readers)
    }
}

impl RestoreContext {
    /// Calls until it succeeds, fails for good, or nobody wants to know any more; leaders move, and a fresh topic takes a
    /// moment to be known.
    pub(super) fn retry<T>(
        &self,
        stop: &Stop,
        what: &'static str,
        mut call: impl FnMut() -> KafkaResult<T>,
    ) -> Result<T, RestoreError> {
        loop {
            match call() {
                Ok(value) => return Ok(value),
                Err(error) if is_passing(&error) => {
                    tracing::debug!(what, "asking again: {error}");
                    if stop.sleep(RETRY_WAIT) {
                        return Err(RestoreError::Cancelled);
                    }
                }
                Err(error) => return Err(RestoreError::Kafka { what, error }),
            }
        }
    }
}
