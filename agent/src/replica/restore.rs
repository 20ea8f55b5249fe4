//! Taking over partitions: from the redb file and the changelog's tail to a state that may be folded into.
//!
//! Runs on a thread of its own, so that healthy partitions go on meanwhile. The order of its steps is the protocol's:
//! the group's committed offsets first (they wait for a predecessor's open transaction), *then* the changelog's high
//! watermark, then wait until the last stable offset reaches it, and only then replay up to it.

use super::file::{Files, Opened};
use super::identity::{TopicIds, differ};
use super::manager::Replicas;
use super::position::{LossPolicy, start_at};
use super::replay::{Promoted, Replay, ReplayError};
use crate::clock::Clock;
use crate::failpoint;
use crate::kafka::{GroupConsumer, Isolation, PartitionReader, Reading, Settings, TopicPartition, is_passing};
use crate::state::{Changes, Pending, Phase, Store, StoreError, Task, View};
use crate::telemetry::Metrics;
use rdkafka::error::{KafkaError, KafkaResult};
use std::collections::HashMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;
use streamgauge_proto::storage::v1::Checkpoint;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const READ_WAIT: Duration = Duration::from_millis(100);
const RETRY_WAIT: Duration = Duration::from_millis(20);
/// How often a long restore says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
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
    pub promoted: Promoted,
    pub store: Store,
    pub checkpoint: Checkpoint,
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
    all: PartitionReader,
    stable: PartitionReader,
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

