//! How far each partition is: what every answer is as of.

use super::closing::Progress;
use crate::clock::Clock;
use crate::state::{Phase, Registry, Task, TaskId};
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
            Phase::Running if task.lease.holds() => Condition::Running,
            Phase::Running => Condition::Stale,
        }
    }
}

pub(super) fn of_tasks(tasks: &[Arc<Task>], idle_timeout: Duration, clock: &Clock) -> Vec<PartitionStatus> {
    let now = clock.unix_millis();
    tasks.iter().map(|task| PartitionStatus::of(task, idle_timeout, now)).collect()
}

/// Tells why the agent is not ready; nothing if it is.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Why this agent's tasks are not ready; empty if they are. Whether an assignment is known at all, the worker knows.
pub fn not_ready(registry: &Registry) -> Vec<String> {
    let reason = |task: Arc<Task>| match Condition::of(&task) {
        Condition::Running => None,
        Condition::Restoring { done: Some(done) } => {
            Some(format!("{}: restoring its state, {:.0} % of the changelog read", task.id, done * 100.0))
        }
        Condition::Restoring { done: None } => Some(format!("{}: restoring its state", task.id)),
        Condition::Stale => Some(format!("{}: no commit has succeeded lately", task.id)),
    };
    registry.tasks().into_iter().filter_map(reason).collect()
}
