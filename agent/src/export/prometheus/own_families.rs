//! The agent's own metrics as values: of the protobuf that their library, and the page, encode them in.

use super::point::{Bound, Number, Point};
use crate::config::{Family, FamilyType};
use prost::Message;
use streamgauge_proto::prometheus as proto;

/// A family with its points, each with its labels.
#[derive(Debug)]
pub struct OwnFamily {
    pub family: Family,
    pub points: Vec<(Vec<(String, String)>, OwnValue)>,
}

/// A point of a family.
#[derive(Debug)]
pub enum OwnValue {
    Number(f64),
    /// Upper bounds without the infinite one, cumulative counts, sum and count.
    Histogram {
        bounds: Vec<Bound>,
        counts: Vec<u64>,
        sum: f64,
        count: u64,
    },
}

impl OwnValue {
    pub fn point(&self) -> Point<'_> {
        match self {
            OwnValue::Number(value) => Point::Value(Number::Float(*value)),
            OwnValue::Histogram { bounds, counts, sum, count } => {
                Point::Histogram { bounds, counts, sum: Number::Float(*sum), count: *count, native: None }
            }
        }
    }
}

/// Reads `MetricFamily` messages, each with its length before it: counters, gauges and histograms with classic buckets.
pub fn families(mut encoded: &[u8]) -> Vec<OwnFamily> {
    let mut families = Vec::new();
    while !encoded.is_empty() {
        // It was encoded in this process.
        let Ok(family) = proto::MetricFamily::decode_length_delimited(&mut encoded) else { break };
        families.push(own(family));
    }
    families
}

fn own(family: proto::MetricFamily) -> OwnFamily {
    let kind = match family.r#type() {
        proto::MetricType::Counter => FamilyType::Counter,
        proto::MetricType::Histogram => FamilyType::Histogram,
        _ => FamilyType::Gauge,
    };
    let points = family.metric.iter().filter_map(|metric| Some((labels(&metric.label), value(metric)?)));
    let points = points.collect();
    let name = match family.name.strip_suffix("_total") {
        Some(name) if kind == FamilyType::Counter => name.to_owned(),
        _ => family.name,
    };
    let unit = ["seconds", "bytes"].into_iter().find(|unit| *unit == family.unit).unwrap_or("");
    OwnFamily { family: Family { name, kind, unit, help: family.help }, points }
}

fn labels(pairs: &[proto::LabelPair]) -> Vec<(String, String)> {
    pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
}

fn value(metric: &proto::Metric) -> Option<OwnValue> {
    if let Some(histogram) = &metric.histogram {
        let finite = || histogram.bucket.iter().filter(|bucket| bucket.upper_bound.is_finite());
        return Some(OwnValue::Histogram {
            bounds: finite().map(|bucket| Bound::new(bucket.upper_bound)).collect(),
            counts: finite().map(|bucket| bucket.cumulative_count).collect(),
            sum: histogram.sample_sum,
            count: histogram.sample_count,
        });
    }
    let counter = metric.counter.as_ref().map(|counter| counter.value);
    counter.or(metric.gauge.as_ref().map(|gauge| gauge.value)).map(OwnValue::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Metrics, ProcessStats};
    use std::time::Duration;

    #[test]
    fn what_the_library_encodes_is_read_back() {
        let metrics = Metrics::new();
        metrics.folded("a \"b\"\\\n,c=\"d", 7, 0);
        metrics.committed(Duration::from_millis(20));
        let process = ProcessStats { resident_bytes: 1, cpu_seconds: 0.5, start_seconds: 2.0, open_files: 3 };
        let families = families(&metrics.encode(Some(&process)));
        let find = |name: &str| families.iter().find(|family| family.family.name == name).unwrap();
        let events = find("streamgauge_events");
        assert_eq!(events.family.kind, FamilyType::Counter);
        let [(labels, OwnValue::Number(value))] = events.points.as_slice() else { panic!("{events:?}") };
        assert_eq!(labels, &[("source".to_owned(), "a \"b\"\\\n,c=\"d".to_owned())]);
        assert_eq!(*value, 7.0);
        let [(_, OwnValue::Histogram { bounds, counts, sum, count })] =
            find("streamgauge_commit_duration_seconds").points.as_slice()
        else {
            panic!("a histogram")
        };
        assert_eq!((bounds.len(), *count, *sum), (17, 1, 0.02));
        assert_eq!(counts.iter().filter(|&&count| count == 1).count(), 12);
        assert_eq!(events.family.help, "Events folded into the state.");
        assert_eq!(find("streamgauge_commit_duration_seconds").family.unit, "seconds");
        let [(_, OwnValue::Number(cpu))] = find("process_cpu_seconds").points.as_slice() else {
            panic!("{families:?}")
        };
        assert_eq!(*cpu, 0.5);
        assert_eq!(find("streamgauge_build_info").family.kind, FamilyType::Gauge);
    }
}
