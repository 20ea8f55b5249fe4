//! `sessions`: stretches of activity of a key, which end when nothing comes for a gap. What windows of the kind
//! `session` are made of.
//!
//! The open ones stand in the key's total. A late event may bridge two of them. One closes when stream time has
//! passed its end by gap and grace: then it is counted, with its duration and its events. Panes have none of this.

use super::exponential::Histogram;
use super::number::Sample;
use super::{Distribution, Exact, Form, Known, Occurrence, Part, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

/// More open sessions of a key than this, and the earliest is closed before its time.
const MOST_OPEN: usize = 64;
/// So many of the sessions that were closed last are told.
const RECENT: usize = 8;

/// When sessions end. Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRule {
    /// Nothing for so long ends a session.
    pub gap_ms: i64,
    /// No session is longer than this: what comes after begins another.
    pub max_ms: i64,
    /// Events may come so late.
    pub grace_ms: i64,
}

impl Default for SessionRule {
    fn default() -> Self {
        SessionRule { gap_ms: 600_000, max_ms: 43_200_000, grace_ms: 30_000 }
    }
}

/// A stretch of activity: the times of its first and its last event, Unix milliseconds, and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    pub end: i64,
    pub start: i64,
    pub events: u64,
}

/// Nothing while no session ever was, as in panes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sessions(Option<Box<Held>>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
    /// Ascending.
    open: Vec<Session>,
    /// Open ones of merged keys that are not among them.
    more_open: u64,
    closed: u64,
    /// Of the closed ones, in seconds.
    durations: Histogram,
    events: Histogram,
    /// Those that were closed last, ascending.
    recent: Vec<Session>,
}

impl Sessions {
    /// When the first of the open sessions closes; `None`: there is none.
    pub fn next_close(&self, rule: &SessionRule) -> Option<i64> {
        let held = self.0.as_ref()?;
        held.open.first().map(|session| rule.closes(session.end))
    }

    /// Closes what stream time has passed.
    pub fn close(&mut self, stream_time: i64, rule: &SessionRule) {
        let Some(held) = &mut self.0 else { return };
        let due = held.open.partition_point(|session| rule.closes(session.end) <= stream_time);
        held.close_first(due);
    }

    /// Closes all, whatever the time: their key is no more.
    pub fn close_all(&mut self) {
        if let Some(held) = &mut self.0 {
            held.close_first(held.open.len());
        }
    }

    /// The sessions closed last and the open ones, with whether they are closed; by their ends.
    pub fn told(&self) -> Vec<(Session, bool)> {
        let Some(held) = &self.0 else { return Vec::new() };
        let closed = held.recent.iter().map(|&session| (session, true));
        let mut told: Vec<_> = closed.chain(held.open.iter().map(|&session| (session, false))).collect();
        told.sort_unstable();
        told
    }

    /// How a quality of the closed sessions is spread.
    pub fn part(&self, part: Part) -> Option<&Histogram> {
        let held = self.0.as_ref()?;
        Some(match part {
            Part::Duration => &held.durations,
            Part::Events => &held.events,
        })
    }

    fn add(&mut self, at: i64, stream_time: i64, rule: &SessionRule) {
        self.close(stream_time, rule);
        let held = self.0.get_or_insert_default();
        let mut session = Session { start: at, end: at, events: 1 };
        held.open.retain(|open| {
            let (start, end) = (open.start.min(session.start), open.end.max(session.end));
            let near = at.saturating_add(rule.gap_ms) >= open.start && at <= open.end.saturating_add(rule.gap_ms);
            let joins = near && end.saturating_sub(start) <= rule.max_ms;
            if joins {
                session = Session { start, end, events: open.events.wrapping_add(session.events) };
            }
            !joins
        });
        // An event of its own that comes after its session would have closed is late: it is in no session.
        if session.events == 1 && rule.closes(at) <= stream_time {
            return;
        }
        let place = held.open.partition_point(|open| *open < session);
        held.open.insert(place, session);
        if held.open.len() > MOST_OPEN {
            held.close_first(1);
        }
    }
}

impl SessionRule {
    /// When a session that ends then is closed.
    fn closes(&self, end: i64) -> i64 {
        end.saturating_add(self.gap_ms).saturating_add(self.grace_ms)
    }
}

impl Held {
    fn close_first(&mut self, count: usize) {
        for session in self.open.drain(..count) {
            self.closed = self.closed.wrapping_add(1);
            let millis = session.end.saturating_sub(session.start);
            self.durations.add(Sample { value: millis as f64 / 1_000.0, nanos: i128::from(millis) * 1_000_000 });
            let events = session.events;
            self.events.add(Sample { value: events as f64, nanos: i128::from(events) * 1_000_000_000 });
            self.recent.push(session);
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.recent.sort_unstable();
        let old = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..old);
    }
}

