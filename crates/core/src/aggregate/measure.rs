//! The state of one measure: what folding adds to and merging unites.

use super::histogram::Histogram;
use super::plan::{AggregatePlan, MeasurePlan};
use super::sample::{Sample, nanos_to_f64};
use crate::config::MeasureKind;

/// One measure's state. Merging is associative and commutative to the bit.
///
/// Kept to 16 bytes, as there are millions: what is larger is boxed.
#[derive(Clone, Debug, PartialEq)]
pub enum MeasureState {
    Count(u64),
    Sum(Nanos),
    /// Positive infinity before the first value.
    Min(f64),
    /// Negative infinity before the first value.
    Max(f64),
    Avg(Box<Average>),
    Histogram(Box<Histogram>),
    Buckets(Box<Buckets>),
}

/// Count and sum of the same values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Average {
    pub count: u64,
    pub sum: Nanos,
}

/// A histogram with the bounds of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Values in each bucket (not cumulative): one per bound, upper-inclusive, and one for what exceeds the last.
    pub counts: Box<[u64]>,
    pub sum: Nanos,
}

/// A sum in billionths of the exposed unit. Fixed point, so that adding is exact in any order; 120 bits, so that it
/// fits beside its enum's tag. Values are at most 1e18, so that it would take 6e8 of the largest to wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nanos([u8; 15]);

impl Nanos {
    #[inline]
    pub fn new(value: i128) -> Nanos {
        let mut bytes = [0; 15];
        bytes.copy_from_slice(&value.to_le_bytes()[..15]);
        Nanos(bytes)
    }

    #[inline]
    pub fn get(self) -> i128 {
        let mut bytes = [0; 16];
        bytes[1..].copy_from_slice(&self.0);
        // The shift brings the sign back.
        i128::from_le_bytes(bytes) >> 8
    }

    #[inline]
    fn add(&mut self, other: i128) {
        *self = Nanos::new(self.get().wrapping_add(other));
    }

    /// In the exposed unit, rounded.
    pub fn to_f64(self) -> f64 {
        nanos_to_f64(self.get())
    }
}

impl MeasureState {
    /// The state before the first event.
    pub fn empty(plan: &MeasurePlan) -> MeasureState {
        match &plan.kind {
            MeasureKind::Count => MeasureState::Count(0),
            MeasureKind::Sum => MeasureState::Sum(Nanos::default()),
            MeasureKind::Min => MeasureState::Min(f64::INFINITY),
            MeasureKind::Max => MeasureState::Max(f64::NEG_INFINITY),
            MeasureKind::Avg => MeasureState::Avg(Box::default()),
            MeasureKind::Histogram => MeasureState::Histogram(Box::default()),
            MeasureKind::Buckets(bounds) => {
                let counts = vec![0; bounds.len() + 1].into_boxed_slice();
                MeasureState::Buckets(Box::new(Buckets { counts, sum: Nanos::default() }))
            }
        }
    }

    /// Adds one value (counts only count it).
    #[inline]
    pub(super) fn record(&mut self, sample: Sample, plan: &MeasurePlan) {
        match self {
            MeasureState::Count(count) => *count = count.wrapping_add(1),
            MeasureState::Sum(sum) => sum.add(sample.nanos),
            MeasureState::Min(min) => *min = min.min(sample.value),
            MeasureState::Max(max) => *max = max.max(sample.value),
            MeasureState::Avg(average) => {
                average.count = average.count.wrapping_add(1);
                average.sum.add(sample.nanos);
            }
            MeasureState::Histogram(histogram) => histogram.record(sample),
            MeasureState::Buckets(buckets) => {
                if let MeasureKind::Buckets(bounds) = &plan.kind {
                    let at = bounds.partition_point(|&bound| bound < sample.value);
                    buckets.counts[at] = buckets.counts[at].wrapping_add(1);
                    buckets.sum.add(sample.nanos);
                }
            }
        }
    }

