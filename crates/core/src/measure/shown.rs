//! What a state shows, in the agent and over its API.

use super::exponential::Histogram;
use super::number::{Exact, nanos_to_f64};
use super::ranking::Top;
use streamgauge_proto::v1 as pb;

/// What is known of all values, in the exposed unit; `None`: nothing, or there is no value yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// How many there are.
    pub count: Option<u64>,
    /// Their exact sum, in billionths.
    pub sum: Option<i128>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// What a kind knows that is none of these.
    pub value: Option<f64>,
    /// Standard error of `value`, as a fraction of it; `None`: it is exact.
    pub error: Option<f64>,
    /// How many values were unusual on either side.
    pub above: Option<u64>,
    pub below: Option<u64>,
    /// How many are still under way.
    pub open: Option<u64>,
}

impl Stats {
    /// Of values that were counted and summed.
    pub fn counted(count: u64, sum: i128) -> Stats {
        Stats { count: Some(count), sum: Some(sum), ..Stats::default() }
    }

    /// `None` without values.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count.filter(|&count| count > 0)?;
        Some(nanos_to_f64(self.sum?) / count as f64)
    }

    /// As an answer of the API has them; all else in it is left empty.
    pub fn publish(&self) -> pb::MeasureValue {
        let Stats { count, min, max, value, error, above, below, open, .. } = *self;
        let of = |known| self.of(known);
        pb::MeasureValue {
            count,
            sum: of(Known::Sum),
            min,
            max,
            avg: of(Known::Avg),
            value,
            value_relative_error: error,
            above,
            below,
            open,
            ..Default::default()
        }
    }

    pub fn of(&self, known: Known) -> Option<f64> {
        match known {
            Known::Count => self.count.map(|count| count as f64),
            Known::Sum => self.sum.map(nanos_to_f64),
            Known::Avg => self.mean(),
            Known::Min => self.min,
            Known::Max => self.max,
            Known::Value => self.value,
            Known::Above => self.above.map(|count| count as f64),
            Known::Below => self.below.map(|count| count as f64),
            Known::Open => self.open.map(|count| count as f64),
        }
    }

    /// The same without a rounding error, for what is counted or summed.
    pub fn exact(&self, known: Known) -> Option<Exact> {
        match known {
            Known::Count => self.count.map(Exact::Int),
            Known::Sum => self.sum.map(Exact::Nanos),
            Known::Above => self.above.map(Exact::Int),
            Known::Below => self.below.map(Exact::Int),
            Known::Avg | Known::Min | Known::Max | Known::Value | Known::Open => None,
        }
    }
}

/// One number that may be known of all values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    /// What only one kind knows: the last value, how many different items.
    Value,
    /// Values that were unusual for their key.
    Above,
    Below,
    /// What is still under way.
    Open,
}

impl Known {
    pub const ALL: [Known; 9] = [
        Known::Count,
        Known::Sum,
        Known::Avg,
        Known::Min,
        Known::Max,
        Known::Value,
        Known::Above,
        Known::Below,
        Known::Open,
    ];

    /// As queries and metrics' names spell it.
    pub const fn word(self) -> &'static str {
        match self {
            Known::Count => "count",
            Known::Sum => "sum",
            Known::Avg => "avg",
            Known::Min => "min",
            Known::Max => "max",
            Known::Value => "value",
            Known::Above => "above",
            Known::Below => "below",
            Known::Open => "open",
        }
    }

    /// The number in an answer of the API.
    pub fn published(self, value: &pb::MeasureValue) -> Option<f64> {
        match self {
            Known::Count => value.count.map(|count| count as f64),
            Known::Sum => value.sum,
            Known::Avg => value.avg,
            Known::Min => value.min,
            Known::Max => value.max,
            Known::Value => value.value,
            Known::Above => value.above.map(|count| count as f64),
            Known::Below => value.below.map(|count| count as f64),
            Known::Open => value.open.map(|count| count as f64),
        }
    }
}

/// A state's total, in the form that its kind has.
#[derive(Clone, Copy, Debug)]
pub enum Total<'a> {
    Sum(Exact),
    /// In the exposed unit; absent before the first value.
    Gauge(Option<f64>),
    /// Of the sum and the count of its statistics.
    Summary,
    Distribution(Distribution<'a>),
    Ranking(&'a Top),
}

/// How values are spread.
#[derive(Clone, Copy, Debug)]
pub enum Distribution<'a> {
    Exponential(&'a Histogram),
    /// Values in each bucket of the config's bounds (not cumulative), and in one for what exceeds the last.
    Explicit(&'a [u64]),
}
