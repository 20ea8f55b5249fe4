//! Prometheus' protobuf exposition. An exponential histogram is a native histogram: the scale is the schema, and a bucket
//! is numbered by its upper bound instead of its lower one.

use super::point::{Bound, Point};
use crate::aggregate::{Dense, Histogram};
use crate::config::{Family, FamilyType, Histograms};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use streamgauge_proto::prometheus as proto;
use streamgauge_proto::types::Timestamp;

/// Field numbers of `MetricFamily.metric`, `Metric.label` and the values of `Metric`.
const METRIC: u32 = 4;
const LABEL: u32 = 1;
const GAUGE: u32 = 2;
const COUNTER: u32 = 3;
const SUMMARY: u32 = 4;
const HISTOGRAM: u32 = 7;
/// The schemas that Prometheus knows.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;
/// Empty buckets in a row that are cheaper to write than a new span.
const GAP: usize = 2;

/// What stands before a family's `metrics` bytes: its length, and everything but its metrics.
pub fn head(family: &Family, metrics: usize) -> Vec<u8> {
    let kind = match family.kind {
        FamilyType::Counter => proto::MetricType::Counter,
        FamilyType::Gauge => proto::MetricType::Gauge,
        FamilyType::Summary => proto::MetricType::Summary,
        FamilyType::Histogram => proto::MetricType::Histogram,
    };
    let message = proto::MetricFamily {
        name: family.text_name(),
        help: family.help.clone(),
        r#type: kind.into(),
        metric: Vec::new(),
        unit: family.unit.to_owned(),
    };
    let mut out = Vec::new();
    encode_varint((message.encoded_len() + metrics) as u64, &mut out);
    message.encode_raw(&mut out);
    out
}

