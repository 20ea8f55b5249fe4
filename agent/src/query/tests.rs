//! The read side against a recount of the events.

use super::testing::{Agent, MINUTE, Request as Event, T0, event};
use super::*;
use crate::config::Stat;
use crate::state::Phase;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn ask(aggregate: &str) -> Request {
    Request { aggregate: aggregate.into(), ..Request::default() }
}

fn windows(size: i64, hop: i64, time: Time) -> Request {
    let minutes = |n: i64| Some(Duration::from_secs(60 * n as u64));
    Request { window: minutes(size), hop: minutes(hop), time: Some(time), ..ask("http") }
}

fn matcher(label: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher { label: label.into(), op, value: value.into() }
}

fn count(row: &Row) -> u64 {
    row.states[0].count().unwrap()
}

/// Endpoint, status → requests.
fn by_labels(answer: &Answer) -> BTreeMap<Vec<String>, u64> {
    answer.rows.iter().map(|row| (row.labels.clone(), count(row))).collect()
}

fn refusal(agent: &Agent, request: &Request) -> String {
    agent.reader.query(request).unwrap_err().to_string()
}

/// Two partitions with some events in three minutes, everything read.
fn agent() -> Agent {
    let mut agent = Agent::new(2, 2);
    agent.commit(0, &[event(T0, "/a", 200), event(T0 + MINUTE, "/a", 500), event(T0 + 2 * MINUTE, "/b", 200)], 0);
    agent.commit(1, &[event(T0 + 1, "/a", 200), event(T0 + 2 * MINUTE + 1, "/a", 200)], 0);
    agent
}

#[test]
fn totals_are_merged_over_partitions() {
    let answer = agent().reader.query(&ask("http")).unwrap();
    let expect = [(["/a", "200"], 3), (["/a", "500"], 1), (["/b", "200"], 1)];
    let expect = expect.map(|(labels, n)| (labels.map(String::from).to_vec(), n));
    assert_eq!(by_labels(&answer), BTreeMap::from(expect));
    assert_eq!(answer.labels, ["endpoint", "status"]);
    assert!(answer.rows.iter().all(|row| row.span.is_none() && row.states.len() == 6));
    assert!(answer.missing.is_empty());
    assert_eq!(answer.as_of.iter().map(|p| (p.next_offset, p.lag)).collect::<Vec<_>>(), [(3, Some(0)), (2, Some(0))]);
}

#[test]
fn matchers_choose_keys_as_promql_does() {
    let agent = agent();
    let check = |matchers: &[Matcher], expect: u64| {
        let answer = agent.reader.query(&Request { matchers: matchers.to_vec(), ..ask("http") }).unwrap();
        assert_eq!(answer.rows.iter().map(count).sum::<u64>(), expect, "{matchers:?}");
    };
    check(&[matcher("endpoint", MatchOp::Equal, "/a")], 4);
    check(&[matcher("endpoint", MatchOp::NotEqual, "/a")], 1);
    check(&[matcher("endpoint", MatchOp::Matches, "/(a|x)")], 4);
    check(&[matcher("endpoint", MatchOp::Matches, "a")], 0);
    check(&[matcher("status", MatchOp::NotMatches, "2..")], 1);
    check(&[matcher("endpoint", MatchOp::Equal, "/a"), matcher("status", MatchOp::Equal, "200")], 3);
    let twice = [matcher("endpoint", MatchOp::Equal, "/a"), matcher("endpoint", MatchOp::Equal, "/b")];
    check(&twice, 0);
    check(&[&twice[..], &[matcher("status", MatchOp::Equal, "200")]].concat(), 0);
}

#[test]
fn groups_merge_the_keys_that_agree() {
    let agent = agent();
    let grouped = |labels: &[&str]| {
        let group_by = Some(labels.iter().map(|label| label.to_string()).collect());
        agent.reader.query(&Request { group_by, ..ask("http") }).unwrap()
    };
    let by_endpoint = grouped(&["endpoint"]);
    assert_eq!(by_endpoint.labels, ["endpoint"]);
    assert_eq!(by_labels(&by_endpoint), BTreeMap::from([(vec!["/a".into()], 4), (vec!["/b".into()], 1)]));
    assert_eq!(by_labels(&grouped(&[])), BTreeMap::from([(vec![], 5)]));
}

