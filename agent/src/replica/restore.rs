//! Taking over partitions: from the redb file and the changelog's tail to a state that may be folded into.
//!
//! Runs on threads of its own, so that healthy partitions go on meanwhile. The order of its steps is the protocol's:
//! the group's committed offsets first (they wait for a predecessor's open transaction), *then* the changelog's high
//! watermark, then wait until the last stable offset reaches it, and only then replay up to it.

use super::context::{CALL_TIMEOUT, Ends, Readers, RestoreContext, RestoreTask};
use super::error::RestoreError;
use super::left_open::end_what_is_left_open;
use super::partition::{PartitionRestore, Restored};
use super::reader::{read_all, threads};
use crate::failpoint;
use crate::kafka::TopicPartition;
use parking_lot::Mutex;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    let mut opened = open_all(context, tasks, &ends)?;
    failpoint::hit("restore.loaded");
    step("state files loaded");
    while !opened.is_empty() {
        let again = Mutex::new(Vec::new());
        let promote = |restore: PartitionRestore| {
            match restore.promote(context, &ends, &committed)? {
                Ok(restored) => {
                    context.metrics.restored(context.clock.boot_time().since(began));
                    done(restored);
                }
                Err(from_scratch) => again.lock().push(from_scratch),
            }
            Ok(())
        };
        read_all(context, &mut reader, opened, promote)?;
        opened = again.into_inner();
    }
    failpoint::hit("restore.promoted");
    step("changelog replayed");
    Ok(())
}

/// Opens the state of all tasks, on as many threads as there are cores: most of it is bringing files into memory.
fn open_all(
    context: &RestoreContext,
    tasks: &[RestoreTask],
    ends: &Ends,
) -> Result<Vec<PartitionRestore>, RestoreError> {
    let next = AtomicUsize::new(0);
    let open_some = || {
        let mut opened = Vec::new();
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let changelog = (task.changelog.clone(), task.task.id.partition);
            let mark = ends.changelog[&changelog];
            opened.push(PartitionRestore::open(context, task, changelog, mark, &ends.cluster_id)?);
        }
        Ok(opened)
    };
    let opened: Result<Vec<Vec<PartitionRestore>>, RestoreError> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads(tasks.len())).map(|_| scope.spawn(open_some)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    Ok(opened?.into_iter().flatten().collect())
}
