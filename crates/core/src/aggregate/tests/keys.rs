//! Keys, their limit, plans, and events that are rejected.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::aggregate::samples::{self, *};
use crate::aggregate::{ByReason, EntryKey, Event, Pane, Plan, Reason, Tally, TaskState, Value, is_overflow, labels};
use crate::config::{
    Aggregate, Condition, LabelField, LabelMaking, MeasureKind, Scalar, Since, Source, Template, Test, TimeFormat,
    Timestamp, Unit,
};

/// The sample aggregate without measures of items: what they cannot use, they share with all others.
fn aggregate() -> Aggregate {
    let mut aggregate = samples::aggregate();
    aggregate.measures.truncate(8);
    aggregate
}

fn fold_values(task: &mut TaskState, values: [Value<'_>; 3]) -> Result<(), Reason> {
    task.fold(&Event { time: 1_000_000, reach: 1_000_000, values: &values }).map_err(|rejection| rejection.reason)
}

/// Two aggregates by name of a source: one counts, one has every measure.
fn two(strict: bool) -> Arc<Plan> {
    let mut first = aggregate();
    first.name = "first".into();
    first.by.clear();
    first.measures.truncate(1);
    let plan = Arc::new(plan_of(&Source { strict, ..source() }, &[first, aggregate()]));
    assert_eq!(plan.fields, ["name", "ok", "ms"].map(path));
    plan
}

/// Values of name, ok and ms that an aggregate by name cannot use as they are.
fn faults() -> [([Value<'static>; 3], Reason); 12] {
    const LONG: &str = match std::str::from_utf8(&[b'x'; 1025]) {
        Ok(text) => text,
        Err(_) => "",
    };
    let (name, ok) = (Value::Str("name-0"), Value::Bool(false));
    [
        ([Value::Missing, ok, Value::Int(1)], Reason::MissingLabel),
        ([Value::Null, ok, Value::Int(1)], Reason::MissingLabel),
        ([Value::Composite, ok, Value::Int(1)], Reason::LabelType),
        ([Value::Str(LONG), ok, Value::Int(1)], Reason::LabelTooLong),
        ([name, ok, Value::Missing], Reason::MissingValue),
        ([name, ok, Value::Null], Reason::MissingValue),
        ([name, ok, Value::Str("-")], Reason::MissingValue),
        ([name, ok, Value::Str("fast")], Reason::ValueType),
        ([name, ok, Value::Bool(true)], Reason::ValueType),
        ([name, ok, Value::Float(f64::NAN)], Reason::ValueOutOfRange),
        ([name, ok, Value::Float(2e18)], Reason::ValueOutOfRange),
        ([name, ok, Value::Int(i64::MAX)], Reason::ValueOutOfRange),
    ]
}

#[test]
fn what_one_aggregate_cannot_use_is_its_own_concern_and_counted_there() {
    for (values, reason) in faults() {
        let mut task = TaskState::new(two(false));
        assert_eq!(fold_values(&mut task, values), Ok(()), "{values:?}");
        let totals: Vec<_> = live(&task).into_iter().filter(|(entry, _)| entry.pane == Pane::TOTAL).collect();
        assert_eq!(totals.len(), 2, "{values:?}: both have the event");
        let whole = totals.iter().find(|(_, cell)| cell.measures.len() > 1).unwrap();
        let of_value = Reason::VALUES.contains(&reason);
        assert_eq!(whole.1.measures[0].count(), Some(1));
        assert_eq!(whole.1.measures[6].count(), Some(u64::from(!of_value)), "{values:?}");
        let mut tallies = Vec::new();
        task.take_tallies(|plan, tally| tallies.push((plan.config.name.clone(), tally.clone())));
        assert_eq!(tallies[0].1.taken, 1);
        assert!(tallies[0].1.values.iter().chain(&tallies[0].1.labels).all(|counts| *counts == ByReason::default()));
        let counted = if of_value { &tallies[1].1.values[6] } else { &tallies[1].1.labels[0] };
        assert_eq!(counted.of(reason), 1, "{values:?}");
    }
}

#[test]
fn a_strict_source_folds_such_an_event_nowhere() {
    let events: Vec<_> = (0..20).map(|time| Sent::at(time, (time % 3) as u8)).collect();
    let mut task = folded(&two(true), &events);
    task.freeze(NOW);
    let state =
        |task: &TaskState| (live(task), task.stream_time(), task.counters().map(|(_, c)| c).collect::<Vec<_>>());
    let before = state(&task);
    for (values, reason) in faults() {
        assert_eq!(fold_values(&mut task, values), Err(reason), "{values:?}");
    }
    assert_eq!(before, state(&task));
    assert!(task.freeze(NOW).entries.is_empty());
}

#[test]
fn a_label_without_a_value_is_empty_or_what_the_config_says_or_the_event_is_not_its() {
    let with = |change: &dyn Fn(&mut LabelField)| {
        let mut config = aggregate();
        change(&mut config.by[0]);
        let mut task = TaskState::new(plan(config));
        for name in [Value::Missing, Value::Null, Value::Str(""), Value::Composite, Value::Str("a")] {
            fold_values(&mut task, [name, Value::Bool(true), Value::Int(1)]).unwrap();
        }
        let totals = live(&task).into_iter().filter(|(entry, _)| entry.pane == Pane::TOTAL);
        let name = |entry: &EntryKey| labels(&entry.key).unwrap()[0].to_owned();
        let counts: Vec<_> = totals.map(|(entry, cell)| (name(&entry), cell.measures[0].count().unwrap())).collect();
        let mut skipped = 0;
        task.take_tallies(|_, tally| skipped = tally.events.of(Reason::RequiredLabel));
        (counts, skipped)
    };
    let counts =
        |pairs: &[(&str, u64)]| pairs.iter().map(|&(name, count)| (name.to_owned(), count)).collect::<Vec<_>>();
    assert_eq!(with(&|_| ()), (counts(&[("", 4), ("a", 1)]), 0));
    assert_eq!(with(&|label| label.default = Some("none".into())), (counts(&[("a", 1), ("none", 4)]), 0));
    assert_eq!(with(&|label| label.required = true), (counts(&[("a", 1)]), 4));
}

/// What labels each event's `name` gives, and what of them was counted as wrong.
fn labels_of(making: LabelMaking, required: bool, names: &[Value<'_>]) -> (Vec<String>, [u64; 2], u64) {
    let mut config = aggregate();
    config.by[0] = LabelField { making, required, or: vec![path("ok")], ..config.by[0].clone() };
    let mut task = TaskState::new(plan(config));
    let mut found = Vec::new();
    for name in names {
        fold_values(&mut task, [*name, Value::Str(""), Value::Int(1)]).unwrap();
        let keys: Vec<String> =
            live(&task).into_iter().map(|(entry, _)| labels(&entry.key).unwrap()[0].to_owned()).collect();
        found.extend(keys.into_iter().find(|key| !found.contains(key)).into_iter().collect::<Vec<_>>());
    }
    let mut counted = ([0; 2], 0);
    task.take_tallies(|_, tally| {
        let of = |reason| tally.labels[0].of(reason);
        counted = ([of(Reason::LabelNoMatch), of(Reason::MissingLabel)], tally.events.of(Reason::RequiredLabel));
    });
    (found, counted.0, counted.1)
}

#[test]
fn a_label_may_be_made_of_its_field_whatever_type_that_has() {
    let class = LabelMaking { class: true, ..LabelMaking::default() };
    let statuses = [Value::Int(503), Value::Str("404"), Value::Float(200.0), Value::Bool(true), Value::Missing];
    let made = ["5xx", "4xx", "2xx", "other", ""].map(str::to_owned).to_vec();
    assert_eq!(labels_of(class, false, &statuses), (made, [0, 1], 0));
    let first = LabelMaking { part: Some("^([A-Z]+) ".into()), lower: true, ..LabelMaking::default() };
    let lines = [Value::Str("GET /a"), Value::Str("garbage"), Value::Str("PUT /b"), Value::Null];
    let made = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(labels_of(first.clone(), false, &lines), (made(&["get", "", "put"]), [1, 1], 0));
    assert_eq!(labels_of(first, true, &lines), (made(&["get", "put"]), [0, 0], 2));
}

#[test]
fn a_label_and_a_measure_may_be_made_of_the_first_field_that_has_a_value() {
    let mut config = aggregate();
    config.by[0].or = vec![path("ok"), path("ms")];
    config.measures = vec![config.measures[0].clone(), config.measures[2].clone()];
    config.measures[1].or = vec![path("name"), path("ok")];
    let mut task = TaskState::new(plan(config));
    let (text, number) = (Value::Str("text"), Value::Int(7));
    for values in [[text, number, number], [Value::Null, text, number], [Value::Str(""), Value::Missing, number]] {
        fold_values(&mut task, values).unwrap();
    }
    // Measured is milliseconds: `ms`, else `name`, else `ok`.
    fold_values(&mut task, [Value::Str("9"), Value::Int(1), Value::Null]).unwrap();
    let counts = live(&task).into_iter().filter(|(entry, _)| entry.pane == Pane::TOTAL);
    let counts: Vec<_> =
        counts.map(|(entry, cell)| (labels(&entry.key).unwrap()[0].to_owned(), cell.measures[0].count())).collect();
    assert_eq!(counts, [("7".to_owned(), Some(1)), ("9".to_owned(), Some(1)), ("text".to_owned(), Some(2))]);
    let sum: i128 = live(&task)
        .into_iter()
        .filter(|(entry, _)| entry.pane == Pane::TOTAL)
        .filter_map(|(_, cell)| cell.measures[1].sum_nanos())
        .sum();
    assert_eq!(sum, (7 + 7 + 7 + 9) * 1_000_000);
}

#[test]
fn a_long_label_is_cut_on_a_character_and_still_told_from_others() {
    let plan = Arc::new(plan_of(&source(), &[aggregate()]).with_label_bytes(20));
    let mut task = TaskState::new(plan);
    for name in [
        "twenty bytes are fine",
        "twenty bytes are fine!",
        "exactly twenty bytes",
        "éééééééééééé",
        "0123456789é123456789x",
    ] {
        fold_values(&mut task, [Value::Str(name), Value::Bool(true), Value::Int(1)]).unwrap();
    }
    let entries = live(&task);
    let mut names: Vec<_> = entries.iter().map(|(entry, _)| labels(&entry.key).unwrap()[0]).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.iter().all(|name| name.len() <= 20), "{names:?}");
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names.contains(&"exactly twenty bytes"));
    assert!(names.iter().any(|name| name.starts_with("twenty byte~")), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("ééééé~")), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("0123456789~")), "{names:?}");
}

