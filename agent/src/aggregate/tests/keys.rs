//! Keys, their limit, plans, and events that are rejected.

use std::time::Duration;

use proptest::prelude::*;

use super::samples::*;
use crate::aggregate::{EntryKey, Event, Pane, Plan, RejectionReason, TaskState, Value, is_overflow, labels};
use crate::config::{Aggregate, LabelField, TimeFormat, Timestamp, Unit};

fn fold_values(task: &mut TaskState, values: [Value<'_>; 3]) -> Result<(), RejectionReason> {
    task.fold(&Event { time: 1_000_000, reach: 1_000_000, values: &values }).map_err(|rejection| rejection.reason)
}

#[test]
fn rejected_events_change_nothing() {
    let events: Vec<_> = (0..20).map(|time| Sent::at(time, (time % 3) as u8)).collect();
    // The second aggregate rejects what the first would take.
    let mut first = aggregate();
    first.name = "first".into();
    first.measures.truncate(2);
    let plan = std::sync::Arc::new(Plan::new(&source(), &[first, aggregate()]));
    assert_eq!(plan.fields, ["name", "ok", "ms"].map(path));
    let mut task = folded(&plan, &events);
    task.freeze(NOW);
    let before = (live(&task), task.stream_time(), task.counters().map(|(_, counters)| counters).collect::<Vec<_>>());

    let (name, ok) = (Value::Str("name-0"), Value::Bool(false));
    for (values, expected) in [
        ([Value::Missing, ok, Value::Int(1)], RejectionReason::MissingLabel),
        ([Value::Null, ok, Value::Int(1)], RejectionReason::LabelType),
        ([Value::Composite, ok, Value::Int(1)], RejectionReason::LabelType),
        ([Value::Str(&"x".repeat(1025)), ok, Value::Int(1)], RejectionReason::LabelTooLong),
        ([name, ok, Value::Missing], RejectionReason::MissingValue),
        ([name, ok, Value::Str("1")], RejectionReason::ValueType),
        ([name, ok, Value::Null], RejectionReason::ValueType),
        ([name, ok, Value::Float(f64::NAN)], RejectionReason::ValueOutOfRange),
        ([name, ok, Value::Float(2e18)], RejectionReason::ValueOutOfRange),
        ([name, ok, Value::Int(i64::MAX)], RejectionReason::ValueOutOfRange),
    ] {
        assert_eq!(fold_values(&mut task, values), Err(expected), "{values:?}");
    }
    let after = (live(&task), task.stream_time(), task.counters().map(|(_, counters)| counters).collect::<Vec<_>>());
    assert_eq!(before, after);
    assert!(task.freeze(NOW).entries.is_empty());
}

#[test]
fn a_measured_field_may_be_missing_where_its_filter_does_not_hold() {
    let mut config = aggregate();
    config.measures = vec![config.measures[0].clone(), config.measures[4].clone()];
    let mut task = TaskState::new(plan(config));
    assert_eq!(task.plan().fields, ["name", "ms", "ok"].map(path));
    assert_eq!(fold_values(&mut task, [Value::Str("a"), Value::Missing, Value::Bool(true)]), Ok(()));
    let rejected = fold_values(&mut task, [Value::Str("a"), Value::Missing, Value::Bool(false)]);
    assert_eq!(rejected, Err(RejectionReason::MissingValue));
}

#[test]
fn numbers_and_booleans_become_their_text() {
    let mut task = TaskState::new(plan(aggregate()));
    for name in [
        Value::Int(-404),
        Value::Int(i64::MIN),
        Value::Int(i64::MAX),
        Value::Int(0),
        Value::Float(1.0),
        Value::Float(0.25),
        Value::Bool(true),
        Value::Str(""),
    ] {
        fold_values(&mut task, [name, Value::Bool(true), Value::Int(1)]).unwrap();
    }
    let entries = live(&task);
    let mut names: Vec<_> = entries.iter().map(|(entry, _)| labels(&entry.key).unwrap()[0]).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["", "-404", "-9223372036854775808", "0", "0.25", "1", "9223372036854775807", "true"]);
}

