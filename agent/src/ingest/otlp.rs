//! OpenTelemetry's log records as log events: what an SDK or a Collector sends over OTLP. Pure.

use super::event::{Arrival, Event, Fields, Rejected, level, write};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Whose records have no `service.name`.
const UNKNOWN: &str = "unknown_service";
/// Where SDKs put the stack trace of an exception.
const STACK_TRACE: &str = "exception.stacktrace";

/// The events of a request, in its order.
pub fn events(request: ExportLogsServiceRequest, arrival: Arrival<'_>) -> Vec<Result<Event, Rejected>> {
    let mut events = Vec::new();
    for resource_logs in request.resource_logs {
        let resource = attributes(resource_logs.resource.map(|resource| resource.attributes).unwrap_or_default());
        let source = resource.get("service.name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let source = source.unwrap_or(UNKNOWN).to_owned();
        for scope_logs in resource_logs.scope_logs {
            let scope = scope_logs.scope.and_then(shown_scope);
            let of = Of { source: &source, resource: &resource, scope: scope.as_ref() };
            events.extend(scope_logs.log_records.into_iter().map(|record| event(record, &of, arrival)));
        }
    }
    events
}

/// How many records a request has.
pub fn count(request: &ExportLogsServiceRequest) -> usize {
    request.resource_logs.iter().flat_map(|resource| &resource.scope_logs).map(|scope| scope.log_records.len()).sum()
}

/// What records have in common.
struct Of<'a> {
    source: &'a str,
    resource: &'a Map<String, Value>,
    scope: Option<&'a Value>,
}

fn event(record: LogRecord, of: &Of<'_>, arrival: Arrival<'_>) -> Result<Event, Rejected> {
    let mut own = attributes(record.attributes);
    let stack_trace = match own.remove(STACK_TRACE) {
        Some(Value::String(trace)) => Some(Value::String(trace)),
        Some(other) => {
            own.insert(STACK_TRACE.to_owned(), other);
            None
        }
        None => None,
    };
    let mut metadata = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            metadata.insert(key.to_owned(), value);
        }
    };
    put("attributes", (!own.is_empty()).then_some(Value::Object(own)));
    put("resource", (!of.resource.is_empty()).then(|| Value::Object(of.resource.clone())));
    put("scope", of.scope.cloned());
    put("traceId", hex(&record.trace_id));
    put("spanId", hex(&record.span_id));
    put("eventName", (!record.event_name.is_empty()).then(|| record.event_name.into()));
    let known = level_of(record.severity_number, &record.severity_text);
    put("severity", known.is_none().then(|| record.severity_text.into()));
    let message = match record.body.and_then(value) {
        None => Value::from(""),
        Some(Value::String(text)) => Value::String(text),
        Some(other) => Value::from(other.to_string()),
    };
    let nanos = if record.time_unix_nano == 0 { record.observed_time_unix_nano } else { record.time_unix_nano };
    let time = (nanos > 0).then(|| jiff::Timestamp::from_nanosecond(i128::from(nanos)).ok()).flatten();
    write(
        &Fields {
            source: Cow::Borrowed(of.source),
            level: known.unwrap_or("INFO"),
            message: Cow::Owned(message.to_string()),
            metadata: (!metadata.is_empty()).then(|| Cow::Owned(Value::Object(metadata).to_string())),
            stack_trace: stack_trace.map(|trace| Cow::Owned(trace.to_string())),
            timestamp: time.map(|time| time.to_string()),
        },
        arrival,
    )
}

/// Four numbers are one level; a record without a number may say it in a word.
fn level_of(number: i32, text: &str) -> Option<&'static str> {
    match number {
        1..=4 => Some("TRACE"),
        5..=8 => Some("DEBUG"),
        9..=12 => Some("INFO"),
        13..=16 => Some("WARN"),
        17..=20 => Some("ERROR"),
        21..=24 => Some("FATAL"),
        _ if text.is_empty() => Some("INFO"),
        _ => level(text).ok(),
    }
}

fn shown_scope(scope: InstrumentationScope) -> Option<Value> {
    let mut shown = attributes(scope.attributes);
    for (key, text) in [("name", scope.name), ("version", scope.version)] {
        if !text.is_empty() {
            shown.insert(key.to_owned(), text.into());
        }
    }
    (!shown.is_empty()).then_some(Value::Object(shown))
}

