//! `min` and `max`: the smallest and the largest value.

use super::{Form, Known, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

/// Positive infinity before the first value.
#[derive(Clone, Debug, PartialEq)]
pub struct Min(f64);

/// Negative infinity before the first value.
#[derive(Clone, Debug, PartialEq)]
pub struct Max(f64);

fn known(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl Statistic for Min {
    type Stored = pb::Extreme;
    type Given = ();

    const RULES: Rules = Rules {
        word: "min",
        takes: Takes::Number,
        takes_sign: false,
        unit: None,
        form: Form::Gauge(Some("min")),
        shows: &[Known::Min],
        own: Known::Min,
        totals: &[Stat::Own],
        window: &[Stat::Known(Known::Min)],
    };

    fn empty((): &()) -> Min {
        Min(f64::INFINITY)
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, .. }: Occurrence<'_>, (): &()) {
        self.0 = self.0.min(sample.value);
    }

    fn merge(&mut self, other: &Min) {
        self.0 = self.0.min(other.0);
    }

    fn encode(&self) -> pb::Extreme {
        pb::Extreme { value: known(self.0) }
    }

    fn decode(stored: pb::Extreme) -> Option<Min> {
        Some(Min(stored.value.unwrap_or(f64::INFINITY)))
    }

    fn stats(&self) -> Stats {
        Stats { min: known(self.0), ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(known(self.0))
    }
}

impl Statistic for Max {
    type Stored = pb::Extreme;
    type Given = ();

    const RULES: Rules = Rules {
        word: "max",
        form: Form::Gauge(Some("max")),
        shows: &[Known::Max],
        own: Known::Max,
        totals: &[Stat::Own],
        window: &[Stat::Known(Known::Max)],
        ..Min::RULES
    };

    fn empty((): &()) -> Max {
        Max(f64::NEG_INFINITY)
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, .. }: Occurrence<'_>, (): &()) {
        self.0 = self.0.max(sample.value);
    }

    fn merge(&mut self, other: &Max) {
        self.0 = self.0.max(other.0);
    }

    fn encode(&self) -> pb::Extreme {
        pb::Extreme { value: known(self.0) }
    }

    fn decode(stored: pb::Extreme) -> Option<Max> {
        Some(Max(stored.value.unwrap_or(f64::NEG_INFINITY)))
    }

    fn stats(&self) -> Stats {
        Stats { max: known(self.0), ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(known(self.0))
    }
}