/// Restores `tasks`, all of one source topic, and gives each to `done` as soon as it is complete.
pub fn restore(
    context: &RestoreContext,
    readers: Readers,
    tasks: &[RestoreTask],
    mut done: impl FnMut(Restored),
) -> Result<(), RestoreError> {
    let began = context.clock.boot_time();
    tasks.iter().for_each(|task| task.task.set_topic_id(context.ids.source.clone()));
    let input: Vec<TopicPartition> = tasks.iter().map(|t| (t.task.id.topic.clone(), t.task.id.partition)).collect();
    let committed = context.retry("group offsets", || context.consumer.committed(&input, CALL_TIMEOUT))?;
    failpoint::hit("restore.initialised");
    let step = |what: &str| tracing::debug!(took = ?context.clock.boot_time().since(began), "restore: {what}");
    step("group's offsets known");

    let ends = Ends::read(context, &readers, tasks, &input)?;
    step("changelog is stable");
    let mut reader = readers.stable;
    let mut replicas = open_all(context, tasks, &ends)?;
    failpoint::hit("restore.loaded");
    step("state files loaded");
    while !replicas.is_empty() {
        let mut again = Vec::new();
        tail(context, &mut reader, &mut replicas, |replica| {
            match replica.promote(context, &ends, &committed)? {
                Ok(restored) => {
                    context.metrics.restored(context.clock.boot_time().since(began));
                    done(restored);
                }
                Err(from_scratch) => again.push(from_scratch),
            }
            Ok(())
        })?;
        replicas = again;
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
    let threads = available_parallelism().map_or(1, NonZero::get).min(tasks.len());
    let opened: Result<Vec<Vec<Tail>>, RestoreError> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(open_some)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    Ok(opened?.into_iter().flatten().collect())
}

/// The ends of the logs concerned, read once for all tasks.
struct Ends {
    cluster_id: String,
    /// High watermarks of the changelog partitions; their last stable offsets have reached them.
    changelog: HashMap<TopicPartition, i64>,
    input_first: HashMap<TopicPartition, i64>,
    input_end: HashMap<TopicPartition, i64>,
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
    fn retry<T>(&self, what: &'static str, mut call: impl FnMut() -> KafkaResult<T>) -> Result<T, RestoreError> {
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

/// One task's replica on its way to the mark.
struct Tail {
    task: RestoreTask,
    changelog: TopicPartition,
    /// High watermark to be reached.
    mark: i64,
    from: i64,
    position: i64,
    /// Read so far.
    records: u64,
    /// Where the state came from that the tail continues, for the log.
    origin: &'static str,
    replay: Replay,
    store: Store,
    checkpoint: Checkpoint,
    from_scratch: bool,
    failed: Option<ReplayError>,
}

impl Tail {
    /// From a replica that this agent has kept, else from the state file, else from nothing.
    fn open(
        context: &RestoreContext,
        task: &RestoreTask,
        changelog: TopicPartition,
        mark: i64,
        cluster_id: &str,
    ) -> Result<Tail, RestoreError> {
        let id = &task.task.id;
        let identity = context.files.identity(id, &context.ids, cluster_id);
        let kept = context.replicas.as_ref().and_then(|replicas| replicas.take(id));
        let (opened, origin) = match kept.and_then(|kept| context.files.accept(kept, &identity, mark, &task.task)) {
            Some(opened) => (opened, "replica"),
            None => {
                let opened = context.files.open(id, identity, mark)?;
                let origin = if opened.from == 0 { "changelog" } else { "file" };
                (opened, origin)
            }
        };
        task.task.set_phase(Phase::Restoring { done: 0, of: (mark - opened.from).max(0) as u64 });
        let Opened { replay, store, checkpoint, from } = opened;
        let task = task.clone();
        Ok(Tail {
            task,
            changelog,
            mark,
            from,
            position: from,
            records: 0,
            origin,
            replay,
            store,
            checkpoint,
            from_scratch: from == 0,
            failed: None,
        })
    }

    fn is_done(&self) -> bool {
        self.mark == 0 || self.failed.is_some()
    }

    /// `Ok(Err(tail))`: the file did not match its fingerprint and the changelog has to be read from its beginning.
    fn promote(
        self,
        context: &RestoreContext,
        ends: &Ends,
        committed: &HashMap<TopicPartition, Option<i64>>,
    ) -> Result<Result<Restored, Tail>, RestoreError> {
        let id = self.task.task.id.clone();
        failpoint::hit("restore.replayed");
        let result = match self.failed {
            Some(error) => Err(error),
            None => self.replay.promote(&self.task.task.plan, Some(&self.task.task.view.read())),
        };
        let promoted = match result {
            Ok(promoted) => promoted,
            Err(error @ (ReplayError::Fingerprint { .. } | ReplayError::Entry { .. })) if !self.from_scratch => {
                tracing::warn!(task = %id, "state file does not match the changelog, reading the changelog whole: {error}");
                context.metrics.state_rebuilt("fingerprint");
                let path = context.files.state_dir.task_file(&id.topic, id.partition);
                drop(self.store);
                Store::discard(&path).map_err(|e| StoreError::Unwritable { path, error: e.to_string() })?;
                *self.task.task.view.write() = View::default();
                return Tail::open(context, &self.task, self.changelog, self.mark, &ends.cluster_id).map(Err);
            }
            Err(error) => return Err(RestoreError::Replay { task: id.to_string(), error }),
        };
        let input: TopicPartition = (id.topic.clone(), id.partition);
        let group_offset = committed.get(&input).copied().flatten();
        let (first, end) = (ends.input_first[&input], ends.input_end[&input]);
        let is_new = promoted.is_none();
        let promoted = promoted.unwrap_or_else(|| Promoted {
            entries: Vec::new(),
            foreign: Default::default(),
            record: Default::default(),
            changes: Changes::default(),
            changelog_next: self.mark,
        });
        if differ(&promoted.record.topic_id, &context.ids.source) {
            return Err(RestoreError::Recreated { task: id.to_string() });
        }
        let state_offset = (!is_new).then_some(promoted.record.next_offset);
        let (next_offset, publish_from) =
            start_at(&id.to_string(), state_offset, group_offset, first, end, self.task.policy)?;
        if let Some(lost) = state_offset.map(|offset| first - offset).filter(|&lost| lost > 0) {
            tracing::error!(task = %id, lost, "Kafka no longer has {lost} records that were not read yet (retention)");
            context.metrics.lost(&id.topic, lost as u64);
        }
        let (origin, records) = (self.origin, self.records);
        tracing::info!(task = %id, origin, records, next_offset, "state read back");
        let mut checkpoint = self.checkpoint;
        checkpoint.changelog_offset = promoted.changelog_next;
        checkpoint.offset_record = Some(promoted.record.clone());
        let restored = Restored {
            task: self.task.task,
            promoted,
            store: self.store,
            checkpoint,
            next_offset,
            publish_from,
            is_new,
        };
        Ok(Ok(restored))
    }
}

/// Reads all replicas up to their marks, giving each to `done` when it gets there.
fn tail(
    context: &RestoreContext,
    reader: &mut PartitionReader,
    replicas: &mut Vec<Tail>,
    mut done: impl FnMut(Tail) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let mut waiting = Vec::new();
    for replica in replicas.drain(..) {
        if replica.is_done() { done(replica)? } else { waiting.push(replica) }
    }
    let from: Vec<_> = waiting.iter().map(|replica| (replica.changelog.clone(), replica.from)).collect();
    if !from.is_empty() {
        reader.assign(&from).map_err(|error| RestoreError::Kafka { what: "assign changelog", error })?;
    }
    let mut told = context.clock.boot_time();
    while !waiting.is_empty() {
        if context.clock.boot_time().since(told) >= PROGRESS_EVERY {
            told = context.clock.boot_time();
            let remaining: i64 = waiting.iter().map(|replica| (replica.mark - replica.position).max(0)).sum();
            tracing::info!(partitions = waiting.len(), remaining, "restoring: changelog records still to be read");
        }
        if context.cancelled.load(Ordering::Acquire) {
            return Err(RestoreError::Cancelled);
        }
        let finished = match reader.read(READ_WAIT) {
            Reading::Record(record) => read_record(context, &mut waiting, &record),
            // The last stable offset had reached the mark before this read began, so an end is at or beyond it, though
            // the last offsets may be markers that are never delivered.
            Reading::End { partition } => waiting.iter().position(|replica| replica.changelog == partition),
            Reading::Nothing => None,
            Reading::Error(error) if is_passing(&error) => None,
            Reading::Error(error) => return Err(RestoreError::Kafka { what: "read changelog", error }),
        };
        if let Some(index) = finished {
            let replica = waiting.swap_remove(index);
            reader
                .finish(&replica.changelog)
                .map_err(|error| RestoreError::Kafka { what: "unassign changelog", error })?;
            done(replica)?;
        }
    }
    Ok(())
}

/// Applies a record; the index of its replica if that failed and is finished thereby.
fn read_record(context: &RestoreContext, waiting: &mut [Tail], record: &crate::kafka::ReadRecord<'_>) -> Option<usize> {
    let index =
        waiting.iter().position(|r| r.changelog.1 == record.partition() && *r.changelog.0 == *record.topic())?;
    let replica = &mut waiting[index];
    context.metrics.restore_record();
    replica.records += 1;
    replica.position = record.offset() + 1;
    let phase = Phase::Restoring {
        done: (replica.position - replica.from).max(0) as u64,
        of: (replica.mark - replica.from).max(0) as u64,
    };
    replica.task.task.set_phase(phase);
    match replica.replay.apply(record.offset(), record.key().unwrap_or_default(), record.payload()) {
        Ok(()) => None,
        Err(error) => {
            replica.failed = Some(error);
            Some(index)
        }
    }
}

/// What the checkpointer is to take over from a restored task.
impl Restored {
    pub fn pending(&mut self) -> Pending {
        Pending { changes: std::mem::take(&mut self.promoted.changes), checkpoint: self.checkpoint.clone() }
    }
}
