//! Windows made of panes against Kafka Streams' rule, applied to each window on its own.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::aggregate::samples::*;
use crate::aggregate::{Cell, MeasureState, Pane, TaskState, WindowGrid, WindowSpan, labels, merge_window};
use crate::measure::{Count, Total};

/// What a recount can say about a window without any of the code under test.
#[derive(Debug, Default, PartialEq)]
struct Recount {
    events: u64,
    failures: u64,
    values: Vec<u64>,
    slowest_failure: Option<u64>,
    nanos: i128,
    last_seen: i64,
    /// Times and values of all, and of failures.
    dated: Vec<(i64, u64)>,
    dated_failures: Vec<(i64, u64)>,
}

/// Kafka Streams: stream time advances with the event (as far as that may move it); each window that holds the event
/// takes it unless stream time has reached the window's end plus grace.
fn recount(events: &[Sent], size: i64, hop: i64) -> BTreeMap<(String, i64), Recount> {
    let mut windows: BTreeMap<(String, i64), Recount> = BTreeMap::new();
    let mut stream_time = i64::MIN;
    for sent in events {
        stream_time = stream_time.max(sent.reach());
        for start in (sent.time - size + 1..=sent.time).filter(|start| start.rem_euclid(hop) == 0) {
            if stream_time < start + size + GRACE {
                add(windows.entry((sent.label(), start + size)).or_default(), sent, stream_time);
            }
        }
    }
    windows
}

fn add(window: &mut Recount, sent: &Sent, stream_time: i64) {
    let bits = (sent.ms / 1000.0 + 0.0).to_bits();
    let seen = sent.time.min(stream_time);
    window.last_seen = if window.events == 0 { seen } else { window.last_seen.max(seen) };
    window.events += 1;
    window.values.push(bits);
    window.dated.push((sent.time, bits));
    window.nanos += (sent.ms * 1e6).round() as i128;
    if !sent.ok {
        window.failures += 1;
        window.dated_failures.push((sent.time, bits));
        let slowest = window.slowest_failure.map_or(f64::NEG_INFINITY, f64::from_bits);
        window.slowest_failure = Some(slowest.max(f64::from_bits(bits)).to_bits());
    }
}

/// Whole milliseconds keep the recount's plain arithmetic exact.
fn whole(events: Vec<Sent>) -> Vec<Sent> {
    events.into_iter().map(|sent| Sent { ms: sent.ms.clamp(-1e6, 1e6).trunc() + 0.0, ..sent }).collect()
}

fn read(task: &TaskState, label: &str, span: WindowSpan) -> Option<Cell> {
    let of_label = live(task).into_iter().filter(|(entry, _)| labels(&entry.key).unwrap() == [label]);
    let cells: Vec<_> = of_label.map(|(entry, cell)| (entry.pane, cell)).collect();
    merge_window(cells.iter().map(|(pane, cell)| (*pane, cell)), span, PANE)
}

