//! Decoding and folding together: events as programs should write them, and as they do: every number in quotes, a label
//! that is made of a path with ids in it, a condition on text.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use streamgauge_core::aggregate::{Event, Plan, TaskState};
use streamgauge_core::config;
use streamgauge_core::decode::{Decoder, Record};

const EVENTS: usize = 4096;

const PLAIN: &str = r#"
kafka: { bootstrap_servers: "localhost:9092" }
sources: { requests: { topics: [log-events], timestamp: { field: timestamp, format: unix_ms } } }
aggregates:
  http:
    source: requests
    by: { endpoint: endpoint }
    windows: [1m, 5m/1m]
    measures:
      requests: count
      errors: { count: { where: { status: { gte: 400 } } } }
      duration: { histogram: response_time_ms, unit: ms }
"#;

fn task(text: &str) -> (Decoder, TaskState) {
    let config = config::parse(text, "bench.yaml", &|_| None).unwrap();
    let plan = Arc::new(Plan::new(&config.sources[0], &config.sources, &config.aggregates));
    (Decoder::new(&plan.fields, &config.sources[0].timestamp, 1 << 20), TaskState::new(plan))
}

/// `ids`: how many paths there are of each endpoint, if they have one at all.
fn events(quote: &str, ids: usize) -> Vec<String> {
    let endpoints = ["/api/users", "/api/orders", "/api/products", "/api/search", "/health"];
    (0..EVENTS)
        .map(|i| {
            let random = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            let mut endpoint = endpoints[random as usize % endpoints.len()].to_owned();
            if ids > 0 {
                endpoint += &format!("/{}", random as usize % ids);
            }
            let status = if random.is_multiple_of(20) { 503 } else { 200 };
            let millis = (random % 13_000) as f64 / 10.0;
            let time = 1_763_657_472_123 + i as i64;
            format!(
                r#"{{"timestamp": {quote}{time}{quote}, "endpoint": "{endpoint}", "method": "GET", "status": {quote}{status}{quote}, "response_time_ms": {quote}{millis:.1}{quote}, "region": "us-east", "user_id": "user_{i:06}", "message": "request handled"}}"#
            )
        })
        .collect()
}

fn run(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode and fold");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let templated = PLAIN.replace("{ endpoint: endpoint }", "{ endpoint: { field: endpoint, template: path } }");
    let on_text = templated.replace("    by:", "    where: { method: { ne: OPTIONS } }\n    by:");
    let matched =
        PLAIN.replace("{ endpoint: endpoint }", "{ endpoint: { field: endpoint, match: '^(/[a-z]+/?[a-z]*)' } }");
    for (name, config, events) in [
        ("plain", PLAIN, events("", 0)),
        ("quoted numbers", PLAIN, events("\"", 0)),
        ("templated label", &templated, events("", 5_000)),
        ("matched label", &matched, events("", 5_000)),
        ("quoted, templated, a condition on text", &on_text, events("\"", 5_000)),
    ] {
        let (mut decoder, mut task) = task(config);
        group.bench_function(name, |bench| {
            bench.iter(|| {
                for event in &events {
                    let decoded = decoder.decode(black_box(event.as_bytes()), Record::at(None)).unwrap();
                    let event = Event { time: decoded.time, reach: decoded.time, values: &decoded.values };
                    black_box(task.fold(&event)).ok();
                }
            })
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(2));
    targets = run
}
criterion_main!(benches);