#[test]
fn a_negative_value_is_measured_only_where_that_was_asked_for() {
    let mut config = aggregate();
    config.measures.iter_mut().for_each(|measure| measure.signed = false);
    let mut task = TaskState::new(plan(config));
    fold_values(&mut task, [Value::Str("a"), Value::Bool(false), Value::Float(-1.5)]).unwrap();
    fold_values(&mut task, [Value::Str("a"), Value::Bool(false), Value::Str("-0")]).unwrap();
    let (_, total) = live(&task).into_iter().find(|(entry, _)| entry.pane == Pane::TOTAL).unwrap();
    assert_eq!(
        (total.measures[0].count(), total.measures[2].sum_nanos(), total.measures[6].count()),
        (Some(2), Some(0), Some(1))
    );
    // The smallest value goes wherever it goes.
    assert_eq!(total.measures[3].min(), Some(-0.0015));
    let mut refused = Vec::new();
    task.take_tallies(|_, tally| {
        refused = tally.values.iter().map(|counts| counts.of(Reason::NegativeValue)).collect()
    });
    assert_eq!(refused, [0, 0, 1, 0, 0, 1, 1, 1]);
}

#[test]
fn an_event_that_an_aggregate_does_not_ask_for_passes_it_by() {
    let mut config = aggregate();
    config.filter = vec![Condition::Field { path: path("name"), test: Test::Ne(Scalar::Text("b".into())) }];
    let mut task = TaskState::new(plan(config));
    for name in ["a", "b", "a"] {
        fold_values(&mut task, [Value::Str(name), Value::Bool(true), Value::Int(1)]).unwrap();
    }
    assert_eq!(task.keys(task.plan().aggregates[0].id), 1);
    let mut tally = Tally::default();
    task.take_tallies(|_, taken| tally = taken.clone());
    assert_eq!((tally.taken, tally.events.of(Reason::Where)), (2, 1));
    task.take_tallies(|_, taken| tally = taken.clone());
    assert_eq!((tally.taken, tally.events.of(Reason::Where)), (0, 0));
}

