//! What decoding costs per event: the decoder on events like `streamgauge produce` writes them, and two ways to do the
//! same with serde_json.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use streamgauge_core::config::{FieldPath, TimeFormat, Timestamp};
use streamgauge_core::decode::{Decoder, Record};

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

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(2));
    targets = decode
}
criterion_main!(benches);
