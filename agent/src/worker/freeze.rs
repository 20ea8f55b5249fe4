//! Epochs: freezing what changed, and what to do with the committer's answer.

use super::WorkerError;
use super::commits::while_catching_up;
use super::fold::{Fetching, LiveTask};
use super::run::Worker;
use super::tasks::Tasks;
use crate::clock::BootTime;
use crate::commit::{AbortReason, DeadLetter, Epoch, Outcome, TaskEpoch};
use crate::state::Task;
use std::sync::Arc;
use std::time::Duration;

impl Worker<'_> {
    /// Freezes and hands over an epoch if it is time, nothing is under way, and there is something to say.
    pub(super) fn freeze_when_due(&mut self) -> Result<(), WorkerError> {
        if self.commits.is_under_way() || !self.until_freeze().is_zero() || self.waits_for_a_look() {
            return Ok(());
        }
        self.freeze()
    }

    /// How long it is until the next epoch is due: not at all if there is enough for one already.
    pub(super) fn until_freeze(&self) -> Duration {
        let interval = self.agent.config.state.commit_interval;
        self.commits.until_due(self.waiting_bytes(), self.usual_wait(), interval, self.agent.clock.boot_time())
    }

    /// How long epochs are apart while nothing is wrong.
    fn usual_wait(&self) -> Duration {
        let interval = self.agent.config.state.commit_interval;
        if self.backlog.is_there() { while_catching_up(interval, self.lease.length()) } else { interval }
    }

    /// Freezes an epoch of what changed; if nothing did and the lease wants renewal, of one task's offset. Tasks that have
    /// waited longest come first, as far as one transaction carries them.
    pub(super) fn freeze(&mut self) -> Result<(), WorkerError> {
        let Some(given_to) = self.membership.may_commit() else { return Ok(()) };
        let began = self.agent.clock.boot_time();
        self.commits.begin(began);
        let known = self.agent.registry.topics();
        // Offsets of a topic that is gone are refused, and with them the whole epoch.
        let can_commit = |live: &LiveTask| live.held.is_none() && !known.lacks(&live.task.id.topic);
        // Whoever follows a changelog tells by it whether the owner is alive.
        let shows_life = self.agent.replicas.are_wanted();
        for live in self.tasks.iter_mut().filter(|live| can_commit(live)) {
            live.changed |= live.task.publication.waits(live.task.view.read().record());
            live.changed |= shows_life && began.since(live.frozen_at) >= self.lease.renewal();
        }
        let able = || self.tasks.iter().enumerate().filter(|(_, live)| can_commit(live));
        let mut chosen: Vec<usize> = able().filter(|(_, live)| live.changed).map(|(at, _)| at).collect();
        if chosen.is_empty() && self.lease.wants_renewal() {
            chosen.extend(able().next().map(|(at, _)| at));
        }
        chosen.sort_by_key(|&at| self.tasks[at].frozen_in);
        let weights: Vec<usize> = chosen.iter().map(|&at| self.weight_of(&self.tasks[at])).collect();
        chosen.truncate(within(&weights, self.commits.pace.limit()));
        if chosen.is_empty() {
            return Ok(());
        }
        let (number, now) = (self.commits.next_number(), self.agent.clock.unix_millis());
        let freeze = |at: usize| freeze_task(self.tasks.at(at), number, began, now);
        let tasks = chosen.into_iter().map(freeze).collect();
        let assignment = self.membership.assignment.current();
        self.commits.submit(Epoch { number, assignment, given_to, tasks, bytes: 0 })
    }

    /// Bytes that wait for the next epoch, roughly.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.tasks.iter().filter(|live| live.held.is_none()).map(|live| self.weight_of(live)).sum()
    }

    fn weight_of(&self, live: &LiveTask) -> usize {
        self.commits.pace.weight(live.state.dirty()) + live.dead_letters.iter().map(DeadLetter::size).sum::<usize>()
    }

    /// Takes the committer's answer, if there is one within `wait`.
    pub(super) fn poll_outcome(&mut self, wait: Duration) -> Result<(), WorkerError> {
        let Some(outcome) = self.commits.outcome(wait)? else { return Ok(()) };
        match outcome {
            Outcome::Committed { epoch, took } => self.committed(epoch, took),
            Outcome::Aborted { epoch, reason, detail } => self.aborted(epoch, reason, &detail),
            Outcome::Failed(detail) => Err(WorkerError::Commit(detail)),
        }
    }

    fn committed(&mut self, epoch: Epoch, took: Duration) -> Result<(), WorkerError> {
        let aborts = self.commits.succeeded(&epoch, took);
        if aborts > 0 {
            tracing::info!(worker = self.identity.worker, after = aborts, "commits succeed again");
        }
        self.unwritable.doubt(false);
        self.status.committed();
        for task in epoch.tasks {
            let Some(live) = find(&mut self.tasks, &task.task) else { continue };
            // A task that never committed is read only now that its start is on record.
            if live.fetching == Fetching::NotYet {
                live.fetching = Fetching::Reads;
                let next = live.next_offset;
                self.consumer.assign(&live.task.id, next, None)?;
            }
        }
        Ok(())
    }

    /// Nothing is rolled back: what the epoch held is dirty again.
    fn aborted(&mut self, epoch: Epoch, reason: AbortReason, detail: &str) -> Result<(), WorkerError> {
        let in_a_row = self.commits.failed();
        self.status.aborted(in_a_row, detail);
        if in_a_row == 1 || in_a_row.is_multiple_of(20) {
            tracing::warn!(
                worker = self.identity.worker,
                in_a_row,
                reason = reason.as_str(),
                "commit aborted: {detail}"
            );
        }
        self.unwritable.doubt(matches!(reason, AbortReason::Kafka | AbortReason::TimedOut));
        let too_large = reason == AbortReason::TimedOut && self.commits.is_too_large(&epoch);
        let whose: Vec<_> = epoch.tasks.iter().map(|task| task.task.id.clone()).collect();
        for task in epoch.tasks {
            if let Some(live) = find(&mut self.tasks, &task.task) {
                live.state.unfreeze(task.frozen);
                live.dead_letters.splice(0..0, task.dead_letters);
                live.changed = true;
            }
        }
        match reason {
            // One that was frozen under an older assignment says nothing of what is held now.
            AbortReason::Fenced if epoch.assignment == self.membership.assignment.current() => {
                self.lose_everything("the group went on without this member")
            }
            AbortReason::Membership => {
                // What is shown may be another's by now.
                self.lease.end();
                self.membership.suspend(self.agent.clock.boot_time(), epoch.given_to);
                Ok(())
            }
            // What one task has folded cannot be committed in parts. So less of its input is folded: again, from the
            // last commit on, and only as far as the limit goes.
            AbortReason::TimedOut if too_large && !self.membership.answering => {
                tracing::warn!(
                    partitions = ?whose,
                    "what was folded since the last commit does not fit into one: folding less ({detail})"
                );
                self.drop_and_restore(&whose)
            }
            AbortReason::Fenced
            | AbortReason::Rebalancing
            | AbortReason::Reassigned
            | AbortReason::TimedOut
            | AbortReason::Kafka => Ok(()),
        }
    }

    /// Commits all that can be committed, waiting for it until the deadline. True if everything is committed.
    pub(super) fn commit_all(&mut self, within: Duration) -> Result<bool, WorkerError> {
        let began = self.agent.clock.boot_time();
        let left = |worker: &Self| within.saturating_sub(worker.agent.clock.boot_time().since(began));
        let losses = self.membership.losses();
        while !left(self).is_zero() {
            if self.commits.is_under_way() {
                self.poll_outcome(left(self).min(Duration::from_millis(100)))?;
            } else if self.membership.losses() != losses {
                return Ok(false);
            } else if self.tasks.iter().any(|live| self.is_to_be_committed(live)) {
                if self.membership.may_commit().is_none() {
                    return Ok(false);
                }
                if self.commits.aborts() > 0 {
                    let wait = self.commits.wait(self.usual_wait(), self.agent.config.state.commit_interval);
                    std::thread::sleep(wait.min(left(self)));
                }
                self.freeze()?;
            } else {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_to_be_committed(&self, live: &LiveTask) -> bool {
        live.changed && live.held.is_none() && !self.is_gone(&live.task.id.topic)
    }

    /// Bytes of dead letters that wait for a commit.
    pub(super) fn dead_letter_bytes(&self) -> usize {
        let able = self.tasks.iter().filter(|live| live.held.is_none());
        able.flat_map(|live| &live.dead_letters).map(DeadLetter::size).sum()
    }
}

/// Pure: how many of these weights go into one epoch: the first in any case.
fn within(weights: &[usize], limit: usize) -> usize {
    let mut sum = 0usize;
    let fit = weights.iter().take_while(|&&weight| {
        sum = sum.saturating_add(weight);
        sum <= limit
    });
    fit.count().max(1).min(weights.len())
}

fn freeze_task(live: &mut LiveTask, epoch: u64, began: BootTime, now: i64) -> TaskEpoch {
    (live.changed, live.frozen_in, live.frozen_at) = (false, epoch, began);
    TaskEpoch {
        task: live.task.clone(),
        frozen: live.state.freeze(now),
        dead_letters: std::mem::take(&mut live.dead_letters),
        next_offset: live.next_offset,
        leader_epoch: live.leader_epoch,
        owner_epoch: live.owner_epoch,
    }
}

fn find<'a>(tasks: &'a mut Tasks, task: &Arc<Task>) -> Option<&'a mut LiveTask> {
    tasks.iter_mut().find(|live| Arc::ptr_eq(&live.task, task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_what_fits_and_the_first_in_any_case() {
        assert_eq!(within(&[], 10), 0);
        assert_eq!(within(&[50, 1], 10), 1);
        assert_eq!(within(&[4, 6, 1], 10), 2);
        assert_eq!(within(&[4, 0, 6], usize::MAX), 3);
    }
}