proptest! {
    #[test]
    fn sums_over_all_keys_stay_exact_beyond_the_key_limit(events in events(120), key_limit in 0usize..3) {
        let unlimited = folded(&plan(aggregate()), &events);
        let limited = folded(&plan(Aggregate { key_limit, ..aggregate() }), &events);
        let whole = |task: &TaskState, pane: Pane| {
            let cells = live(task).into_iter().filter(|(entry, _)| entry.pane == pane).map(|(_, cell)| cell);
            cells.reduce(|mut a, b| { a.merge(&b); a })
        };
        for (entry, _) in live(&unlimited) {
            prop_assert_eq!(whole(&limited, entry.pane), whole(&unlimited, entry.pane));
        }
        let id = limited.plan().aggregates[0].id;
        prop_assert!(limited.keys(id) <= key_limit);
        let is_overflow_total = |entry: &EntryKey| is_overflow(&entry.key) && entry.pane == Pane::TOTAL;
        let overflow = live(&limited).into_iter().find(|(entry, _)| is_overflow_total(entry));
        let overflowed = overflow.map_or(0, |(_, cell)| cell.measures[0].count().unwrap());
        prop_assert_eq!(limited.counters().next().unwrap().1.overflow_events, overflowed);
    }
}

#[test]
fn an_id_changes_with_the_meaning_and_only_with_it() {
    let id = |aggregate: Aggregate| plan(aggregate).aggregates[0].id;
    let changed = |change: &dyn Fn(&mut Aggregate)| {
        let mut other = aggregate();
        change(&mut other);
        id(other) != id(aggregate())
    };
    assert!(!changed(&|a| a.windows.clear()));
    assert!(!changed(&|a| a.grace += Duration::from_secs(1)));
    assert!(!changed(&|a| a.retention += Duration::from_secs(1)));
    assert!(!changed(&|a| a.key_limit += 1));
    assert!(!changed(&|a| a.key_ttl = Some(Duration::from_secs(1))));
    assert!(!changed(&|a| a.metric_prefix = "other".into()));
    assert!(!changed(&|a| a.measures[0].help = Some("text".into())));
    assert!(!changed(&|a| a.measures[0].metric = Some("name".into())));

    assert!(changed(&|a| a.name = "other".into()));
    assert!(changed(&|a| a.pane *= 2));
    assert!(changed(&|a| a.by.clear()));
    assert!(changed(&|a| a.by.push(LabelField { label: "more".into(), path: path("more") })));
    assert!(changed(&|a| a.by[0].path = path("na.me")));
    assert!(changed(&|a| a.measures.truncate(7)));
    assert!(changed(&|a| a.measures.swap(0, 1)));
    assert!(changed(&|a| a.measures[2].unit = Unit::Seconds));
    assert!(changed(&|a| a.measures[2].field = Some(path("other"))));
    assert!(changed(&|a| a.measures[1].filter.clear()));
    assert!(changed(&|a| a.measures[7].kind = crate::config::MeasureKind::Buckets(vec![1.0])));

    let mut rfc = source();
    rfc.timestamp = Timestamp::Field { path: path("time"), format: TimeFormat::Rfc3339 };
    assert_ne!(Plan::new(&rfc, &[aggregate()]).aggregates[0].id, id(aggregate()));
}

#[test]
fn an_id_does_not_change_from_release_to_release() {
    assert_eq!(plan(aggregate()).aggregates[0].id.0, 5_772_902_594_062_147_476);
}

#[test]
fn a_plan_takes_only_its_sources_aggregates() {
    let other = Aggregate { source: "other".into(), ..aggregate() };
    let plan = Plan::new(&source(), &[other, aggregate()]);
    assert_eq!(plan.aggregates.len(), 1);
    assert!(plan.aggregate(plan.aggregates[0].id).is_some());
}
