//! Histograms: merging, bounds, quantiles.

use proptest::prelude::*;

use crate::aggregate::{Histogram, MAX_SCALE, Sample, nanos_to_f64};

fn sample(value: f64) -> Sample {
    Sample { value: value + 0.0, nanos: (value * 1e9).round() as i128 }
}

fn histogram(values: &[f64]) -> Histogram {
    let mut histogram = Histogram::default();
    values.iter().for_each(|&value| histogram.add(sample(value)));
    histogram
}

/// Numbers of all sizes and signs.
fn value() -> impl Strategy<Value = f64> {
    let size = |range: std::ops::Range<i32>| (range, 1.0f64..2.0).prop_map(|(e, m)| m * 2f64.powi(e));
    prop_oneof![
        4 => 0.001f64..1.0,
        2 => size(-10..10),
        1 => size(-1000..60),
        1 => size(-30..30).prop_map(|value| -value),
        1 => (-20i32..20).prop_map(|e| 2f64.powi(e)),
        1 => Just(0.0),
    ]
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(value(), 0..60)
}

proptest! {
    #[test]
    fn parts_merge_to_the_same_bits_in_any_order(a in values(), b in values(), c in values()) {
        let whole = histogram(&[a.clone(), b.clone(), c.clone()].concat());
        let [a, b, c] = [a, b, c].map(|values| histogram(&values));
        let merged = |parts: [&Histogram; 2]| {
            let mut merged = parts[0].clone();
            merged.absorb(parts[1]);
            merged
        };
        prop_assert_eq!(merged([&a, &b]), merged([&b, &a]));
        prop_assert_eq!(merged([&merged([&a, &b]), &c]), merged([&a, &merged([&b, &c])]));
        prop_assert_eq!(merged([&merged([&c, &a]), &b]), whole);
    }

    #[test]
    fn quantiles_are_within_their_bound_of_the_exact_ones(values in values(), q in 0.0f64..=1.0) {
        let histogram = histogram(&values);
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        for q in [0.0, 0.5, 0.95, 0.99, 1.0, q] {
            let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len().max(1));
            match (histogram.quantile(q), sorted.get(rank - 1)) {
                (Some(estimate), Some(exact)) => {
                    let bound = histogram.relative_error() * exact.abs() * (1.0 + 1e-12);
                    prop_assert!((estimate - exact).abs() <= bound, "q{}: {} for {}", q, estimate, exact);
                }
                (estimate, exact) => prop_assert_eq!(estimate, exact.copied()),
            }
        }
    }

    #[test]
    fn counts_up_to_a_power_of_two_are_exact(
        values in proptest::collection::vec(prop_oneof![0.0f64..4.0, -1.0f64..1.0], 0..60),
    ) {
        let histogram = histogram(&values);
        prop_assume!(histogram.scale() >= 0);
        let exact = |bound: f64| values.iter().filter(|&&value| value <= bound).count() as u64;
        for exponent in -40..4 {
            let bound = 2f64.powi(exponent);
            prop_assert_eq!(histogram.cumulative_le(bound), exact(bound), "le {}", bound);
        }
        prop_assert_eq!(histogram.cumulative_le(0.0), exact(0.0));
        let classic = histogram.classic_bounds();
        prop_assert!(classic.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{:?}", &classic);
        for &(bound, count) in &classic {
            prop_assert_eq!(count, exact(bound), "le {}", bound);
        }
        let last = classic.last().map_or(0, |&(_, count)| count);
        prop_assert_eq!(last, values.len() as u64);
    }

    #[test]
    fn count_sum_and_extremes_are_exact(values in values()) {
        let histogram = histogram(&values);
        prop_assert_eq!(histogram.count(), values.len() as u64);
        prop_assert_eq!(histogram.sum_nanos(), values.iter().map(|&value| sample(value).nanos).sum::<i128>());
        prop_assert_eq!(histogram.min(), values.iter().copied().reduce(f64::min));
        prop_assert_eq!(histogram.max(), values.iter().copied().reduce(f64::max));
        let buckets = histogram.positive().total() + histogram.negative().total() + histogram.zero_count();
        prop_assert_eq!(buckets, values.len() as u64);
        prop_assert!(histogram.positive().counts().len() <= 160 && histogram.negative().counts().len() <= 160);
    }
}

#[test]
fn a_millisecond_to_a_second_is_known_to_2_2_percent() {
    let values: Vec<_> = (1..=1000).map(|ms| f64::from(ms) / 1000.0).collect();
    let histogram = histogram(&values);
    assert!(histogram.relative_error() < 0.0222, "{}", histogram.relative_error());
}

#[test]
fn the_smallest_and_largest_numbers_fit_together() {
    let histogram =
        histogram(&[f64::from_bits(1), f64::MIN_POSITIVE, 1.0, f64::MAX / 1e20, -f64::from_bits(1), -1e300]);
    assert!(histogram.scale() >= -4, "{}", histogram.scale());
    assert_eq!(histogram.quantile(0.0), Some(-1e300));
    assert!(histogram.quantile(0.5).unwrap().is_finite());
}

#[test]
fn one_value_is_known_exactly() {
    let histogram = histogram(&[0.1234, 0.1234, 0.1234]);
    assert_eq!(histogram.scale(), MAX_SCALE);
    assert_eq!(histogram.quantile(0.5), Some(0.1234));
    assert_eq!(histogram.quantile(1.5), None);
    assert_eq!(histogram.quantile(f64::NAN), None);
}

#[test]
fn sums_read_as_they_were_written() {
    assert_eq!(nanos_to_f64(100_000_000), 0.1);
    assert_eq!(nanos_to_f64(-1), -1e-9);
    assert_eq!(nanos_to_f64(10i128.pow(27)), 1e18);
    assert_eq!(nanos_to_f64(123_456_789_012_345_678_901), 123_456_789_012.345_67);
}
