//! When a window is closed: what every partition's progress says about it. Pure; time is handed in.

use crate::aggregate::WindowGrid;
use crate::clock::Moment;
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
    /// Progress of a task.
    pub fn of(task: &Task, now: Moment, idle_timeout: Duration) -> Progress {
        let stream_time = task.view.read().record().stream_time;
        Progress { stream_time, idle: quiet(task, now, idle_timeout) == Quiet::Idle }
    }
}

/// What a partition's silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quiet {
    /// It is not silent, or not for long enough.
    No,
    /// No input came for `idle_timeout`, none waits, and somebody who would know has said so since.
    Idle,
    /// Nobody has been heard who would know.
    Unheard,
}

fn quiet(task: &Task, now: Moment, idle_timeout: Duration) -> Quiet {
    let unheard = task.life.unheard(now.boot);
    let is_unheard = unheard.is_none_or(|silence| silence >= task.lease.length());
    // What is not known since when: that there was no input after the last sign of life.
    let without_input = task.without_input(now).unwrap_or_default();
    let is_idle = without_input.saturating_sub(unheard.unwrap_or_default()) >= idle_timeout;
    match task.phase() {
        Phase::Restoring { .. } => Quiet::No,
        // A partition that has messages waiting, or may have, is not idle however old its last commit is: after a
        // downtime all of them look old.
        Phase::Running if task.stable_lag() != Some(0) => Quiet::No,
        Phase::Running if is_unheard && without_input >= idle_timeout => Quiet::Unheard,
        // How much its owner has waiting cannot be seen from here. One that reads it commits it, which shows.
        Phase::Replica { .. } if is_unheard => Quiet::Unheard,
        Phase::Replica { .. } if task.life.heard_for(now.boot) < idle_timeout => Quiet::No,
        Phase::Running | Phase::Replica { .. } if is_idle => Quiet::Idle,
        Phase::Running | Phase::Replica { .. } => Quiet::No,
    }
}

/// Whether nothing has been heard of what a partition's progress depends on: its owner, if this is a replica, or the broker
/// that has its input. Such a partition is not idle; it is missing.
pub fn is_silent(task: &Task, now: Moment, idle_timeout: Duration) -> bool {
    quiet(task, now, idle_timeout) == Quiet::Unheard
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

    mod quiet {
        use super::super::*;
        use crate::clock::BootTime;
        use crate::query::testing::{Agent, MINUTE, T0, event};
        use std::sync::Arc;

        const TIMEOUT: Duration = Duration::from_secs(60);

        fn at(millis: i64) -> Moment {
            Moment { boot: BootTime::from_millis(millis), unix_millis: millis }
        }

        /// A task that read its last input at `T0`, and its lease is 7 s.
        fn task() -> Arc<Task> {
            let mut agent = Agent::new(1, 1);
            agent.commit(0, &[event(T0, "/a", 200)], 0);
            agent.task(0).clone()
        }

        #[test]
        fn idle_means_without_input_for_the_whole_timeout_as_of_the_last_sign_of_life() {
            for phase in [Phase::Running, Phase::Replica { behind: None }] {
                let task = task();
                task.set_phase(phase);
                for second in 0..59 {
                    task.life.hear(BootTime::from_millis(T0 + second * 1_000));
                }
                assert_eq!(quiet(&task, at(T0 + MINUTE), TIMEOUT), Quiet::No);
                let (last, after) = (T0 + MINUTE + 1_000, T0 + MINUTE + 7_999);
                task.life.hear(BootTime::from_millis(last));
                assert_eq!(quiet(&task, at(last), TIMEOUT), Quiet::Idle);
                assert_eq!(quiet(&task, at(after), TIMEOUT), Quiet::Idle);
                assert_eq!(quiet(&task, at(after + 1), TIMEOUT), Quiet::Unheard);
            }
        }

        #[test]
        fn a_replica_whose_owner_dies_is_never_idle() {
            let task = task();
            task.set_phase(Phase::Replica { behind: None });
            (0..3).for_each(|second| task.life.hear(BootTime::from_millis(T0 + second * 1_000)));
            for second in 2..200 {
                let now = at(T0 + second * 1_000);
                let expected = if second < 9 { Quiet::No } else { Quiet::Unheard };
                assert_eq!(quiet(&task, now, Duration::from_secs(5)), expected, "{second}");
            }
        }

        #[test]
        fn messages_that_wait_are_no_silence_whoever_is_heard() {
            let task = task();
            task.input.set(7, 7);
            assert_eq!(quiet(&task, at(T0 + 10 * MINUTE), TIMEOUT), Quiet::No);
        }

        #[test]
        fn input_that_is_dated_in_the_future_holds_a_partition_up_no_longer_than_others() {
            let task = task();
            let mut record = task.view.read().record().clone();
            record.last_input_at_ms = T0 + 600 * MINUTE;
            task.view.write().set_record(record);
            assert_eq!(task.without_input(at(T0)), Some(Duration::ZERO));
            assert_eq!(task.without_input(at(T0 + 90_000)), Some(Duration::from_secs(90)));
        }

        #[test]
        fn a_clock_that_is_set_forward_makes_nothing_idle_that_was_seen_reading() {
            let task = task();
            assert_eq!(task.without_input(at(T0)), Some(Duration::ZERO));
            let mut record = task.view.read().record().clone();
            record.last_input_at_ms = T0 + 1_000;
            task.view.write().set_record(record);
            assert_eq!(task.without_input(at(T0 + 1_000)), Some(Duration::ZERO));
            let jumped = Moment { unix_millis: T0 + 600 * MINUTE, ..at(T0 + 2_000) };
            assert_eq!(task.without_input(jumped), Some(Duration::from_secs(1)));
        }
    }
}
