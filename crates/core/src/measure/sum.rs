//! `sum`: the sum of the values, exact in any order.

use super::{Exact, Form, Known, Nanos, Rules, Sample, Stat, Statistic, Stats, Total};
use streamgauge_proto::storage::v1 as pb;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum(pub Nanos);

impl Statistic for Sum {
    type Stored = pb::Nanos;

    const RULES: Rules = Rules {
        word: "sum",
        takes_field: true,
        takes_bounds: false,
        takes_sign: true,
        form: Form::Sum,
        shows: &[Known::Sum],
        own: Known::Sum,
        window: &[Stat::Own],
    };

    fn empty(_bounds: &[f64]) -> Sum {
        Sum::default()
    }

    #[inline]
    fn record(&mut self, sample: Sample, _at: i64, _bounds: &[f64]) {
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
