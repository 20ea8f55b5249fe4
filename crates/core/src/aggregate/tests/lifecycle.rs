//! Freezing, aborting and committing at random moments.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::aggregate::samples::*;
use crate::aggregate::{Cell, EntryKey, Frozen, TaskState};
use crate::config::Aggregate;

/// What a committer and a reader of the changelog hold.
#[derive(Debug, Default, PartialEq)]
struct Committed(BTreeMap<EntryKey, Cell>);

impl Committed {
    fn apply(&mut self, frozen: &Frozen) {
        for entry in &frozen.expired {
            self.0.remove(entry);
        }
        for (entry, cell) in &frozen.entries {
            self.0.insert(entry.clone(), Cell::clone(cell));
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Fold,
    Commit,
    /// Freeze, fold some more, abort.
    Abort(usize),
    /// Freeze, fold some more, commit.
    Pipelined(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Fold),
        1 => Just(Step::Commit),
        1 => (0usize..6).prop_map(Step::Abort),
        1 => (0usize..6).prop_map(Step::Pipelined),
    ];
    proptest::collection::vec(step, 0..120)
}

fn run(task: &mut TaskState, events: &[Sent], steps: &[Step]) -> Committed {
    let mut committed = Committed::default();
    let mut events = events.iter();
    for &step in steps {
        let mut fold_some = |task: &mut TaskState, count| events.by_ref().take(count).for_each(|sent| fold(task, sent));
        match step {
            Step::Fold => fold_some(task, 1),
            Step::Commit => committed.apply(&task.freeze(NOW)),
            Step::Abort(count) => {
                let frozen = task.freeze(NOW);
                fold_some(task, count);
                task.unfreeze(frozen);
            }
            Step::Pipelined(count) => {
                let frozen = task.freeze(NOW);
                fold_some(task, count);
                committed.apply(&frozen);
            }
        }
    }
    events.for_each(|sent| fold(task, sent));
    committed.apply(&task.freeze(NOW));
    committed
}

fn expiring() -> Aggregate {
    Aggregate { retention: std::time::Duration::from_millis(50), ..aggregate() }
}

proptest! {
    #[test]
    fn commits_and_aborts_at_any_moment_end_in_the_same_state(events in events(120), steps in steps()) {
        let plan = plan(expiring());
        let mut task = TaskState::new(plan.clone());
        let committed = run(&mut task, &events, &steps);
        let mut at_once = folded(&plan, &events);
        let mut expected = Committed::default();
        expected.apply(&at_once.freeze(NOW));
        prop_assert_eq!(&committed, &expected);
        prop_assert_eq!(&committed.0.into_iter().collect::<Vec<_>>(), &live(&task));
        prop_assert!(task.freeze(NOW).entries.is_empty());
    }

    #[test]
    fn a_state_loaded_again_goes_on_as_if_it_had_never_stopped(
        events in events(120),
        cut in any::<prop::sample::Index>(),
    ) {
        let plan = plan(expiring());
        let cut = if events.is_empty() { 0 } else { cut.index(events.len()) };
        let mut task = folded(&plan, &events[..cut]);
        task.freeze(NOW);
        let mut again = TaskState::new(plan);
        again.restore(task.stream_time(), &[]);
        task.entries().for_each(|(entry, cell)| again.load(entry, cell.clone()));
        prop_assert!(again.freeze(NOW).entries.is_empty(), "what was loaded is not dirty");
        for sent in &events[cut..] {
            fold(&mut task, sent);
            fold(&mut again, sent);
        }
        let sorted = |mut frozen: Frozen| {
            frozen.entries.sort_by(|a, b| a.0.cmp(&b.0));
            frozen.expired.sort();
            (frozen.entries, frozen.expired, frozen.expiry)
        };
        prop_assert_eq!(sorted(task.freeze(NOW)), sorted(again.freeze(NOW)));
        prop_assert_eq!(live(&task), live(&again));
    }

    #[test]
    fn frozen_cells_do_not_change_while_folding_goes_on(events in events(60)) {
        let mut task = folded(&plan(aggregate()), &events);
        let frozen = task.freeze(NOW);
        let before: Vec<_> = frozen.entries.iter().map(|(_, cell)| Cell::clone(cell)).collect();
        events.iter().for_each(|sent| fold(&mut task, sent));
        let after: Vec<_> = frozen.entries.iter().map(|(_, cell)| Cell::clone(cell)).collect();
        prop_assert_eq!(before, after);
    }
}

#[test]
fn only_what_changed_is_frozen() {
    let mut task = folded(&plan(aggregate()), &[Sent::at(0, 0), Sent::at(0, 1)]);
    assert_eq!(task.freeze(NOW).entries.len(), 4);
    fold(&mut task, &Sent::at(1, 1));
    fold(&mut task, &Sent::at(2, 1));
    assert_eq!(task.freeze(NOW).entries.len(), 2);
    assert!(task.freeze(NOW).entries.is_empty());
}
