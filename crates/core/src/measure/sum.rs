//! `sum`: the sum of the values, exact in any order.

use super::{Exact, Form, Known, Nanos, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum(pub Nanos);

impl Statistic for Sum {
    type Stored = pb::Nanos;
    type Given = ();

    const RULES: Rules = Rules {
        word: "sum",
        takes: Takes::Number,
        takes_sign: true,
        unit: None,
        form: Form::Sum,
        shows: &[Known::Sum],
        own: Known::Sum,
        totals: &[Stat::Own],
        window: &[Stat::Own],
    };

    fn empty((): &()) -> Sum {
        Sum::default()
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, .. }: Occurrence<'_>, (): &()) {
        self.0.add(sample.nanos);
    }

    fn merge(&mut self, other: &Sum) {
        self.0.add(other.0.get());
    }

    fn encode(&self) -> pb::Nanos {
        self.0.encode()
    }

    fn decode(stored: pb::Nanos) -> Option<Sum> {
        Some(Sum(Nanos::decode(&stored)))
    }

    fn stats(&self) -> Stats {
        Stats { sum: Some(self.0.get()), ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Sum(Exact::Nanos(self.0.get()))
    }
}
