//! Answers as JSON: times in RFC 3339, durations in seconds, what is unknown left out.

use super::time;
use crate::measure::Known;
use serde_json::{Map, Value, json};
use std::time::Duration;
use streamgauge_proto::types;
use streamgauge_proto::v1 as pb;

/// One object for each aggregate.
pub fn aggregates(aggregates: &[pb::AggregateInfo]) -> String {
    let one = |info: &pb::AggregateInfo| {
        let window = |w: &pb::WindowInfo| json!({ "size": seconds(w.size.as_ref()), "hop": seconds(w.hop.as_ref()) });
        let measure = |m: &pb::MeasureInfo| json!({ "name": m.name, "kind": m.kind, "field": m.field, "unit": m.unit });
        json!({
            "name": info.name,
            "source": info.source,
            "topics": info.topics,
            "labels": info.labels,
            "pane": seconds(info.pane.as_ref()),
            "windows": info.windows.iter().map(window).collect::<Vec<_>>(),
            "grace": seconds(info.grace.as_ref()),
            "retention": seconds(info.retention.as_ref()),
            "measures": info.measures.iter().map(measure).collect::<Vec<_>>(),
            "metrics": info.metrics,
        })
    };
    format!("{:#}\n", Value::Array(aggregates.iter().map(one).collect()))
}

/// The rows, and how far each partition is.
pub fn rows(answer: &pb::QueryResponse) -> String {
    let partition = |p: &pb::PartitionStatus| {
        json!({
            "topic": p.topic,
            "partition": p.partition,
            "state": p.state().as_str_name().to_lowercase(),
            "next_offset": p.next_offset,
            "stream_time": p.stream_time.as_ref().map(time),
            "committed_at": p.committed_at.as_ref().map(time),
            "lag": p.lag,
            "idle": p.idle,
            "behind": p.behind,
            "agent": Some(&p.agent).filter(|agent| !agent.is_empty()),
        })
    };
    let missing = |m: &pb::MissingPartition| json!({ "topic": m.topic, "partition": m.partition, "reason": m.reason });
    let answer = json!({
        "rows": answer.rows.iter().map(row).collect::<Vec<_>>(),
        "as_of": answer.as_of.iter().map(partition).collect::<Vec<_>>(),
        "missing": answer.missing.iter().map(missing).collect::<Vec<_>>(),
    });
    format!("{answer:#}\n")
}

fn row(row: &pb::Row) -> Value {
    let labels: Map<String, Value> = row.labels.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
    let values: Map<String, Value> = row.values.iter().map(|v| (v.measure.clone(), value(v))).collect();
    let mut object = json!({ "labels": labels, "values": values });
    if row.overflow {
        object["overflow"] = true.into();
    }
    if let (Some(start), Some(end)) = (&row.window_start, &row.window_end) {
        object["window_start"] = time(start).into();
        object["window_end"] = time(end).into();
        object["closed"] = row.closed.into();
    }
    object
}

fn value(value: &pb::MeasureValue) -> Value {
    let mut object = Map::new();
    for known in Known::ALL {
        // Whole, beyond what a float holds.
        let count = value.count.filter(|_| known == Known::Count).map(Value::from);
        let number = count.or_else(|| known.published(value).map(Value::from));
        object.extend(number.map(|number| (known.word().to_owned(), number)));
    }
    object.extend(value.quantile_relative_error.map(|error| ("quantile_relative_error".to_owned(), error.into())));
    object.extend(value.value_relative_error.map(|error| ("value_relative_error".to_owned(), error.into())));
    if value.open.is_some() {
        let session = |s: &pb::Session| {
            let (start, end) = (s.start.as_ref().map(time), s.end.as_ref().map(time));
            json!({ "start": start, "end": end, "events": s.events, "closed": s.closed })
        };
        object.insert("sessions".into(), value.sessions.iter().map(session).collect());
    }
    if let Some(error) = value.top_error {
        let items = value.top.iter().map(|top| json!({ "item": top.item, "value": top.value }));
        object.insert("top".into(), items.collect());
        object.insert("top_error".into(), error.into());
    }
    if !value.quantiles.is_empty() {
        let quantiles = value.quantiles.iter().map(|q| (q.quantile.to_string(), q.value.into()));
        object.insert("quantiles".into(), Value::Object(quantiles.collect()));
    }
    Value::Object(object)
}

fn seconds(duration: Option<&types::Duration>) -> Option<f64> {
    duration.and_then(|d| Duration::try_from(*d).ok()).map(|d| d.as_secs_f64())
}
