//! A worker's commits: what is under way, how much goes into one, and when the next is due. It decides; the worker freezes.

use super::WorkerError;
use crate::clock::BootTime;
use crate::commit::{Committer, Epoch, Outcome, Pace};
use crate::stop::Stop;
use std::time::Duration;

/// Waits between attempts grow from the commit interval to this while commits are aborted.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// While it catches up, a worker commits this many times less often.
const CATCHING_UP: u32 = 4;

pub(super) struct Commits {
    committer: Committer,
    /// Tells the committer that nobody waits any more.
    abandoned: Stop,
    /// How much may go into one epoch.
    pub pace: Pace,
    /// Number of the last epoch.
    number: u64,
    /// When it was frozen, or would have been if there had been something to commit.
    frozen_at: BootTime,
    /// Cells of the one that is not decided yet.
    under_way: Option<usize>,
    /// In a row.
    aborts: u32,
}

impl Commits {
    pub fn new(committer: Committer, abandoned: Stop, pace: Pace, now: BootTime) -> Commits {
        Commits { committer, abandoned, pace, number: 0, frozen_at: now, under_way: None, aborts: 0 }
    }

    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Cells of the epoch under way.
    pub fn cells_under_way(&self) -> usize {
        self.under_way.unwrap_or(0)
    }

    pub fn aborts(&self) -> u32 {
        self.aborts
    }

    /// When the last epoch was frozen.
    pub fn frozen_at(&self) -> BootTime {
        self.frozen_at
    }

    /// An epoch is being looked for something to hold.
    pub fn begin(&mut self, now: BootTime) {
        self.frozen_at = now;
    }

    /// The next epoch's number.
    pub fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// How long it is until the next epoch is due with so many bytes waiting: not at all if they are enough for one already.
    /// `usual`: how long epochs are apart while nothing is wrong.
    pub fn until_due(&self, waiting: usize, usual: Duration, interval: Duration, now: BootTime) -> Duration {
        if self.aborts == 0 && waiting >= self.pace.limit() {
            return Duration::ZERO;
        }
        self.wait(usual, interval).saturating_sub(now.since(self.frozen_at))
    }

    /// How long an epoch comes after the one before.
    pub fn wait(&self, usual: Duration, interval: Duration) -> Duration {
        match self.aborts {
            0 => usual,
            n => (interval * 2u32.saturating_pow(n.min(10))).min(LONGEST_BACKOFF),
        }
    }

    pub fn submit(&mut self, epoch: Epoch) -> Result<(), WorkerError> {
        self.under_way = Some(epoch.tasks.iter().map(|task| task.frozen.entries.len()).sum());
        self.committer.submit(epoch).map_err(|_| ended())
    }

    /// The outcome of the epoch under way, if it is known within `wait`.
    pub fn outcome(&mut self, wait: Duration) -> Result<Option<Outcome>, WorkerError> {
        if self.under_way.is_none() {
            return Ok(None);
        }
        match self.committer.outcome(wait) {
            Some(outcome) => {
                self.under_way = None;
                Ok(Some(outcome))
            }
            None if self.committer.is_alive() => Ok(None),
            None => Err(ended()),
        }
    }

    /// Notes that an epoch was committed; says how many had been aborted before it.
    pub fn succeeded(&mut self, epoch: &Epoch, took: Duration) -> u32 {
        self.pace.committed(epoch.bytes, epoch.entries(), took);
        std::mem::take(&mut self.aborts)
    }

    /// Notes that an epoch was aborted; says how many have been in a row.
    pub fn failed(&mut self) -> u32 {
        self.aborts += 1;
        self.aborts
    }

    /// Notes that an epoch did not fit. True if it has not for the second time, and cannot be made smaller by leaving
    /// tasks out.
    pub fn is_too_large(&mut self, epoch: &Epoch) -> bool {
        self.pace.did_not_fit(epoch.bytes);
        epoch.tasks.len() == 1 && self.pace.misfits() >= 2 && epoch.bytes > self.pace.limit()
    }

    /// Tells the committer that nobody waits for an outcome any more.
    pub fn abandon(&self) {
        self.abandoned.request();
    }

    /// Ends the committer after the epoch under way, or gives that up after `patience`.
    pub fn end(self, patience: Duration) {
        self.committer.join(patience, &self.abandoned);
    }
}

fn ended() -> WorkerError {
    WorkerError::Commit("the committer has ended; see the log".into())
}

/// Pure: behind by much, nobody waits for the newest event, and fewer commits leave more time for folding; but what is shown
/// is shown under the lease, which each commit renews.
pub(super) fn while_catching_up(interval: Duration, lease: Duration) -> Duration {
    (interval * CATCHING_UP).min(lease / 3).max(interval)
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
