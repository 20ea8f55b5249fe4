//! What is kept per key and pane: the state of every measure, when the key was last seen, and since when it counts.

use super::measures::Measures;
use super::plan::AggregatePlan;
use crate::measure::MeasureState;

/// The measures of one key in one pane, or of its total. 72 bytes: there are millions.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// In the order of the aggregate's config.
    pub measures: Measures,
    /// Largest event time folded in, at most what stream time was then, Unix milliseconds; `i64::MIN` while empty.
    pub last_seen: i64,
    /// Of a total: wall time of the freeze whose commit showed the key first, Unix milliseconds. [`Cell::NEW`] before that; 0
    /// in panes, and in totals that a version wrote which did not keep it.
    pub since: i64,
}

impl Cell {
    /// What `since` is until the first freeze.
    pub const NEW: i64 = i64::MAX;

    /// A cell before its first event.
    pub fn empty(plan: &AggregatePlan) -> Cell {
        let empty = plan.measures.iter().map(|measure| MeasureState::empty(&measure.kind));
        Cell { measures: empty.collect(), last_seen: i64::MIN, since: Cell::NEW }
    }

    /// The same, of a pane.
    pub(super) fn empty_pane(plan: &AggregatePlan) -> Cell {
        Cell { since: 0, ..Cell::empty(plan) }
    }

    /// Since when it counts, if that is known.
    pub fn began(&self) -> Option<i64> {
        (self.since > 0 && self.since != Cell::NEW).then_some(self.since)
    }

    /// Adds all of `other`, a cell of the same aggregate. Associative and commutative to the bit.
    pub fn merge(&mut self, other: &Cell) {
        debug_assert_eq!(self.measures.len(), other.measures.len());
        self.measures.iter_mut().zip(other.measures.iter()).for_each(|(mine, theirs)| mine.merge(theirs));
        self.last_seen = self.last_seen.max(other.last_seen);
        self.since = self.since.min(other.since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_takes_72_bytes() {
        // With the two counts before it that makes 88, which is what the allocator hands out; the next size is 104.
        assert_eq!(size_of::<Cell>(), 72);
    }
}
