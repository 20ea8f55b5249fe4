//! The rule: which windows are closed, which of them may be shown, and whether they are whole. Pure; time is handed in.

use crate::aggregate::{AggregatePlan, WindowSpan};
use crate::query::{Closing, Condition, Known, Progress};
use crate::state::TaskId;
use std::collections::HashMap;

/// What is remembered of a partition from one look to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    stream_time: Option<i64>,
    expired_before: Option<i64>,
    /// Boot time since which it is missing, milliseconds.
    missing_since: Option<i64>,
}

/// What one partition says to closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// It is read; windows wait for it.
    Holds,
    /// It is missing, and not for long: windows wait for it as well.
    Away,
    /// It has no input, and somebody who knows says so.
    Idle,
    /// It has been missing for this long, milliseconds, which is at least the aggregate's `idle_timeout`.
    Overdue(i64),
}

/// How one partition stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub say: Say,
    /// Highest event time that was ever known of it, Unix milliseconds.
    pub stream_time: Option<i64>,
    /// Panes that end at or before this are gone, Unix milliseconds.
    pub expired_before: Option<i64>,
    /// Its committed cells can be read.
    pub is_read: bool,
    /// Highest event time that is in them: a copy may be behind what was known of its owner.
    pub read_to: Option<i64>,
}

/// What may be done with a closed window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A partition that may still have a part in it is missing, and not for long.
    Wait,
    /// It was closed while a partition was idle that now has events again.
    Open,
    /// Every partition's part is in it.
    Whole,
    /// A part of it is gone: it will not become whole.
    Broken,
    /// Partitions are missing; none for less than this, milliseconds.
    Without(i64),
}

impl Verdict {
    pub fn is_shown(self) -> bool {
        self != Verdict::Wait
    }

    pub fn is_whole(self) -> bool {
        self == Verdict::Whole
    }
}

/// How all partitions of a source stand. One that is missing counts with what was last known of it, until it has been missing
/// for `idle_timeout`. `now`: boot time, milliseconds.
pub fn standings<'a>(
    seen: &mut HashMap<TaskId, Seen>,
    all: impl Iterator<Item = &'a TaskId>,
    known: &[Known],
    now: i64,
    plan: &AggregatePlan,
) -> Vec<Standing> {
    let idle_timeout = plan.config.idle_timeout.as_millis() as i64;
    let known: HashMap<&TaskId, &Known> = known.iter().map(|known| (&known.status.id, known)).collect();
    let one = |id: &TaskId| {
        let known = known.get(id);
        let seen = seen.entry(id.clone()).or_default();
        seen.stream_time = seen.stream_time.max(known.and_then(|known| known.status.stream_time));
        seen.expired_before = seen.expired_before.max(known.and_then(|known| known.expired_before));
        let say = match known.filter(|known| known.is_sound()) {
            Some(known) => {
                seen.missing_since = None;
                if known.status.idle { Say::Idle } else { Say::Holds }
            }
            None => {
                let missing = now.saturating_sub(*seen.missing_since.get_or_insert(now));
                if missing >= idle_timeout { Say::Overdue(missing) } else { Say::Away }
            }
        };
        let is_read = known.is_some_and(|known| !matches!(known.status.condition, Condition::Restoring { .. }));
        let read_to = known.and_then(|known| known.status.stream_time);
        Standing { say, stream_time: seen.stream_time, expired_before: seen.expired_before, is_read, read_to }
    };
    all.map(one).collect()
}

/// What the partitions together say about closing.
pub fn closing(standings: &[Standing]) -> Closing {
    let progress = |standing: &Standing| Progress {
        stream_time: standing.stream_time,
        idle: matches!(standing.say, Say::Idle | Say::Overdue(_)),
    };
    Closing::of(standings.iter().map(progress))
}

/// What may be done with a window that is closed, or was when another owner published it.
pub fn verdict(standings: &[Standing], span: WindowSpan, plan: &AggregatePlan) -> Verdict {
    let (mut is_broken, mut is_open, mut missing) = (false, false, None);
    for standing in standings {
        // Events of it that come now are late, whoever reads them.
        let has_passed = standing.read_to >= Some(span.end.saturating_add(plan.grace_ms));
        let is_in = standing.is_read && (has_passed || standing.say == Say::Idle);
        match standing.say {
            _ if is_in => is_broken |= standing.expired_before > Some(span.start),
            Say::Overdue(since) => missing = Some(missing.map_or(since, |least: i64| least.min(since))),
            Say::Holds if standing.is_read => is_open = true,
            Say::Holds | Say::Away | Say::Idle => return Verdict::Wait,
        }
    }
    match missing {
        _ if is_open => Verdict::Open,
        Some(least) => Verdict::Without(least),
        None if is_broken => Verdict::Broken,
        None => Verdict::Whole,
    }
}

