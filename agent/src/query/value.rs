//! One number of a measure's state: for ordering rows and for gauges.

use super::error::QueryError;
use crate::measure::{Distribution, Known, MeasureKind, MeasureState, Stat};

/// The number that `stat` is of this state, in the exposed unit; `None` if there is none.
pub fn value(state: &MeasureState, kind: &MeasureKind, stat: Stat) -> Option<f64> {
    match stat {
        Stat::Own => state.own(),
        Stat::Known(known) => state.stats().of(known),
        Stat::Quantile(q) => quantile(state, kind, q),
        Stat::Part(_) => None,
    }
}

/// A quantile of a histogram; of one with bounds of its own by linear interpolation, as PromQL's `histogram_quantile`.
pub fn quantile(state: &MeasureState, kind: &MeasureKind, q: f64) -> Option<f64> {
    match state.distribution()? {
        Distribution::Exponential(histogram) => histogram.quantile(q),
        Distribution::Explicit(counts) => interpolated(counts, kind.bounds(), q),
    }
}

fn interpolated(counts: &[u64], bounds: &[f64], q: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = q * total as f64;
    let mut below = 0.0;
    for (at, &count) in counts.iter().enumerate() {
        let through = below + count as f64;
        if through >= rank && count > 0 {
            // Beyond the last bound nothing is known but that.
            let Some(&upper) = bounds.get(at) else { return bounds.last().copied() };
            let lower = if at > 0 {
                bounds[at - 1]
            } else if upper <= 0.0 {
                upper
            } else {
                0.0
            };
            return Some(lower + (upper - lower) * ((rank - below) / count as f64));
        }
        below = through;
    }
    bounds.last().copied()
}

/// What a row is ordered by: nothing for the measure's own number, or `avg`, `p99`.
///
/// # Errors
/// If that is no stat.
pub fn parse_stat(word: &str) -> Result<Stat, QueryError> {
    let quantile = |digits: &str| digits.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    if word.is_empty() {
        return Ok(Stat::Own);
    }
    if let Some(known) = Known::ALL.into_iter().find(|known| known.word() == word) {
        return Ok(Stat::Known(known));
    }
    match word.strip_prefix('p').and_then(quantile) {
        Some(percent) => Ok(Stat::Quantile(percent / 100.0)),
        None => {
            const WORDS: &str = "count, sum, min, max, avg, value, above, below, open or a quantile such as p99";
            let message = format!("order_by.stat `{word}`: use {WORDS}");
            Err(QueryError::Invalid(message))
        }
    }
}

/// Upper bounds and cumulative counts of a histogram; the last bound is infinite. `None` for other measures.
pub fn buckets(state: &MeasureState, kind: &MeasureKind) -> Option<Vec<(f64, u64)>> {
    match state.distribution()? {
        Distribution::Exponential(histogram) => {
            let infinite = (f64::INFINITY, histogram.count());
            Some(histogram.classic_bounds().into_iter().chain([infinite]).collect())
        }
        Distribution::Explicit(counts) => {
            let cumulative = counts.iter().scan(0u64, |sum, &count| {
                *sum = sum.wrapping_add(count);
                Some(*sum)
            });
            Some(kind.bounds().iter().copied().chain([f64::INFINITY]).zip(cumulative).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_of_fixed_buckets_is_interpolated_and_ends_at_the_last_bound() {
        let bounds = [1.0, 2.0, 4.0];
        assert_eq!(interpolated(&[10, 10, 0, 0], &bounds, 0.75), Some(1.5));
        assert_eq!(interpolated(&[10, 0, 0, 0], &bounds, 0.5), Some(0.5));
        assert_eq!(interpolated(&[0, 0, 0, 5], &bounds, 0.5), Some(4.0));
        assert_eq!(interpolated(&[0, 0, 0, 0], &bounds, 0.5), None);
        assert_eq!(interpolated(&[1, 0, 0, 0], &bounds, 1.5), None);
    }
}
