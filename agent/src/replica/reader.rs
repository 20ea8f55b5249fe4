//! Changelogs read by one thread and applied by others, one for each core: decoding a million cells takes longer than
//! fetching them.

use super::context::RestoreContext;
use super::error::RestoreError;
use super::partition::PartitionRestore;
use super::records::Records;
use crate::clock::BootTime;
use crate::kafka::{Batch, PartitionReader, Record, TopicPartition, is_passing};
use crate::state::{Phase, Task};
use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::HashMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{ScopedJoinHandle, available_parallelism};
use std::time::Duration;

const READ_WAIT: Duration = Duration::from_millis(100);
/// Records taken from the client at a time.
const READ_BATCH: usize = 1_000;
/// Records are handed over when there are so many bytes of them; with many partitions earlier, so that all together do not
/// take more than `ALL_BATCHES`.
const BATCH: usize = 128 << 10;
const LEAST_BATCH: usize = 4 << 10;
const ALL_BATCHES: usize = 16 << 20;
/// Batches that may wait for each thread: 8 MiB, so that reading goes on while a large commit is applied.
const WAITING: usize = 64;
/// How often a long restore says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What a thread that applies is told.
enum Work {
    Begin(Box<PartitionRestore>),
    Apply(i32, Records),
    /// Everything up to the mark was read.
    Finish(i32),
}

/// Threads to be used for that many partitions.
pub(super) fn threads(partitions: usize) -> usize {
    available_parallelism().map_or(1, NonZero::get).min(partitions).max(1)
}

/// Reads all restores, of one topic, up to their marks, giving each to `done` when it gets there.
pub(super) fn read_all(
    context: &RestoreContext,
    reader: &mut PartitionReader,
    restores: Vec<PartitionRestore>,
    done: impl Fn(PartitionRestore) -> Result<(), RestoreError> + Sync,
) -> Result<(), RestoreError> {
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, failed) = (&done, &failed);
        let start = |_| {
            let (sender, receiver) = bounded(WAITING);
            let apply = move || apply_all(&receiver, done).inspect_err(|_| failed.store(true, Ordering::Release));
            (sender, scope.spawn(apply))
        };
        let (senders, threads): (Vec<_>, Vec<_>) = (0..threads(restores.len())).map(start).unzip();
        let batch = (ALL_BATCHES / restores.len().max(1)).clamp(LEAST_BATCH, BATCH);
        let told = context.clock.boot_time();
        let mut reading = ChangelogReader { context, reader, senders, failed, batch, open: HashMap::new(), told };
        let read = reading.read(restores);
        // Without senders the threads end.
        drop(reading);
        let applied = threads.into_iter().try_for_each(joined);
        // One that has ended early says why.
        applied.and(read)
    })
}

fn joined(thread: ScopedJoinHandle<'_, Result<(), RestoreError>>) -> Result<(), RestoreError> {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn apply_all(
    work: &Receiver<Work>,
    done: &(impl Fn(PartitionRestore) -> Result<(), RestoreError> + Sync),
) -> Result<(), RestoreError> {
    let mut restores: HashMap<i32, Box<PartitionRestore>> = HashMap::new();
    for work in work {
        match work {
            Work::Begin(restore) => drop(restores.insert(restore.changelog.1, restore)),
            Work::Apply(partition, records) => {
                let Some(restore) = restores.get_mut(&partition) else { continue };
                restore.apply(&records);
                // What else comes of it is not wanted any more.
                if let Some(restore) = restore.has_failed().then(|| restores.remove(&partition)).flatten() {
                    done(*restore)?;
                }
            }
            Work::Finish(partition) => {
                if let Some(restore) = restores.remove(&partition) {
                    done(*restore)?;
                }
            }
        }
    }
    Ok(())
}

/// The reading thread's side.
struct ChangelogReader<'a> {
    context: &'a RestoreContext,
    reader: &'a mut PartitionReader,
    senders: Vec<Sender<Work>>,
    /// Set by a thread that ends early.
    failed: &'a AtomicBool,
    /// Bytes of a partition's records that are handed over at a time.
    batch: usize,
    open: HashMap<i32, PartitionReading>,
    /// When the log was last told how far it is.
    told: BootTime,
}

/// How far one partition has been read.
struct PartitionReading {
    task: Arc<Task>,
    changelog: TopicPartition,
    from: i64,
    mark: i64,
    position: i64,
    batch: Records,
    /// Which thread applies it.
    thread: usize,
}

