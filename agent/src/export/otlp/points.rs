//! Committed state as OTLP's metrics: closed windows at their own times, totals since they began.
//!
//! Names are those of `/metrics`, suffixes and units included: whoever adds suffixes finds them there already, so
//! that the same quantity has the same name scraped and pushed.

use super::super::prometheus::{Number, OwnFamily, OwnValue, window_number};
use crate::aggregate::{
    AggregatePlan, Dense, Histogram, KeyBytes, MeasureState, WindowSpan, is_overflow, labels, nanos_to_f64,
};
use crate::config::{Family, FamilyType, MeasureKind, Publish, Window, format_duration};
use crate::measure::{Distribution, Form, Ranked, Stat, Total};
use crate::publish::{MergedTotals, Publisher, start_time, task_totals};
use crate::query::{Inputs, States};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use otlp::exponential_histogram_data_point::Buckets;
use otlp::metric::Data;
use otlp::number_data_point::Value;

/// A key in one closed window.
pub struct WindowRow<'a> {
    pub span: WindowSpan,
    pub key: &'a KeyBytes,
    pub states: &'a States,
}

/// Gauges of one kind of window, each point with its window's start and end.
pub fn windows(plan: &AggregatePlan, window: &Window, rows: &[WindowRow<'_>]) -> Vec<otlp::Metric> {
    let more = [attribute("window", &format_duration(window.size)), attribute("hop", &format_duration(window.hop))];
    let mut metrics = Vec::new();
    for (at, measure) in plan.config.measures.iter().enumerate() {
        for (stat, family) in plan.config.window_families(measure) {
            let mut points = Vec::new();
            for row in rows {
                let mut point = |more: &[KeyValue], value: Number| {
                    let attributes = attributes(plan, row.key, more);
                    points.push(number_point(attributes, row.span.start, row.span.end, value.to_otlp()));
                };
                if let Total::Ranking(top) = row.states[at].total() {
                    for Ranked { item, weight } in top.ranked().0 {
                        point(&[&more[..], &[attribute(&measure.label, &item)]].concat(), weight.into());
                    }
                } else if let Some(value) = window_number(&row.states[at], measure, stat) {
                    point(&more, value);
                }
            }
            metrics.push(gauge(&family, points));
        }
    }
    metrics
}

/// What is told once of each window: when it ended, and whether a partition was left out.
pub fn window_ends(
    plan: &AggregatePlan,
    window: &Window,
    spans: impl Iterator<Item = WindowSpan> + Clone,
    complete: bool,
) -> Vec<otlp::Metric> {
    let more = [attribute("window", &format_duration(window.size)), attribute("hop", &format_duration(window.hop))];
    let point = |span: WindowSpan, value| number_point(more.to_vec(), span.start, span.end, value);
    let ended = spans.clone().map(|span| point(span, Value::AsDouble(span.end as f64 / 1_000.0)));
    let whole = spans.map(|span| point(span, Value::AsInt(i64::from(complete))));
    vec![
        gauge(&plan.config.window_end_family(), ended.collect()),
        gauge(&plan.config.window_complete_family(), whole.collect()),
    ]
}

/// An aggregate's totals as of the last commits, at `now` (Unix milliseconds).
pub fn totals(publisher: &Publisher, inputs: &Inputs, plan: &AggregatePlan, now: i64) -> Vec<otlp::Metric> {
    let reader = publisher.reader();
    let mut rows: Vec<(Vec<KeyValue>, Option<i64>, States)> = Vec::new();
    match plan.config.publish {
        Publish::PerPartition => {
            for task in inputs.tasks(&reader.registry).iter().filter(|task| task.is_published()) {
                let partition = task.id.partition.to_string();
                let more = [attribute("topic", &task.id.topic), attribute("partition", &partition)];
                let task_since = start_time(task, plan);
                let cells = task_totals(task, plan).into_iter();
                rows.extend(cells.map(|(key, cell)| {
                    (
                        attributes(plan, &key, &more),
                        cell.began().or(task_since),
                        cell.measures.iter().cloned().collect(),
                    )
                }));
            }
        }
        Publish::Merged => {
            // The same, and at the same times, as `/metrics` shows.
            let MergedTotals::Shown(merged) = publisher.merged_totals(inputs, plan) else { return Vec::new() };
            rows.extend(merged.into_iter().map(|row| (attributes(plan, &row.key, &[]), row.since, row.states)));
        }
    }
    let metric = |(at, measure, stat, family): (usize, &crate::config::Measure, Stat, Family)| {
        // None begins after its own time, even if a commit came in between.
        let since = |since: &Option<i64>| since.map(|since| since.min(now));
        let points = rows.iter().map(|(attributes, begun, states)| (attributes, since(begun), &states[at]));
        total(&family, &measure.kind, stat, points, now)
    };
    let families = plan.config.measures.iter().enumerate().flat_map(|(at, measure)| {
        let families = plan.config.total_families(measure).into_iter();
        families.map(move |(stat, family)| (at, measure, stat, family))
    });
    let metrics = families.map(metric);
    if rows.is_empty() { Vec::new() } else { metrics.collect() }
}

fn total<'a>(
    family: &Family,
    kind: &MeasureKind,
    stat: Stat,
    points: impl Iterator<Item = (&'a Vec<KeyValue>, Option<i64>, &'a MeasureState)>,
    now: i64,
) -> otlp::Metric {
    let cumulative = otlp::AggregationTemporality::Cumulative as i32;
    let sum = |state: &MeasureState| state.sum_nanos().map(nanos_to_f64).unwrap_or_default();
    let count = |state: &MeasureState| state.count().unwrap_or_default();
    let since = |since: Option<i64>| nanos(since.unwrap_or(0));
    let explicit_bounds = kind.bounds();
    // Each is of the form that its kind has.
    let data = match kind.rules().form_of(stat) {
        Form::Sum | Form::Counters => {
            let points = points.filter_map(|(attributes, begun, state)| {
                let Total::Sum(value) = state.total_of(stat) else { return None };
                Some(number_point(attributes.clone(), begun.unwrap_or(0), now, Number::from(value).to_otlp()))
            });
            Data::Sum(otlp::Sum {
                data_points: points.collect(),
                aggregation_temporality: cumulative,
                // A sum that may go down is a gauge for Prometheus; OTLP has a word for it.
                is_monotonic: family.kind == FamilyType::Counter,
            })
        }
        Form::Gauge(_) | Form::Estimate | Form::Ranking => {
            let points = points.filter_map(|(attributes, begun, state)| {
                let Total::Gauge(value) = state.total_of(stat) else { return None };
                Some(number_point(attributes.clone(), begun.unwrap_or(0), now, Value::AsDouble(value?)))
            });
            Data::Gauge(otlp::Gauge { data_points: points.collect() })
        }
        Form::Summary => {
            let points = points.map(|(attributes, begun, state)| otlp::SummaryDataPoint {
                attributes: attributes.clone(),
                start_time_unix_nano: since(begun),
                time_unix_nano: nanos(now),
                count: count(state),
                sum: sum(state),
                ..Default::default()
            });
            Data::Summary(otlp::Summary { data_points: points.collect() })
        }
        Form::Explicit => {
            let points = points.filter_map(|(attributes, begun, state)| {
                let Total::Distribution(Distribution::Explicit(counts)) = state.total() else { return None };
                Some(otlp::HistogramDataPoint {
                    attributes: attributes.clone(),
                    start_time_unix_nano: since(begun),
                    time_unix_nano: nanos(now),
                    count: count(state),
                    sum: Some(sum(state)),
                    bucket_counts: counts.to_vec(),
                    explicit_bounds: explicit_bounds.to_vec(),
                    ..Default::default()
                })
            });
            Data::Histogram(otlp::Histogram { data_points: points.collect(), aggregation_temporality: cumulative })
        }
        Form::Exponential => {
            let points = points.filter_map(|(attributes, begun, state)| {
                let Total::Distribution(Distribution::Exponential(histogram)) = state.total_of(stat) else {
                    return None;
                };
                Some(exponential(attributes.clone(), since(begun), nanos(now), histogram))
            });
            Data::ExponentialHistogram(otlp::ExponentialHistogram {
                data_points: points.collect(),
                aggregation_temporality: cumulative,
            })
        }
    };
    metric(family, data)
}

