//! What retention and time to live delete.

use std::time::Duration;

use proptest::prelude::*;

use crate::aggregate::samples::*;
use crate::aggregate::{EntryKey, Expiry, Frozen, Pane, TaskState, is_expired, labels};
use crate::config::Aggregate;

fn short_lived() -> Aggregate {
    Aggregate { key_ttl: Some(Duration::from_millis(30)), retention: Duration::from_millis(60), ..aggregate() }
}

fn sorted(mut entries: Vec<EntryKey>) -> Vec<EntryKey> {
    entries.sort();
    entries
}

fn expired_by(rule: &Expiry, task: &TaskState) -> Vec<EntryKey> {
    let entries = live(task).into_iter();
    sorted(
        entries.filter(|(entry, cell)| is_expired(entry.pane, cell.last_seen, rule)).map(|(entry, _)| entry).collect(),
    )
}

proptest! {
    #[test]
    fn expiry_deletes_exactly_what_the_rule_says(events in events(120), every in 1usize..20) {
        let mut task = TaskState::new(plan(short_lived()));
        let mut last_rule = None::<Expiry>;
        for chunk in events.chunks(every) {
            chunk.iter().for_each(|sent| fold(&mut task, sent));
            // What lives before the freeze, to ask the rule afterwards.
            let mut before = TaskState::new(task.plan().clone());
            task.entries().for_each(|(entry, cell)| before.load(entry, cell.clone()));
            let Frozen { entries, expired, expiry, .. } = task.freeze(NOW);
            let rule = expiry[0];
            prop_assert_eq!(sorted(expired.clone()), expired_by(&rule, &before));
            prop_assert!(expired_by(&rule, &task).is_empty());
            prop_assert!(entries.iter().all(|(entry, cell)| !is_expired(entry.pane, cell.last_seen, &rule)));
            prop_assert_eq!(live(&task).len() + expired.len(), live(&before).len());
            let last = last_rule.replace(rule).unwrap_or(rule);
            prop_assert!(last.panes_before <= rule.panes_before && last.keys_before <= rule.keys_before);
        }
    }
}

#[test]
fn panes_go_when_retention_has_passed_their_end() {
    let mut task = folded(&plan(aggregate()), &[Sent::at(5, 0)]);
    task.freeze(NOW);
    fold(&mut task, &Sent::at(109, 1));
    assert_eq!(task.freeze(NOW).expired, []);
    fold(&mut task, &Sent::at(110, 1));
    let expired = task.freeze(NOW).expired;
    assert_eq!(expired.iter().map(|entry| entry.pane).collect::<Vec<_>>(), [Pane { end: 10, late: 0 }]);
    assert_eq!(labels(&expired[0].key), Some(vec!["name-0"]));
    assert_eq!(task.keys(task.plan().aggregates[0].id), 2, "totals stay");
}

#[test]
fn a_key_unseen_for_its_time_to_live_goes_with_its_total() {
    let mut task = folded(&plan(short_lived()), &[Sent::at(5, 0), Sent::at(5, 1)]);
    let id = task.plan().aggregates[0].id;
    fold(&mut task, &Sent::at(65, 1));
    fold(&mut task, &Sent::at(65, 1));
    task.freeze(NOW);
    assert_eq!(task.keys(id), 2, "a pane is left of it");
    fold(&mut task, &Sent::at(75, 1));
    task.freeze(NOW);
    assert_eq!(task.keys(id), 1);
    // It begins anew when it comes back.
    fold(&mut task, &Sent::at(76, 0));
    let total = live(&task)
        .into_iter()
        .find(|(entry, _)| entry.pane == Pane::TOTAL && labels(&entry.key) == Some(vec!["name-0"]));
    assert_eq!(total.unwrap().1.measures[0].count(), Some(1));
}

#[test]
fn expired_entries_of_an_aborted_epoch_expire_again_unless_they_came_back() {
    let mut task = folded(&plan(short_lived()), &[Sent::at(5, 0), Sent::at(5, 1)]);
    task.freeze(NOW);
    fold(&mut task, &Sent::at(100, 2));
    let frozen = task.freeze(NOW);
    assert_eq!(frozen.expired.len(), 4);
    fold(&mut task, &Sent::at(101, 1));
    task.unfreeze(frozen);
    let again = task.freeze(NOW);
    let totals =
        again.expired.iter().filter(|entry| entry.pane == Pane::TOTAL).map(|entry| labels(&entry.key).unwrap()[0]);
    assert_eq!(totals.collect::<Vec<_>>(), ["name-0"]);
    assert_eq!(again.expired.len(), 3);
    assert_eq!(task.freeze(NOW).expired, []);
}

#[test]
fn an_expired_pane_does_not_come_back() {
    // Shorter than window and grace: the config refuses it, but the state must not depend on that.
    let config = Aggregate { retention: Duration::from_millis(20), ..aggregate() };
    let mut task = folded(&plan(config), &[Sent::at(5, 0), Sent::at(31, 1)]);
    assert_eq!(task.freeze(NOW).expired.len(), 1);
    fold(&mut task, &Sent::at(5, 0));
    let frozen = task.freeze(NOW);
    assert_eq!(frozen.expired, []);
    assert_eq!(frozen.entries.iter().map(|(entry, _)| entry.pane).collect::<Vec<_>>(), [Pane::TOTAL]);
}
