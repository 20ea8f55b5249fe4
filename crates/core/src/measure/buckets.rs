//! `buckets`: the distribution of the values over bounds of the config.

use super::{Distribution, Form, Known, Nanos, Occurrence, QUANTILES, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Values in each bucket (not cumulative): one per bound, upper-inclusive, and one for what exceeds the last.
    pub counts: Box<[u64]>,
    pub sum: Nanos,
}

impl Statistic for Buckets {
    type Stored = pb::Buckets;
    type Given = Vec<f64>;

    const RULES: Rules = Rules {
        word: "buckets",
        takes: Takes::Number,
        takes_sign: true,
        unit: None,
        form: Form::Explicit,
        shows: &[Known::Count, Known::Sum, Known::Avg],
        own: Known::Count,
        totals: &[Stat::Own],
        window: &[
            Stat::Quantile(QUANTILES[0]),
            Stat::Quantile(QUANTILES[1]),
            Stat::Quantile(QUANTILES[2]),
            Stat::Known(Known::Avg),
        ],
    };

    fn empty(bounds: &Vec<f64>) -> Buckets {
        Buckets { counts: vec![0; bounds.len() + 1].into_boxed_slice(), sum: Nanos::default() }
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, .. }: Occurrence<'_>, bounds: &Vec<f64>) {
        let at = bounds.partition_point(|&bound| bound < sample.value);
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.wrapping_add(1);
            self.sum.add(sample.nanos);
        }
    }

    fn merge(&mut self, other: &Buckets) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, other)| *mine = mine.wrapping_add(*other));
        self.sum.add(other.sum.get());
    }

    fn encode(&self) -> pb::Buckets {
        pb::Buckets { counts: self.counts.to_vec(), sum: Some(self.sum.encode()) }
    }

    fn decode(stored: pb::Buckets) -> Option<Buckets> {
        Some(Buckets { sum: Nanos::decode(&stored.sum?), counts: stored.counts.into_boxed_slice() })
    }

    fn fits(&self, bounds: &Vec<f64>) -> bool {
        self.counts.len() == bounds.len() + 1
    }

    fn stats(&self) -> Stats {
        let count = self.counts.iter().fold(0, |sum: u64, &count| sum.wrapping_add(count));
        Stats::counted(count, self.sum.get())
    }

    fn total(&self) -> Total<'_> {
        Total::Distribution(Distribution::Explicit(&self.counts))
    }
}
