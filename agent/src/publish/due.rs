//! Which closed windows are still to be pushed. Pure.

use crate::aggregate::WindowGrid;
use crate::query::Known;
use std::collections::BTreeSet;

/// Windows of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Ends of the windows to push, Unix milliseconds, ascending.
    pub ends: Vec<i64>,
    /// Windows of which every partition that has events has lost a part.
    pub lost: u64,
}

/// What the partitions still hold of an aggregate.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Ends of the panes that have events.
    panes: BTreeSet<i64>,
    /// Of windows that begin before this, every partition that has events has lost a part.
    lost_before: i64,
}

impl Held {
    /// `known`: with the ends of the panes.
    pub fn of(known: &[Known]) -> Held {
        let panes = known.iter().flat_map(|known| known.pane_ends.iter().copied()).collect();
        let with_events = known.iter().filter(|known| known.status.stream_time.is_some());
        let lost_before = with_events.map(|known| known.expired_before.unwrap_or(i64::MIN)).min().unwrap_or(i64::MIN);
        Held { panes, lost_before }
    }

    /// Closed windows, up to the one that ends at `newest`, that end after `after` and have events. Without an `after`
    /// (nothing was ever pushed) those that begin before `from` are nobody's loss: they were not whole any more when the
    /// push began.
    pub fn due(&self, grid: WindowGrid, after: Option<i64>, from: i64, newest: i64) -> Due {
        let after_end = after.unwrap_or(i64::MIN);
        let mut ends = BTreeSet::new();
        // A pane is in no window that ends before it.
        for &pane in self.panes.range(after_end.saturating_sub(grid.size_ms).saturating_add(1)..=newest) {
            let last = newest.min(pane.saturating_add(grid.size_ms - 1));
            ends.extend(grid.ends(pane - 1, last).filter(|&end| end > after_end));
        }
        let start = |end: i64| grid.span(end).start;
        if after.is_none() {
            ends.retain(|&end| start(end) >= from);
        }
        let (ends, lost): (Vec<i64>, Vec<i64>) = ends.into_iter().partition(|&end| start(end) >= self.lost_before);
        Due { ends, lost: lost.len() as u64 }
    }
}

/// Of windows that begin before this, a partition has lost a part. Unix milliseconds.
pub fn broken_before(known: &[Known]) -> i64 {
    known.iter().filter_map(|known| known.expired_before).max().unwrap_or(i64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: WindowGrid = WindowGrid { size_ms: 60, hop_ms: 60 };
    const HOPPING: WindowGrid = WindowGrid { size_ms: 180, hop_ms: 60 };

    fn held(panes: &[i64], lost_before: i64) -> Held {
        Held { panes: panes.iter().copied().collect(), lost_before }
    }

    #[test]
    fn every_window_with_events_that_was_not_pushed_is_due_once() {
        let held = held(&[60, 120, 600], i64::MIN);
        assert_eq!(held.due(MINUTE, None, i64::MIN, 600).ends, [60, 120, 600]);
        assert_eq!(held.due(MINUTE, Some(60), i64::MIN, 600).ends, [120, 600]);
        assert_eq!(held.due(MINUTE, Some(60), i64::MIN, 540).ends, [120]);
        assert!(held.due(MINUTE, Some(600), i64::MIN, 600).ends.is_empty());
    }

    #[test]
    fn a_hopping_window_is_due_while_any_of_its_panes_has_events() {
        let held = held(&[60, 600], i64::MIN);
        assert_eq!(held.due(HOPPING, None, i64::MIN, 660).ends, [60, 120, 180, 600, 660]);
        assert_eq!(held.due(HOPPING, Some(120), i64::MIN, 600).ends, [180, 600]);
    }

    #[test]
    fn a_window_that_has_partly_expired_everywhere_is_lost_unless_it_was_so_when_the_push_began() {
        let held = held(&[180, 240, 300], 120);
        assert_eq!(held.due(HOPPING, Some(120), i64::MIN, 300), Due { ends: vec![300], lost: 2 });
        assert_eq!(held.due(HOPPING, None, 120, 300), Due { ends: vec![300], lost: 0 });
        assert_eq!(held.due(HOPPING, None, i64::MIN, 300), Due { ends: vec![300], lost: 2 });
        assert_eq!(held.due(MINUTE, None, 120, 300).ends, [180, 240, 300]);
    }
}