fn compare(cell: &Cell, expected: &Recount) {
    let values: Vec<f64> = expected.values.iter().map(|&bits| f64::from_bits(bits)).collect();
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let [events, failures, time, fastest, slowest, mean, duration, coarse, rest @ ..] = &cell.measures[..] else {
        panic!("many measures")
    };
    let [opening, closing, seen, different, heaviest, frequent, unusual, patience, failed, _, fine, pace, part, trend] =
        rest
    else {
        panic!("as many")
    };
    assert_eq!(cell.last_seen, expected.last_seen);
    assert_eq!(*events, MeasureState::Count(Count(expected.events)));
    assert_eq!(*failures, MeasureState::Count(Count(expected.failures)));
    assert_eq!(time.sum_nanos(), Some(expected.nanos));
    assert_eq!(pace.amount(), Some(expected.failures as f64));
    assert_eq!([part.amount(), trend.amount()], [Some(crate::measure::nanos_to_f64(expected.nanos)); 2]);
    assert_eq!(fastest.min(), Some(smallest));
    assert_eq!(slowest.max(), expected.slowest_failure.map(f64::from_bits));
    assert_eq!((mean.count(), mean.sum_nanos()), (Some(expected.events), Some(expected.nanos)));
    assert_eq!((duration.count(), duration.sum_nanos()), (Some(expected.events), Some(expected.nanos)));
    assert_eq!(duration.min(), Some(smallest));
    let by_time = |dated: &[(i64, u64)]| {
        let mut dated: Vec<_> = dated.iter().map(|&(at, bits)| (at, f64::from_bits(bits))).collect();
        dated.sort_by(|a, b| a.partial_cmp(b).unwrap());
        dated
    };
    let (all, failing) = (by_time(&expected.dated), by_time(&expected.dated_failures));
    assert_eq!(opening.own(), all.first().map(|(_, value)| *value));
    assert_eq!(closing.own(), failing.last().map(|(_, value)| *value));
    assert_eq!(seen.own(), all.last().map(|(at, _)| *at as f64 / 1_000.0));
    assert_eq!(unusual.count(), Some(expected.events));
    let satisfied = values.iter().filter(|&&value| value <= 0.5).count() as f64;
    let tolerating = values.iter().filter(|&&value| value > 0.5 && value <= 2.0).count() as f64;
    assert_eq!(patience.own(), Some((satisfied + tolerating / 2.0) / values.len() as f64));
    assert_eq!(failed.own(), Some(expected.failures as f64 / expected.events as f64));
    assert_eq!(fine.sum_nanos(), Some(expected.nanos));
    let Total::Ranking(top) = heaviest.total() else { panic!("a ranking") };
    let heavy: u64 = expected.values.iter().map(|&bits| (f64::from_bits(bits) * 1000.0).round().abs() as u64).sum();
    let (ranked, error) = top.ranked();
    assert_eq!((ranked.len(), ranked[0].weight.to_f64(), error.to_f64()), (1, heavy as f64 / 1000.0, 0.0));
    let Total::Ranking(top) = frequent.total() else { panic!("a ranking") };
    let counted = |(_, bits): &(i64, u64)| failing.iter().filter(|(_, value)| value.to_bits() == *bits).count();
    let most = expected.dated_failures.iter().map(counted).max().unwrap_or_default();
    assert_eq!(top.ranked().0.first().map_or(0.0, |ranked| ranked.weight.to_f64()), most as f64);
    let items = expected.values.iter().collect::<std::collections::BTreeSet<_>>().len() as f64;
    let estimate = different.own().unwrap();
    // Four are exact; beyond that six times the standard error.
    assert!((estimate - items).abs() <= if items > 4.0 { 0.13 * 6.0 * items } else { 0.0 }, "{estimate} of {items}");
    let MeasureState::Buckets(buckets) = coarse else { panic!("buckets") };
    let mut below = 0;
    for (bound, count) in [-1.0, 0.0, 0.5, 10.0, f64::INFINITY].into_iter().zip(&buckets.counts) {
        below += count;
        assert_eq!(below, values.iter().filter(|&&value| value <= bound).count() as u64, "le {bound}");
    }
}

proptest! {
    #[test]
    fn every_window_equals_a_recount(events in events(120)) {
        let events = whole(events);
        let task = folded(&plan(aggregate()), &events);
        for (size, hop) in [(10, 10), (30, 10), (40, 20)] {
            let windows = recount(&events, size, hop);
            let grid = WindowGrid::from(window(size, hop));
            for ((label, end), expected) in &windows {
                let cell = read(&task, label, grid.span(*end)).expect("a window with events");
                compare(&cell, expected);
            }
            // And no window that nothing was in time for has anything in it.
            for name in 0..3 {
                let label = Sent::at(0, name).label();
                for end in grid.ends(-1_000, 1_000).filter(|&end| !windows.contains_key(&(label.clone(), end))) {
                    prop_assert_eq!(read(&task, &label, grid.span(end)), None, "{} {}", &label, end);
                }
            }
        }
    }

    #[test]
    fn totals_count_every_event_however_late(events in events(120)) {
        let events = whole(events);
        let task = folded(&plan(aggregate()), &events);
        let mut totals: BTreeMap<String, Recount> = BTreeMap::new();
        let mut stream_time = i64::MIN;
        for sent in &events {
            stream_time = stream_time.max(sent.reach());
            add(totals.entry(sent.label()).or_default(), sent, stream_time);
        }
        let cells: Vec<_> = live(&task).into_iter().filter(|(entry, _)| entry.pane == Pane::TOTAL).collect();
        prop_assert_eq!(cells.len(), totals.len());
        for (entry, cell) in &cells {
            compare(cell, &totals[labels(&entry.key).unwrap()[0]]);
        }
    }

    #[test]
    fn late_events_are_those_a_pane_no_longer_took(events in events(120)) {
        let task = folded(&plan(aggregate()), &events);
        let mut stream_time = i64::MIN;
        let late = |sent: &&Sent| {
            stream_time = stream_time.max(sent.reach());
            stream_time >= sent.time.div_euclid(PANE) * PANE + PANE + GRACE
        };
        let expected = events.iter().filter(late).count() as u64;
        prop_assert_eq!(task.counters().next().unwrap().1.late_events, expected);
        prop_assert_eq!(task.stream_time(), events.iter().map(Sent::reach).max());
    }
}