fn encode(sessions: &[Session]) -> Vec<pb::Session> {
    let one = |&Session { start, end, events }: &Session| pb::Session { start_ms: start, end_ms: end, events };
    sessions.iter().map(one).collect()
}

fn decode(stored: Vec<pb::Session>, most: usize) -> Option<Vec<Session>> {
    let one = |s: pb::Session| Session { start: s.start_ms, end: s.end_ms, events: s.events };
    let sessions: Vec<Session> = stored.into_iter().map(one).collect();
    (sessions.len() <= most && sessions.is_sorted() && sessions.iter().all(|s| s.start <= s.end)).then_some(sessions)
}

impl Statistic for Sessions {
    type Stored = Box<pb::Sessions>;
    type Given = SessionRule;

    const RULES: Rules = Rules {
        word: "sessions",
        takes: Takes::Time,
        takes_sign: false,
        unit: Some(""),
        form: Form::Counters,
        shows: &[Known::Count, Known::Open, Known::Value],
        own: Known::Count,
        totals: &[Stat::Own, Stat::Known(Known::Open), Stat::Part(Part::Duration), Stat::Part(Part::Events)],
        window: &[],
    };

    fn empty(_: &SessionRule) -> Sessions {
        Sessions::default()
    }

    #[inline]
    fn record(&mut self, Occurrence { at, total, .. }: Occurrence<'_>, rule: &SessionRule) {
        if let Some(stream_time) = total {
            self.add(at, stream_time, rule);
        }
    }

    /// Sessions of two keys, or of a key in two partitions, stay two: who is merged here is not known.
    fn merge(&mut self, other: &Sessions) {
        let Some(theirs) = &other.0 else { return };
        let mine = self.0.get_or_insert_default();
        mine.open.extend_from_slice(&theirs.open);
        mine.open.sort_unstable();
        let old = mine.open.len().saturating_sub(MOST_OPEN);
        mine.open.drain(..old);
        mine.more_open = mine.more_open.wrapping_add(theirs.more_open).wrapping_add(old as u64);
        mine.closed = mine.closed.wrapping_add(theirs.closed);
        mine.durations.absorb(&theirs.durations);
        mine.events.absorb(&theirs.events);
        mine.recent.extend_from_slice(&theirs.recent);
        mine.forget();
    }

    fn encode(&self) -> Box<pb::Sessions> {
        let Some(held) = &self.0 else { return Box::default() };
        Box::new(pb::Sessions {
            open: encode(&held.open),
            more_open: held.more_open,
            closed: held.closed,
            durations: Some(held.durations.encode()),
            events: Some(held.events.encode()),
            recent: encode(&held.recent),
        })
    }

    fn decode(stored: Box<pb::Sessions>) -> Option<Sessions> {
        let (Some(durations), Some(events)) = (stored.durations, stored.events) else {
            return (stored.open.is_empty() && stored.closed == 0).then(Sessions::default);
        };
        Some(Sessions(Some(Box::new(Held {
            open: decode(stored.open, MOST_OPEN)?,
            more_open: stored.more_open,
            closed: stored.closed,
            durations: Histogram::decode(durations)?,
            events: Histogram::decode(events)?,
            recent: decode(stored.recent, RECENT)?,
        }))))
    }

