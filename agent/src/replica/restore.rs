//! Taking over partitions: from the redb file and the changelog's tail to a state that may be folded into.
//!
//! Runs on threads of its own, so that healthy partitions go on meanwhile. Each partition has an outcome of its own, and
//! can be given up by itself. The order of the steps is the protocol's: the group's committed offsets first (they wait for
//! a predecessor's open transaction), *then* the changelog's high watermark, then wait until the last stable offset reaches
//! it, and only then replay up to it.

use super::brokers::Brokers;
use super::context::{Readers, RestoreContext, RestoreTask};
use super::error::RestoreError;
use super::left_open::{Ending, end_hanging};
use super::partition::{PartitionRestore, Promotion, Restored};
use super::reader::{read_all, threads};
use super::survey::{Known, Survey};
use crate::failpoint;
use parking_lot::Mutex;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Between two looks at what is not known yet, at first and at most.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// How long a restore may be held up before the log says so (and again after each such time).
const WARNING: Duration = Duration::from_secs(15);

/// How often the brokers look for transactions that have timed out (`transaction.abort.timed.out.transaction.cleanup.interval.ms`
/// is 10 s), and a moment for the markers.
const BROKERS_SWEEP: Duration = Duration::from_secs(12);

/// How often it is looked whether a transaction hangs.
const LOOK_FOR_HANGING: Duration = Duration::from_secs(2);

/// What became of a partition's restore. One that was stopped has none.
pub enum Outcome {
    Ready(Box<Restored>),
    /// To be told of by whoever still wants it.
    Failed {
        task: RestoreTask,
        error: RestoreError,
    },
    /// These could not begin yet while others could: they need a restore of their own.
    NotYet(Vec<RestoreTask>),
}

/// Restores `tasks`, all of one source topic, and reports each as soon as it is through, from several threads. Returns
/// when all have been reported or stopped.
pub fn restore(
    context: &RestoreContext,
    readers: Readers,
    tasks: Vec<RestoreTask>,
    report: impl Fn(Outcome) + Sync,
) -> Result<(), RestoreError> {
    let began = context.clock.boot_time();
    tasks.iter().for_each(|task| task.task.set_topic_id(context.ids.source.clone()));
    let (known, cluster_id, ending) = survey(context, &readers, tasks, &report)?;
    failpoint::hit("restore.initialised");
    let step = |what: &str| tracing::debug!(took = ?context.clock.boot_time().since(began), "restore: {what}");
    step("offsets known, changelog stable");

    let Readers { all, stable: mut reader } = readers;
    let failed = |task: &RestoreTask, error| match error {
        RestoreError::Cancelled => {}
        error => report(Outcome::Failed { task: task.clone(), error }),
    };
    let mut opened = open_all(context, known, &cluster_id, &failed);
    failpoint::hit("restore.loaded");
    step("state files loaded");
    while !opened.is_empty() {
        let again = Mutex::new(Vec::new());
        let promote = |restore: PartitionRestore| {
            let task = restore.task().clone();
            match restore.promote(context, &all) {
                Ok(Promotion::Ready(restored)) => {
                    context.metrics.restored(context.clock.boot_time().since(began));
                    report(Outcome::Ready(restored));
                }
                Ok(Promotion::FromScratch(restore)) => again.lock().push(*restore),
                Err(error) => failed(&task, error),
            }
        };
        read_all(context, &mut reader, opened, promote, &failed);
        opened = again.into_inner();
    }
    failpoint::hit("restore.promoted");
    step("changelog replayed");
    drop(ending);
    Ok(())
}

/// What may begin, the cluster's id, and a transaction that is being ended beside it.
type Begun = (Vec<Known>, Arc<str>, Option<Ending>);

/// Asks until something may begin, and reports what may not yet. Nothing is known if all were stopped.
fn survey(
    context: &RestoreContext,
    readers: &Readers,
    tasks: Vec<RestoreTask>,
    report: &impl Fn(Outcome),
) -> Result<Begun, RestoreError> {
    let brokers = Brokers::new(context, readers);
    let began = context.clock.boot_time();
    let mut survey = Survey::new(tasks, began);
    let open = survey.peek(&brokers);
    let ending = if open.is_empty() { None } else { Some(Ending::start(context, open)?) };
    let (mut warned, mut wait) = (Duration::ZERO, SHORTEST_WAIT);
    // By then the brokers have ended each transaction that they know of.
    let patience = context.settings.kafka().transaction_timeout + BROKERS_SWEEP;
    let (mut looked, mut hanging_since) = (Duration::ZERO, None);
    let known = loop {
        for (task, error) in survey.round(&brokers) {
            report(Outcome::Failed { task, error });
        }
        let waited = context.clock.boot_time().since(began);
        let known = survey.take_known(context.clock.boot_time());
        if !known.is_empty() || survey.is_empty() {
            break known;
        }
        let is_unstable = survey.is_unstable();
        context.metrics.restore_unstable(if is_unstable { waited } else { Duration::ZERO });
        if let Some((task, why)) = survey.tell(waited)
            && waited - warned >= WARNING
        {
            warned = waited;
            tracing::warn!(
                partitions = survey.waiting(),
                "{}: has waited {} s to be restored: {why}",
                task.task.id,
                waited.as_secs()
            );
        }
        if waited - looked >= LOOK_FOR_HANGING {
            looked = waited;
            let hanging = survey.hanging(&brokers);
            if hanging.is_empty() {
                // Brokers that do not answer have lost nothing.
                hanging_since = None;
            } else if waited - *hanging_since.get_or_insert(waited) >= patience {
                hanging_since = None;
                survey.hung(&hanging);
                end_hanging(context, &hanging);
            }
        }
        std::thread::sleep(wait);
        wait = (wait * 5 / 4).min(LONGEST_WAIT);
    };
    context.metrics.restore_unstable(Duration::ZERO);
    let cluster_id = if known.is_empty() { "".into() } else { brokers.cluster_id().into() };
    let rest = survey.into_rest();
    if !rest.is_empty() {
        report(Outcome::NotYet(rest));
    }
    Ok((known, cluster_id, ending))
}

/// Opens the state of all tasks, on as many threads as there are cores: most of it is bringing files into memory.
fn open_all(
    context: &RestoreContext,
    known: Vec<Known>,
    cluster_id: &Arc<str>,
    failed: &(impl Fn(&RestoreTask, RestoreError) + Sync),
) -> Vec<PartitionRestore> {
    let next = AtomicUsize::new(0);
    let open_some = || {
        let mut opened = Vec::new();
        while let Some(known) = known.get(next.fetch_add(1, Ordering::Relaxed)) {
            match PartitionRestore::open(context, known.clone(), cluster_id.clone()) {
                Ok(restore) => opened.push(restore),
                Err(error) => failed(&known.task, error),
            }
        }
        opened
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads(known.len())).map(|_| scope.spawn(open_some)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}
