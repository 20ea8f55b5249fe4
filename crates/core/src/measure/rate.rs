//! `rate`: events, or the sum of a field, per second of the window.

use super::portion::{Amount, Portion};
use super::{Form, Known, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rate(Portion);

impl Statistic for Rate {
    type Stored = pb::Nanos;
    type Given = Amount;

    const RULES: Rules = Rules {
        word: "rate",
        takes: Takes::Amount,
        takes_sign: true,
        unit: Some("per_second"),
        form: Form::Estimate,
        shows: &[Known::Value],
        own: Known::Value,
        // It is of a window.
        totals: &[],
        window: &[Stat::Own],
    };

    fn empty(_: &Amount) -> Rate {
        Rate::default()
    }

    #[inline]
    fn record(&mut self, event: Occurrence<'_>, given: &Amount) {
        self.0.record(&event, *given);
    }

    fn merge(&mut self, other: &Rate) {
        self.0.merge(&other.0);
    }

    fn encode(&self) -> pb::Nanos {
        self.0.encode()
    }

    fn decode(stored: pb::Nanos) -> Option<Rate> {
        Some(Rate(Portion::decode(&stored)))
    }

    fn stats(&self) -> Stats {
        self.0.stats()
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(self.stats().value)
    }

    fn amount(&self) -> Option<f64> {
        Some(self.0.amount())
    }

    fn relate(&mut self, to: f64) {
        self.0.relate(to);
    }
}
