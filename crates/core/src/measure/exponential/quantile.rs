//! What a histogram answers: quantiles, and counts up to a bound.

use super::{Histogram, lower_bound};

impl Histogram {
    /// The value at rank `ceil(q * count)`, within [`Histogram::relative_error`] of it; exact at the first and the last
    /// rank. `None` if the histogram is empty or `q` is not within 0 and 1.
    ///
    /// It is the geometric middle of the value's bucket, kept within the smallest and largest value: no other choice
    /// has a smaller worst case.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count() == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = ((q * self.count() as f64).ceil() as u64).clamp(1, self.count());
        if rank == 1 {
            return self.min();
        }
        if rank == self.count() {
            return self.max();
        }
        Some(self.value_at(rank).clamp(self.min, self.max))
    }

    fn value_at(&self, rank: u64) -> f64 {
        let mut seen = 0u64;
        let mut reached = |count: u64| {
            seen = seen.saturating_add(count);
            seen >= rank
        };
        for (index, count) in self.negative.iter().rev() {
            if reached(count) {
                return -self.middle(index);
            }
        }
        if reached(self.zero_count) {
            return 0.0;
        }
        for (index, count) in self.positive.iter() {
            if reached(count) {
                return self.middle(index);
            }
        }
        self.max
    }

    fn middle(&self, index: i32) -> f64 {
        lower_bound(index, self.scale).sqrt() * lower_bound(index + 1, self.scale).sqrt()
    }

    /// How far a quantile may be from the exact one, as a fraction of it: 0.022 while the values span a factor of
    /// 1,000.
    pub fn relative_error(&self) -> f64 {
        // The square root of the base, less one; the base itself is beyond f64 below scale -9.
        lower_bound(1, self.scale.max(-9)).sqrt() - 1.0
    }

    /// How many values are at most `bound`. Exact when `bound` is zero or a positive power of two and the scale is not
    /// negative; else values in the bucket that `bound` cuts are not counted.
    pub fn cumulative_le(&self, bound: f64) -> u64 {
        let below = |index: i32| lower_bound(index + 1, self.scale) <= bound;
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::wrapping_add);
        if bound < 0.0 {
            let beyond = |index: i32| lower_bound(index, self.scale) >= -bound;
            return sum(&mut self.negative.iter().filter(|&(index, _)| beyond(index)).map(|(_, count)| count));
        }
        let positive = sum(&mut self.positive.iter().take_while(|&(index, _)| below(index)).map(|(_, count)| count));
        self.negative.total().wrapping_add(self.zero_count).wrapping_add(positive)
    }

    /// Upper bounds and cumulative counts, for a classic Prometheus histogram: 0 if there are values at most that, then
    /// the powers of two (of the base, below scale 0) from just below the smallest positive value to just above the
    /// largest.
    pub fn classic_bounds(&self) -> Vec<(f64, u64)> {
        let mut cumulative = self.negative.total().wrapping_add(self.zero_count);
        let mut bounds = Vec::new();
        if cumulative > 0 {
            bounds.push((0.0, cumulative));
        }
        let Some((first, last)) = self.positive.range() else { return bounds };
        let shift = self.scale.max(0);
        let coarse = self.scale.min(0);
        bounds.push((lower_bound(first >> shift, coarse), cumulative));
        let mut buckets = self.positive.iter().peekable();
        for octave in first >> shift..=last >> shift {
            while let Some((_, count)) = buckets.next_if(|&(index, _)| index >> shift == octave) {
                cumulative = cumulative.wrapping_add(count);
            }
            bounds.push((lower_bound(octave + 1, coarse), cumulative));
        }
        bounds
    }
}