/// Appends one `LabelPair` of a metric.
pub fn label(out: &mut Vec<u8>, name: &str, value: &str) {
    let field = |text: &str| 1 + encoded_len_varint(text.len() as u64) + text.len();
    encode_key(LABEL, WireType::LengthDelimited, out);
    encode_varint((field(name) + field(value)) as u64, out);
    for (number, text) in [(1, name), (2, value)] {
        encode_key(number, WireType::LengthDelimited, out);
        encode_varint(text.len() as u64, out);
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends one metric to a family; `labels` are `LabelPair`s, written already.
pub fn metric(
    out: &mut Vec<u8>,
    kind: FamilyType,
    labels: &[u8],
    since: Option<i64>,
    point: &Point<'_>,
    histograms: Histograms,
) {
    let created_timestamp = since.map(timestamp);
    match *point {
        Point::Value(value) if kind == FamilyType::Counter => {
            message(out, labels, COUNTER, &proto::Counter { value: value.to_f64(), created_timestamp });
        }
        Point::Value(value) => message(out, labels, GAUGE, &proto::Gauge { value: value.to_f64() }),
        Point::Summary { sum, count } => {
            let summary = proto::Summary { sample_count: count, sample_sum: sum.to_f64(), created_timestamp };
            message(out, labels, SUMMARY, &summary);
        }
        Point::Histogram { bounds, counts, sum, count, native } => {
            let native = native.filter(|native| SCHEMAS.contains(&native.scale()));
            let mut histogram = proto::Histogram {
                sample_count: count,
                sample_sum: sum.to_f64(),
                created_timestamp,
                ..Default::default()
            };
            if native.is_none() || histograms != Histograms::Native {
                histogram.bucket = classic(bounds, counts, count);
            }
            if let Some(native) = native.filter(|_| histograms != Histograms::Classic) {
                add_native(&mut histogram, native);
            }
            message(out, labels, HISTOGRAM, &histogram);
        }
    }
}

fn message(out: &mut Vec<u8>, labels: &[u8], field: u32, value: &impl Message) {
    let length = value.encoded_len();
    encode_key(METRIC, WireType::LengthDelimited, out);
    encode_varint((labels.len() + 1 + encoded_len_varint(length as u64) + length) as u64, out);
    out.extend_from_slice(labels);
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
    value.encode_raw(out);
}

fn classic(bounds: &[Bound], counts: &[u64], count: u64) -> Vec<proto::Bucket> {
    let infinite = std::iter::once((f64::INFINITY, count));
    let bounds = bounds.iter().map(|bound| bound.value).zip(counts.iter().copied());
    let bucket = |(upper_bound, cumulative_count)| proto::Bucket { cumulative_count, upper_bound };
    bounds.chain(infinite).map(bucket).collect()
}

fn add_native(histogram: &mut proto::Histogram, native: &Histogram) {
    histogram.schema = native.scale();
    histogram.zero_count = native.zero_count();
    (histogram.positive_span, histogram.positive_delta) = spans(native.positive());
    (histogram.negative_span, histogram.negative_delta) = spans(native.negative());
    if native.count() == 0 {
        // Without a span, a histogram of nothing would pass for a classic one.
        histogram.positive_span.push(proto::BucketSpan { offset: 0, length: 0 });
    }
}

/// Runs of buckets, and each bucket's count as the difference to the one before.
fn spans(buckets: &Dense) -> (Vec<proto::BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<proto::BucketSpan>::new(), Vec::new());
    let (mut before, mut next) = (0i64, 0i32);
    for (index, count) in buckets.iter().filter(|&(_, count)| count > 0) {
        let number = index + 1;
        let mut push = |count: i64| {
            deltas.push(count.wrapping_sub(before));
            before = count;
        };
        match spans.last_mut() {
            Some(span) if (number - next) as usize <= GAP => {
                (next..number).for_each(|_| push(0));
                span.length += (number - next) as u32 + 1;
            }
            _ => spans.push(proto::BucketSpan { offset: number - next, length: 1 }),
        }
        push(count as i64);
        next = number + 1;
    }
    (spans, deltas)
}

fn timestamp(millis: i64) -> Timestamp {
    let nanos = millis.rem_euclid(1_000) as i32 * 1_000_000;
    Timestamp { seconds: millis.div_euclid(1_000), nanos }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Scaling, Value};
    use crate::config::Unit;

    /// Buckets by Prometheus' number, put together again as Prometheus does it.
    fn read_back(spans: &[proto::BucketSpan], deltas: &[i64]) -> Vec<(i32, i64)> {
        let (mut found, mut number, mut count) = (Vec::new(), 0, 0);
        let mut deltas = deltas.iter();
        for span in spans {
            number += span.offset;
            for _ in 0..span.length {
                count += deltas.next().unwrap();
                found.push((number, count));
                number += 1;
            }
        }
        assert!(deltas.next().is_none());
        found.retain(|&(_, count)| count > 0);
        found
    }

    #[test]
    fn every_bucket_of_a_histogram_comes_back_from_its_native_form() {
        let scaling = Scaling::new(Unit::None);
        let mut histogram = Histogram::default();
        for value in [0.0, 0.0, 1.0, 1.0, 1.001, 1.01, 3.0, 1_000.0, -2.0, -2.5] {
            histogram.add(scaling.sample(Value::Float(value)).unwrap());
        }
        let mut written = proto::Histogram::default();
        add_native(&mut written, &histogram);
        assert_eq!((written.schema, written.zero_count, written.zero_threshold), (histogram.scale(), 2, 0.0));
        for (side, spans, deltas) in [
            (histogram.positive(), &written.positive_span, &written.positive_delta),
            (histogram.negative(), &written.negative_span, &written.negative_delta),
        ] {
            let expected: Vec<_> =
                side.iter().filter(|&(_, n)| n > 0).map(|(index, count)| (index + 1, count as i64)).collect();
            assert_eq!(read_back(spans, deltas), expected);
            assert!(spans.len() < expected.len() || expected.len() < 2, "{spans:?}");
        }
        // 1 is the upper bound of bucket 0 in Prometheus' numbers, at every schema.
        assert!(read_back(&written.positive_span, &written.positive_delta).contains(&(0, 2)));
    }

    #[test]
    fn an_empty_histogram_is_still_a_native_one() {
        let mut written = proto::Histogram::default();
        add_native(&mut written, &Histogram::default());
        assert_eq!(written.positive_span, [proto::BucketSpan { offset: 0, length: 0 }]);
    }
}