fn hex(id: &[u8]) -> Option<Value> {
    let is_set = id.iter().any(|byte| *byte != 0);
    is_set.then(|| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

fn attributes(pairs: Vec<KeyValue>) -> Map<String, Value> {
    pairs.into_iter().map(|pair| (pair.key, pair.value.and_then(value).unwrap_or_default())).collect()
}

fn value(any: AnyValue) -> Option<Value> {
    Some(match any.value? {
        any_value::Value::StringValue(text) => text.into(),
        any_value::Value::BoolValue(value) => value.into(),
        any_value::Value::IntValue(number) => number.into(),
        // JSON has no infinity.
        any_value::Value::DoubleValue(number) if number.is_finite() => number.into(),
        any_value::Value::DoubleValue(number) => number.to_string().into(),
        any_value::Value::ArrayValue(array) => array.values.into_iter().map(|v| value(v).unwrap_or_default()).collect(),
        any_value::Value::KvlistValue(list) => Value::Object(attributes(list.values)),
        any_value::Value::BytesValue(bytes) => BASE64_STANDARD.encode(bytes).into(),
        // An index into a table that logs do not have.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::routes::Routes;
    use super::*;
    use serde_json::json;

    fn read(request: Value) -> Vec<Result<Value, String>> {
        let request: ExportLogsServiceRequest = serde_json::from_value(request).unwrap();
        let routes = Routes::to("logs");
        let arrival = Arrival { time: 1_700_000_000_000, most_bytes: 2_000, routes: &routes };
        assert_eq!(count(&request), events(request.clone(), arrival).len());
        let shown = |event: Result<Event, Rejected>| match event {
            Ok(event) => {
                let mut value: Value = serde_json::from_slice(&event.value).unwrap();
                value.as_object_mut().unwrap().remove("eventId");
                assert_eq!(value["source"].as_str().unwrap().as_bytes(), event.key);
                Ok(value)
            }
            Err(rejected) => Err(rejected.reason().to_owned()),
        };
        events(request, arrival).into_iter().map(shown).collect()
    }

    #[test]
    fn a_record_is_an_event_with_all_that_it_had() {
        let events = read(json!({ "resourceLogs": [{
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
            "scopeLogs": [{
                "scope": { "name": "http", "version": "1" },
                "logRecords": [
                    {
                        "timeUnixNano": "1700000000123456789", "severityNumber": 17, "severityText": "Error",
                        "body": { "stringValue": "it \"broke\"" },
                        "attributes": [
                            { "key": "exception.stacktrace", "value": { "stringValue": "at a\n at b" } },
                            { "key": "n", "value": { "intValue": "7" } },
                            { "key": "list", "value": { "arrayValue": { "values": [{ "boolValue": true }, { "doubleValue": 0.5 }] } } },
                        ],
                        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331",
                    },
                    { "observedTimeUnixNano": 1700000000000000000u64, "severityText": "warning" },
                    { "severityText": "Audit", "body": { "kvlistValue": { "values": [{ "key": "a", "value": { "intValue": 1 } }] } } },
                ],
            }],
        }] }));
        let common = json!({ "resource": { "service.name": "shop" }, "scope": { "name": "http", "version": "1" } });
        let mut metadata = common.clone();
        metadata["attributes"] = json!({ "n": 7, "list": [true, 0.5] });
        metadata["traceId"] = json!("0af7651916cd43dd8448eb211c80319c");
        metadata["spanId"] = json!("b7ad6b7169203331");
        let first = json!({
            "timestamp": "2023-11-14T22:13:20.123456789Z", "source": "shop", "level": "ERROR",
            "message": "it \"broke\"", "metadata": metadata, "stackTrace": "at a\n at b",
        });
        assert_eq!(events[0], Ok(first));
        let second = json!({
            "timestamp": "2023-11-14T22:13:20Z", "source": "shop", "level": "WARN", "message": "", "metadata": common,
        });
        assert_eq!(events[1], Ok(second));
        let third = events[2].as_ref().unwrap();
        assert_eq!((&third["level"], &third["message"]), (&json!("INFO"), &json!("{\"a\":1}")));
        assert_eq!(third["metadata"]["severity"], "Audit", "a word that is no level is kept");
        assert_eq!(third["timestamp"], "2023-11-14T22:13:20.000Z");
    }

    #[test]
    fn records_that_are_too_much_are_rejected_one_by_one() {
        let nested = (0..40).fold(json!({ "intValue": 1 }), |inner, _| json!({ "arrayValue": { "values": [inner] } }));
        let events = read(json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [
            { "body": { "stringValue": "x".repeat(3_000) } },
            { "attributes": [{ "key": "a", "value": nested }] },
            {},
        ] }] }] }));
        assert!(events[0].as_ref().unwrap_err().contains("2000 are allowed"));
        assert!(events[1].as_ref().unwrap_err().contains("nested"));
        assert_eq!(events[2].as_ref().unwrap()["source"], UNKNOWN);
    }
}