fn exponential(
    attributes: Vec<KeyValue>,
    start_time_unix_nano: u64,
    time_unix_nano: u64,
    histogram: &Histogram,
) -> otlp::ExponentialHistogramDataPoint {
    let buckets = |side: &Dense| Some(Buckets { offset: side.offset(), bucket_counts: side.counts().to_vec() });
    otlp::ExponentialHistogramDataPoint {
        attributes,
        start_time_unix_nano,
        time_unix_nano,
        count: histogram.count(),
        sum: Some(nanos_to_f64(histogram.sum_nanos())),
        scale: histogram.scale(),
        zero_count: histogram.zero_count(),
        positive: buckets(histogram.positive()),
        negative: buckets(histogram.negative()),
        min: histogram.min(),
        max: histogram.max(),
        ..Default::default()
    }
}

/// One of the agent's own families, which count since `since`; both times in Unix milliseconds.
pub fn own(family: &OwnFamily, since: i64, now: i64) -> otlp::Metric {
    let cumulative = otlp::AggregationTemporality::Cumulative as i32;
    let attributes = |labels: &[(String, String)]| labels.iter().map(|(name, value)| attribute(name, value)).collect();
    let numbers = family.points.iter().filter_map(|(labels, value)| {
        let OwnValue::Number(value) = value else { return None };
        Some(number_point(attributes(labels), since, now, Value::AsDouble(*value)))
    });
    let histograms = family.points.iter().filter_map(|(labels, value)| {
        let OwnValue::Histogram { bounds, counts, sum, count } = value else { return None };
        let mut before = 0;
        let each = counts.iter().chain([count]).map(|&cumulative| {
            let own = cumulative.saturating_sub(before);
            before = cumulative;
            own
        });
        Some(otlp::HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: nanos(since),
            time_unix_nano: nanos(now),
            count: *count,
            sum: Some(*sum),
            bucket_counts: each.collect(),
            explicit_bounds: bounds.iter().map(|bound| bound.value).collect(),
            ..Default::default()
        })
    });
    let data = match family.family.kind {
        FamilyType::Counter => Data::Sum(otlp::Sum {
            data_points: numbers.collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        FamilyType::Histogram => {
            Data::Histogram(otlp::Histogram { data_points: histograms.collect(), aggregation_temporality: cumulative })
        }
        _ => Data::Gauge(otlp::Gauge { data_points: numbers.collect() }),
    };
    metric(&family.family, data)
}

fn gauge(family: &Family, data_points: Vec<otlp::NumberDataPoint>) -> otlp::Metric {
    metric(family, Data::Gauge(otlp::Gauge { data_points }))
}

fn metric(family: &Family, data: Data) -> otlp::Metric {
    // A gauge of unit "1" would be called a ratio by Prometheus: what has no unit says none.
    let unit = match family.unit {
        "seconds" => "s",
        "bytes" => "By",
        "ratio" => "1",
        _ => "",
    };
    otlp::Metric {
        name: family.text_name(),
        description: family.help.clone(),
        unit: unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn attributes(plan: &AggregatePlan, key: &[u8], more: &[KeyValue]) -> Vec<KeyValue> {
    let values = labels(key).unwrap_or_default();
    let overflow = is_overflow(key).then(|| attribute("otel_metric_overflow", "true"));
    let by = plan.config.by.iter().zip(values).map(|(by, value)| attribute(&by.label, value));
    overflow.into_iter().chain(by).chain(more.iter().cloned()).collect()
}

pub fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
}

fn number_point(attributes: Vec<KeyValue>, start: i64, end: i64, value: Value) -> otlp::NumberDataPoint {
    otlp::NumberDataPoint {
        attributes,
        start_time_unix_nano: nanos(start),
        time_unix_nano: nanos(end),
        value: Some(value),
        ..Default::default()
    }
}

fn nanos(millis: i64) -> u64 {
    u64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000)
}
