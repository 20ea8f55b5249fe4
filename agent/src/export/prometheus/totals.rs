//! Totals since the state began: durable counters and histograms.

use super::Series;
use super::text::{Number, Page, label};
use crate::aggregate::{AggregatePlan, Histogram, MeasureState};
use crate::config::{Family, FamilyType, MeasureKind, Publish};
use crate::query::{MergedTotals, Reader, Source};
use crate::state::Task;
use std::fmt::Write;

/// Writes an aggregate's totals.
pub fn write(page: &mut Page, reader: &Reader, source: &Source, plan: &AggregatePlan) {
    let series = match plan.config.publish {
        Publish::PerPartition => per_partition(reader, source, plan),
        Publish::Merged => merged(reader, source, plan),
    };
    if series.is_empty() {
        return;
    }
    for (at, measure) in plan.config.measures.iter().enumerate() {
        let family = plan.config.total_family(measure);
        page.family(&family);
        write_family(page, &family, &series, at, &measure.kind);
    }
}

/// Each task's totals under its own labels. Only its owner shows them, and only under its lease.
fn per_partition(reader: &Reader, source: &Source, plan: &AggregatePlan) -> Series {
    let mut series = Series::default();
    let mut cells = Vec::new();
    for task in source.tasks(&reader.registry).iter().filter(|task| task.is_published()) {
        {
            // Only references are taken under the lock: the next commit does not wait for the page.
            let view = task.view.read();
            let totals = view.aggregate(plan.id).into_iter().flat_map(|aggregate| aggregate.totals());
            cells.extend(totals.map(|(key, committed)| (key.clone(), committed.cell.clone())));
        }
        cells.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let more = task_labels(task);
        cells.drain(..).for_each(|(key, cell)| series.push(plan, &key, &more, cell));
    }
    series
}

fn task_labels(task: &Task) -> String {
    let mut labels = String::new();
    label(&mut labels, "topic", &task.id.topic);
    let _ = write!(labels, ",partition=\"{}\",", task.id.partition);
    label(&mut labels, "instance", "");
    labels
}

/// The group's totals, shown by the publisher, and only while nothing in them can go back.
fn merged(reader: &Reader, source: &Source, plan: &AggregatePlan) -> Series {
    match reader.merged_totals(source, plan) {
        MergedTotals::Shown(rows) => Series::of(plan, &rows, "instance=\"\""),
        MergedTotals::Stalled | MergedTotals::NotHere => Series::default(),
    }
}

fn write_family(page: &mut Page, family: &Family, series: &Series, at: usize, kind: &MeasureKind) {
    let exponents = exponents(family.unit);
    let bounds: Vec<String> = match kind {
        MeasureKind::Buckets(bounds) => bounds.iter().map(|bound| format!("{bound:?}")).collect(),
        _ => exponents.iter().map(|&exponent| format!("{:?}", f64::from(exponent).exp2())).collect(),
    };
    let mut counts = Vec::new();
    for (labels, cell) in series.iter() {
        let state = &cell.measures[at];
        match family.kind {
            FamilyType::Histogram => {
                cumulative(state, &exponents, &mut counts);
                for (le, &count) in bounds.iter().zip(&counts) {
                    page.bucket(&family.name, "_bucket", labels, le, Number::Int(count));
                }
                let count = state.count().unwrap_or_default();
                page.bucket(&family.name, "_bucket", labels, "+Inf", Number::Int(count));
                write_sum_and_count(page, family, labels, state);
            }
            FamilyType::Summary => write_sum_and_count(page, family, labels, state),
            FamilyType::Counter => page.sample(&family.name, "_total", labels, number(state)),
            FamilyType::Gauge => {
                // Absent before the first value.
                if let Some(value) = state.min().or(state.max()) {
                    page.sample(&family.name, "", labels, Number::Float(value));
                }
            }
        }
    }
}

fn write_sum_and_count(page: &mut Page, family: &Family, labels: &str, state: &MeasureState) {
    page.sample(&family.name, "_sum", labels, Number::Nanos(state.sum_nanos().unwrap_or_default()));
    page.sample(&family.name, "_count", labels, Number::Int(state.count().unwrap_or_default()));
}

fn number(state: &MeasureState) -> Number {
    match state {
        MeasureState::Sum(sum) => Number::Nanos(sum.get()),
        _ => Number::Int(state.count().unwrap_or_default()),
    }
}

/// Exponents of the powers of two that are the bounds of a histogram of that unit: always the same ones, so that no series
/// comes and goes. Seconds: 1 ms to 64 s; ratios: 0.1 % to 1; bytes: 64 B to 1 GiB; others: 1/16 to 4 M.
fn exponents(unit: &str) -> Vec<i32> {
    match unit {
        "seconds" => (-10..=6).collect(),
        "ratio" => (-10..=0).collect(),
        "bytes" => (6..=30).step_by(2).collect(),
        _ => (-4..=22).step_by(2).collect(),
    }
}

/// How many values are at most each bound.
fn cumulative(state: &MeasureState, exponents: &[i32], counts: &mut Vec<u64>) {
    counts.clear();
    match state {
        MeasureState::Histogram(histogram) => at_powers_of_two(histogram, exponents, counts),
        MeasureState::Buckets(buckets) => {
            let mut sum = 0u64;
            counts.extend(buckets.counts.iter().map(|&count| {
                sum = sum.wrapping_add(count);
                sum
            }));
        }
        _ => {}
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
        values.iter().for_each(|&value| histogram.record(scaling.sample(Value::Float(value)).unwrap()));
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
