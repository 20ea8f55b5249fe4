//! Changelogs read by one thread and applied by others, one for each core: decoding a million cells takes longer than
//! fetching them.

use super::context::{RestoreContext, RestoreTask};
use super::error::RestoreError;
use super::partition::PartitionRestore;
use super::records::Records;
use crate::clock::BootTime;
use crate::kafka::{Batch, PartitionReader, Record, TopicPartition, is_passing};
use crate::state::Phase;
use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::HashMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::available_parallelism;
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
/// How often it is looked whether somebody wants no more of it.
const STOPS_EVERY: Duration = Duration::from_millis(100);

/// What a thread that applies is told.
enum Work {
    Begin(Box<PartitionRestore>),
    Apply(i32, Records),
    /// Everything up to the mark was read.
    Finish(i32),
    /// Nobody wants it any more, or it cannot be read: its file is closed.
    Drop(i32),
}

/// Threads to be used for that many partitions.
pub(super) fn threads(partitions: usize) -> usize {
    available_parallelism().map_or(1, NonZero::get).min(partitions).max(1)
}

/// Reads all restores, of one topic, up to their marks, giving each to `done` when it gets there. Those that are stopped
/// meanwhile are dropped; what cannot be read is given to `failed`.
pub(super) fn read_all(
    context: &RestoreContext,
    reader: &mut PartitionReader,
    restores: Vec<PartitionRestore>,
    done: impl Fn(PartitionRestore) + Sync,
    failed: &(impl Fn(&RestoreTask, RestoreError) + Sync),
) {
    std::thread::scope(|scope| {
        let done = &done;
        let start = |_| {
            let (sender, receiver) = bounded(WAITING);
            (sender, scope.spawn(move || apply_all(&receiver, done)))
        };
        let (senders, threads): (Vec<_>, Vec<_>) = (0..threads(restores.len())).map(start).unzip();
        let batch = (ALL_BATCHES / restores.len().max(1)).clamp(LEAST_BATCH, BATCH);
        let now = context.clock.boot_time();
        let mut reading =
            ChangelogReader { context, reader, senders, batch, open: HashMap::new(), told: now, looked: now };
        reading.read(restores, failed);
        // Without senders the threads end.
        drop(reading);
        threads.into_iter().for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
}

fn apply_all(work: &Receiver<Work>, done: &(impl Fn(PartitionRestore) + Sync)) {
    let mut restores: HashMap<i32, Box<PartitionRestore>> = HashMap::new();
    for work in work {
        match work {
            Work::Begin(restore) => drop(restores.insert(restore.changelog().partition, restore)),
            Work::Apply(partition, records) => {
                let Some(restore) = restores.get_mut(&partition) else { continue };
                restore.apply(&records);
                // What else comes of it is not wanted any more.
                if let Some(restore) = restore.has_failed().then(|| restores.remove(&partition)).flatten() {
                    done(*restore);
                }
            }
            Work::Finish(partition) => {
                if let Some(restore) = restores.remove(&partition) {
                    done(*restore);
                }
            }
            Work::Drop(partition) => drop(restores.remove(&partition)),
        }
    }
}

/// What comes from a partition, for one that is read up to its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Take,
    TakeAndFinish,
    Finish,
    GoOn,
}

/// Pure: what to do about a record at `offset`, or about an end that the client says is there. An end before the mark is
/// none: right after a change of the leader, the new one may not know yet how far its log is agreed on. The last offsets
/// before the mark may be markers, which are never delivered; then the end comes, or a record behind the mark, which is
/// another owner's.
fn next(offset: i64, is_end: bool, mark: i64) -> Next {
    match is_end {
        _ if offset >= mark => Next::Finish,
        true => Next::GoOn,
        false if offset + 1 == mark => Next::TakeAndFinish,
        false => Next::Take,
    }
}

/// The reading thread's side.
struct ChangelogReader<'a> {
    context: &'a RestoreContext,
    reader: &'a mut PartitionReader,
    senders: Vec<Sender<Work>>,
    /// Bytes of a partition's records that are handed over at a time.
    batch: usize,
    open: HashMap<i32, PartitionReading>,
    /// When the log was last told how far it is.
    told: BootTime,
    /// When it was last looked whether somebody wants no more of it.
    looked: BootTime,
}

/// How far one partition has been read.
struct PartitionReading {
    task: RestoreTask,
    from: i64,
    mark: i64,
    position: i64,
    batch: Records,
    /// Which thread applies it.
    thread: usize,
}

