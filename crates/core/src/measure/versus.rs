//! `versus`: events, or the sum of a field, by those of the same window some time ago.

use super::portion::{Amount, Portion};
use super::{Form, Known, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

/// What a window is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    pub amount: Amount,
    /// How long before. Milliseconds.
    pub ago_ms: i64,
}

impl Default for Earlier {
    fn default() -> Earlier {
        Earlier { amount: Amount::Events, ago_ms: 86_400_000 }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Versus(Portion);

impl Statistic for Versus {
    type Stored = pb::Nanos;
    type Given = Earlier;

    const RULES: Rules = Rules {
        word: "versus",
        takes: Takes::Amount,
        takes_sign: true,
        unit: Some("ratio"),
        form: Form::Estimate,
        shows: &[Known::Value],
        own: Known::Value,
        // It is of a window.
        totals: &[],
        window: &[Stat::Own],
    };

    fn empty(_: &Earlier) -> Versus {
        Versus::default()
    }

    #[inline]
    fn record(&mut self, event: Occurrence<'_>, given: &Earlier) {
        self.0.record(&event, given.amount);
    }

    fn merge(&mut self, other: &Versus) {
        self.0.merge(&other.0);
    }

    fn encode(&self) -> pb::Nanos {
        self.0.encode()
    }

    fn decode(stored: pb::Nanos) -> Option<Versus> {
        Some(Versus(Portion::decode(&stored)))
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
