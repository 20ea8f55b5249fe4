//! Pure: whether so many records wait that nobody waits for the newest one.

use std::time::Duration;

/// A batch that fills within this was there before it was asked for.
const AT_ONCE: Duration = Duration::from_millis(5);
/// So many of them in a row are a backlog. A steady stream fills batches, too, and has one or two ready when a fetch has
/// just come, or after a commit that took long: committing less often then would make every event wait.
const IN_A_ROW: u32 = 8;

/// What the last batches were like.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    full_at_once: u32,
}

impl Backlog {
    /// A batch was taken, within `took`.
    pub fn batch(&mut self, is_full: bool, took: Duration) {
        self.full_at_once = if is_full && took < AT_ONCE { self.full_at_once.saturating_add(1) } else { 0 };
    }

    pub fn is_there(&self) -> bool {
        self.full_at_once >= IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_no_backlog_however_full_its_batches_are() {
        let (at_once, filled) = (Duration::from_millis(1), Duration::from_millis(20));
        let mut backlog = Backlog::default();
        for _ in 0..100 {
            backlog.batch(true, filled);
            // What came while a commit held things up.
            (0..3).for_each(|_| backlog.batch(true, at_once));
            assert!(!backlog.is_there());
        }
        (0..IN_A_ROW).for_each(|_| backlog.batch(true, at_once));
        assert!(backlog.is_there());
        backlog.batch(false, at_once);
        assert!(!backlog.is_there());
    }
}
