//! Epochs: freezing what changed, and what to do with the committer's answer.

use super::WorkerError;
use super::fold::LiveTask;
use super::run::Worker;
use crate::commit::{AbortReason, DeadLetter, Epoch, Outcome, TaskEpoch};
use crate::state::Task;
use std::sync::Arc;
use std::time::Duration;

/// Waits between attempts grow from the commit interval to this while commits are aborted.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// While it catches up, a worker commits this many times less often.
const CATCHING_UP: u32 = 4;

impl Worker<'_> {
    /// Freezes and hands over an epoch if it is time, nothing is under way, and there is something to say.
    pub(super) fn freeze_when_due(&mut self) -> Result<(), WorkerError> {
        if self.epoch_under_way || self.suspended_at.is_some() || !self.until_freeze().is_zero() {
            return Ok(());
        }
        self.freeze()
    }

    /// How long it is until the next epoch is due.
    pub(super) fn until_freeze(&self) -> Duration {
        self.freeze_wait().saturating_sub(self.agent.clock.boot_time().since(self.last_freeze))
    }

    fn freeze_wait(&self) -> Duration {
        let interval = self.agent.config.state.commit_interval;
        match self.aborts {
            0 if self.catching_up => while_catching_up(interval, self.lease.length()),
            0 => interval,
            n => (interval * 2u32.saturating_pow(n.min(10))).min(LONGEST_BACKOFF),
        }
    }

    /// Freezes an epoch of all that changed; if nothing did and the lease wants renewal, of one task's offset.
    pub(super) fn freeze(&mut self) -> Result<(), WorkerError> {
        self.last_freeze = self.agent.clock.boot_time();
        let now = self.agent.clock.unix_millis();
        let renew = self.lease.wants_renewal() && !self.tasks.iter().any(|live| live.changed);
        let mut renewing = renew;
        // Whoever follows a changelog tells by it whether the owner is alive.
        let shows_life = self.agent.replicas.are_wanted();
        let mut tasks = Vec::new();
        for live in &mut self.tasks {
            live.changed |= live.task.publication.waits(live.task.view.read().record());
            live.changed |= shows_life && self.last_freeze.since(live.frozen_at) >= self.lease.renewal();
            if live.changed || std::mem::take(&mut renewing) {
                live.frozen_at = self.last_freeze;
                tasks.push(freeze_task(live, now));
            }
        }
        if tasks.is_empty() {
            return Ok(());
        }
        self.epochs += 1;
        self.pressure.cells_under_way = tasks.iter().map(|task| task.frozen.entries.len()).sum();
        let epoch = Epoch { number: self.epochs, assignment: self.assignment.current(), tasks };
        self.epoch_under_way = true;
        self.committer.submit(epoch).map_err(|_| WorkerError::Commit("the committer has ended; see the log".into()))
    }

    /// Takes the committer's answer, if there is one within `wait`.
    pub(super) fn reap(&mut self, wait: Duration) -> Result<(), WorkerError> {
        if !self.epoch_under_way {
            return Ok(());
        }
        let Some(outcome) = self.committer.outcome(wait) else {
            return if self.committer.is_alive() {
                Ok(())
            } else {
                Err(WorkerError::Commit("the committer has ended; see the log".into()))
            };
        };
        self.epoch_under_way = false;
        self.pressure.cells_under_way = 0;
        match outcome {
            Outcome::Committed(epoch) => self.committed(epoch),
            Outcome::Aborted { epoch, reason, detail } => self.aborted(epoch, reason, &detail),
            Outcome::Failed(detail) => Err(WorkerError::Commit(detail)),
        }
    }

    fn committed(&mut self, epoch: Epoch) -> Result<(), WorkerError> {
        if self.aborts > 0 {
            tracing::info!(worker = self.identity.worker, after = self.aborts, "commits succeed again");
        }
        self.aborts = 0;
        self.status.set_aborts(0);
        for task in epoch.tasks {
            let Some(live) = find(&mut self.tasks, &task.task) else { continue };
            // A task that never committed is read only now that its start is on record.
            if !live.assigned {
                live.assigned = true;
                let next = live.next_offset;
                let id = live.task.id.clone();
                self.consumer.assign(&(id.topic, id.partition), next, None)?;
            }
        }
        Ok(())
    }

    /// Nothing is rolled back: what the epoch held is dirty again.
    fn aborted(&mut self, epoch: Epoch, reason: AbortReason, detail: &str) -> Result<(), WorkerError> {
        self.aborts += 1;
        self.status.set_aborts(self.aborts);
        if self.aborts == 1 || self.aborts.is_multiple_of(20) {
            let in_a_row = self.aborts;
            tracing::warn!(
                worker = self.identity.worker,
                in_a_row,
                reason = reason.as_str(),
                "commit aborted: {detail}"
            );
        }
        for task in epoch.tasks {
            if let Some(live) = find(&mut self.tasks, &task.task) {
                live.state.unfreeze(task.frozen);
                live.dead_letters.splice(0..0, task.dead_letters);
                live.changed = true;
            }
        }
        match reason {
            AbortReason::Fenced => self.lose_everything("the group went on without this member"),
            AbortReason::Membership => {
                self.suspended_at = Some(self.generation_now());
                Ok(())
            }
            AbortReason::Rebalancing | AbortReason::Reassigned | AbortReason::Kafka => Ok(()),
        }
    }

    /// Commits all there is, waiting for it until the deadline. True if everything is committed.
    pub(super) fn settle(&mut self, within: Duration) -> Result<bool, WorkerError> {
        let began = self.agent.clock.boot_time();
        let left = |worker: &Self| within.saturating_sub(worker.agent.clock.boot_time().since(began));
        let number = self.losses;
        while !left(self).is_zero() {
            if self.epoch_under_way {
                self.reap(left(self).min(Duration::from_millis(100)))?;
            } else if self.losses != number || self.suspended_at.is_some() {
                return Ok(false);
            } else if self.tasks.iter().any(|live| live.changed) {
                if self.aborts > 0 {
                    std::thread::sleep(self.freeze_wait().min(left(self)));
                }
                self.freeze()?;
            } else {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes of dead letters that wait for a commit.
    pub(super) fn dead_letter_bytes(&self) -> usize {
        self.tasks.iter().flat_map(|live| &live.dead_letters).map(DeadLetter::size).sum()
    }
}

/// Pure: behind by much, nobody waits for the newest event, and fewer commits leave more time for folding; but what is shown
/// is shown under the lease, which each commit renews.
fn while_catching_up(interval: Duration, lease: Duration) -> Duration {
    (interval * CATCHING_UP).min(lease / 3).max(interval)
}

fn freeze_task(live: &mut LiveTask, now: i64) -> TaskEpoch {
    live.changed = false;
    TaskEpoch {
        task: live.task.clone(),
        frozen: live.state.freeze(now),
        dead_letters: std::mem::take(&mut live.dead_letters),
        next_offset: live.next_offset,
        leader_epoch: live.leader_epoch,
        owner_epoch: live.owner_epoch,
    }
}

fn find<'a>(tasks: &'a mut [LiveTask], task: &Arc<Task>) -> Option<&'a mut LiveTask> {
    tasks.iter_mut().find(|live| Arc::ptr_eq(&live.task, task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_while_catching_up_renew_the_lease_in_time() {
        let wait = |interval, lease| {
            while_catching_up(Duration::from_millis(interval), Duration::from_millis(lease)).as_millis()
        };
        assert_eq!(wait(100, 6_666), 400);
        // A session timeout of 10 s and commits every 2 s: four intervals would outlast the lease.
        assert_eq!(wait(2_000, 6_666), 2_222);
        assert_eq!(wait(3_300, 6_666), 3_300);
    }
}
