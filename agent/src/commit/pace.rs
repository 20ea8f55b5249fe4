//! Pure: how much may go into one transaction, by what recent ones managed.
//!
//! A transaction has an end, `kafka.transaction_timeout`, and what the brokers take until then may be little: a quota, a
//! slow link. An epoch that does not fit is aborted, and all of it waits again, with what was folded meanwhile; one that
//! just fits outlasts the lease, and totals vanish. So an epoch has a limit, which begins low, doubles with each epoch that
//! comes near it, is halved by one that did not fit, and from then on grows little by little where that was; and folding stops while more waits than one epoch may carry, since a task's part of an epoch cannot be split: its offset
//! record vouches for all of its state.

use std::time::Duration;

/// The first limit: what a megabit a second carries in ten seconds, compressed.
const FIRST: usize = 2 << 20;
const LEAST: usize = 32 << 10;
const MOST: usize = 1 << 40;
/// The share of the shortest timeout that an epoch is to take at most.
const SHARE: u32 = 4;
/// What an entry is taken for until some have been written.
const ENTRY_BYTES: usize = 128;
/// Fewer entries than this say little about the size of others.
const ENOUGH_ENTRIES: usize = 100;

/// What may go into the next epoch, in bytes before compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    limit: usize,
    /// Where the limit was when an epoch last took too long: beyond it, it grows by an eighth.
    ceiling: usize,
    entry_bytes: usize,
    /// Epochs in a row that did not fit.
    misfits: u32,
    timeout: Duration,
}

impl Pace {
    /// `timeout`: that of a transaction, or that of the group's session if it is shorter.
    pub fn new(timeout: Duration) -> Pace {
        Pace { limit: FIRST, ceiling: MOST, entry_bytes: ENTRY_BYTES, misfits: 0, timeout }
    }

    /// Bytes that one epoch may carry.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What so many entries come to.
    pub fn weight(&self, entries: usize) -> usize {
        entries * self.entry_bytes
    }

    /// Epochs in a row that did not fit.
    pub fn misfits(&self) -> u32 {
        self.misfits
    }

    /// How many records may be folded at once when `waiting` bytes wait: all `most` of them unless the limit has been cut.
    pub fn batch(&self, most: usize, waiting: usize) -> usize {
        if self.limit >= FIRST {
            return most;
        }
        // A record changes a few entries.
        let each = 8 * self.entry_bytes.max(1);
        (self.limit.saturating_sub(waiting) / each).clamp(16.min(most), most)
    }

    /// An epoch of so many bytes in so many entries was committed.
    pub fn committed(&mut self, bytes: usize, entries: usize, took: Duration) {
        self.misfits = 0;
        if entries >= ENOUGH_ENTRIES {
            self.entry_bytes = (3 * self.entry_bytes + bytes / entries).div_ceil(4);
        }
        let target = self.timeout / SHARE;
        if took > target {
            // Of a small one it says that something stood still, and nothing of how much would have fitted.
            if bytes >= LEAST {
                let fitting = bytes as f64 * target.as_secs_f64() / took.as_secs_f64();
                self.limit = (fitting as usize).clamp(LEAST, self.limit.max(LEAST));
                self.ceiling = self.limit;
            }
        } else if bytes >= self.limit / 2 {
            self.limit = match self.limit < self.ceiling {
                true => (self.limit * 2).min(self.ceiling),
                false => (self.limit + self.limit / 8).min(MOST),
            };
            self.ceiling = self.ceiling.max(self.limit);
        }
    }

    /// An epoch of so many bytes could not be written within the timeout.
    pub fn did_not_fit(&mut self, bytes: usize) {
        self.misfits += 1;
        self.limit = (bytes.min(self.limit) / 2).max(LEAST);
        self.ceiling = self.limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const QUICK: Duration = Duration::from_millis(200);

    #[test]
    fn what_is_committed_quickly_raises_the_limit_only_if_it_came_near_it() {
        let mut pace = Pace::new(TIMEOUT);
        (0..100).for_each(|_| pace.committed(400 << 10, 1_000, QUICK));
        assert_eq!(pace.limit(), FIRST);
        (1..=6).for_each(|_| pace.committed(pace.limit(), 10_000, QUICK));
        assert_eq!(pace.limit(), FIRST << 6);
    }

    #[test]
    fn what_does_not_fit_is_halved_until_it_does_and_grows_again_afterwards() {
        let (mut pace, carries) = (Pace::new(TIMEOUT), 300 << 10);
        let mut tries = 0;
        while pace.limit() > carries {
            pace.did_not_fit(pace.limit());
            tries += 1;
        }
        assert_eq!((tries, pace.misfits()), (3, 3));
        pace.committed(pace.limit(), 2_000, TIMEOUT * 3 / 4);
        assert!(
            pace.limit() < carries / 2,
            "a third of it, so that one takes a quarter of the timeout: {}",
            pace.limit()
        );
        assert_eq!(pace.misfits(), 0);
        let before = pace.limit();
        pace.committed(before, 2_000, QUICK);
        assert_eq!(pace.limit(), before + before / 8, "little by little where it was too much");
        (0..20).for_each(|_| pace.committed(pace.limit(), 2_000, QUICK));
        assert!(pace.limit() > carries);
    }

    #[test]
    fn there_is_a_least_and_a_small_epoch_that_took_long_says_nothing() {
        let mut pace = Pace::new(TIMEOUT);
        pace.committed(500, 5, TIMEOUT / 2);
        assert_eq!(pace.limit(), FIRST);
        (0..50).for_each(|_| pace.did_not_fit(pace.limit()));
        assert_eq!(pace.limit(), LEAST);
        pace.committed(LEAST, 200, TIMEOUT);
        assert_eq!(pace.limit(), LEAST);
    }

    #[test]
    fn batches_get_smaller_only_below_the_first_limit() {
        let mut pace = Pace::new(TIMEOUT);
        assert_eq!(pace.batch(2048, 10 * FIRST), 2048);
        pace.did_not_fit(256 << 10);
        assert_eq!((pace.batch(2048, 0), pace.batch(2048, 64 << 10), pace.batch(2048, 128 << 10)), (128, 64, 16));
    }
}
