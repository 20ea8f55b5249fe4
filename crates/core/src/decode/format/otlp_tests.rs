//! OpenTelemetry's logs against messages that prost writes and reads.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Of;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message;
use serde_json::json;

use super::super::super::{Decoder, Record};
use crate::aggregate::samples::source;
use crate::config::{FieldPath, Format, FormatKind, Source};
use crate::value::Value;

fn value(value: Of) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, of: Of) -> KeyValue {
    KeyValue { key: key.into(), value: Some(value(of)), ..KeyValue::default() }
}

fn map<const N: usize>(pairs: [KeyValue; N]) -> Of {
    Of::KvlistValue(KeyValueList { values: pairs.into() })
}

fn text(text: &str) -> Of {
    Of::StringValue(text.into())
}

const FIELDS: [&str; 12] = [
    "severityText",
    "severityNumber",
    "body",
    "body.inner.x",
    "attributes.\"service.name\"",
    "attributes.n",
    "attributes.ok",
    "attributes.map.f",
    "resource.attributes.\"service.name\"",
    "scope.name",
    "scope.attributes.n",
    "traceId",
];

fn decoder(kind: FormatKind) -> Decoder {
    let fields: Vec<_> = FIELDS.iter().map(|field| FieldPath::parse(field).unwrap()).collect();
    let timestamp = kind.timestamp().unwrap();
    Decoder::of(&fields, &Source { format: Format { kind, lines: false }, timestamp, ..source() }, 1 << 20)
}

type Found = Vec<(Result<(i64, String), &'static str>, Vec<u8>)>;

fn events(kind: FormatKind, payload: &[u8]) -> Found {
    let mut found = Vec::new();
    decoder(kind).events(
        payload,
        Record::at(Some(7)),
        |_| true,
        |part, outcome| {
            let outcome = outcome.map_err(|error| error.reason()).map(|event| {
                let event = event.unwrap();
                let shown = event.values.iter().map(|value| match value {
                    Value::Missing => "-".to_owned(),
                    Value::Str(text) => (*text).to_owned(),
                    Value::Bool(truth) => truth.to_string(),
                    Value::Int(number) => number.to_string(),
                    Value::Float(number) => number.to_string(),
                    Value::Composite => "{}".to_owned(),
                    other => format!("{other:?}"),
                });
                (event.time, shown.collect::<Vec<_>>().join("|"))
            });
            found.push((outcome, part.alone().unwrap_or_else(|| payload.to_vec())));
        },
    );
    found
}

fn sample() -> LogsData {
    let first = LogRecord {
        time_unix_nano: 1_700_000_000_123_456_789,
        severity_number: 9,
        severity_text: "INFO".into(),
        body: Some(value(text("hello"))),
        attributes: vec![
            pair("n", Of::IntValue(-5)),
            pair("service.name", text("own")),
            pair("ok", Of::BoolValue(true)),
        ],
        trace_id: vec![0xab; 16],
        ..LogRecord::default()
    };
    let second = LogRecord {
        observed_time_unix_nano: 1_700_000_001_000_000_000,
        body: Some(value(map([pair("inner", map([pair("x", Of::DoubleValue(1.5))])), pair("y", text("z"))]))),
        attributes: vec![pair("map", map([pair("f", text("deep"))]))],
        ..LogRecord::default()
    };
    let scope = InstrumentationScope {
        name: "lib".into(),
        attributes: vec![pair("n", Of::DoubleValue(2.5))],
        ..InstrumentationScope::default()
    };
    let logs = ScopeLogs { scope: Some(scope), log_records: vec![first, second], ..ScopeLogs::default() };
    let bare = ScopeLogs { log_records: vec![LogRecord::default()], ..ScopeLogs::default() };
    let resource = Resource { attributes: vec![pair("service.name", text("shop"))], ..Resource::default() };
    let logs = ResourceLogs { resource: Some(resource), scope_logs: vec![logs, bare], ..ResourceLogs::default() };
    LogsData { resource_logs: vec![logs, ResourceLogs::default()] }
}

/// The same in JSON.
fn sample_json() -> String {
    let list = |pairs: &[(&str, serde_json::Value)]| {
        pairs.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect::<Vec<_>>()
    };
    let map = |pairs: &[(&str, serde_json::Value)]| json!({ "kvlistValue": { "values": list(pairs) } });
    let string = |text: &str| json!({ "stringValue": text });
    let first = json!({
        "timeUnixNano": "1700000000123456789", "severityNumber": 9, "severityText": "INFO", "body": string("hello"),
        "attributes": list(&[("n", json!({ "intValue": "-5" })), ("service.name", string("own")), ("ok", json!({ "boolValue": true }))]),
        "traceId": "abababababababababababababababab",
    });
    let second = json!({
        "timeUnixNano": "0", "observedTimeUnixNano": "1700000001000000000",
        "body": map(&[("inner", map(&[("x", json!({ "doubleValue": 1.5 }))])), ("y", string("z"))]),
        "attributes": list(&[("map", map(&[("f", string("deep"))]))]),
    });
    let scope = json!({ "name": "lib", "attributes": list(&[("n", json!({ "doubleValue": 2.5 }))]) });
    let logs = [json!({ "scope": scope, "logRecords": [first, second] }), json!({ "logRecords": [{}] })];
    let resource = json!({ "attributes": list(&[("service.name", string("shop"))]) });
    json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": logs }, {}] }).to_string()
}

#[test]
fn protobuf_and_json_give_the_same_events() {
    let expected = [
        (1_700_000_000_123, "INFO|9|hello|-|own|-5|true|-|shop|lib|2.5|abababababababababababababababab"),
        (1_700_000_001_000, "-|-|BODY|1.5|shop|2.5|-|deep|shop|lib|2.5|-"),
        (7, "-|-|-|-|shop|-|-|-|shop|-|-|-"),
    ];
    let payload = sample().encode_to_vec();
    // A body that is a map is no text: an object in protobuf, and in JSON none of the types that a text could have.
    for (kind, payload, body) in
        [(FormatKind::OtlpProto, payload, "{}"), (FormatKind::OtlpJson, sample_json().into_bytes(), "-")]
    {
        let found = events(kind.clone(), &payload);
        let outcomes: Vec<_> = found.iter().map(|(outcome, _)| outcome.clone()).collect();
        assert_eq!(outcomes, expected.map(|(time, values)| Ok((time, values.replace("BODY", body)))));
        // A letter is a request with this record alone.
        for (outcome, alone) in &found {
            let again = events(kind.clone(), alone);
            assert_eq!((again.len(), &again[0].0), (1, outcome));
        }
    }
    for (_, alone) in events(FormatKind::OtlpProto, &sample().encode_to_vec()) {
        let logs = LogsData::decode(&alone[..]).unwrap().resource_logs;
        assert_eq!(logs.iter().flat_map(|logs| &logs.scope_logs).map(|logs| logs.log_records.len()).sum::<usize>(), 1);
    }
}

fn any_value() -> impl Strategy<Value = Of> {
    let leaf = prop_oneof![
        "[a-z]{0,5}".prop_map(Of::StringValue),
        any::<i64>().prop_map(Of::IntValue),
        any::<bool>().prop_map(Of::BoolValue),
        (-1e9..1e9).prop_map(Of::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Of::BytesValue),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|values| Of::ArrayValue(ArrayValue { values: values.into_iter().map(value).collect() })),
            prop::collection::vec(("[nfx]|inner|map", inner), 0..3).prop_map(|pairs| {
                Of::KvlistValue(KeyValueList { values: pairs.into_iter().map(|(key, of)| pair(&key, of)).collect() })
            }),
        ]
    })
}