/// Whether a window that is not whole may be pushed. A receiver keeps the first value that it gets for a time, so a window
/// waits for what is missing: for half of what there is between the end of its grace and its expiry, by the wall clock and by
/// event time, but no longer than that, or it would be lost altogether.
pub fn may_be_pushed(verdict: Verdict, standings: &[Standing], span: WindowSpan, plan: &AggregatePlan) -> bool {
    let missing = match verdict {
        Verdict::Wait | Verdict::Open => return false,
        Verdict::Whole | Verdict::Broken => return true,
        Verdict::Without(missing) => missing,
    };
    let retention = i64::try_from(plan.config.retention.as_millis()).unwrap_or(i64::MAX);
    let patience = retention.saturating_sub(span.end - span.start).saturating_sub(plan.grace_ms).max(0) / 2;
    let fastest = standings.iter().filter_map(|standing| standing.stream_time).max();
    missing >= patience || fastest >= Some(span.end.saturating_add(plan.grace_ms).saturating_add(patience))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::WindowGrid;
    use crate::query::testing::{Agent, MINUTE, T0};
    use std::sync::Arc;

    const SECOND: i64 = 1_000;

    /// Windows of a minute, a grace of 30 s, a retention of two hours, idle after a minute.
    fn plan() -> Arc<AggregatePlan> {
        Agent::new(1, 1).reader.sources.now().sources[0].plan.aggregates[0].clone()
    }

    fn minute(end: i64) -> WindowSpan {
        WindowGrid { size_ms: MINUTE, hop_ms: MINUTE }.span(T0 + end * MINUTE)
    }

    fn at(say: Say, minutes: i64) -> Standing {
        let stream_time = Some(T0 + minutes * MINUTE);
        Standing { say, stream_time, expired_before: None, is_read: true, read_to: stream_time }
    }

    #[test]
    fn a_window_is_whole_if_every_partition_has_passed_it_or_is_known_to_be_idle() {
        let plan = plan();
        let verdict = |standings: &[Standing]| verdict(standings, minute(1), &plan);
        assert_eq!(verdict(&[at(Say::Holds, 5), at(Say::Holds, 2)]), Verdict::Whole);
        assert_eq!(verdict(&[at(Say::Holds, 5), at(Say::Idle, 0)]), Verdict::Whole);
        assert_eq!(verdict(&[at(Say::Holds, 5), at(Say::Holds, 1)]), Verdict::Open, "its grace has not passed");
        assert_eq!(verdict(&[at(Say::Holds, 5), at(Say::Away, 1)]), Verdict::Wait);
        assert_eq!(verdict(&[at(Say::Holds, 5), at(Say::Overdue(60_000), 0)]), Verdict::Without(60_000));
    }

    #[test]
    fn a_copy_that_has_passed_a_window_makes_it_whole_even_if_its_owner_is_gone() {
        let plan = plan();
        let gone = at(Say::Overdue(60_000), 2);
        assert_eq!(verdict(&[at(Say::Holds, 5), gone], minute(1), &plan), Verdict::Whole);
        let unread = Standing { is_read: false, ..gone };
        assert_eq!(verdict(&[at(Say::Holds, 5), unread], minute(1), &plan), Verdict::Without(60_000));
        let unread = Standing { say: Say::Away, ..unread };
        assert_eq!(verdict(&[at(Say::Holds, 5), unread], minute(1), &plan), Verdict::Wait);
    }

    #[test]
    fn a_copy_that_is_behind_what_its_owner_had_makes_nothing_whole() {
        let behind = Standing { read_to: Some(T0), ..at(Say::Holds, 5) };
        assert_eq!(verdict(&[at(Say::Holds, 5), behind], minute(1), &plan()), Verdict::Open);
    }

    #[test]
    fn a_window_of_which_a_fast_partition_has_expired_a_pane_is_not_whole() {
        let plan = plan();
        let fast = |expired| Standing { expired_before: Some(T0 + expired), ..at(Say::Holds, 500) };
        // The first pane of the window that ends at minute 2 begins at minute 1.
        assert_eq!(verdict(&[fast(MINUTE), at(Say::Holds, 5)], minute(2), &plan), Verdict::Whole);
        assert_eq!(verdict(&[fast(MINUTE + 1), at(Say::Holds, 5)], minute(2), &plan), Verdict::Broken);
        let late = at(Say::Overdue(90_000), 0);
        assert_eq!(verdict(&[fast(2 * MINUTE), late], minute(2), &plan), Verdict::Without(90_000));
    }

    #[test]
    fn a_push_waits_for_what_is_missing_until_half_of_what_is_left_of_the_retention_has_passed() {
        let plan = plan();
        // Two hours without the window and its grace.
        let half = (120 * MINUTE - MINUTE - 30 * SECOND) / 2;
        let others = [at(Say::Holds, 5), at(Say::Overdue(0), 0)];
        let may = |verdict, standings: &[Standing]| may_be_pushed(verdict, standings, minute(1), &plan);
        assert!(may(Verdict::Whole, &others) && may(Verdict::Broken, &others) && !may(Verdict::Wait, &others));
        assert!(!may(Verdict::Open, &others));
        assert!(!may(Verdict::Without(half - 1), &others) && may(Verdict::Without(half), &others));
        let ahead =
            |millis: i64| [Standing { stream_time: Some(T0 + MINUTE + 30 * SECOND + millis), ..at(Say::Holds, 0) }];
        assert!(!may(Verdict::Without(0), &ahead(half - 1)) && may(Verdict::Without(0), &ahead(half)));
    }
}
