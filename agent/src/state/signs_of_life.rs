//! When somebody else was last heard of: a replica's owner, or the broker that has a task's input.

use crate::clock::BootTime;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Boot times in milliseconds; below 0: none.
#[derive(Debug)]
pub struct SignsOfLife {
    last: AtomicI64,
    /// The first since which there was never silence.
    since: AtomicI64,
    /// So long without a sign is silence.
    silence: Duration,
}

impl SignsOfLife {
    /// Signs further apart than this have silence between them.
    pub fn no_further_apart_than(silence: Duration) -> SignsOfLife {
        SignsOfLife { last: AtomicI64::new(-1), since: AtomicI64::new(-1), silence }
    }

    /// Notes a sign of life.
    pub fn hear(&self, at: BootTime) {
        if self.unheard(at).is_none_or(|unheard| unheard >= self.silence) {
            self.since.store(at.as_millis(), Ordering::Release);
        }
        self.last.fetch_max(at.as_millis(), Ordering::Release);
    }

    /// Time since the last sign of life; `None`: there was none.
    pub fn unheard(&self, now: BootTime) -> Option<Duration> {
        let last = self.last.load(Ordering::Acquire);
        (last >= 0).then(|| now.since(BootTime::from_millis(last)))
    }

    /// For how long there have been signs of life without silence between them.
    pub fn heard_for(&self, now: BootTime) -> Duration {
        let since = self.since.load(Ordering::Acquire);
        if since < 0 { Duration::ZERO } else { now.since(BootTime::from_millis(since)) }
    }
}
