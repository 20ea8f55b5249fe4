//! What is kept per key and pane: the state of every measure, and when the key was last seen.

use smallvec::SmallVec;

use super::measure::{self, MeasureState};
use super::plan::AggregatePlan;

/// The measures of one key in one pane, or of its total.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// In the order of the aggregate's config.
    pub measures: SmallVec<[MeasureState; 3]>,
    /// Largest event time folded in, at most what stream time was then, Unix milliseconds; `i64::MIN` while empty.
    pub last_seen: i64,
}

impl Cell {
    /// A cell before its first event.
    pub fn empty(plan: &AggregatePlan) -> Cell {
        Cell { measures: measure::empty(plan).collect(), last_seen: i64::MIN }
    }

    /// Adds all of `other`, a cell of the same aggregate. Associative and commutative to the bit.
    pub fn merge(&mut self, other: &Cell) {
        debug_assert_eq!(self.measures.len(), other.measures.len());
        self.measures.iter_mut().zip(&other.measures).for_each(|(mine, theirs)| mine.merge(theirs));
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}
