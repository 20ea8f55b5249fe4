//! Since when each key counts: the freeze whose commit showed it first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use prost::Message;
use streamgauge_proto::storage::v1 as pb;

use crate::aggregate::samples::*;
use crate::aggregate::{Cell, Frozen, Pane, TaskState, labels};
use crate::config::Aggregate;

/// What committed totals say, by label.
fn told(frozen: &Frozen) -> BTreeMap<String, Option<i64>> {
    let totals = frozen.entries.iter().filter(|(entry, _)| entry.pane == Pane::TOTAL);
    totals.map(|(entry, cell)| (labels(&entry.key).unwrap()[0].to_owned(), cell.began())).collect()
}

fn one(name: &str, since: i64) -> BTreeMap<String, Option<i64>> {
    [(name.to_owned(), Some(since))].into()
}

#[test]
fn a_key_counts_since_the_commit_that_showed_it_first() {
    let mut task = folded(&plan(aggregate()), &[Sent::at(0, 0)]);
    assert_eq!(told(&task.freeze(1_000)), one("name-0", 1_000));
    fold(&mut task, &Sent::at(1, 1));
    assert_eq!(told(&task.freeze(2_000)), one("name-1", 2_000));
    fold(&mut task, &Sent::at(2, 0));
    assert_eq!(told(&task.freeze(3_000)), one("name-0", 1_000));
    // Panes have no use for it.
    assert!(live(&task).iter().all(|(entry, cell)| entry.pane == Pane::TOTAL || cell.since == 0));
}

#[test]
fn a_commit_that_was_aborted_showed_nothing() {
    let mut task = folded(&plan(aggregate()), &[Sent::at(0, 0)]);
    task.freeze(1_000);
    fold(&mut task, &Sent::at(1, 0));
    fold(&mut task, &Sent::at(1, 1));
    let frozen = task.freeze(2_000);
    fold(&mut task, &Sent::at(2, 1));
    task.unfreeze(frozen);
    let again = told(&task.freeze(60_000));
    assert_eq!(again, [one("name-0", 1_000), one("name-1", 60_000)].into_iter().flatten().collect());
}

#[test]
fn a_key_that_was_dropped_and_comes_back_begins_anew() {
    let config =
        Aggregate { key_ttl: Some(Duration::from_millis(30)), retention: Duration::from_millis(60), ..aggregate() };
    let mut task = folded(&plan(config), &[Sent::at(5, 0)]);
    task.freeze(1_000);
    fold(&mut task, &Sent::at(100, 1));
    assert!(task.freeze(2_000).expired.iter().any(|entry| entry.pane == Pane::TOTAL));
    fold(&mut task, &Sent::at(101, 0));
    assert_eq!(told(&task.freeze(3_000)), one("name-0", 3_000));
}

#[test]
fn of_a_total_that_an_older_version_wrote_nobody_knows_since_when_it_counts() {
    let plan = plan(aggregate());
    let mut task = folded(&plan, &[Sent::at(0, 0)]);
    let frozen = task.freeze(1_000);
    let mut older = TaskState::new(plan.clone());
    for (entry, cell) in &frozen.entries {
        let mut bytes = Vec::new();
        cell.encode(&mut bytes);
        let message = pb::Cell::decode(&bytes[..]).unwrap();
        assert_eq!(message.since_ms, if entry.pane == Pane::TOTAL { 1_000 } else { 0 });
        let format_1 = pb::Cell { format_version: 1, since_ms: 0, ..message }.encode_to_vec();
        older.load(entry.clone(), Arc::new(Cell::decode(&plan.aggregates[0], &format_1).unwrap()));
    }
    fold(&mut older, &Sent::at(1, 0));
    fold(&mut older, &Sent::at(1, 1));
    let told = told(&older.freeze(2_000));
    assert_eq!(told, [("name-0".to_owned(), None), ("name-1".to_owned(), Some(2_000))].into());
}

proptest! {
    /// Whatever is folded, aborted, and restored from what was committed: a start never changes once it was committed, and is
    /// that of the first commit with the key.
    #[test]
    fn a_start_that_was_committed_stays(events in events(120), aborts in proptest::collection::vec(any::<bool>(), 0..40)) {
        let plan = plan(aggregate());
        let mut task = TaskState::new(plan.clone());
        let (mut events, mut told_before) = (events.iter(), BTreeMap::<String, Option<i64>>::new());
        for (nth, abort) in (1i64..).zip(aborts) {
            events.by_ref().take(3).for_each(|sent| fold(&mut task, sent));
            let frozen = task.freeze(nth);
            events.by_ref().take(2).for_each(|sent| fold(&mut task, sent));
            if abort {
                task.unfreeze(frozen);
                continue;
            }
            for (label, since) in told(&frozen) {
                let first = *told_before.entry(label).or_insert(Some(nth));
                prop_assert_eq!(since, first);
            }
        }
    }
}
