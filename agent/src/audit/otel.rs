//! OpenTelemetry's logs as plain trees: attributes by name, values as they are.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Of;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogsData;
use prost::Message;
use serde_json::{Map, Value, json};

/// The log records of a request in protobuf.
pub fn from_proto(payload: &[u8]) -> Vec<Value> {
    let Ok(logs) = LogsData::decode(payload) else { return Vec::new() };
    let mut records = Vec::new();
    for of_resource in logs.resource_logs {
        let resource = of_resource.resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default();
        for of_scope in of_resource.scope_logs {
            let scope = of_scope.scope.unwrap_or_default();
            for record in of_scope.log_records {
                let mut tree = json!({
                    "severityText": text(&record.severity_text),
                    "severityNumber": number(u64::try_from(record.severity_number).unwrap_or(0)),
                    "timeUnixNano": number(record.time_unix_nano),
                    "observedTimeUnixNano": number(record.observed_time_unix_nano),
                    "flags": number(record.flags.into()),
                    "traceId": text(&hex(&record.trace_id)),
                    "spanId": text(&hex(&record.span_id)),
                    "eventName": text(&record.event_name),
                    "body": record.body.as_ref().map(plain),
                });
                let own = attributes(&record.attributes);
                let of_scope = attributes(&scope.attributes);
                tree["attributes"] = merged(merged(resource.clone().into(), of_scope.clone().into()), own.into());
                tree["scope"] =
                    json!({ "name": text(&scope.name), "version": text(&scope.version), "attributes": of_scope });
                tree["resource"] = json!({ "attributes": resource });
                records.push(tree);
            }
        }
    }
    records
}

/// A log record of a request in JSON, with what encloses it under `^`.
pub fn from_json(mut record: Value) -> Value {
    let mut scope = record["^"]["scope"].take();
    let mut resource = record["^"]["^"]["resource"].take();
    let lists = [&mut resource, &mut scope, &mut record].map(|owner| {
        let named = named(&owner["attributes"]);
        if owner.is_object() {
            owner["attributes"] = named.clone().into();
        }
        Value::from(named)
    });
    record["attributes"] = lists.into_iter().fold(json!({}), merged);
    for time in ["timeUnixNano", "observedTimeUnixNano"] {
        if record[time] == "0" || record[time] == 0 {
            record[time] = Value::Null;
        }
    }
    record["body"] = value(&record["body"]);
    record["scope"] = scope;
    record["resource"] = resource;
    record
}

fn named(list: &Value) -> Map<String, Value> {
    let pairs = list.as_array().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair["key"].as_str()?.to_owned(), value(&pair["value"])))).collect()
}

fn value(any: &Value) -> Value {
    if let Some(list) = any.get("kvlistValue") {
        return named(&list["values"]).into();
    }
    if let Some(list) = any.get("arrayValue") {
        return list["values"].as_array().into_iter().flatten().map(value).collect();
    }
    let scalars = ["stringValue", "intValue", "doubleValue", "boolValue"];
    scalars.iter().find_map(|name| any.get(name)).cloned().unwrap_or_default()
}

/// Both, and of what both have the second one's.
fn merged(below: Value, above: Value) -> Value {
    match (below, above) {
        (Value::Object(mut below), Value::Object(above)) => {
            for (key, value) in above {
                let old = below.remove(&key).unwrap_or_default();
                below.insert(key, merged(old, value));
            }
            Value::Object(below)
        }
        (below, Value::Null) => below,
        (_, above) => above,
    }
}

fn attributes(pairs: &[KeyValue]) -> Map<String, Value> {
    pairs.iter().filter_map(|pair| Some((pair.key.clone(), plain(pair.value.as_ref()?)))).collect()
}

fn plain(any: &AnyValue) -> Value {
    match &any.value {
        Some(Of::StringValue(text)) => text.as_str().into(),
        Some(Of::BoolValue(truth)) => (*truth).into(),
        Some(Of::IntValue(number)) => (*number).into(),
        Some(Of::DoubleValue(number)) => (*number).into(),
        Some(Of::ArrayValue(list)) => list.values.iter().map(plain).collect(),
        Some(Of::KvlistValue(list)) => attributes(&list.values).into(),
        Some(_) => json!([]),
        None => Value::Null,
    }
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

fn number(number: u64) -> Value {
    if number == 0 { Value::Null } else { number.into() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