#[test]
fn the_last_minutes_end_with_the_pane_being_filled() {
    let agent = agent();
    let last = |minutes: u64| {
        let time = Some(Time::Last(Duration::from_secs(60 * minutes)));
        agent.reader.query(&Request { time, group_by: Some(vec![]), ..ask("http") }).unwrap().rows
    };
    let rows = last(2);
    assert_eq!(rows.iter().map(count).collect::<Vec<_>>(), [3]);
    let span = rows[0].span.unwrap();
    assert_eq!((span.start, span.end), (T0 + MINUTE, T0 + 3 * MINUTE));
    assert!(!rows[0].closed);
    assert_eq!(last(5).iter().map(count).collect::<Vec<_>>(), [5]);
}

#[test]
fn open_and_closed_windows_are_told_apart() {
    let mut agent = agent();
    let spans = |agent: &Agent, closed_only: bool| {
        let request = Request { closed_only, group_by: Some(vec![]), ..windows(1, 1, Time::LastN(10)) };
        let rows = agent.reader.query(&request).unwrap().rows;
        rows.iter().map(|row| ((row.span.unwrap().end - T0) / MINUTE, row.closed)).collect::<Vec<_>>()
    };
    // Stream time stands at two minutes: the grace of the second window has not passed.
    assert_eq!(spans(&agent, false), [(1, true), (2, false), (3, false)]);
    assert_eq!(spans(&agent, true), [(1, true)]);
    // One partition alone closes nothing.
    agent.commit(0, &[event(T0 + 2 * MINUTE + 30_000, "/a", 200)], 0);
    assert_eq!(spans(&agent, true), [(1, true)]);
    agent.commit(1, &[event(T0 + 2 * MINUTE + 30_000, "/a", 200)], 0);
    assert_eq!(spans(&agent, true), [(1, true), (2, true)]);
}

#[test]
fn a_partition_that_is_idle_or_alone_in_having_events_does_not_hold_windows_open() {
    let mut agent = Agent::new(2, 2);
    agent.commit(1, &[], 0);
    agent.commit(0, &[event(T0, "/a", 200), event(T0 + 5 * MINUTE, "/a", 200)], 0);
    let closed = |agent: &Agent| {
        agent.reader.query(&windows(1, 1, Time::LastN(10))).unwrap().rows.iter().filter(|row| row.closed).count()
    };
    assert_eq!(closed(&agent), 0, "partition 1 may still have older events");
    agent.set_clock(T0 + MINUTE);
    agent.commit(0, &[event(T0 + 5 * MINUTE, "/a", 200)], 0);
    assert_eq!(closed(&agent), 1, "partition 1 has been silent for a minute");
    agent.task(1).input.set(7, 7);
    assert_eq!(closed(&agent), 0, "messages wait in partition 1");
}

#[test]
fn a_restoring_partition_holds_windows_open() {
    let agent = agent();
    agent.set_clock(T0 + 60 * MINUTE);
    agent.task(1).set_phase(Phase::Restoring { done: 5, of: 10 });
    let answer = agent.reader.query(&windows(1, 1, Time::LastN(10))).unwrap();
    assert!(answer.rows.iter().all(|row| row.closed == (row.span.unwrap().end == T0 + MINUTE)));
    assert_eq!(answer.as_of[1].condition, Condition::Restoring { done: Some(0.5) });
    assert_eq!(not_ready(&agent.reader.registry).len(), 2, "one restores, the other's lease has ended");
}

#[test]
fn without_a_lease_queries_still_answer_and_say_that_they_are_stale() {
    let agent = agent();
    agent.end_lease();
    let answer = agent.reader.query(&ask("http")).unwrap();
    assert_eq!(answer.rows.iter().map(count).sum::<u64>(), 5);
    assert!(answer.as_of.iter().all(|partition| partition.condition == Condition::Stale));
}

