//! `avg`: the mean of the values, kept as count and sum of the same ones.

use super::{Form, Known, Nanos, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

/// Count and sum of the same values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Average {
    count: u64,
    sum: Nanos,
}

impl Statistic for Average {
    type Stored = pb::Average;
    type Given = ();

    const RULES: Rules = Rules {
        word: "avg",
        takes: Takes::Number,
        takes_sign: true,
        unit: None,
        form: Form::Summary,
        shows: &[Known::Count, Known::Sum, Known::Avg],
        own: Known::Avg,
        totals: &[Stat::Own],
        window: &[Stat::Known(Known::Avg)],
    };

    fn empty((): &()) -> Average {
        Average::default()
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, .. }: Occurrence<'_>, (): &()) {
        self.count = self.count.wrapping_add(1);
        self.sum.add(sample.nanos);
    }

    fn merge(&mut self, other: &Average) {
        self.count = self.count.wrapping_add(other.count);
        self.sum.add(other.sum.get());
    }

    fn encode(&self) -> pb::Average {
        pb::Average { count: self.count, sum: Some(self.sum.encode()) }
    }

    fn decode(stored: pb::Average) -> Option<Average> {
        Some(Average { count: stored.count, sum: Nanos::decode(&stored.sum?) })
    }

    fn stats(&self) -> Stats {
        Stats::counted(self.count, self.sum.get())
    }

    fn total(&self) -> Total<'_> {
        Total::Summary
    }
}
