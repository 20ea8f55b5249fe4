//! How far each partition is: what every answer is as of.

use super::closing::{Progress, is_silent};
use super::gather::{AsOf, Gathered};
use crate::aggregate::{AggregatePlan, Pane};
use crate::clock::Moment;
use crate::state::{Address, HeldUp, Phase, Registry, Task, TaskId, View};
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
    pub fn of(task: &Task, idle_timeout: Duration, now: Moment) -> PartitionStatus {
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
    /// Nothing has been heard lately of its owner, or of the broker that has its input.
    pub is_silent: bool,
    /// Panes that end at or before this are gone, Unix milliseconds.
    pub expired_before: Option<i64>,
    /// Ends of the panes held, ascending, if they were asked for.
    pub pane_ends: Vec<i64>,
}

impl Known {
    pub fn of(task: &Arc<Task>, plan: &AggregatePlan, now: Moment) -> Known {
        let status = PartitionStatus::of(task, plan.config.idle_timeout, now);
        // Before the view is held: whoever asks for it twice waits for a commit that waits for whoever has it.
        let is_silent = is_silent(task, now, plan.config.idle_timeout);
        let view = task.view.read();
        Known {
            status,
            oldest_end: oldest_pane_end(plan, &view),
            is_silent,
            expired_before: AsOf::of(plan, &view).expired_before,
            pane_ends: Vec::new(),
        }
    }

    /// The same with the ends of the panes held.
    pub fn with_panes(self, task: &Task, plan: &AggregatePlan) -> Known {
        let view = task.view.read();
        let panes = view.aggregate(plan.id).into_iter().flat_map(|aggregate| aggregate.panes());
        let mut pane_ends: Vec<i64> =
            panes.filter(|(pane, _)| *pane != Pane::TOTAL).map(|(pane, _)| pane.end).collect();
        pane_ends.dedup();
        Known { pane_ends, ..self }
    }

    /// A commit may have come since this was made.
    pub fn set_as_of(&mut self, as_of: &AsOf) {
        (self.status.next_offset, self.status.stream_time) = (as_of.next_offset, as_of.stream_time);
        self.expired_before = as_of.expired_before;
    }

    /// Whether what is known of it is of now.
    pub fn is_sound(&self) -> bool {
        !self.is_silent && matches!(self.status.condition, Condition::Running | Condition::Replica)
    }
}

/// A commit may have come in between: an answer names the offsets of the very cells that are in it.
pub fn as_gathered(known: &mut [Known], gathered: &Gathered) {
    for (known, as_of) in known.iter_mut().zip(&gathered.as_of) {
        known.set_as_of(as_of);
    }
}

/// End of the oldest pane held, Unix milliseconds.
fn oldest_pane_end(plan: &AggregatePlan, view: &View) -> Option<i64> {
    Some(view.aggregate(plan.id)?.panes().next()?.0.end)
}

/// Tells why the agent is not ready; nothing if it is.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Tells what is worth knowing although the agent is ready.
pub type Notes = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Why this agent's tasks are not ready; empty if they are. Whether an assignment is known at all, the worker knows.
pub fn not_ready(registry: &Registry) -> Vec<String> {
    let reason = |task: Arc<Task>| match Condition::of(&task) {
        Condition::Replica => None,
        Condition::Running => match (task.ownership.held_up(), task.ownership.awaits_schema()) {
            (Some(HeldUp { waited, why }), _) => {
                Some(format!("{}: has waited {} s to be committed: {why}", task.id, waited.as_secs()))
            }
            (None, Some(HeldUp { waited, why })) => {
                Some(format!("{}: has waited {} s for {why}", task.id, waited.as_secs()))
            }
            (None, None) => None,
        },
        Condition::Restoring { done: Some(done) } => {
            Some(format!("{}: restoring its state, {:.0} % of the changelog read", task.id, done * 100.0))
        }
        Condition::Restoring { done: None } => Some(match task.ownership.held_up() {
            Some(HeldUp { waited, why }) => {
                format!("{}: has waited {} s to be restored: {why}", task.id, waited.as_secs())
            }
            None => format!("{}: restoring its state", task.id),
        }),
        Condition::Stale => Some(format!("{}: no commit has succeeded lately", task.id)),
    };
    registry.tasks().into_iter().filter_map(reason).collect()
}