#[test]
fn partitions_that_others_own_are_listed_as_missing() {
    let agent = Agent::new(2, 4);
    let missing = agent.reader.query(&ask("http")).unwrap().missing;
    assert_eq!(missing.iter().map(|missing| missing.id.partition).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn keys_beyond_the_limit_are_one_row_and_every_grouping_keeps_the_sum() {
    let mut agent = Agent::new(1, 1);
    let events: Vec<Event> = (0..20).map(|n| event(T0, &format!("/{n}"), 200)).collect();
    agent.commit(0, &events, 0);
    let answer = agent.reader.query(&ask("http")).unwrap();
    let overflow: Vec<&Row> = answer.rows.iter().filter(|row| row.overflow).collect();
    assert_eq!((overflow.len(), count(overflow[0]), answer.rows.len()), (1, 14, 7));
    for group_by in [None, Some(vec![]), Some(vec!["status".to_owned()])] {
        let rows = agent.reader.query(&Request { group_by: group_by.clone(), ..ask("http") }).unwrap().rows;
        assert_eq!(rows.iter().map(count).sum::<u64>(), 20, "{group_by:?}");
    }
    let equal = Request { matchers: vec![matcher("endpoint", MatchOp::Equal, "")], ..ask("http") };
    assert!(agent.reader.query(&equal).unwrap().rows.is_empty(), "overflow is not the key whose label is empty");
}

#[test]
fn rows_are_ordered_within_each_window_and_the_first_of_each_are_kept() {
    let mut agent = Agent::new(1, 1);
    let mut events = Vec::new();
    for (minute, endpoint, n) in [(0, "/a", 1), (0, "/b", 3), (0, "/c", 2), (1, "/a", 5), (1, "/b", 4)] {
        events.extend((0..n).map(|_| event(T0 + minute * MINUTE, endpoint, 200)));
    }
    agent.commit(0, &events, 0);
    let order = |ascending, limit| {
        let order_by = Some(OrderBy { measure: "requests".into(), stat: String::new(), ascending });
        let request = Request { order_by, limit, ..windows(1, 1, Time::LastN(2)) };
        let rows = agent.reader.query(&request).unwrap().rows;
        rows.iter().map(|row| (row.labels[0].clone(), count(row))).collect::<Vec<_>>()
    };
    let named = |rows: &[(&str, u64)]| rows.iter().map(|(name, n)| (name.to_string(), *n)).collect::<Vec<_>>();
    assert_eq!(order(false, 2), named(&[("/b", 3), ("/c", 2), ("/a", 5), ("/b", 4)]));
    assert_eq!(order(true, 1), named(&[("/a", 1), ("/b", 4)]));
    // Ordering by a measure that was not asked for does not show it.
    let order_by = Some(OrderBy { measure: "duration".into(), stat: "p99".into(), ascending: false });
    let request = Request { order_by, measures: vec!["errors".into()], ..ask("http") };
    let answer = agent.reader.query(&request).unwrap();
    assert!(answer.rows.iter().all(|row| row.states.len() == 1) && answer.measures == [1]);
}

#[test]
fn pages_together_are_the_whole_even_while_event_time_goes_on() {
    let mut agent = Agent::new(1, 1);
    let mut events = Vec::new();
    for minute in 0..4 {
        events.extend((0..5).map(|n| event(T0 + minute * MINUTE, &format!("/{n}"), 200)));
    }
    agent.commit(0, &events, 0);
    for time in [Some(Time::LastN(3)), Some(Time::Last(Duration::from_secs(120)))] {
        let order_by = Some(OrderBy { measure: "requests".into(), stat: String::new(), ascending: false });
        let whole = Request { order_by, ..windows(1, 1, time.unwrap()) };
        let expect = agent.reader.query(&whole).unwrap().rows;
        let mut request = Request { page_size: 2, ..whole };
        let mut rows = Vec::new();
        loop {
            let answer = agent.reader.query(&request).unwrap();
            assert!(answer.rows.len() <= 2);
            rows.extend(answer.rows);
            // The newest window is another one by now.
            agent.commit(0, &[event(T0 + (10 + rows.len() as i64) * MINUTE, "/9", 200)], 0);
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        let place =
            |rows: &[Row]| rows.iter().map(|row| (row.span, row.labels.clone(), count(row))).collect::<Vec<_>>();
        assert_eq!(place(&rows), place(&expect), "{time:?}");
        assert!(!expect.is_empty());
        agent = Agent::new(1, 1);
        agent.commit(0, &events, 0);
    }
}

#[test]
fn a_page_token_of_another_query_is_refused() {
    let agent = agent();
    let first = agent.reader.query(&Request { page_size: 1, ..ask("http") }).unwrap();
    assert!(!first.next_page_token.is_empty());
    let other = Request { page_size: 1, limit: 2, page_token: first.next_page_token, ..ask("http") };
    assert_eq!(agent.reader.query(&other).unwrap_err(), QueryError::BadPageToken);
    for page_token in ["x", "00", "0é0"] {
        let request = Request { page_token: page_token.into(), ..ask("http") };
        assert_eq!(agent.reader.query(&request).unwrap_err(), QueryError::BadPageToken, "{page_token}");
    }
}

#[test]
fn what_cannot_be_answered_is_refused_with_what_to_do() {
    let agent = agent();
    let one = |f: fn(&mut Request)| {
        let mut request = ask("http");
        f(&mut request);
        refusal(&agent, &request)
    };
    insta::assert_snapshot!(
        [
            refusal(&agent, &ask("htp")),
            one(|r| r.matchers = vec![matcher("path", MatchOp::Equal, "")]),
            one(|r| r.matchers = vec![matcher("status", MatchOp::Matches, "(")]),
            one(|r| r.measures = vec!["count".into()]),
            one(|r| r.group_by = Some(vec!["path".into()])),
            one(|r| r.window = Some(Duration::from_secs(90))),
            one(|r| r.window = Some(Duration::ZERO)),
            one(|r| r.time = Some(Time::Last(Duration::from_millis(1)))),
            one(|r| r.time = Some(Time::LastN(1))),
            one(|r| r.closed_only = true),
            one(|r| (r.window, r.hop) = (Some(Duration::from_secs(60)), Some(Duration::from_secs(120)))),
            one(|r| (r.window, r.time) = (Some(Duration::from_secs(60)), Some(Time::LastN(0)))),
            one(|r| r.time = Some(Time::Range { start: T0, end: Some(T0 - MINUTE) })),
            one(|r| r.order_by = Some(OrderBy { measure: "requests".into(), stat: "p101".into(), ascending: false })),
            one(|r| r.page_token = "00".into()),
        ]
        .join("\n")
    );
}

#[test]
fn an_answer_with_too_many_cells_is_refused_rather_than_cut() {
    let mut reader_agent = agent();
    let reader = Arc::get_mut(&mut reader_agent.reader).unwrap();
    reader.max_cells = 2;
    assert_eq!(reader.query(&ask("http")).unwrap_err(), QueryError::TooManyCells { limit: 2 });
    let three = windows(1, 1, Time::Range { start: T0, end: None });
    assert_eq!(reader.query(&three).unwrap_err(), QueryError::TooManyCells { limit: 2 });
    let endless = windows(1, 1, Time::Range { start: i64::MIN / 2, end: Some(i64::MAX / 2) });
    assert_eq!(reader.query(&endless).unwrap_err(), QueryError::TooManyCells { limit: 2 });
}

#[test]
fn a_range_is_widened_to_whole_panes() {
    let agent = agent();
    let time = Some(Time::Range { start: T0 + 61_000, end: Some(T0 + 62_000) });
    let rows = agent.reader.query(&Request { time, ..ask("http") }).unwrap().rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].span.unwrap(), crate::aggregate::WindowSpan { start: T0 + MINUTE, end: T0 + 2 * MINUTE });
}

#[test]
fn every_kind_of_measure_is_read() {
    let mut agent = Agent::new(2, 2);
    let slow = Event { millis: 300.0, bytes: 2_000, ..event(T0, "/a", 200) };
    agent.commit(0, &[slow], 0);
    agent.commit(1, &[event(T0, "/a", 200)], 0);
    let answer = agent.reader.query(&ask("http")).unwrap();
    let states = &answer.rows[0].states;
    let kind = |at: usize| &answer.plan.measures[at].kind;
    assert_eq!(states[2].stats().of(crate::measure::Known::Sum), Some(0.4));
    assert_eq!(states[3].stats().of(crate::measure::Known::Sum), Some(2_500.0));
    assert_eq!(value(&states[4], kind(4), Stat::Own), Some(0.3));
    assert_eq!(buckets(&states[5], kind(5)), Some(vec![(100.0, 0), (1000.0, 1), (f64::INFINITY, 2)]));
    assert_eq!(buckets(&states[2], kind(2)).unwrap().last(), Some(&(f64::INFINITY, 2)));
    let median = quantile(&states[2], kind(2), 0.5).unwrap();
    assert!((median - 0.1).abs() < 0.1 * 0.022, "{median}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the partitions and the windows: every cell is what counting the events gives.
    #[test]
    fn every_cell_equals_a_recount(
        events in proptest::collection::vec((0i64..20, 0usize..3, 0usize..3, 1i64..4), 0..80),
        size in 1i64..6, hop in 1i64..6,
    ) {
        prop_assume!(hop <= size);
        let mut agent = Agent::new(3, 3);
        let mut expect: BTreeMap<(i64, String), (u64, f64)> = BTreeMap::new();
        let mut by_partition = vec![Vec::new(); 3];
        let mut sorted = events;
        // In order, so that nothing is late: which late events a window takes is the aggregate's matter.
        sorted.sort();
        for (half_minute, partition, endpoint, hundreds) in sorted {
            let time = T0 + half_minute * MINUTE / 2;
            let millis = 100.0 * hundreds as f64;
            let name = format!("/{endpoint}");
            by_partition[partition].push(Event { millis, ..event(time, &name, 200) });
            let mut end = (T0 / MINUTE - size) / hop * hop * MINUTE + size * MINUTE;
            while end - size * MINUTE <= time {
                if time < end {
                    let cell = expect.entry((end, name.clone())).or_default();
                    *cell = (cell.0 + 1, cell.1.max(millis / 1_000.0));
                }
                end += hop * MINUTE;
            }
        }
        for (partition, events) in by_partition.iter().enumerate() {
            agent.commit(partition, events, 0);
        }
        let request = windows(size, hop, Time::Range { start: T0 - 60 * MINUTE, end: Some(T0 + 60 * MINUTE) });
        let answer = agent.reader.query(&request).unwrap();
        let actual = answer.rows.iter().map(|row| {
            let key = (row.span.unwrap().end, row.labels[0].clone());
            (key, (count(row), row.states[2].max().unwrap()))
        });
        prop_assert_eq!(actual.collect::<BTreeMap<_, _>>(), expect);
    }
}

#[test]
fn what_is_known_of_a_task_is_asked_for_while_commits_come_and_neither_waits_for_the_other_for_ever() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let agent = agent();
    let (task, plan) = (agent.task(0).clone(), agent.task(0).plan.aggregates[0].clone());
    let now = agent.reader.clock.now();
    let (done, is_done) = crossbeam_channel::bounded(1);
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let (committed, stopped) = (task.clone(), stop.clone());
    let commits = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            drop(committed.view.write());
        }
    });
    std::thread::spawn(move || {
        (0..50_000).for_each(|_| drop(Known::of(&task, &plan, now)));
        let _ = done.send(());
    });
    // Not a measure of speed: it takes less than a second, or for ever.
    let ended = is_done.recv_timeout(Duration::from_secs(60));
    assert!(ended.is_ok(), "a reader that has the view waits for a commit that waits for the view");
    stop.store(true, Ordering::Relaxed);
    commits.join().unwrap();
}
