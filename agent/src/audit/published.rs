//! The published numbers: an answer of `QueryService`, as cells.

use crate::kafka::TopicPartition;
use std::collections::BTreeMap;
use streamgauge_proto::v1 as pb;

/// How far sums may be apart: as a fraction, and, for the rounding of each value, per value.
pub(super) const TOLERANCE: f64 = 1e-9;

/// Which cell: a window (or all time) and a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellId {
    /// Beginning and end of the window, Unix milliseconds; `None`: totals.
    pub window: Option<(i64, i64)>,
    /// The row of all keys beyond the limit.
    pub overflow: bool,
    /// Values of the labels, in the config's order.
    pub labels: Vec<String>,
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Values by measure.
    pub cells: BTreeMap<CellId, BTreeMap<String, pb::MeasureValue>>,
    /// Next input offset by topic and partition: everything before it is in the answer, nothing from it on.
    pub as_of: BTreeMap<TopicPartition, i64>,
    /// Highest event time of any partition in it.
    pub stream_time: Option<i64>,
}

impl Published {
    /// `labels`: the aggregate's, in the config's order.
    pub fn new(answer: &pb::QueryResponse, labels: &[String]) -> Published {
        let cell = |row: &pb::Row| {
            let window = match (&row.window_start, &row.window_end) {
                (Some(start), Some(end)) => Some((millis(start), millis(end))),
                _ => None,
            };
            let labels = match row.overflow {
                true => Vec::new(),
                false => labels.iter().map(|label| row.labels.get(label).cloned().unwrap_or_default()).collect(),
            };
            let values = row.values.iter().map(|value| (value.measure.clone(), value.clone())).collect();
            (CellId { window, overflow: row.overflow, labels }, values)
        };
        Published {
            cells: answer.rows.iter().map(cell).collect(),
            as_of: answer
                .as_of
                .iter()
                .map(|p| (TopicPartition::new(p.topic.as_str(), p.partition), p.next_offset))
                .collect(),
            stream_time: answer.as_of.iter().filter_map(|p| p.stream_time.as_ref()).map(millis).max(),
        }
    }
}

fn millis(time: &streamgauge_proto::types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000)
}

/// Just below and just above where the exact value of a published quantile has to be.
pub(super) fn around(value: f64, relative_error: Option<f64>) -> Option<[f64; 2]> {
    let error = relative_error.filter(|error| *error < 1.0)?;
    let (a, b) = (value / (1.0 + error), value / (1.0 - error));
    let slack = a.abs().max(b.abs()) * TOLERANCE + f64::MIN_POSITIVE;
    Some([a.min(b) - slack, a.max(b) + slack])
}