impl ChangelogReader<'_> {
    fn read(&mut self, restores: Vec<PartitionRestore>, failed: &impl Fn(&RestoreTask, RestoreError)) {
        let mut from = Vec::new();
        for (nth, restore) in restores.into_iter().enumerate() {
            from.extend(self.begin(nth % self.senders.len(), restore));
        }
        if from.is_empty() {
            return;
        }
        if let Err(error) = self.reader.assign(&from) {
            for partition in std::mem::take(&mut self.open).into_values() {
                failed(&partition.task, RestoreError::Kafka { what: "assign changelog", error: error.clone() });
            }
            return;
        }
        let mut batch = Batch::default();
        while !self.open.is_empty() {
            for record in self.reader.read_batch(READ_WAIT, READ_BATCH, &mut batch) {
                let is_end = match record.error() {
                    None => false,
                    Some(RDKafkaErrorCode::PartitionEOF) => true,
                    Some(error) => {
                        let error = KafkaError::MessageConsumption(error);
                        if !is_passing(&error)
                            && let Some(reading) = self.give_up(record.partition())
                        {
                            failed(&reading.task, RestoreError::Kafka { what: "read changelog", error });
                        }
                        continue;
                    }
                };
                self.take(&record, is_end);
            }
            self.look();
        }
    }

    /// Gives a restore to its thread; what is to be read of it, if anything is.
    fn begin(&mut self, thread: usize, restore: PartitionRestore) -> Option<(TopicPartition, i64)> {
        let (changelog, from, mark) = (restore.changelog(), restore.from, restore.mark());
        let task = restore.task().clone();
        self.send(thread, Work::Begin(Box::new(restore)));
        if from >= mark {
            self.send(thread, Work::Finish(changelog.partition));
            return None;
        }
        let reading = PartitionReading { task, from, mark, position: from, batch: Records::default(), thread };
        self.open.insert(changelog.partition, reading);
        Some((changelog, from))
    }

    fn take(&mut self, record: &Record<'_>, is_end: bool) {
        let partition = record.partition();
        let Some(reading) = self.open.get_mut(&partition) else { return };
        let next = next(record.offset(), is_end, reading.mark);
        if matches!(next, Next::Take | Next::TakeAndFinish) {
            reading.position = record.offset() + 1;
            reading.batch.push(record.offset(), record.key().unwrap_or_default(), record.payload());
            if reading.batch.size() >= self.batch {
                self.hand_over(partition);
            }
        }
        if matches!(next, Next::Finish | Next::TakeAndFinish) {
            self.hand_over(partition);
            if let Some(reading) = self.leave(partition) {
                self.send(reading.thread, Work::Finish(partition));
            }
        }
    }

    /// Reads a partition no more.
    fn leave(&mut self, partition: i32) -> Option<PartitionReading> {
        let reading = self.open.remove(&partition)?;
        if let Err(error) = self.reader.finish(&reading.task.changelog_partition()) {
            tracing::debug!(task = %reading.task.task.id, "unassign changelog: {error}");
        }
        Some(reading)
    }

    fn give_up(&mut self, partition: i32) -> Option<PartitionReading> {
        let reading = self.leave(partition)?;
        self.send(reading.thread, Work::Drop(partition));
        Some(reading)
    }

    fn hand_over(&mut self, partition: i32) {
        let Some(reading) = self.open.get_mut(&partition) else { return };
        let records = std::mem::take(&mut reading.batch);
        if records.is_empty() {
            return;
        }
        self.context.metrics.restore_records(records.len() as u64);
        let offsets = |to: i64| (to - reading.from).max(0) as u64;
        reading.task.task.set_phase(Phase::Restoring { done: offsets(reading.position), of: offsets(reading.mark) });
        let thread = reading.thread;
        self.send(thread, Work::Apply(partition, records));
    }

    fn send(&self, thread: usize, work: Work) {
        // A thread that has ended has panicked, which whoever joins it finds out.
        let _ = self.senders[thread].send(work);
    }

    /// From time to time: drops what was stopped, and tells how far the rest is.
    fn look(&mut self) {
        let now = self.context.clock.boot_time();
        if now.since(self.looked) >= STOPS_EVERY {
            self.looked = now;
            let stopped = self.open.iter().filter(|(_, reading)| reading.task.stop.is_requested());
            for partition in stopped.map(|(partition, _)| *partition).collect::<Vec<_>>() {
                self.give_up(partition);
            }
        }
        if now.since(self.told) >= PROGRESS_EVERY {
            self.told = now;
            let remaining: i64 = self.open.values().map(|reading| (reading.mark - reading.position).max(0)).sum();
            tracing::info!(partitions = self.open.len(), remaining, "restoring: changelog records still to be read");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_read_up_to_its_mark_and_no_further_and_an_end_before_the_mark_is_none() {
        let record = |offset| next(offset, false, 10);
        assert_eq!(
            [record(8), record(9), record(10), record(12)],
            [Next::Take, Next::TakeAndFinish, Next::Finish, Next::Finish]
        );
        let end = |offset| next(offset, true, 10);
        assert_eq!([end(0), end(9), end(10), end(11)], [Next::GoOn, Next::GoOn, Next::Finish, Next::Finish]);
    }
}
