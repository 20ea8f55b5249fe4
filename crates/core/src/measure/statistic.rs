//! What makes a kind of measure.

use super::number::Sample;
use super::rules::Rules;
use super::shown::{Stats, Total};

/// A kind's state. Merging is associative and commutative to the bit.
pub trait Statistic: Sized {
    /// Its stored form.
    type Stored;

    /// What the config and exporters have to know of the kind.
    const RULES: Rules;

    /// The state before the first event; `bounds` are the config's, for kinds that take them.
    fn empty(bounds: &[f64]) -> Self;

    /// Adds one value, whose event is of the time `at`, Unix milliseconds.
    fn record(&mut self, sample: Sample, at: i64, bounds: &[f64]);

    /// Adds all of `other`.
    fn merge(&mut self, other: &Self);

    fn encode(&self) -> Self::Stored;

    /// The inverse of `encode`; `None` if what is stored lacks something or contradicts itself.
    fn decode(stored: Self::Stored) -> Option<Self>;

    /// Whether this can be a state of a measure with these bounds.
    fn fits(&self, _bounds: &[f64]) -> bool {
        true
    }

    /// What it knows of its values.
    fn stats(&self) -> Stats;

    /// What it shows since the state began.
    fn total(&self) -> Total<'_>;
}
