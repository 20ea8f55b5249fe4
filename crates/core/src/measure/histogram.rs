//! `histogram`: the distribution of the values over exponential buckets, from which any quantile can be told.

use super::exponential::{Dense, Histogram, Resolution};
use super::number::{nanos_from_proto, nanos_to_proto};
use super::{Distribution, Form, Known, Occurrence, QUANTILES, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

impl Statistic for Histogram {
    type Stored = pb::Histogram;
    type Given = Resolution;

    const RULES: Rules = Rules {
        word: "histogram",
        takes: Takes::Number,
        takes_sign: true,
        unit: None,
        form: Form::Exponential,
        shows: &[Known::Count, Known::Sum, Known::Avg, Known::Min, Known::Max],
        own: Known::Count,
        totals: &[Stat::Own],
        window: &[
            Stat::Quantile(QUANTILES[0]),
            Stat::Quantile(QUANTILES[1]),
            Stat::Quantile(QUANTILES[2]),
            Stat::Known(Known::Avg),
            Stat::Known(Known::Min),
            Stat::Known(Known::Max),
        ],
    };

    fn empty(resolution: &Resolution) -> Histogram {
        Histogram::new(*resolution)
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, .. }: Occurrence<'_>, _: &Resolution) {
        self.add(sample);
    }

    fn merge(&mut self, other: &Histogram) {
        self.absorb(other);
    }

    fn encode(&self) -> pb::Histogram {
        let range = |dense: &Dense| {
            dense.range().map(|(offset, _)| pb::BucketRange { offset, counts: dense.counts().to_vec() })
        };
        pb::Histogram {
            scale: self.scale(),
            zero_count: self.zero_count(),
            positive: range(self.positive()),
            negative: range(self.negative()),
            sum: Some(nanos_to_proto(self.sum_nanos())),
            min: self.min(),
            max: self.max(),
            finest_scale: self.resolution().asked(),
        }
    }

    fn decode(stored: pb::Histogram) -> Option<Histogram> {
        let dense = |range: Option<pb::BucketRange>| {
            let pb::BucketRange { offset, counts } = range.unwrap_or_default();
            Dense::new(offset, counts)
        };
        let buckets = [dense(stored.positive)?, dense(stored.negative)?];
        let sum = nanos_from_proto(&stored.sum?);
        let resolution = Resolution::of_stored(stored.finest_scale)?;
        Histogram::from_parts(resolution, stored.scale, stored.zero_count, buckets, sum, stored.min.zip(stored.max))
    }

    fn fits(&self, resolution: &Resolution) -> bool {
        self.resolution() == *resolution
    }

    fn stats(&self) -> Stats {
        Stats { min: self.min(), max: self.max(), ..Stats::counted(self.count(), self.sum_nanos()) }
    }

    fn total(&self) -> Total<'_> {
        Total::Distribution(Distribution::Exponential(self))
    }
}
