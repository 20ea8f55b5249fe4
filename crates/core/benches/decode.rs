//! What decoding costs per event: the decoder on events like `streamgauge produce` writes them, and two ways to do the
//! same with serde_json.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use streamgauge_core::config::{FieldPath, TimeFormat, Timestamp};
use streamgauge_core::decode::{Decoder, FoundSchema, Language, Record, Schema, Schemas};

const EVENTS: usize = 4096;

/// The fields that `examples/http-requests.yaml` asks for, as serde would read them.
#[derive(Deserialize)]
struct Event<'a> {
    timestamp: i64,
    #[serde(borrow)]
    endpoint: std::borrow::Cow<'a, str>,
    status: i64,
    response_time_ms: f64,
    #[serde(borrow)]
    region: std::borrow::Cow<'a, str>,
}

fn events(message: impl Fn(usize) -> String) -> Vec<String> {
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(7);
    let mut pick = |from: &[&'static str]| from[random.random_range(0..from.len())];
    (0..EVENTS)
        .map(|i| {
            let endpoint = pick(&["/api/users", "/api/orders", "/api/products", "/api/search", "/health"]);
            let method = pick(&["GET", "POST", "PUT", "DELETE"]);
            let status = pick(&["200", "200", "200", "201", "404", "500"]);
            let region = pick(&["us-east", "us-west", "eu-central", "ap-south", "sa-east"]);
            let millis = format!("{}.{}", pick(&["7", "23", "84", "123", "256", "1301"]), pick(&["0", "1", "5", "9"]));
            let head =
                format!(r#""timestamp": {}, "endpoint": "{endpoint}", "method": "{method}""#, 1_763_657_472_123 + i);
            let middle = format!(r#""status": {status}, "response_time_ms": {millis}, "region": "{region}""#);
            let tail = format!(r#""user_id": "user_{:06}", "message": "{}""#, i * 37 % 100_000, message(i));
            format!("{{{head}, {middle}, {tail}}}")
        })
        .collect()
}

fn decoder() -> Decoder {
    let path = |name: &str| FieldPath::keys([name]);
    let fields = ["endpoint", "status", "response_time_ms", "region"].map(path);
    let timestamp = Timestamp::field(path("timestamp"), TimeFormat::UnixMillis);
    Decoder::new(&fields, &timestamp, 1 << 20)
}

fn decode(criterion: &mut Criterion) {
    let mut plain = events(|_| "request handled".to_owned());
    let escaped = events(|i| format!(r#"GET \"/item/{i}\"\tdone"#));
    let unicode = events(|_| "Anfrage für Köln erledigt".to_owned());
    let long = events(|i| "request handled with care ".repeat(40 + i % 3));
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let mut run = |name: &str, events: &[String]| {
        let mut decoder = decoder();
        group.bench_with_input(BenchmarkId::new("streamgauge", name), events, |bench, events| {
            bench.iter(|| {
                for event in events {
                    let decoded = decoder.decode(black_box(event.as_bytes()), Record::at(None)).unwrap();
                    black_box((decoded.time, &decoded.values[..]));
                }
            })
        });
        group.bench_with_input(BenchmarkId::new("serde_json", name), events, |bench, events| {
            bench.iter(|| {
                for event in events {
                    let event: Event = serde_json::from_slice(black_box(event.as_bytes())).unwrap();
                    black_box((event.timestamp, event.status, event.response_time_ms));
                    black_box((&event.endpoint, &event.region));
                }
            })
        });
    };
    run("usual", &plain);
    run("escapes", &escaped);
    run("unicode", &unicode);
    run("long", &long);
    // Every other event has other keys.
    for event in plain.iter_mut().step_by(2) {
        *event = event
            .replace(r#""method": "GET", "#, "")
            .replace(r#""user_id": "user_"#, r#""trace": "t", "user": "user_"#);
    }
    run("optional_keys", &plain);
    group.finish();
}

/// An access log with the same requests.
fn access_log() -> Vec<String> {
    (0..EVENTS)
        .map(|i| {
            let head = format!("203.0.113.{} - - [20/Nov/2025:16:57:{:02} +0000]", i % 250, i % 60);
            let request =
                format!(r#""GET /api/users/{} HTTP/1.1" {} {}"#, i % 10, [200, 404, 500][i % 3], i * 7 % 9999);
            format!(r#"{head} {request} "https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36""#)
        })
        .collect()
}

/// The events as log records of OpenTelemetry, in one request.
fn otlp(events: usize) -> Vec<u8> {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
    let pair = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    let record = |i: usize| LogRecord {
        time_unix_nano: 1_763_657_472_123_000_000 + i as u64,
        severity_text: "INFO".to_owned(),
        attributes: vec![
            pair("endpoint", Value::StringValue("/api/users".to_owned())),
            pair("method", Value::StringValue("GET".to_owned())),
            pair("status", Value::IntValue([200, 404, 500][i % 3])),
            pair("response_time_ms", Value::DoubleValue(i as f64 / 10.0)),
            pair("region", Value::StringValue("eu-central".to_owned())),
            pair("user_id", Value::StringValue(format!("user_{i:06}"))),
        ],
        body: Some(AnyValue { value: Some(Value::StringValue("request handled".to_owned())) }),
        ..LogRecord::default()
    };
    let logs = ScopeLogs { log_records: (0..events).map(record).collect(), ..ScopeLogs::default() };
    let logs = ResourceLogs { scope_logs: vec![logs], ..ResourceLogs::default() };
    LogsData { resource_logs: vec![logs] }.encode_to_vec()
}

const AVRO: &str = r#"{ "type": "record", "name": "Request", "fields": [
    { "name": "timestamp", "type": { "type": "long", "logicalType": "timestamp-millis" } },
    { "name": "endpoint", "type": "string" }, { "name": "method", "type": "string" }, { "name": "status", "type": "int" },
    { "name": "response_time_ms", "type": "double" }, { "name": "region", "type": ["null", "string"] },
    { "name": "user_id", "type": "string" }, { "name": "message", "type": "string" } ] }"#;

const PROTOBUF: &str = r#"syntax = "proto3"; message Request { int64 timestamp = 1; string endpoint = 2; string method = 3;
    int32 status = 4; double response_time_ms = 5; string region = 6; string user_id = 7; string message = 8; }"#;

/// Knows one schema, whatever its id.
#[derive(Debug)]
struct One(Arc<Schema>);

impl Schemas for One {
    fn find(&self, _: u32) -> FoundSchema {
        FoundSchema::Known(self.0.clone())
    }
}

fn with_schema(decoder: Decoder, name: &str) -> Decoder {
    let (language, text) = match name {
        "avro" => (Language::Avro, AVRO),
        "protobuf" => (Language::Protobuf, PROTOBUF),
        _ => return decoder,
    };
    decoder.with_schemas(Arc::new(One(Arc::new(Schema { language, text: text.to_owned(), references: Vec::new() }))))
}

/// The same events by a schema: what each of their values becomes, with the number of its field.
fn by_schema(
    head: &[u8],
    text: fn(&mut Vec<u8>, u8, &str),
    number: fn(&mut Vec<u8>, u8, u64),
    float: fn(&mut Vec<u8>, u8, f64),
) -> Vec<Vec<u8>> {
    (0..EVENTS)
        .map(|i| {
            let mut out = head.to_vec();
            number(&mut out, 1, 1_763_657_472_123 + i as u64);
            text(&mut out, 2, &format!("/api/users/{}", i % 10));
            text(&mut out, 3, "GET");
            number(&mut out, 4, [200, 404, 500][i % 3]);
            float(&mut out, 5, i as f64 / 10.0);
            text(&mut out, 6, "eu-central");
            text(&mut out, 7, &format!("user_{i:06}"));
            text(&mut out, 8, "request handled");
            out
        })
        .collect()
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn avro() -> Vec<Vec<u8>> {
    by_schema(
        &[0, 0, 0, 0, 1],
        |out, field, text| {
            // The one that may be null.
            if field == 6 {
                out.push(2);
            }
            varint(out, text.len() as u64 * 2);
            out.extend_from_slice(text.as_bytes());
        },
        |out, _, number| varint(out, number * 2),
        |out, _, number| out.extend_from_slice(&number.to_le_bytes()),
    )
}

fn protobuf() -> Vec<Vec<u8>> {
    by_schema(
        &[0, 0, 0, 0, 1, 0],
        |out, field, text| {
            out.extend_from_slice(&[field << 3 | 2, text.len() as u8]);
            out.extend_from_slice(text.as_bytes());
        },
        |out, field, number| {
            out.push(field << 3);
            varint(out, number);
        },
        |out, field, number| {
            out.push(field << 3 | 1);
            out.extend_from_slice(&number.to_le_bytes());
        },
    )
}

/// What an event costs in other formats, and in records of a hundred, beside one that is a record of JSON.
fn formats(criterion: &mut Criterion) {
    let plain = events(|_| "request handled".to_owned());
    let arrays = plain.chunks(100).map(|events| format!(r#"{{"Records": [{}], "account": "a"}}"#, events.join(", ")));
    let arrays: Vec<Vec<u8>> = arrays.map(String::into_bytes).collect();
    let bytes = |texts: &[String]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let fields = |names: &[&str]| names.iter().map(|name| FieldPath::parse(name).unwrap()).collect::<Vec<_>>();
    let json = fields(&["endpoint", "status", "response_time_ms", "region"]);
    let source = |lines: &str| {
        let rest = "aggregates: { a: { source: s, measures: { n: count } } }\nkafka: { bootstrap_servers: localhost:9092 }\nschema_registry: { url: 'http://localhost:8081' }";
        let text = format!("sources: {{ s: {{ topics: [t], {lines} }} }}\n{rest}\n");
        streamgauge_core::config::parse(&text, "bench.yaml", &|_| None).unwrap().sources.remove(0)
    };
    let timed = "timestamp: { field: timestamp, format: unix_ms }";
    let attributes = ["endpoint", "status", "response_time_ms", "region"].map(|name| format!("attributes.{name}"));
    let attributes = fields(&attributes.each_ref().map(String::as_str));
    let cases = [
        ("json", source(timed), json.clone(), bytes(&plain)),
        ("each", source(&format!("{timed}, each: Records")), json.clone(), arrays),
        ("combined", source("format: combined"), fields(&["path", "status", "size", "method"]), bytes(&access_log())),
        ("avro", source(&format!("{timed}, format: avro")), json.clone(), avro()),
        ("protobuf", source(&format!("{timed}, format: protobuf")), json.clone(), protobuf()),
        ("otlp_proto", source("format: otlp_proto"), attributes, vec![otlp(100); EVENTS / 100 + 1]),
    ];
    let mut group = criterion.benchmark_group("formats");
    for (name, source, fields, records) in &cases {
        let mut decoder = with_schema(Decoder::of(fields, source, 1 << 20), name);
        let count = |decoder: &mut Decoder| {
            let events = |record: &Vec<u8>| decoder.events(record, Record::at(None), |_| true, |_, _| {});
            records.iter().map(events).sum::<usize>()
        };
        group.throughput(Throughput::Elements(count(&mut decoder) as u64));
        group.bench_with_input(BenchmarkId::new("streamgauge", name), records, |bench, records| {
            bench.iter(|| {
                for record in records {
                    decoder.events(
                        black_box(record),
                        Record::at(None),
                        |_| true,
                        |_, event| {
                            let event = event.unwrap().unwrap();
                            black_box((event.time, event.values));
                        },
                    );
                }
            })
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(2));
    targets = decode, formats
}
criterion_main!(benches);