    fn stats(&self) -> Stats {
        let Some(held) = &self.0 else { return Stats::default() };
        let open = held.more_open.wrapping_add(held.open.len() as u64);
        let newest = held.open.last().max(held.recent.last());
        let value = newest.map(|session| session.end as f64 / 1_000.0);
        Stats { count: Some(held.closed), open: Some(open), value, ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Sum(Exact::Int(self.0.as_ref().map_or(0, |held| held.closed)))
    }

    fn total_part(&self, part: Part) -> Option<Total<'_>> {
        self.part(part).map(|histogram| Total::Distribution(Distribution::Exponential(histogram)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const RULE: SessionRule = SessionRule { gap_ms: 10, max_ms: 100, grace_ms: 5 };

    fn folded(rule: &SessionRule, times: &[i64]) -> (Sessions, i64) {
        let (mut sessions, mut stream_time) = (Sessions::default(), i64::MIN);
        for &at in times {
            stream_time = stream_time.max(at);
            let event = Occurrence { sample: Sample { value: 0.0, nanos: 0 }, at, item: b"", total: Some(stream_time) };
            sessions.record(event, rule);
        }
        (sessions, stream_time)
    }

    fn told(sessions: &Sessions) -> Vec<(i64, i64, u64, bool)> {
        sessions.told().into_iter().map(|(s, closed)| (s.start, s.end, s.events, closed)).collect()
    }

    #[test]
    fn a_late_event_bridges_two_sessions_and_a_very_late_one_is_in_none() {
        let (sessions, _) = folded(&RULE, &[0, 4, 16]);
        assert_eq!(told(&sessions), [(0, 4, 2, false), (16, 16, 1, false)]);
        let (sessions, _) = folded(&RULE, &[0, 4, 16, 10]);
        assert_eq!(told(&sessions), [(0, 16, 4, false)]);
        // At 31 the session that ended at 16 closes; what is of before 16 then has nothing to be in.
        let (sessions, _) = folded(&RULE, &[0, 4, 16, 10, 31, 15, 16]);
        assert_eq!(told(&sessions), [(0, 16, 4, true), (31, 31, 1, false)]);
        assert_eq!((sessions.stats().count, sessions.stats().open), (Some(1), Some(1)));
        // What is late, but near an open one, is in that.
        let (sessions, _) = folded(&RULE, &[0, 31, 22]);
        assert_eq!(told(&sessions), [(0, 0, 1, true), (22, 31, 2, false)]);
    }

    #[test]
    fn a_session_is_no_longer_than_it_may_be() {
        let times: Vec<i64> = (0..=25).map(|n| n * 8).collect();
        let (mut sessions, _) = folded(&RULE, &times);
        sessions.close_all();
        assert_eq!(told(&sessions), [(0, 96, 13, true), (104, 200, 13, true)]);
    }

    #[test]
    fn sessions_close_when_stream_time_has_passed_gap_and_grace_and_are_measured_then() {
        let (mut sessions, _) = folded(&RULE, &[1_000, 1_008, 1_016]);
        assert_eq!(sessions.next_close(&RULE), Some(1_031));
        sessions.close(1_030, &RULE);
        assert_eq!(sessions.stats().count, Some(0));
        sessions.close(1_031, &RULE);
        assert_eq!(
            (sessions.stats().count, sessions.stats().open, sessions.next_close(&RULE)),
            (Some(1), Some(0), None)
        );
        assert_eq!(sessions.stats().value, Some(1.016), "the newest, open or closed");
        let sum = |part| sessions.part(part).map(Histogram::sum_nanos);
        assert_eq!((sum(Part::Duration), sum(Part::Events)), (Some(16_000_000), Some(3_000_000_000)));
    }

    #[test]
    fn many_open_ones_do_not_grow_without_a_limit() {
        let rule = SessionRule { gap_ms: 1, max_ms: 10, grace_ms: 1_000_000 };
        let (sessions, _) = folded(&rule, &(0..200).map(|n| n * 5).collect::<Vec<_>>());
        assert_eq!((sessions.stats().open, sessions.stats().count), (Some(64), Some(136)));
    }

    proptest! {
        /// Without late events, sessions are the runs of times that are no further apart than the gap.
        #[test]
        fn sessions_are_the_runs_of_events(times in proptest::collection::btree_set(0i64..2_000, 0..80)) {
            let rule = SessionRule { max_ms: i64::MAX, ..RULE };
            let times: Vec<i64> = times.into_iter().collect();
            let (mut sessions, _) = folded(&rule, &times);
            sessions.close_all();
            let runs = times.chunk_by(|a, b| b - a <= rule.gap_ms);
            prop_assert_eq!(sessions.stats().count.unwrap_or_default(), runs.clone().count() as u64);
            let sum: i64 = runs.map(|run| run[run.len() - 1] - run[0]).sum();
            let durations = sessions.part(Part::Duration).map_or(0, Histogram::sum_nanos);
            prop_assert_eq!(durations, i128::from(sum) * 1_000_000);
        }

        /// Within the grace, the order of the events makes no difference.
        #[test]
        fn events_within_the_grace_may_come_in_any_order(
            times in proptest::collection::vec(0i64..300, 1..30).prop_shuffle(),
        ) {
            let rule = SessionRule { max_ms: i64::MAX, grace_ms: 1_000, ..RULE };
            let sorted: Vec<i64> = { let mut sorted = times.clone(); sorted.sort_unstable(); sorted };
            prop_assert_eq!(folded(&rule, &times), folded(&rule, &sorted));
            let (sessions, _) = folded(&rule, &times);
            prop_assert_eq!(Sessions::decode(sessions.encode()), Some(sessions.clone()));
            let starts: BTreeSet<i64> = sessions.told().iter().map(|(session, _)| session.start).collect();
            prop_assert_eq!(starts.len() as u64, sessions.stats().open.unwrap());
        }

        #[test]
        fn merging_has_no_order(
            a in proptest::collection::vec(0i64..3_000, 0..90),
            b in proptest::collection::vec(0i64..3_000, 0..90),
            c in proptest::collection::vec(0i64..3_000, 0..90),
        ) {
            let rule = SessionRule { gap_ms: 3, max_ms: 50, grace_ms: 2_000 };
            let [a, b, c] = [a, b, c].map(|times| folded(&rule, &times).0);
            let merged = |a: &Sessions, b: &Sessions| { let mut merged = a.clone(); merged.merge(b); merged };
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            let whole = merged(&merged(&a, &b), &c);
            prop_assert_eq!(&whole, &merged(&a, &merged(&b, &c)));
            prop_assert_eq!(Sessions::decode(whole.encode()), Some(whole));
        }
    }
}