    /// Adds all of `other`, which is of the same measure; of another kind it is ignored.
    pub fn merge(&mut self, other: &MeasureState) {
        match (self, other) {
            (MeasureState::Count(a), MeasureState::Count(b)) => *a = a.wrapping_add(*b),
            (MeasureState::Sum(a), MeasureState::Sum(b)) => a.add(b.get()),
            (MeasureState::Min(a), MeasureState::Min(b)) => *a = a.min(*b),
            (MeasureState::Max(a), MeasureState::Max(b)) => *a = a.max(*b),
            (MeasureState::Avg(a), MeasureState::Avg(b)) => {
                a.count = a.count.wrapping_add(b.count);
                a.sum.add(b.sum.get());
            }
            (MeasureState::Histogram(a), MeasureState::Histogram(b)) => a.merge(b),
            (MeasureState::Buckets(a), MeasureState::Buckets(b)) => {
                a.counts.iter_mut().zip(&b.counts).for_each(|(a, b)| *a = a.wrapping_add(*b));
                a.sum.add(b.sum.get());
            }
            (mine, other) => debug_assert!(false, "cannot merge {other:?} into {mine:?}"),
        }
    }

    /// Whether this can be a state of that measure.
    pub(super) fn fits(&self, plan: &MeasurePlan) -> bool {
        match (self, &plan.kind) {
            (MeasureState::Count(_), MeasureKind::Count)
            | (MeasureState::Sum(_), MeasureKind::Sum)
            | (MeasureState::Min(_), MeasureKind::Min)
            | (MeasureState::Max(_), MeasureKind::Max)
            | (MeasureState::Avg(_), MeasureKind::Avg)
            | (MeasureState::Histogram(_), MeasureKind::Histogram) => true,
            (MeasureState::Buckets(buckets), MeasureKind::Buckets(bounds)) => buckets.counts.len() == bounds.len() + 1,
            _ => false,
        }
    }

    /// How many values were measured; `None` for kinds that don't know.
    pub fn count(&self) -> Option<u64> {
        match self {
            MeasureState::Count(count) => Some(*count),
            MeasureState::Avg(average) => Some(average.count),
            MeasureState::Histogram(histogram) => Some(histogram.count()),
            MeasureState::Buckets(buckets) => {
                Some(buckets.counts.iter().fold(0, |sum, &count| sum.wrapping_add(count)))
            }
            MeasureState::Sum(_) | MeasureState::Min(_) | MeasureState::Max(_) => None,
        }
    }

    /// Exact sum of the values in billionths of the exposed unit; `None` for kinds that don't know.
    pub fn sum_nanos(&self) -> Option<i128> {
        match self {
            MeasureState::Sum(sum) => Some(sum.get()),
            MeasureState::Avg(average) => Some(average.sum.get()),
            MeasureState::Histogram(histogram) => Some(histogram.sum_nanos()),
            MeasureState::Buckets(buckets) => Some(buckets.sum.get()),
            MeasureState::Count(_) | MeasureState::Min(_) | MeasureState::Max(_) => None,
        }
    }

    /// Mean of the values in the exposed unit; `None` without values, or for kinds that don't know.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count().filter(|&count| count > 0)?;
        Some(nanos_to_f64(self.sum_nanos()?) / count as f64)
    }

    /// Smallest value, in the exposed unit.
    pub fn min(&self) -> Option<f64> {
        match self {
            MeasureState::Min(min) => min.is_finite().then_some(*min),
            MeasureState::Histogram(histogram) => histogram.min(),
            _ => None,
        }
    }

    /// Largest value, in the exposed unit.
    pub fn max(&self) -> Option<f64> {
        match self {
            MeasureState::Max(max) => max.is_finite().then_some(*max),
            MeasureState::Histogram(histogram) => histogram.max(),
            _ => None,
        }
    }
}

/// Empty states of all of an aggregate's measures.
pub(super) fn empty(plan: &AggregatePlan) -> impl Iterator<Item = MeasureState> {
    plan.measures.iter().map(MeasureState::empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_takes_sixteen_bytes() {
        assert_eq!(size_of::<MeasureState>(), 16);
    }

    #[test]
    fn sums_keep_their_sign_and_size() {
        for value in [0, 1, -1, 10i128.pow(27), -(10i128.pow(27)), (1 << 119) - 1, -(1 << 119)] {
            assert_eq!(Nanos::new(value).get(), value);
        }
    }
}
