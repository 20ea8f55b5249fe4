//! What a committer seals, a replica replays to the same state; and nothing else passes for one.

use super::replay::{Replay, ReplayError};
use crate::aggregate::samples::{Sent, aggregate, events, fold, plan};
use crate::aggregate::{Plan, TaskState};
use crate::clock::{Clock, UnixMillis};
use crate::commit::{OFFSET_RECORD_KEY, Sealed, TaskEpoch, seal};
use crate::config::Aggregate;
use crate::state::{Committed, Lease, Task, TaskId, View};
use proptest::prelude::*;
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

type Record = (Vec<u8>, Option<Vec<u8>>);

/// A task, its changelog in memory, and the view its commits have led to.
struct Committing {
    task: Arc<Task>,
    state: TaskState,
    changelog: Vec<Record>,
    folded: i64,
}

impl Committing {
    fn new(plan: &Arc<Plan>) -> Self {
        let id = TaskId { topic: "events".into(), partition: 0 };
        let lease = Arc::new(Lease::new(Clock::manual(0), Duration::from_secs(1)));
        let task = Arc::new(Task::new(id, "events".into(), plan.clone(), lease));
        Committing { task, state: TaskState::new(plan.clone()), changelog: Vec::new(), folded: 0 }
    }

    fn fold(&mut self, sent: &Sent) {
        fold(&mut self.state, sent);
        self.folded += 1;
    }

    fn commit(&mut self) {
        let epoch = TaskEpoch {
            task: self.task.clone(),
            frozen: self.state.freeze(1),
            dead_letters: Vec::new(),
            next_offset: self.folded,
            leader_epoch: None,
            owner_epoch: 1,
        };
        let sealed = seal(&self.task.view.read(), &epoch, 1_000, usize::MAX, "").unwrap();
        self.write(&sealed);
        let removed: Vec<_> = sealed.removed.iter().map(|(entry, _)| entry.clone()).collect();
        let entries = sealed.entries.into_iter().map(|e| (e.entry, Committed { cell: e.cell, hash: e.hash }));
        self.task.view.write().apply(entries, &removed, sealed.record, 1_000);
    }

    fn write(&mut self, sealed: &Sealed) {
        self.changelog.extend(sealed.entries.iter().map(|e| (e.key.clone(), Some(e.value.clone()))));
        self.changelog.extend(sealed.removed.iter().map(|(_, key)| (key.clone(), None)));
        self.changelog.push((OFFSET_RECORD_KEY.to_vec(), Some(sealed.record_bytes.clone())));
    }
}

fn committed(events: &[Sent], every: usize, aggregate: Aggregate) -> (Arc<Plan>, Committing) {
    let plan = plan(aggregate);
    let mut committing = Committing::new(&plan);
    for (n, sent) in events.iter().enumerate() {
        committing.fold(sent);
        if n % every == every - 1 {
            committing.commit();
        }
    }
    committing.commit();
    (plan, committing)
}

fn expiring() -> Aggregate {
    Aggregate { retention: Duration::from_millis(50), ..aggregate() }
}

/// Applies records, the first of them at offset `from`, to what there is.
fn apply(replay: &mut Replay, view: &mut View, from: usize, records: &[Record]) -> Result<(), ReplayError> {
    for (at, (key, value)) in records.iter().enumerate() {
        if let Some(record) = replay.take((from + at) as i64, key, value.as_deref())? {
            replay.commit(record, view);
        }
    }
    Ok(())
}

/// The state that a changelog leads to; `None` if there is none.
fn replay(changelog: &[Record], plan: &Arc<Plan>) -> Result<Option<View>, ReplayError> {
    let (mut replay, mut view) = (Replay::new(plan.clone()), View::default());
    apply(&mut replay, &mut view, 0, changelog)?;
    Ok(replay.finish(&mut view)?.then_some(view))
}

/// Compaction at its keenest: the last record of each key, and of those no tombstone.
fn compacted(changelog: &[Record]) -> Vec<Record> {
    let mut last: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (offset, (key, _)) in changelog.iter().enumerate() {
        last.insert(key, offset);
    }
    let kept = changelog.iter().enumerate().filter(|(at, (key, value))| last[&key[..]] == *at && value.is_some());
    kept.map(|(_, record)| record.clone()).collect()
}

