//! `count`: how many events there were.

use super::{Exact, Form, Known, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl Statistic for Count {
    type Stored = u64;
    type Given = ();

    const RULES: Rules = Rules {
        word: "count",
        takes: Takes::Nothing,
        takes_sign: false,
        unit: Some(""),
        form: Form::Sum,
        shows: &[Known::Count],
        own: Known::Count,
        totals: &[Stat::Own],
        window: &[Stat::Own],
    };

    fn empty((): &()) -> Count {
        Count(0)
    }

    #[inline]
    fn record(&mut self, _event: Occurrence<'_>, (): &()) {
        self.0 = self.0.wrapping_add(1);
    }

    fn merge(&mut self, other: &Count) {
        self.0 = self.0.wrapping_add(other.0);
    }

    fn encode(&self) -> u64 {
        self.0
    }

    fn decode(stored: u64) -> Option<Count> {
        Some(Count(stored))
    }

    fn stats(&self) -> Stats {
        Stats { count: Some(self.0), ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Sum(Exact::Int(self.0))
    }
}
