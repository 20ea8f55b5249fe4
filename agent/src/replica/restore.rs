//! Taking over partitions: from the redb file and the changelog's tail to a state that may be folded into.
//!
//! Runs on threads of its own, so that healthy partitions go on meanwhile. The order of its steps is the protocol's:
//! the group's committed offsets first (they wait for a predecessor's open transaction), *then* the changelog's high
//! watermark, then wait until the last stable offset reaches it, and only then replay up to it.

use super::file::Files;
use super::identity::TopicIds;
use super::left_open::end_what_is_left_open;
use super::manager::Replicas;
use super::position::LossPolicy;
use super::reading::{read_all, threads};
use super::replay::ReplayError;
use super::tail::Tail;
use crate::aggregate::{EntryKey, TaskState};
use crate::clock::Clock;
use crate::failpoint;
use crate::kafka::{GroupConsumer, Isolation, PartitionReader, Settings, TopicPartition, is_passing};
use crate::state::{Pending, Store, StoreError, Task, View};
use crate::telemetry::Metrics;
use parking_lot::{Mutex, RwLock};
use rdkafka::error::{KafkaError, KafkaResult};
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_WAIT: Duration = Duration::from_millis(20);
/// How long a changelog may stay unstable before the log says so (and again after each such time).
const UNSTABLE_WARNING: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nobody waits for this restore any more.
    #[error("cancelled")]
    Cancelled,
    #[error("{task}: {error}")]
    Replay { task: String, error: ReplayError },
    #[error(
        "{task}: the group has committed offset {offset}, but the state is gone (no changelog, no state file). Set state.on_loss to earliest (count all that Kafka still has again) or continue (start anew at that offset)"
    )]
    StateLost { task: String, offset: i64 },
    #[error(
        "{task}: the state is at offset {next}, but the partition ends at {end}: the topic was made again or has lost acknowledged records. To begin anew, stop the group's agents and run: streamgauge state reset -c FILE"
    )]
    BeyondEnd { task: String, next: i64, end: i64 },
    #[error(
        "{task}: the state is of an earlier topic of this name: the source topic was deleted and made again, so its offsets begin anew. To begin anew too, stop the group's agents and run: streamgauge state reset -c FILE"
    )]
    Recreated { task: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what}: {error}")]
    Kafka { what: &'static str, error: KafkaError },
}

/// A task to be restored.
#[derive(Clone)]
pub struct RestoreTask {
    pub task: Arc<Task>,
    pub policy: LossPolicy,
    pub changelog: Arc<str>,
}

/// A task ready to be folded into.
pub struct Restored {
    pub task: Arc<Task>,
    /// Its committed state.
    pub view: Arc<RwLock<View>>,
    /// The same, to be folded into.
    pub state: TaskState,
    /// Stored entries of aggregates that the config does not know.
    pub foreign: Vec<EntryKey>,
    pub store: Store,
    pub pending: Pending,
    /// The input offset to go on from.
    pub next_offset: i64,
    /// Publish only from this input offset on: the group's offset is ahead of the state.
    pub publish_from: i64,
    /// The task never committed: its start must be committed before the first fold.
    pub is_new: bool,
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

/// Restores `tasks`, all of one source topic, and gives each to `done` as soon as it is complete, from several threads.
pub fn restore(
    context: &RestoreContext,
    readers: Readers,
    tasks: &[RestoreTask],
    done: impl Fn(Restored) + Sync,
) -> Result<(), RestoreError> {
    let began = context.clock.boot_time();
    tasks.iter().for_each(|task| task.task.set_topic_id(context.ids.source.clone()));
    end_what_is_left_open(context, &readers, tasks)?;
    let input: Vec<TopicPartition> = tasks.iter().map(|t| (t.task.id.topic.clone(), t.task.id.partition)).collect();
    let committed = context.retry("group offsets", || context.consumer.committed(&input, CALL_TIMEOUT))?;
    failpoint::hit("restore.initialised");
    let step = |what: &str| tracing::debug!(took = ?context.clock.boot_time().since(began), "restore: {what}");
    step("group's offsets known");

    let ends = Ends::read(context, &readers, tasks, &input)?;
    step("changelog is stable");
    let mut reader = readers.stable;
    let mut tails = open_all(context, tasks, &ends)?;
    failpoint::hit("restore.loaded");
    step("state files loaded");
    while !tails.is_empty() {
        let again = Mutex::new(Vec::new());
        let promote = |tail: Tail| {
            match tail.promote(context, &ends, &committed)? {
                Ok(restored) => {
                    context.metrics.restored(context.clock.boot_time().since(began));
                    done(restored);
                }
                Err(from_scratch) => again.lock().push(from_scratch),
            }
            Ok(())
        };
        read_all(context, &mut reader, tails, promote)?;
        tails = again.into_inner();
    }
    failpoint::hit("restore.promoted");
    step("changelog replayed");
    Ok(())
}

/// Opens the tails of all tasks, on as many threads as there are cores: most of it is bringing files into memory.
fn open_all(context: &RestoreContext, tasks: &[RestoreTask], ends: &Ends) -> Result<Vec<Tail>, RestoreError> {
    let next = AtomicUsize::new(0);
    let open_some = || {
        let mut opened = Vec::new();
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let changelog = (task.changelog.clone(), task.task.id.partition);
            let mark = ends.changelog[&changelog];
            opened.push(Tail::open(context, task, changelog, mark, &ends.cluster_id)?);
        }
        Ok(opened)
    };
    let opened: Result<Vec<Vec<Tail>>, RestoreError> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads(tasks.len())).map(|_| scope.spawn(open_some)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    Ok(opened?.into_iter().flatten().collect())
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
    fn read(
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