fn same_as_view(rebuilt: View, view: &View) -> Result<(), TestCaseError> {
    prop_assert_eq!(rebuilt.record(), view.record());
    let entries = |view: &View| {
        let panes = view.aggregates().flat_map(|(id, held)| held.panes().map(move |(pane, cells)| (id, pane, cells)));
        let cells = panes.flat_map(|(id, pane, cells)| {
            cells.iter().map(move |(key, held)| ((id, pane, key.clone()), (held.hash, held.cell.clone())))
        });
        cells.collect::<BTreeMap<_, _>>()
    };
    prop_assert_eq!(entries(&rebuilt), entries(view));
    for (id, aggregate) in view.aggregates() {
        let other = rebuilt.aggregate(id).map(|other| (other.fingerprint(), other.entries()));
        if aggregate.entries() > 0 {
            prop_assert_eq!(other, Some((aggregate.fingerprint(), aggregate.entries())));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_replayed_changelog_is_the_committed_state(events in events(150), every in 1usize..40) {
        let (plan, committing) = committed(&events, every, expiring());
        let rebuilt = replay(&committing.changelog, &plan).unwrap().unwrap();
        same_as_view(rebuilt, &committing.task.view.read())?;
    }

    #[test]
    fn compaction_changes_nothing(events in events(150), every in 1usize..40) {
        let (plan, committing) = committed(&events, every, expiring());
        let rebuilt = replay(&compacted(&committing.changelog), &plan).unwrap().unwrap();
        same_as_view(rebuilt, &committing.task.view.read())?;
    }

    /// An older redb file may hold keys whose tombstones are long gone from the changelog.
    #[test]
    fn an_older_file_and_a_compacted_changelog_make_the_same_state(events in events(150), every in 1usize..20, cut in any::<prop::sample::Index>()) {
        let (plan, committing) = committed(&events, every, expiring());
        let ends: Vec<usize> = committing.changelog.iter().enumerate()
            .filter(|(_, (key, _))| key == OFFSET_RECORD_KEY).map(|(at, _)| at).collect();
        let end = ends[cut.index(ends.len())];
        let mut file: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut record = None;
        for (key, value) in &committing.changelog[..=end] {
            match (key == OFFSET_RECORD_KEY, value) {
                (true, Some(value)) => record = Some(Message::decode(&value[..]).unwrap()),
                (_, Some(value)) => drop(file.insert(key.clone(), value.clone())),
                (_, None) => drop(file.remove(key)),
            }
        }
        let mut view = View::default();
        let mut replay = Replay::of_file(plan.clone(), record, end as i64 + 1, &mut view);
        file.iter().for_each(|(key, value)| replay.load(key, value, &mut view));
        // Of the compacted log only what lies behind the file's offset is read.
        let mut rest = compacted(&committing.changelog);
        rest.retain(|kept| committing.changelog[end + 1..].contains(kept));
        apply(&mut replay, &mut view, end + 1, &rest).unwrap();
        prop_assert!(replay.finish(&mut view).unwrap());
        // What the file is told makes it hold the state, too.
        let (changes, is_file_empty) = replay.take_changes();
        prop_assert!(!is_file_empty);
        for (key, value) in changes {
            match value {
                Some(value) => drop(file.insert(key, value)),
                None => drop(file.remove(&key)),
            }
        }
        let mut reread = View::default();
        let mut replay = Replay::of_file(plan.clone(), Some(view.record().clone()), 0, &mut reread);
        file.iter().for_each(|(key, value)| replay.load(key, value, &mut reread));
        same_as_view(reread, &view)?;
        same_as_view(view, &committing.task.view.read())?;
    }

    /// A replica catches up, follows for a while, and is promoted: the same as reading everything at once.
    #[test]
    fn a_replica_that_follows_and_is_promoted_is_the_committed_state(
        events in events(150), every in 1usize..20, cuts in any::<[prop::sample::Index; 2]>()
    ) {
        let (plan, committing) = committed(&events, every, expiring());
        let log = &committing.changelog;
        let mut cuts = cuts.map(|cut| cut.index(log.len() + 1));
        cuts.sort_unstable();
        let (mut replay, mut view) = (Replay::new(plan.clone()), View::default());
        apply(&mut replay, &mut view, 0, &log[..cuts[0]]).unwrap();
        if !replay.finish(&mut view).unwrap() {
            return Ok(());
        }
        for at in replay.rewind() as usize..cuts[1] {
            let before = replay.changelog_next();
            apply(&mut replay, &mut view, at, &log[at..=at]).unwrap();
            prop_assert!(replay.changelog_next() == before || replay.is_sound(&view));
        }
        let from = replay.rewind() as usize;
        apply(&mut replay, &mut view, from, &log[from..]).unwrap();
        prop_assert!(replay.finish(&mut view).unwrap());
        same_as_view(view, &committing.task.view.read())?;
    }

    #[test]
    fn a_lost_a_doubled_and_a_changed_entry_are_found(events in events(80), at in any::<prop::sample::Index>(), how in 0..2) {
        let (plan, committing) = committed(&events, 20, aggregate());
        let mut changelog = compacted(&committing.changelog);
        let entries: Vec<usize> = changelog.iter().enumerate().filter(|(_, r)| r.0 != OFFSET_RECORD_KEY).map(|(n, _)| n).collect();
        prop_assume!(!entries.is_empty());
        let at = entries[at.index(entries.len())];
        if how == 0 {
            changelog.remove(at);
        } else {
            let twin = entries.iter().copied().find(|&other| changelog[other].1 != changelog[at].1);
            prop_assume!(twin.is_some());
            changelog[at].1 = changelog[twin.unwrap()].1.clone();
        }
        let result = replay(&changelog, &plan);
        let found = matches!(result, Err(ReplayError::Fingerprint { .. } | ReplayError::Entry { .. }));
        prop_assert!(found, "{:?}", result.map(|_| ()));
    }
}

#[test]
fn a_commit_that_is_not_whole_is_left_out() {
    let (plan, mut committing) = committed(&[Sent::at(0, 0), Sent::at(3, 1)], 1, aggregate());
    let whole = committing.changelog.len();
    let before = committing.task.view.read().record().clone();
    committing.fold(&Sent::at(4, 1));
    committing.commit();
    committing.changelog.pop();
    assert!(committing.changelog.len() > whole);
    let rebuilt = replay(&committing.changelog, &plan).unwrap().unwrap();
    assert_eq!(rebuilt.record(), &before);
}

#[test]
fn an_entry_that_cannot_be_read_matters_only_while_it_is_live() {
    let (plan, committing) = committed(&[Sent::at(0, 0), Sent::at(3, 1)], 1, aggregate());
    let before = replay(&committing.changelog, &plan).unwrap().unwrap();
    let bad = |value: &[u8]| -> Vec<Record> {
        let key = committing.changelog.iter().find(|(key, _)| key != OFFSET_RECORD_KEY).unwrap().0.clone();
        vec![(key, Some(value.to_vec())), (OFFSET_RECORD_KEY.to_vec(), Some(before.record().encode_to_vec()))]
    };
    let first = [bad(b"no cell"), committing.changelog.clone()].concat();
    same_as_view(replay(&first, &plan).unwrap().unwrap(), &before).unwrap();
    let last = [committing.changelog.clone(), bad(b"no cell")].concat();
    assert!(matches!(replay(&last, &plan), Err(ReplayError::Entry { .. })));
    let reset = crate::replica::reset_record(None, 0, "", Default::default(), UnixMillis(0)).encode_to_vec();
    let reset = [last, vec![(OFFSET_RECORD_KEY.to_vec(), Some(reset))]].concat();
    assert_eq!(replay(&reset, &plan).unwrap().unwrap().aggregates().map(|(_, held)| held.entries()).sum::<u64>(), 0);
}

/// A reset that is killed before its tombstones leaves entries which nobody may count once their aggregate is listed again.
#[test]
fn what_a_reset_left_behind_is_removed_by_the_next_commit() {
    let (plan, before) = committed(&[Sent::at(0, 0), Sent::at(3, 1), Sent::at(5, 2)], 1, aggregate());
    let reset = crate::replica::reset_record(None, 0, "", Default::default(), UnixMillis(0)).encode_to_vec();
    let log = [before.changelog, vec![(OFFSET_RECORD_KEY.to_vec(), Some(reset))]].concat();
    for by in [plan.clone(), self::plan(Aggregate { name: "other".into(), ..aggregate() })] {
        let (mut replay, mut view) = (Replay::new(by.clone()), View::default());
        apply(&mut replay, &mut view, 0, &log).unwrap();
        assert!(replay.finish(&mut view).unwrap());
        let mut after = Committing { changelog: log.clone(), ..Committing::new(&by) };
        after.state.forget(replay.take_unlisted());
        after.fold(&Sent::at(7, 1));
        after.commit();
        same_as_view(self::replay(&after.changelog, &by).unwrap().unwrap(), &after.task.view.read()).unwrap();
        let left = compacted(&after.changelog);
        assert_eq!(
            left.len() as u64,
            1 + after.task.view.read().aggregates().map(|(_, held)| held.entries()).sum::<u64>()
        );
    }
}

#[test]
fn entries_of_unknown_aggregates_are_carried_and_told_to_an_empty_file() {
    let (plan, committing) = committed(&[Sent::at(0, 0), Sent::at(3, 1)], 1, aggregate());
    let other = self::plan(Aggregate { name: "other".into(), ..aggregate() });
    assert!(plan.aggregates.iter().all(|known| other.aggregate(known.id).is_none()));
    let (mut unknowing, mut view) = (Replay::new(other), View::default());
    apply(&mut unknowing, &mut view, 0, &committing.changelog).unwrap();
    assert!(unknowing.finish(&mut view).unwrap());
    let whole = committing.task.view.read();
    let entries = whole.aggregates().map(|(_, held)| held.entries()).sum::<u64>();
    assert_eq!(unknowing.foreign().count() as u64, entries);
    let (changes, is_file_empty) = unknowing.take_changes();
    assert!(is_file_empty);
    let mut reread = View::default();
    let mut replay = Replay::of_file(plan.clone(), Some(whole.record().clone()), 0, &mut reread);
    changes.iter().for_each(|(key, value)| replay.load(key, value.as_deref().unwrap(), &mut reread));
    same_as_view(reread, &whole).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let (plan, mut committing) = committed(&[Sent::at(0, 0)], 1, aggregate());
    let mut record = committing.task.view.read().record().clone();
    record.format_version += 1;
    committing.changelog.push((OFFSET_RECORD_KEY.to_vec(), Some(record.encode_to_vec())));
    assert!(matches!(replay(&committing.changelog, &plan), Err(ReplayError::Newer { .. })));
}

#[test]
fn an_empty_changelog_has_no_state() {
    assert!(replay(&[], &plan(aggregate())).unwrap().is_none());
}