impl ChangelogReader<'_> {
    fn read(&mut self, restores: Vec<PartitionRestore>) -> Result<(), RestoreError> {
        let failed = |what| move |error| RestoreError::Kafka { what, error };
        let mut from = Vec::new();
        for (nth, restore) in restores.into_iter().enumerate() {
            let partition = self.begin(nth % self.senders.len(), restore)?;
            from.extend(partition);
        }
        if !from.is_empty() {
            self.reader.assign(&from).map_err(failed("assign changelog"))?;
        }
        let mut batch = Batch::default();
        while !self.open.is_empty() {
            // The error of a thread that has failed comes before this one.
            if self.context.cancelled.load(Ordering::Acquire) || self.failed.load(Ordering::Acquire) {
                return Err(RestoreError::Cancelled);
            }
            for record in self.reader.read_batch(READ_WAIT, READ_BATCH, &mut batch) {
                match record.error() {
                    None => self.take(&record)?,
                    // The last stable offset had reached the mark before this read began, so an end is at or beyond it,
                    // though the last offsets may be markers that are never delivered.
                    Some(RDKafkaErrorCode::PartitionEOF) => self.finish(record.partition())?,
                    Some(error) => {
                        let error = KafkaError::MessageConsumption(error);
                        if !is_passing(&error) {
                            return Err(failed("read changelog")(error));
                        }
                    }
                }
            }
            self.tell();
        }
        Ok(())
    }

    /// Gives a restore to its thread; what is to be read of it, if anything is.
    fn begin(
        &mut self,
        thread: usize,
        restore: PartitionRestore,
    ) -> Result<Option<(TopicPartition, i64)>, RestoreError> {
        let partition = restore.changelog.1;
        let reading = PartitionReading {
            task: restore.task.task.clone(),
            changelog: restore.changelog.clone(),
            from: restore.from,
            mark: restore.mark,
            position: restore.from,
            batch: Records::default(),
            thread,
        };
        let is_empty = restore.mark == 0;
        self.send(thread, Work::Begin(Box::new(restore)))?;
        if is_empty {
            self.send(thread, Work::Finish(partition))?;
            return Ok(None);
        }
        let from = (reading.changelog.clone(), reading.from);
        self.open.insert(partition, reading);
        Ok(Some(from))
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), RestoreError> {
        let partition = record.partition();
        let Some(reading) = self.open.get_mut(&partition) else { return Ok(()) };
        reading.position = record.offset() + 1;
        reading.batch.push(record.offset(), record.key().unwrap_or_default(), record.payload());
        if reading.batch.size() >= self.batch { self.hand_over(partition) } else { Ok(()) }
    }

    fn finish(&mut self, partition: i32) -> Result<(), RestoreError> {
        if !self.open.contains_key(&partition) {
            return Ok(());
        }
        self.hand_over(partition)?;
        let Some(PartitionReading { changelog, thread, .. }) = self.open.remove(&partition) else { return Ok(()) };
        self.reader.finish(&changelog).map_err(|error| RestoreError::Kafka { what: "unassign changelog", error })?;
        self.send(thread, Work::Finish(partition))
    }

    fn hand_over(&mut self, partition: i32) -> Result<(), RestoreError> {
        let Some(reading) = self.open.get_mut(&partition) else { return Ok(()) };
        let records = std::mem::take(&mut reading.batch);
        if records.is_empty() {
            return Ok(());
        }
        self.context.metrics.restore_records(records.len() as u64);
        let offsets = |to: i64| (to - reading.from).max(0) as u64;
        reading.task.set_phase(Phase::Restoring { done: offsets(reading.position), of: offsets(reading.mark) });
        let thread = reading.thread;
        self.send(thread, Work::Apply(partition, records))
    }

    fn send(&self, thread: usize, work: Work) -> Result<(), RestoreError> {
        // A thread that has ended has failed, and that error comes first.
        self.senders[thread].send(work).map_err(|_| RestoreError::Cancelled)
    }

    fn tell(&mut self) {
        let now = self.context.clock.boot_time();
        if now.since(self.told) >= PROGRESS_EVERY {
            self.told = now;
            let remaining: i64 = self.open.values().map(|reading| (reading.mark - reading.position).max(0)).sum();
            tracing::info!(partitions = self.open.len(), remaining, "restoring: changelog records still to be read");
        }
    }
}
