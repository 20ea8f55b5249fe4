//! What makes a kind of measure.

use super::number::Sample;
use super::rules::{Part, Rules};
use super::shown::{Stats, Total};

/// What one event gives a measure.
#[derive(Clone, Copy, Debug)]
pub struct Occurrence<'a> {
    /// Zero for kinds that measure no number.
    pub sample: Sample,
    /// The event's time, Unix milliseconds.
    pub at: i64,
    /// The field's text, for kinds that tell items apart; empty for others.
    pub item: &'a [u8],
    /// Stream time with the event, where it is added to a key's total; `None` in panes and in the overflow key's total.
    pub total: Option<i64>,
}

/// A kind's state. Merging is associative and commutative to the bit.
pub trait Statistic: Sized {
    /// Its stored form.
    type Stored;
    /// What the config gives it besides a field; `()` for most.
    type Given;

    /// What the config and exporters have to know of the kind.
    const RULES: Rules;

    /// The state before the first event.
    fn empty(given: &Self::Given) -> Self;

    /// Adds one event.
    fn record(&mut self, event: Occurrence<'_>, given: &Self::Given);

    /// Adds all of `other`.
    fn merge(&mut self, other: &Self);

    fn encode(&self) -> Self::Stored;

    /// The inverse of `encode`; `None` if what is stored lacks something or contradicts itself.
    fn decode(stored: Self::Stored) -> Option<Self>;

    /// Whether this can be a state of a measure that is given this.
    fn fits(&self, _given: &Self::Given) -> bool {
        true
    }

    /// What it knows of its values.
    fn stats(&self) -> Stats;

    /// What it adds up, if what it shows is that divided by something else.
    fn amount(&self) -> Option<f64> {
        None
    }

    /// Divides the amount, if it is of such a kind.
    fn relate(&mut self, _to: f64) {}

    /// What it shows since the state began.
    fn total(&self) -> Total<'_>;

    /// What else it shows since then.
    fn total_part(&self, _part: Part) -> Option<Total<'_>> {
        None
    }
}
