//! A base-2 exponential histogram: OTLP's data model, and Prometheus' native histogram.
//!
//! The scale is always the finest at which the populated ranges fit. That makes it a function of what was recorded and
//! not of the order: histograms of the same values are the same to the bit, however they were folded and merged.

mod dense;
mod index;
mod quantile;

pub use dense::Dense;
pub use index::{MAX_SCALE, MIN_SCALE};

use super::number::Sample;
use dense::{steps_to_fit, union};
pub(super) use index::index;
use index::lower_bound;

/// Most buckets kept of each sign, unless the config asks for a resolution.
const MAX_BUCKETS: usize = 160;

/// How fine the buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// No finer, however close the values are.
    finest: i32,
    /// So many of each sign: with more, buckets become coarser.
    most: usize,
}

impl Default for Resolution {
    /// As fine as the values allow.
    fn default() -> Self {
        Resolution { finest: MAX_SCALE, most: MAX_BUCKETS }
    }
}

impl Resolution {
    /// Coarser than this is no histogram.
    const COARSEST: i32 = 1;
    /// Powers of two over which the error is kept: more than five decades.
    const OCTAVES: usize = 17;

    /// The coarsest buckets of which quantiles are at most so far from the exact ones, as a fraction; `None` if there are none.
    pub fn with_error(error: f64) -> Option<Resolution> {
        let scales = Self::COARSEST..=MAX_SCALE;
        scales.map(Resolution::at).find(|resolution| resolution.error() <= error)
    }

    fn at(finest: i32) -> Resolution {
        // One more, as the first and the last power of two may be cut.
        Resolution { finest, most: (Self::OCTAVES << finest) + 1 }
    }

    /// How far a quantile may be from the exact one, as a fraction of it, over five decades.
    pub fn error(self) -> f64 {
        lower_bound(1, self.finest).sqrt() - 1.0
    }

    /// The finest scale that was asked for, if one was.
    pub fn asked(self) -> Option<i32> {
        (self != Resolution::default()).then_some(self.finest)
    }

    /// The inverse of [`Resolution::asked`].
    pub(super) fn of_stored(asked: Option<i32>) -> Option<Resolution> {
        let Some(finest) = asked else { return Some(Resolution::default()) };
        (Self::COARSEST..=MAX_SCALE).contains(&finest).then(|| Resolution::at(finest))
    }
}

/// Counts of values by exponential buckets, with exact count, sum, smallest and largest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    resolution: Resolution,
    scale: i32,
    zero_count: u64,
    positive: Dense,
    negative: Dense,
    count: u64,
    sum_nanos: i128,
    /// Identity of its operation while empty.
    min: f64,
    max: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new(Resolution::default())
    }
}

impl Histogram {
    /// An empty one.
    pub fn new(resolution: Resolution) -> Histogram {
        Histogram {
            resolution,
            scale: resolution.finest,
            zero_count: 0,
            positive: Dense::default(),
            negative: Dense::default(),
            count: 0,
            sum_nanos: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Histogram {
    /// Puts a stored histogram together again; `None` if the parts can't be one's.
    pub(super) fn from_parts(
        resolution: Resolution,
        scale: i32,
        zero_count: u64,
        [positive, negative]: [Dense; 2],
        sum_nanos: i128,
        extremes: Option<(f64, f64)>,
    ) -> Option<Histogram> {
        let count = positive.total().wrapping_add(negative.total()).wrapping_add(zero_count);
        let in_range = |dense: &Dense| {
            let within = |(first, last)| first > -(1 << 20) && last < 1 << 20;
            dense.range().is_none_or(within) && dense.counts().len() <= resolution.most
        };
        let sound = (MIN_SCALE..=resolution.finest).contains(&scale) && in_range(&positive) && in_range(&negative);
        let (min, max) = extremes.unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
        (sound && extremes.is_some() == (count > 0)).then_some(Histogram {
            resolution,
            scale,
            zero_count,
            positive,
            negative,
            count,
            sum_nanos,
            min,
            max,
        })
    }

    /// Adds one value.
    #[inline]
    pub fn add(&mut self, sample: Sample) {
        let value = sample.value;
        self.count = self.count.wrapping_add(1);
        self.sum_nanos = self.sum_nanos.wrapping_add(sample.nanos);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if value == 0.0 {
            self.zero_count = self.zero_count.wrapping_add(1);
            return;
        }
        let at = index(value.abs()) >> (MAX_SCALE - self.scale);
        let side = if value > 0.0 { &self.positive } else { &self.negative };
        let steps = union(side.range(), Some((at, at))).map_or(0, |range| steps_to_fit(range, self.resolution.most));
        if steps > 0 {
            self.coarsen_to(self.scale - steps);
        }
        let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        side.add(at >> steps, 1);
    }

    /// Adds all of `other`.
    pub fn absorb(&mut self, other: &Histogram) {
        let scale = self.scale.min(other.scale);
        let at_scale = |dense: &Dense, own: i32| {
            dense.range().map(|(first, last)| (first >> (own - scale), last >> (own - scale)))
        };
        let steps = |a: &Dense, b: &Dense| {
            let range = union(at_scale(a, self.scale), at_scale(b, other.scale));
            range.map_or(0, |range| steps_to_fit(range, self.resolution.most))
        };
        let steps = steps(&self.positive, &other.positive).max(steps(&self.negative, &other.negative));
        self.coarsen_to(scale - steps);
        let shift = other.scale - self.scale;
        other.positive.iter().for_each(|(index, count)| self.positive.add(index >> shift, count));
        other.negative.iter().for_each(|(index, count)| self.negative.add(index >> shift, count));
        self.zero_count = self.zero_count.wrapping_add(other.zero_count);
        self.count = self.count.wrapping_add(other.count);
        self.sum_nanos = self.sum_nanos.wrapping_add(other.sum_nanos);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    #[cold]
    fn coarsen_to(&mut self, scale: i32) {
        self.positive.coarsen(self.scale - scale);
        self.negative.coarsen(self.scale - scale);
        self.scale = scale;
    }

    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// Buckets grow by the factor `2^(2^-scale)`.
    pub fn scale(&self) -> i32 {
        self.scale
    }

    pub fn zero_count(&self) -> u64 {
        self.zero_count
    }

    /// Bucket `i` holds the values in `(base^i, base^(i+1)]`: OTLP's index. Prometheus numbers a bucket by its upper
    /// bound, one more.
    pub fn positive(&self) -> &Dense {
        &self.positive
    }

    /// As [`Histogram::positive`], of the magnitudes of the values below zero.
    pub fn negative(&self) -> &Dense {
        &self.negative
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum in billionths of the exposed unit.
    pub fn sum_nanos(&self) -> i128 {
        self.sum_nanos
    }

    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }
}
