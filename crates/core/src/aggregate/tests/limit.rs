//! What becomes of new keys at an aggregate's limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::aggregate::samples::*;
use crate::aggregate::{Cell, EntryKey, Frozen, Pane, Plan, TaskState, is_overflow, labels};
use crate::config::{Aggregate, OnLimit};

fn replacing(key_limit: usize) -> Arc<Plan> {
    plan(Aggregate { key_limit, on_limit: OnLimit::ReplaceIdle, ..aggregate() })
}

/// The name of each key and how many events its total has; the overflow key is called `…`.
fn totals(task: &TaskState) -> Vec<(String, u64)> {
    let totals = live(task).into_iter().filter(|(entry, _)| entry.pane == Pane::TOTAL);
    let name = |entry: &EntryKey| match is_overflow(&entry.key) {
        true => "…".to_owned(),
        false => labels(&entry.key).unwrap()[0].to_owned(),
    };
    let mut totals: Vec<_> = totals.map(|(entry, cell)| (name(&entry), cell.measures[0].count().unwrap())).collect();
    totals.sort();
    totals
}

fn named(counts: &[(u8, u64)], overflow: u64) -> Vec<(String, u64)> {
    let name = |&(name, count): &(u8, u64)| (Sent::at(0, name).label(), count);
    counts.iter().map(name).chain([("…".to_owned(), overflow)]).collect()
}

/// Does to a store what a commit does.
fn commit(store: &mut BTreeMap<EntryKey, Cell>, frozen: &Frozen) {
    for (entry, cell) in &frozen.entries {
        store.insert(entry.clone(), Cell::clone(cell));
    }
    for entry in &frozen.expired {
        store.remove(entry);
    }
}

#[test]
fn the_key_unseen_for_the_longest_time_gives_its_place_to_a_new_one_and_its_counts_to_the_overflow() {
    let mut task = TaskState::new(replacing(2));
    for (time, name) in [(0, 1), (1, 2), (2, 1), (3, 3)] {
        fold(&mut task, &Sent::at(time, name));
    }
    assert_eq!(totals(&task), named(&[(1, 2), (3, 1)], 1));
    fold(&mut task, &Sent::at(4, 2));
    // A key that comes back begins again.
    assert_eq!(totals(&task), named(&[(2, 1), (3, 1)], 3));
    let counters = task.counters().next().unwrap().1;
    assert_eq!((counters.replaced_keys, counters.overflow_events), (2, 0));
    assert_eq!(task.keys(task.plan().aggregates[0].id), 2);
}

#[test]
fn a_key_that_goes_and_comes_back_between_two_commits_is_written_once_and_not_deleted() {
    let mut task = TaskState::new(replacing(1));
    let mut store = BTreeMap::new();
    fold(&mut task, &Sent::at(0, 1));
    commit(&mut store, &task.freeze(NOW));
    for (time, name) in [(1, 2), (2, 1), (3, 2), (4, 1)] {
        fold(&mut task, &Sent::at(time, name));
    }
    let frozen = task.freeze(NOW + 1);
    let mut written: Vec<_> = frozen.entries.iter().map(|(entry, _)| entry.clone()).collect();
    written.sort();
    written.dedup();
    assert_eq!(written.len(), frozen.entries.len(), "each once");
    commit(&mut store, &frozen);
    assert_eq!(store, live(&task).into_iter().collect());
    assert_eq!(totals(&task), named(&[(1, 1)], 4));
    // It counts since this commit, and the overflow key since its own first one.
    let since = |entry: &EntryKey| store[entry].since;
    assert!(store.keys().filter(|entry| entry.pane == Pane::TOTAL).all(|entry| since(entry) == NOW + 1));
}

#[test]
fn a_reload_may_begin_to_replace_and_a_lower_limit_takes_no_key_away() {
    let mut task = TaskState::new(plan(Aggregate { key_limit: 2, ..aggregate() }));
    for (time, name) in [(0, 1), (1, 2), (2, 3)] {
        fold(&mut task, &Sent::at(time, name));
    }
    assert_eq!(totals(&task), named(&[(1, 1), (2, 1)], 1));
    task.replan(replacing(1));
    fold(&mut task, &Sent::at(3, 3));
    assert_eq!(totals(&task), named(&[(2, 1), (3, 1)], 2));
}

proptest! {
    /// Against a naive list of who was seen when; and whatever is aborted, the store is what lives.
    #[test]
    fn sums_are_exact_the_right_keys_stay_and_the_store_is_what_lives(
        events in events(150),
        key_limit in 1usize..3,
        commits in prop::collection::vec(any::<Option<bool>>(), 150),
    ) {
        let mut task = TaskState::new(replacing(key_limit));
        let mut store = BTreeMap::new();
        let (mut seen, mut stream_time) = (BTreeMap::<String, i64>::new(), i64::MIN);
        for (at, (sent, commit_now)) in events.iter().zip(&commits).enumerate() {
            fold(&mut task, sent);
            stream_time = stream_time.max(sent.reach());
            if !seen.contains_key(&sent.label()) && seen.len() >= key_limit {
                let (_, idle) = seen.iter().map(|(name, time)| (*time, name.clone())).min().unwrap();
                seen.remove(&idle);
            }
            let time = seen.entry(sent.label()).or_insert(i64::MIN);
            *time = (*time).max(sent.time.min(stream_time));
            let mut names: Vec<_> = totals(&task).into_iter().map(|(name, _)| name).collect();
            names.retain(|name| name != "…");
            prop_assert_eq!(names, seen.keys().cloned().collect::<Vec<_>>());
            match commit_now {
                Some(true) => {
                    commit(&mut store, &task.freeze(at as i64));
                    prop_assert_eq!(&store, &live(&task).into_iter().collect::<BTreeMap<_, _>>());
                }
                Some(false) => {
                    let frozen = task.freeze(at as i64);
                    task.unfreeze(frozen);
                }
                None => {}
            }
        }
        let unlimited = folded(&plan(aggregate()), &events);
        let whole = |task: &TaskState, pane: Pane| {
            let cells = live(task).into_iter().filter(|(entry, _)| entry.pane == pane);
            let cells = cells.map(|(_, cell)| without_order(&cell));
            cells.reduce(|mut a, b| {
                a.iter_mut().zip(&b).for_each(|(a, b)| a.merge(b));
                a
            })
        };
        let mut end = task;
        let mut unlimited = unlimited;
        // Both drop what has expired.
        commit(&mut store, &end.freeze(0));
        let _ = unlimited.freeze(0);
        for (entry, _) in live(&unlimited) {
            prop_assert_eq!(whole(&end, entry.pane), whole(&unlimited, entry.pane));
        }
        prop_assert_eq!(store, live(&end).into_iter().collect::<BTreeMap<_, _>>());
    }
}