/// What a value is, read off prost's structures; of keys that are there twice the last one counts.
fn shown(of: Option<&Of>, path: &[&str]) -> String {
    match (of, path) {
        (Some(Of::KvlistValue(list)), [key, rest @ ..]) => {
            let found = list.values.iter().rfind(|pair| pair.key == *key);
            shown(found.and_then(|pair| pair.value.as_ref()?.value.as_ref()), rest)
        }
        (None, _) | (Some(_), [_, ..]) => "-".into(),
        (Some(Of::StringValue(text)), []) => text.clone(),
        (Some(Of::IntValue(number)), []) => number.to_string(),
        (Some(Of::BoolValue(truth)), []) => truth.to_string(),
        (Some(Of::DoubleValue(number)), []) => number.to_string(),
        (Some(_), []) => "{}".into(),
    }
}

type Pairs = Vec<(String, Of)>;

fn attribute(of: [&Pairs; 2], path: &[&str]) -> String {
    let last = |all: &Pairs| all.iter().rfind(|(known, _)| known == path[0]).map(|(_, of)| of.clone());
    let found: Vec<String> = of.iter().map(|all| shown(last(all).as_ref(), &path[1..])).collect();
    found.into_iter().find(|text| text != "-").unwrap_or_else(|| "-".into())
}

proptest! {
    #[test]
    fn every_request_reads_as_with_prost(
        records in prop::collection::vec(
            (1_600_000_000_000u64..1_700_000_000_000, any_value(), prop::collection::vec(("n|ok|map|service\\.name", any_value()), 0..4)),
            0..4,
        ),
        shared in prop::collection::vec(("n|service\\.name", any_value()), 0..3),
    ) {
        let pairs = |all: &Pairs| all.iter().map(|(key, of)| pair(key, of.clone())).collect::<Vec<_>>();
        let log_records = records.iter().map(|(time, body, own)| LogRecord {
            time_unix_nano: time * 1_000_000 + 1,
            body: Some(value(body.clone())),
            attributes: pairs(own),
            ..LogRecord::default()
        });
        let logs = ScopeLogs { log_records: log_records.collect(), ..ScopeLogs::default() };
        let resource = Resource { attributes: pairs(&shared), ..Resource::default() };
        let logs = ResourceLogs { resource: Some(resource), scope_logs: vec![logs], ..ResourceLogs::default() };
        let payload = LogsData { resource_logs: vec![logs] }.encode_to_vec();
        let none = Pairs::new();
        let expected: Vec<_> = records.iter().map(|(time, body, own)| {
            let of = |path: &[&str]| attribute([own, &shared], path);
            let values = [
                "-".into(), "-".into(), shown(Some(body), &[]), shown(Some(body), &["inner", "x"]),
                of(&["service.name"]), of(&["n"]), of(&["ok"]), of(&["map", "f"]),
                attribute([&none, &shared], &["service.name"]), "-".into(), "-".into(), "-".into(),
            ];
            Ok((*time as i64, values.join("|")))
        }).collect();
        let found: Vec<_> = events(FormatKind::OtlpProto, &payload).into_iter().map(|(outcome, _)| outcome).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn broken_requests_are_no_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut payload = sample().encode_to_vec();
        for (at, byte) in edits {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        payload.truncate(cut.index(payload.len()) + 1);
        for kind in [FormatKind::OtlpProto, FormatKind::OtlpJson] {
            for (_, alone) in events(kind.clone(), &payload) {
                events(kind.clone(), &alone);
            }
        }
    }
}
