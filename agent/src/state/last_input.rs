//! How long no input has been read, whatever the wall clocks of those who read it say.

use crate::clock::{BootTime, Moment};
use parking_lot::Mutex;
use std::time::Duration;

/// When a partition's last input was read, as far as this process has seen it.
#[derive(Debug, Default)]
pub struct LastInput(Mutex<Option<Seen>>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// As the offset record has it, by the wall clock of whoever wrote it.
    recorded: i64,
    /// When this process first saw it.
    at: BootTime,
    /// Another one was seen before: so it is no older than that.
    is_new: bool,
}

impl LastInput {
    /// How long no input has been read, by the offset record's time of the last (Unix milliseconds); `None` before the first
    /// commit. A wall clock that was ahead when input was read, or is now, makes it no shorter than this process has seen,
    /// and no longer once it has seen input being read.
    pub fn without_input(&self, recorded: i64, now: Moment) -> Option<Duration> {
        if recorded <= 0 {
            return None;
        }
        let mut last = self.0.lock();
        let last = match &mut *last {
            Some(known) if known.recorded == recorded => *known,
            other => *other.insert(Seen { recorded, at: now.boot, is_new: other.is_some() }),
        };
        let seen = now.boot.since(last.at);
        let by_the_wall = Duration::from_millis(now.unix_millis.saturating_sub(recorded).max(0) as u64);
        Some(if last.is_new { seen } else { seen.max(by_the_wall) })
    }
}
