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
use index::{index, lower_bound};

/// Most buckets kept of each sign.
pub const MAX_BUCKETS: usize = 160;

/// Counts of values by exponential buckets, with exact count, sum, smallest and largest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
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
        Histogram {
            scale: MAX_SCALE,
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
        scale: i32,
        zero_count: u64,
        [positive, negative]: [Dense; 2],
        sum_nanos: i128,
        extremes: Option<(f64, f64)>,
    ) -> Option<Histogram> {
        let count = positive.total().wrapping_add(negative.total()).wrapping_add(zero_count);
        let in_range = |dense: &Dense| dense.range().is_none_or(|(first, last)| first > -(1 << 20) && last < 1 << 20);
        let sound = (MIN_SCALE..=MAX_SCALE).contains(&scale) && in_range(&positive) && in_range(&negative);
        let (min, max) = extremes.unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
        (sound && extremes.is_some() == (count > 0)).then_some(Histogram {
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
        let steps = union(side.range(), Some((at, at))).map_or(0, steps_to_fit);
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
        let steps =
            |a: &Dense, b: &Dense| union(at_scale(a, self.scale), at_scale(b, other.scale)).map_or(0, steps_to_fit);
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