#[test]
fn a_measured_field_may_be_missing_where_its_filter_does_not_hold() {
    let mut config = aggregate();
    config.measures = vec![config.measures[0].clone(), config.measures[4].clone()];
    let mut task = TaskState::new(Arc::new(plan_of(&Source { strict: true, ..source() }, &[config])));
    assert_eq!(task.plan().fields, ["name", "ms", "ok"].map(path));
    assert_eq!(fold_values(&mut task, [Value::Str("a"), Value::Missing, Value::Bool(true)]), Ok(()));
    let rejected = fold_values(&mut task, [Value::Str("a"), Value::Missing, Value::Bool(false)]);
    assert_eq!(rejected, Err(Reason::MissingValue));
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
        Value::Digits("18446744073709551615"),
        Value::Str(""),
    ] {
        fold_values(&mut task, [name, Value::Bool(true), Value::Int(1)]).unwrap();
    }
    let entries = live(&task);
    let mut names: Vec<_> = entries.iter().map(|(entry, _)| labels(&entry.key).unwrap()[0]).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(
        names,
        ["", "-404", "-9223372036854775808", "0", "0.25", "1", "18446744073709551615", "9223372036854775807", "true"]
    );
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
    assert!(changed(&|a| a.by.push(LabelField { label: "more".into(), path: path("more"), ..LabelField::default() })));
    assert!(changed(&|a| a.by[0].path = path("na.me")));
    assert!(changed(&|a| a.measures.truncate(7)));
    assert!(changed(&|a| a.measures.swap(0, 1)));
    assert!(changed(&|a| a.measures[2].unit = Unit::Seconds));
    assert!(changed(&|a| a.measures[2].field = Some(path("other"))));
    assert!(changed(&|a| a.measures[2].or = vec![path("other")]));
    assert!(changed(&|a| a.measures[1].filter.clear()));
    assert!(changed(&|a| a.filter = a.measures[1].filter.clone()));
    assert!(changed(&|a| a.by[0].required = true));
    assert!(changed(&|a| a.by[0].default = Some("none".into())));
    assert!(changed(&|a| a.by[0].or = vec![path("other")]));
    let ids: Vec<_> = ["name[0]", "name[-1]", "name[a=0]", "\"name[0]\"", "name.\"[0]\"", "%key", "\"%key\""]
        .map(|text| {
            id(Aggregate { by: vec![LabelField { path: path(text), ..aggregate().by[0].clone() }], ..aggregate() })
        })
        .to_vec();
    assert!(ids.iter().enumerate().all(|(at, id)| !ids[at + 1..].contains(id)), "{ids:?}");
    let makings = [
        LabelMaking { part: Some("a".into()), ..LabelMaking::default() },
        LabelMaking { lower: true, ..LabelMaking::default() },
        LabelMaking { class: true, ..LabelMaking::default() },
        LabelMaking { template: Some(Template::Path), ..LabelMaking::default() },
        LabelMaking { template: Some(Template::Routes(vec!["/a".into()])), ..LabelMaking::default() },
        LabelMaking { map: vec![("1".into(), "a".into())], ..LabelMaking::default() },
    ];
    for making in makings {
        assert!(changed(&|a| a.by[0].making = making.clone()), "{making:?}");
    }
    assert!(changed(&|a| a.measures[2].signed = !a.measures[2].signed));
    let since = || Since { path: path("began"), format: TimeFormat::Rfc3339 };
    assert!(changed(&|a| a.measures[2].since = Some(since())));
    assert!(changed(&|a| a.measures[7].kind = MeasureKind::Buckets(vec![1.0])));
    let with = |kind: &str, weight: Option<&str>| {
        let mut a = samples::aggregate();
        a.measures[11].kind = MeasureKind::of(kind).unwrap();
        a.measures[11].weight = weight.map(path);
        id(a)
    };
    let ids = [id(samples::aggregate()), with("distinct", None), with("top", None), with("top", Some("ms"))];
    assert!(ids.iter().enumerate().all(|(at, id)| !ids[at + 1..].contains(id)), "{ids:?}");

    let mut rfc = source();
    rfc.timestamp = Timestamp::field(path("time"), TimeFormat::Rfc3339);
    assert_ne!(plan_of(&rfc, &[aggregate()]).aggregates[0].id, id(aggregate()));
    let (a, b) = (path("a"), path("b"));
    let in_zone = |zone: &str| TimeFormat::Clf { zone: zone.into() };
    let matched = |part: &str| Timestamp::Field { path: path("a"), format: TimeFormat::Unix, part: Some(part.into()) };
    let times = [
        Timestamp::Kafka,
        Timestamp::field(a.clone(), in_zone("UTC")),
        Timestamp::field(a.clone(), in_zone("Asia/Tokyo")),
        Timestamp::field(a.clone(), TimeFormat::Unix),
        matched("1"),
        matched("2"),
        Timestamp::Parts { seconds: a.clone(), nanos: b.clone() },
        Timestamp::Parts { seconds: b, nanos: a },
        Timestamp::FirstOf(vec![matched("1"), Timestamp::Kafka]),
        Timestamp::FirstOf(vec![Timestamp::Kafka, matched("1")]),
    ];
    let id = |timestamp: &Timestamp| {
        plan_of(&Source { timestamp: timestamp.clone(), ..source() }, &[aggregate()]).aggregates[0].id
    };
    let ids: std::collections::BTreeSet<_> = times.iter().map(id).collect();
    assert_eq!(ids.len(), times.len());
}

