//! One number of a measure's state: for ordering rows and for gauges.

use super::error::QueryError;
use crate::aggregate::{MeasureState, nanos_to_f64};
use crate::config::{MeasureKind, Stat};

/// The number that `stat` is of this state, in the exposed unit; `None` if there is none.
pub fn value(state: &MeasureState, kind: &MeasureKind, stat: Stat) -> Option<f64> {
    match stat {
        Stat::Value => match state {
            MeasureState::Sum(_) => sum(state),
            MeasureState::Min(_) => state.min(),
            MeasureState::Max(_) => state.max(),
            MeasureState::Avg(_) => state.mean(),
            _ => state.count().map(|count| count as f64),
        },
        Stat::Min => state.min(),
        Stat::Max => state.max(),
        Stat::Avg => state.mean(),
        Stat::Quantile(q) => quantile(state, kind, q),
    }
}

/// Sum in the exposed unit.
pub fn sum(state: &MeasureState) -> Option<f64> {
    state.sum_nanos().map(nanos_to_f64)
}

/// A quantile of a histogram; of one with bounds of its own by linear interpolation, as PromQL's `histogram_quantile`.
pub fn quantile(state: &MeasureState, kind: &MeasureKind, q: f64) -> Option<f64> {
    match (state, kind) {
        (MeasureState::Histogram(histogram), _) => histogram.quantile(q),
        (MeasureState::Buckets(buckets), MeasureKind::Buckets(bounds)) => interpolated(&buckets.counts, bounds, q),
        _ => None,
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

/// What a row is ordered by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OrderStat {
    Count,
    Sum,
    Stat(Stat),
}

impl OrderStat {
    /// # Errors
    /// If that is no stat.
    pub fn parse(word: &str) -> Result<OrderStat, QueryError> {
        let quantile = |digits: &str| digits.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
        Ok(match word {
            "" => OrderStat::Stat(Stat::Value),
            "count" => OrderStat::Count,
            "sum" => OrderStat::Sum,
            "min" => OrderStat::Stat(Stat::Min),
            "max" => OrderStat::Stat(Stat::Max),
            "avg" => OrderStat::Stat(Stat::Avg),
            _ => match word.strip_prefix('p').and_then(quantile) {
                Some(percent) => OrderStat::Stat(Stat::Quantile(percent / 100.0)),
                None => {
                    let message =
                        format!("order_by.stat `{word}`: use count, sum, min, max, avg or a quantile such as p99");
                    return Err(QueryError::Invalid(message));
                }
            },
        })
    }

    pub fn of(self, state: &MeasureState, kind: &MeasureKind) -> Option<f64> {
        match self {
            OrderStat::Count => state.count().map(|count| count as f64),
            OrderStat::Sum => sum(state),
            OrderStat::Stat(stat) => value(state, kind, stat),
        }
    }
}

/// Upper bounds and cumulative counts of a histogram; the last bound is infinite. `None` for other measures.
pub fn buckets(state: &MeasureState, kind: &MeasureKind) -> Option<Vec<(f64, u64)>> {
    match (state, kind) {
        (MeasureState::Histogram(histogram), _) => {
            let infinite = (f64::INFINITY, histogram.count());
            Some(histogram.classic_bounds().into_iter().chain([infinite]).collect())
        }
        (MeasureState::Buckets(buckets), MeasureKind::Buckets(bounds)) => {
            let cumulative = buckets.counts.iter().scan(0u64, |sum, &count| {
                *sum = sum.wrapping_add(count);
                Some(*sum)
            });
            Some(bounds.iter().copied().chain([f64::INFINITY]).zip(cumulative).collect())
        }
        _ => None,
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