proptest! {
    /// One wrong clock among many: whoever else is counted on time would be so without it, but for `max_lead`.
    #[test]
    fn events_dated_ahead_make_no_other_event_late(events in events(120)) {
        let sound: Vec<_> = events.iter().map(|sent| Sent { time: sent.reach(), ahead: 0, ..sent.clone() }).collect();
        let late = |events: &[Sent]| folded(&plan(aggregate()), events).counters().next().unwrap().1.late_events;
        prop_assert!(late(&events) <= late(&sound));
        prop_assert_eq!(folded(&plan(aggregate()), &events).stream_time(), folded(&plan(aggregate()), &sound).stream_time());
    }
}

#[test]
fn an_event_dated_ahead_is_in_the_window_that_it_names_once_stream_time_is_there() {
    let plan = plan(aggregate());
    let ahead = Sent { ahead: 75, ..Sent::at(80, 0) };
    let mut task = folded(&plan, &[Sent::at(3, 0), ahead, Sent::at(4, 0)]);
    assert_eq!((task.stream_time(), task.counters().next().unwrap().1.late_events), (Some(5), 0));
    let count = |task: &TaskState, end: i64| {
        let cell = read(task, "name-0", WindowGrid::from(window(PANE, PANE)).span(end))?;
        cell.measures[0].count()
    };
    assert_eq!((count(&task, 10), count(&task, 90)), (Some(2), Some(1)));
    // Time gets there; the pane takes on, and is late and expires as any other.
    [Sent::at(85, 0), Sent::at(96, 0), Sent::at(97, 0), Sent::at(84, 0)].iter().for_each(|sent| fold(&mut task, sent));
    assert_eq!((count(&task, 90), task.counters().next().unwrap().1.late_events), (Some(2), 1));
    fold(&mut task, &Sent::at(189, 1));
    task.freeze(NOW);
    assert_eq!(count(&task, 90), Some(2));
    fold(&mut task, &Sent::at(190, 1));
    task.freeze(NOW);
    assert_eq!(count(&task, 90), None);
}

#[test]
fn an_aggregate_without_windows_keeps_totals_only() {
    let mut config = aggregate();
    config.windows.clear();
    let task = folded(&plan(config), &[Sent::at(1_000, 0), Sent::at(0, 0), Sent::at(1_000, 1)]);
    let panes: Vec<_> = live(&task).into_iter().map(|(entry, _)| entry.pane).collect();
    assert_eq!(panes, [Pane::TOTAL, Pane::TOTAL]);
    assert_eq!(task.counters().next().unwrap().1.late_events, 0);
}

#[test]
fn extreme_times_do_not_panic() {
    for first in [i64::MIN, -1, 0, i64::MAX] {
        for then in [i64::MIN, i64::MAX] {
            let mut task = folded(&plan(aggregate()), &[Sent::at(first, 0), Sent::at(then, 0)]);
            let frozen = task.freeze(NOW);
            let totals = frozen.entries.iter().filter(|(entry, _)| entry.pane == Pane::TOTAL);
            assert_eq!(totals.map(|(_, cell)| cell.measures[0].count()).collect::<Vec<_>>(), [Some(2)]);
        }
    }
}