#[test]
fn an_id_does_not_change_from_release_to_release() {
    let mut config = aggregate();
    config.measures.iter_mut().for_each(|measure| measure.signed = false);
    assert_eq!(plan(config).aggregates[0].id.0, 5_772_902_594_062_147_476);
}

#[test]
fn what_counts_in_several_sources_has_one_id_which_is_of_all_of_them() {
    let named =
        |name: &str, place: &str| Source { name: name.into(), fields: vec![(path("name"), path(place))], ..source() };
    let both = |names: [&str; 2]| Aggregate { sources: names.map(Into::into).to_vec(), ..aggregate() };
    let ids = |all: &[Source], aggregate: &Aggregate| -> Vec<_> {
        let plans = all.iter().map(|one| Plan::new(one, all, std::slice::from_ref(aggregate)));
        plans.map(|plan| (plan.aggregates[0].id, plan.fields[0].to_string())).collect()
    };
    let found = ids(&[named("web", "name"), named("api", "user.name")], &both(["web", "api"]));
    assert_eq!(found[0].0, found[1].0);
    assert_eq!([&*found[0].1, &*found[1].1], ["name", "user.name"], "each is read where its source has it");
    let again = ids(&[named("api", "user.name"), named("web", "name")], &both(["api", "web"]));
    assert_eq!(again[0].0, found[0].0, "in any order");
    let moved = ids(&[named("web", "name"), named("api", "user")], &both(["web", "api"]));
    assert_ne!(moved[0].0, found[0].0);
    // By its place alone a field is the same field.
    let alone = |aggregate, source: Source| plan_of(&source, &[aggregate]).aggregates[0].id;
    let of_web = || Aggregate { sources: vec!["web".into()], ..aggregate() };
    let mut at_place = of_web();
    at_place.by[0].path = path("user.name");
    assert_eq!(
        alone(of_web(), named("web", "user.name")),
        alone(at_place, Source { fields: vec![], ..named("web", "x") })
    );
    assert_ne!(alone(of_web(), named("web", "name")), found[0].0);
}

#[test]
fn a_plan_takes_only_its_sources_aggregates() {
    let other = Aggregate { sources: vec!["other".into()], ..aggregate() };
    let plan = plan_of(&source(), &[other, aggregate()]);
    assert_eq!(plan.aggregates.len(), 1);
    assert!(plan.aggregate(plan.aggregates[0].id).is_some());
}
