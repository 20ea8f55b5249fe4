//! When a window is closed: what every partition's progress says about it. Pure; time is handed in.

use crate::aggregate::WindowGrid;
use crate::state::{Phase, Task};
use std::time::Duration;

/// How far one partition is, as far as closing windows goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Highest committed event time, Unix milliseconds; `None` before the first event.
    pub stream_time: Option<i64>,
    /// No event came for `idle_timeout` and none is waiting: it no longer holds up closing.
    pub idle: bool,
}

impl Progress {
    /// Progress of a task, at wall time `now` (Unix milliseconds).
    pub fn of(task: &Task, now: i64, idle_timeout: Duration) -> Progress {
        let (stream_time, last_input) = {
            let view = task.view.read();
            (view.record().stream_time, view.record().last_input_at_ms)
        };
        // A partition that has messages waiting, or may have, is not idle however old its last commit is: after a
        // downtime all of them look old.
        let nothing_waits = match task.phase() {
            Phase::Running => task.stable_lag() == Some(0),
            // How much its owner has waiting cannot be seen from here. One that reads it commits it, which shows.
            Phase::Replica { .. } => is_idle(task.observed_since(), now, idle_timeout),
            Phase::Restoring { .. } => false,
        };
        Progress { stream_time, idle: nothing_waits && is_idle(last_input, now, idle_timeout) }
    }
}

/// Whether a partition whose input was last read at `last_input` has been silent for `idle_timeout` at `now`.
fn is_idle(last_input: i64, now: i64, idle_timeout: Duration) -> bool {
    last_input > 0 && now.saturating_sub(last_input) >= idle_timeout.as_millis() as i64
}

/// What the partitions together say about closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// A partition that is not idle has seen no event yet, or there is no partition: nothing is closed.
    Nothing,
    /// The slowest partition that is not idle has come this far.
    Through(i64),
    /// All are idle; this is the highest event time. The window it is in is closed too: no event holds it open.
    Idle(i64),
}

impl Closing {
    /// Unites the partitions' progress. One that is still restoring counts with the stream time known so far, so that a
    /// restart does not publish windows that lack it.
    pub fn of(partitions: impl IntoIterator<Item = Progress>) -> Closing {
        let (mut slowest, mut highest, mut all_idle) = (Some(i64::MAX), None, true);
        for partition in partitions {
            highest = highest.max(partition.stream_time);
            if !partition.idle {
                all_idle = false;
                slowest = slowest.min(partition.stream_time);
            }
        }
        match (all_idle, slowest, highest) {
            (true, _, Some(highest)) => Closing::Idle(highest),
            (false, Some(slowest), _) => Closing::Through(slowest),
            _ => Closing::Nothing,
        }
    }

    /// End of the newest closed window.
    pub fn newest_closed(self, grid: WindowGrid, grace_ms: i64) -> Option<i64> {
        match self {
            Closing::Nothing => None,
            Closing::Through(stream_time) => Some(grid.last_closed_end(stream_time, grace_ms)),
            Closing::Idle(highest) => Some(grid.last_end(highest).saturating_add(grid.hop_ms)),
        }
    }

    /// End of the newest closed window that there is something to tell of: the oldest pane held has ended within it or
    /// before. An earlier window lies before the state began (or before its retention); shown, it would read as a window
    /// in which nothing happened.
    pub fn newest_shown(self, grid: WindowGrid, grace_ms: i64, oldest_end: Option<i64>) -> Option<i64> {
        let newest = self.newest_closed(grid, grace_ms)?;
        oldest_end.is_some_and(|oldest| oldest <= newest).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: WindowGrid = WindowGrid { size_ms: 60, hop_ms: 60 };
    const HOPPING: WindowGrid = WindowGrid { size_ms: 300, hop_ms: 60 };

    fn at(stream_time: i64) -> Progress {
        Progress { stream_time: Some(stream_time), idle: false }
    }

    fn idle(stream_time: Option<i64>) -> Progress {
        Progress { stream_time, idle: true }
    }

    #[test]
    fn a_window_closes_when_the_slowest_partition_has_passed_its_end_plus_grace() {
        assert_eq!(Closing::of([at(189), at(500)]).newest_closed(MINUTE, 10), Some(120));
        assert_eq!(Closing::of([at(190), at(500)]).newest_closed(MINUTE, 10), Some(180));
    }

    #[test]
    fn an_idle_partition_holds_nothing_up() {
        assert_eq!(Closing::of([at(190), idle(Some(0))]).newest_closed(MINUTE, 10), Some(180));
        assert_eq!(Closing::of([at(190), idle(None)]).newest_closed(MINUTE, 10), Some(180));
    }

    #[test]
    fn a_partition_that_never_had_an_event_and_is_not_idle_holds_everything_up() {
        let silent = Progress { stream_time: None, idle: false };
        assert_eq!(Closing::of([at(190), silent]), Closing::Nothing);
        assert_eq!(Closing::of([]), Closing::Nothing);
    }

    #[test]
    fn when_all_are_idle_the_window_of_the_last_event_is_closed() {
        let closing = Closing::of([idle(Some(190)), idle(Some(70)), idle(None)]);
        assert_eq!(closing.newest_closed(MINUTE, 10), Some(240));
        assert_eq!(closing.newest_closed(HOPPING, 10), Some(240));
    }

    #[test]
    fn a_window_before_the_oldest_pane_is_not_shown_and_a_silent_one_after_it_is() {
        let closing = Closing::of([at(190)]);
        assert_eq!(closing.newest_shown(MINUTE, 10, None), None);
        assert_eq!(closing.newest_shown(MINUTE, 10, Some(240)), None);
        assert_eq!(closing.newest_shown(MINUTE, 10, Some(180)), Some(180));
        assert_eq!(closing.newest_shown(MINUTE, 10, Some(60)), Some(180));
    }

    #[test]
    fn idle_means_silent_for_the_whole_timeout() {
        let timeout = Duration::from_millis(100);
        assert!(!is_idle(1_000, 1_099, timeout) && is_idle(1_000, 1_100, timeout));
        assert!(!is_idle(0, 1_100, timeout), "a partition without a record has not been read yet");
    }
}
