//! Totals since the state began: durable counters and histograms.

use super::page::{Labels, Page};
use super::point::{Bound, Number, Point};
use super::{Format, Series};
use crate::aggregate::{AggregatePlan, Histogram};
use crate::config::{MeasureKind, Publish};
use crate::measure::{Distribution, Form, Stat, Total};
use crate::publish::{MergedTotal, MergedTotals, Publisher, start_time, task_totals};
use crate::query::Inputs;

/// Writes an aggregate's totals.
pub fn write(page: &mut Page<'_>, publisher: &Publisher, inputs: &Inputs, plan: &AggregatePlan) {
    let format = page.style.format;
    let series = match plan.config.publish {
        Publish::PerPartition => per_partition(publisher, inputs, plan, format),
        Publish::Merged => merged(publisher, inputs, plan, format),
    };
    if series.is_empty() {
        return;
    }
    for (at, measure) in plan.config.measures.iter().enumerate() {
        for (stat, family) in plan.config.total_families(measure) {
            let unit = family.unit;
            page.family(family);
            write_family(page, unit, &series, (at, stat), &measure.kind);
        }
    }
}

/// Each task's totals under its own labels. Only its owner shows them, and only under its lease. A start that the
/// clock has not come to, because it was set back, is not told: a scraper would put a zero into the middle of the
/// series.
fn per_partition(publisher: &Publisher, inputs: &Inputs, plan: &AggregatePlan, format: Format) -> Series {
    let mut series = Series::new(format);
    let now = publisher.reader().clock.unix_millis();
    for task in inputs.tasks(&publisher.reader().registry).iter().filter(|task| task.is_published()) {
        let partition = task.id.partition.to_string();
        let labels = [("topic", &*task.id.topic), ("partition", &partition), ("instance", "")];
        let more = Labels::of(format, &labels);
        let task_since = start_time(task, plan);
        for (key, cell) in task_totals(task, plan) {
            let since = cell.began().or(task_since).filter(|&since| since <= now);
            series.push(plan, &key, &more, cell, since);
        }
    }
    series
}

/// The group's totals, shown by the publisher, and only while nothing in them can go back.
fn merged(publisher: &Publisher, inputs: &Inputs, plan: &AggregatePlan, format: Format) -> Series {
    let labels = Labels::of(format, &[("instance", "")]);
    let MergedTotals::Shown(rows) = publisher.merged_totals(inputs, plan) else { return Series::new(format) };
    let mut series = Series::new(format);
    let now = publisher.reader().clock.unix_millis();
    for MergedTotal { key, states, since } in &rows {
        series.push_states(plan, key, &labels, states, since.filter(|&since| since <= now));
    }
    series
}

fn write_family(page: &mut Page<'_>, unit: &str, series: &Series, (at, stat): (usize, Stat), kind: &MeasureKind) {
    let exponents = exponents(unit);
    let bounds: Vec<Bound> = match kind.rules().form {
        Form::Explicit => kind.bounds().iter().copied().map(Bound::new).collect(),
        Form::Sum
        | Form::Counters
        | Form::Gauge(_)
        | Form::Estimate
        | Form::Ranking
        | Form::Summary
        | Form::Exponential => exponents.iter().map(|&exponent| Bound::new(f64::from(exponent).exp2())).collect(),
    };
    let mut counts = Vec::new();
    for (labels, shown) in series.iter() {
        let state = &shown.cell.measures[at];
        let stats = state.stats();
        let (sum, count) = (Number::Nanos(stats.sum.unwrap_or_default()), stats.count.unwrap_or_default());
        let point = match state.total_of(stat) {
            Total::Sum(number) => Point::Value(number.into()),
            Total::Gauge(Some(value)) => Point::Value(Number::Float(value)),
            // Absent before the first value; items are shown of windows.
            Total::Gauge(None) | Total::Ranking(_) => continue,
            Total::Summary => Point::Summary { sum, count },
            Total::Distribution(distribution) => {
                cumulative(distribution, &exponents, &mut counts);
                let native = match distribution {
                    Distribution::Exponential(histogram) => Some(histogram),
                    Distribution::Explicit(_) => None,
                };
                let (sum, count) = native.map_or((sum, count), |h| (Number::Nanos(h.sum_nanos()), h.count()));
                Point::Histogram { bounds: &bounds, counts: &counts, sum, count, native }
            }
        };
        page.point(labels, shown.since, &point);
    }
}

/// Exponents of the powers of two that are the bounds of a histogram of that unit: always the same ones, so that no
/// series comes and goes. Seconds: 1 ms to 64 s; ratios: 0.1 % to 1; bytes: 64 B to 1 GiB; others: 1/16 to 4 M.
fn exponents(unit: &str) -> Vec<i32> {
    match unit {
        "seconds" => (-10..=6).collect(),
        "ratio" => (-10..=0).collect(),
        "bytes" => (6..=30).step_by(2).collect(),
        _ => (-4..=22).step_by(2).collect(),
    }
}

/// How many values are at most each bound.
fn cumulative(distribution: Distribution<'_>, exponents: &[i32], counts: &mut Vec<u64>) {
    counts.clear();
    match distribution {
        Distribution::Exponential(histogram) => at_powers_of_two(histogram, exponents, counts),
        Distribution::Explicit(buckets) => {
            let mut sum = 0u64;
            counts.extend(buckets.iter().map(|&count| {
                sum = sum.wrapping_add(count);
                sum
            }));
        }
    }
}

/// Exact while the scale is not negative, because then every power of two is a bucket's bound.
fn at_powers_of_two(histogram: &Histogram, exponents: &[i32], counts: &mut Vec<u64>) {
    let scale = histogram.scale();
    // Smallest power of two that is not below the bucket's upper bound.
    let octave = |index: i32| {
        let end = i64::from(index) + 1;
        if scale >= 0 { (end + (1i64 << scale) - 1) >> scale } else { end << -scale }
    };
    let mut sum = histogram.negative().total().wrapping_add(histogram.zero_count());
    let mut buckets = histogram.positive().iter().peekable();
    for &exponent in exponents {
        while let Some((_, count)) = buckets.next_if(|&(index, _)| octave(index) <= i64::from(exponent)) {
            sum = sum.wrapping_add(count);
        }
        counts.push(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Scaling, Value};
    use crate::config::Unit;

    #[test]
    fn counts_at_powers_of_two_are_those_of_a_recount() {
        let values: Vec<f64> =
            (0..2_000).map(|i| 0.000_3 * 1.006f64.powi(i) - 0.001).chain([0.0, 0.5, 1.0, 64.0]).collect();
        let mut histogram = Histogram::default();
        let scaling = Scaling::new(Unit::None);
        values.iter().for_each(|&value| histogram.add(scaling.sample(Value::Float(value)).unwrap()));
        assert!(histogram.scale() >= 0);
        let exponents = exponents("seconds");
        let mut counts = Vec::new();
        at_powers_of_two(&histogram, &exponents, &mut counts);
        for (exponent, count) in exponents.iter().zip(counts) {
            let bound = f64::from(*exponent).exp2();
            let recount = values.iter().filter(|&&value| value <= bound).count() as u64;
            assert_eq!(count, recount, "{bound}");
            assert_eq!(count, histogram.cumulative_le(bound), "{bound}");
        }
    }
}
