//! How far each partition is: what every answer is as of.

use super::closing::Progress;
use super::gather::Gathered;
use crate::aggregate::AggregatePlan;
use crate::state::{Address, HeldUp, Phase, Registry, Task, TaskId};
use std::sync::Arc;
use std::time::Duration;

/// What can be relied on in a partition's state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    Running,
    /// Reading its changelog; the part read so far, if the whole is known.
    Restoring {
        done: Option<f64>,
    },
    /// A copy that follows its owner's changelog.
    Replica,
    /// Its worker's lease does not hold: another agent may be further.
    Stale,
}

/// One partition, as of its last commit.
#[derive(Clone, Debug)]
pub struct PartitionStatus {
    pub id: TaskId,
    pub condition: Condition,
    pub next_offset: i64,
    /// Unix milliseconds.
    pub stream_time: Option<i64>,
    /// Unix milliseconds; `None` before the first commit.
    pub committed_at: Option<i64>,
    pub lag: Option<u64>,
    pub idle: bool,
    /// Changelog offsets that are still to be read; of restoring ones and of replicas.
    pub behind: Option<u64>,
    /// The agent that it was read from; `None`: this one.
    pub agent: Option<Address>,
}

impl PartitionStatus {
    pub fn of(task: &Task, idle_timeout: Duration, now: i64) -> PartitionStatus {
        let Progress { idle, .. } = Progress::of(task, now, idle_timeout);
        let lag = task.lag();
        let view = task.view.read();
        // A restored view has not been committed by this process; its record tells when it was.
        let committed_at = [view.committed_at(), view.record().written_at_ms].into_iter().find(|&at| at > 0);
        PartitionStatus {
            id: task.id.clone(),
            condition: Condition::of(task),
            next_offset: view.record().next_offset,
            stream_time: view.record().stream_time,
            committed_at,
            lag,
            idle,
            behind: match task.phase() {
                Phase::Restoring { done, of } => (of > 0).then(|| of.saturating_sub(done)),
                Phase::Replica { behind } => behind,
                Phase::Running => None,
            },
            agent: None,
        }
    }

    pub fn progress(&self) -> Progress {
        Progress { stream_time: self.stream_time, idle: self.idle }
    }
}

impl Condition {
    fn of(task: &Task) -> Condition {
        match task.phase() {
            Phase::Restoring { done, of } => {
                Condition::Restoring { done: (of > 0).then(|| (done as f64 / of as f64).min(1.0)) }
            }
            Phase::Replica { .. } => Condition::Replica,
            Phase::Running if task.lease.holds() => Condition::Running,
            Phase::Running => Condition::Stale,
        }
    }
}

/// A partition's status, and what else has to be known before cells are asked for.
#[derive(Clone, Debug)]
pub struct Known {
    pub status: PartitionStatus,
    /// End of the oldest pane held, Unix milliseconds.
    pub oldest_end: Option<i64>,
}

impl Known {
    pub fn of(task: &Arc<Task>, plan: &AggregatePlan, now: i64) -> Known {
        let status = PartitionStatus::of(task, plan.config.idle_timeout, now);
        Known { status, oldest_end: oldest_pane_end(plan, task) }
    }
}

/// A commit may have come in between: an answer names the offsets of the very cells that are in it.
pub(super) fn as_gathered(known: &mut [Known], gathered: &Gathered) {
    for (known, &(next_offset, stream_time)) in known.iter_mut().zip(&gathered.as_of) {
        (known.status.next_offset, known.status.stream_time) = (next_offset, stream_time);
    }
}

/// End of the oldest pane that a task holds, Unix milliseconds.
pub fn oldest_pane_end(plan: &AggregatePlan, task: &Task) -> Option<i64> {
    let end = task.view.read().aggregate(plan.id)?.panes().next()?.0.end;
    Some(end)
}

/// Tells why the agent is not ready; nothing if it is.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Why this agent's tasks are not ready; empty if they are. Whether an assignment is known at all, the worker knows.
pub fn not_ready(registry: &Registry) -> Vec<String> {
    let reason = |task: Arc<Task>| match Condition::of(&task) {
        Condition::Running | Condition::Replica => None,
        Condition::Restoring { done: Some(done) } => {
            Some(format!("{}: restoring its state, {:.0} % of the changelog read", task.id, done * 100.0))
        }
        Condition::Restoring { done: None } => Some(match task.held_up() {
            Some(HeldUp { waited, why }) => {
                format!("{}: has waited {} s to be restored: {why}", task.id, waited.as_secs())
            }
            None => format!("{}: restoring its state", task.id),
        }),
        Condition::Stale => Some(format!("{}: no commit has succeeded lately", task.id)),
    };
    registry.tasks().into_iter().filter_map(reason).collect()
}
