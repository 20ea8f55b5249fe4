//! Which closed windows are still to be pushed. Pure.

use super::start_time;
use crate::aggregate::{AggregatePlan, WindowGrid};
use crate::state::Task;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Windows of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Ends of the windows to push, Unix milliseconds, ascending.
    pub ends: Vec<i64>,
    /// Windows of which a part has expired before they could be pushed.
    pub lost: u64,
}

/// What the tasks still hold of an aggregate.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Ends of the panes that have events.
    panes: BTreeSet<i64>,
    /// Panes that end here or before are gone.
    expired_before: i64,
}

impl Held {
    pub fn of(plan: &AggregatePlan, tasks: &[Arc<Task>]) -> Held {
        let mut held = Held { panes: BTreeSet::new(), expired_before: i64::MIN };
        for task in tasks.iter().filter(|task| start_time(task, plan).is_some()) {
            let view = task.view.read();
            let record = view.record();
            let expired = record.aggregates.iter().find(|progress| progress.id == plan.id.0);
            held.expired_before = held.expired_before.max(expired.map_or(i64::MIN, |p| p.panes_expired_before));
            let panes = view.aggregate(plan.id).into_iter().flat_map(|aggregate| aggregate.panes());
            held.panes.extend(panes.map(|(pane, _)| pane.end).filter(|&end| end < i64::MAX));
        }
        held
    }

    /// Closed windows, up to the one that ends at `newest`, that end after `after` and have events. Without an `after`
    /// (nothing was ever pushed) those that are not whole any more are not counted as lost.
    pub fn due(&self, grid: WindowGrid, after: Option<i64>, newest: i64) -> Due {
        let after_end = after.unwrap_or(i64::MIN);
        let mut ends = BTreeSet::new();
        // A pane is in no window that ends before it.
        for &pane in self.panes.range(after_end.saturating_sub(grid.size_ms).saturating_add(1)..=newest) {
            let last = newest.min(pane.saturating_add(grid.size_ms - 1));
            ends.extend(grid.ends(pane - 1, last).filter(|&end| end > after_end));
        }
        let whole = |end: &i64| grid.span(*end).start >= self.expired_before;
        let (ends, broken): (Vec<i64>, Vec<i64>) = ends.into_iter().partition(whole);
        Due { ends, lost: if after.is_some() { broken.len() as u64 } else { 0 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: WindowGrid = WindowGrid { size_ms: 60, hop_ms: 60 };
    const HOPPING: WindowGrid = WindowGrid { size_ms: 180, hop_ms: 60 };

    fn held(panes: &[i64], expired_before: i64) -> Held {
        Held { panes: panes.iter().copied().collect(), expired_before }
    }

    #[test]
    fn every_window_with_events_that_was_not_pushed_is_due_once() {
        let held = held(&[60, 120, 600], i64::MIN);
        assert_eq!(held.due(MINUTE, None, 600).ends, [60, 120, 600]);
        assert_eq!(held.due(MINUTE, Some(60), 600).ends, [120, 600]);
        assert_eq!(held.due(MINUTE, Some(60), 540).ends, [120]);
        assert!(held.due(MINUTE, Some(600), 600).ends.is_empty());
    }

    #[test]
    fn a_hopping_window_is_due_while_any_of_its_panes_has_events() {
        let held = held(&[60, 600], i64::MIN);
        assert_eq!(held.due(HOPPING, None, 660).ends, [60, 120, 180, 600, 660]);
        assert_eq!(held.due(HOPPING, Some(120), 600).ends, [180, 600]);
    }

    #[test]
    fn a_window_that_has_partly_expired_is_lost_and_not_pushed_as_if_it_were_whole() {
        let held = held(&[180, 240, 300], 120);
        assert_eq!(held.due(HOPPING, Some(120), 300), Due { ends: vec![300], lost: 2 });
        assert_eq!(held.due(HOPPING, None, 300), Due { ends: vec![300], lost: 0 });
        assert_eq!(held.due(MINUTE, None, 300).ends, [180, 240, 300]);
    }
}
