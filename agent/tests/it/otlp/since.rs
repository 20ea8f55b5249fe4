//! A new key's first events, in a real Prometheus 3 that puts a zero where a series says it began (`scripts/test --all`).

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::prometheus::Prometheus;
use super::wait_long;
use crate::agent::free_address;
use crate::heavy_tests;
use crate::scene::{Scene, unix_millis};

const TIMEOUT: Duration = Duration::from_secs(60);

/// So many requests to an endpoint, now.
fn send(scene: &Scene, producer: &BaseProducer, endpoint: &str, count: u64) {
    for _ in 0..count {
        let now = unix_millis();
        let event = format!(
            r#"{{"timestamp": {now}, "endpoint": "{endpoint}", "method": "GET", "status": 200, "response_time_ms": 12.5, "region": "us-east"}}"#
        );
        let record: BaseRecord<'_, str, str> = BaseRecord::to(&scene.topic).partition(0).payload(&event);
        producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
    }
    producer.flush(TIMEOUT).expect("all is acknowledged");
}

fn one(prometheus: &Prometheus, expression: &str, time: Option<i64>) -> Option<f64> {
    let found = prometheus.query(expression, time);
    assert!(found.len() < 2, "{expression}: {found:?}");
    found.first().map(|(_, value)| *value)
}

fn close(found: Option<f64>, wanted: f64) -> bool {
    found.is_some_and(|found| (found - wanted).abs() < 1e-6)
}

#[test]
fn increase_over_a_new_keys_first_minute_is_what_was_produced() {
    if !heavy_tests() {
        return;
    }
    let address = free_address();
    let section = format!(
        "otlp:\n  endpoint: http://{address}/api/v1/otlp\n  interval: 1s\n  resource: {{ service.name: pushed }}\n"
    );
    let scene = Scene::new("since", 1).section(&section);
    let mut agent = scene.agent();
    agent.wait_ready();
    let job = |name: &str, protocol: &str| {
        format!(
            "- job_name: {name}\n  scrape_interval: 1s\n  honor_labels: true\n  scrape_protocols: [{protocol}]\n  \
             static_configs: [{{ targets: [\"{}\"] }}]\n",
            agent.http()
        )
    };
    let jobs = [job("protobuf", "PrometheusProto"), job("openmetrics", "OpenMetricsText1.0.0")].concat();
    let config = format!(
        "storage: {{ tsdb: {{ out_of_order_time_window: 30m }} }}\nscrape_configs:\n{jobs}{}",
        job("without", "PrometheusText0.0.4")
    );
    let flags = ["--web.enable-otlp-receiver", "--enable-feature=created-timestamp-zero-ingestion"];
    let prometheus = Prometheus::start_with(address, &config, &flags);
    let total = |job: &str, key: &str| format!("http_requests_total{{job=\"{job}\",endpoint=\"{key}\"}}");
    let wait_for = |key: &str, count: f64| {
        for job in ["protobuf", "openmetrics", "without", "pushed"] {
            let told = || one(&prometheus, &total(job, key), None) == Some(count);
            wait_long(&format!("{job} has {count} of {key}"), TIMEOUT, told);
        }
    };
    let producer = scene.kafka.producer();
    send(&scene, &producer, "/old", 5);
    wait_for("/old", 5.0);
    // Another key comes when the agent has been counting for longer than the range that is asked for.
    std::thread::sleep(Duration::from_secs(65));
    send(&scene, &producer, "/new", 7);
    wait_for("/new", 7.0);
    send(&scene, &producer, "/new", 5);
    wait_for("/new", 12.0);

    // At a sample's own time nothing is made up beyond it.
    let last = |job: &str| {
        let time = one(&prometheus, &format!("timestamp({})", total(job, "/new")), None).expect("a sample");
        Some((time * 1_000.0).round() as i64)
    };
    for job in ["protobuf", "openmetrics", "pushed"] {
        let found = one(&prometheus, &format!("increase({}[1m])", total(job, "/new")), last(job));
        assert!(close(found, 12.0), "{job}: {found:?}");
    }
    // Buckets and sums begin with a zero, too.
    let buckets = "increase(http_duration_seconds_bucket{job=\"openmetrics\",endpoint=\"/new\",le=\"+Inf\"}[1m])";
    assert!(close(one(&prometheus, buckets, last("openmetrics")), 12.0));

    // Without a start there is no zero; then a difference has to do, as docs/metrics.md writes it.
    let without = total("without", "/new");
    let lacking = one(&prometheus, &format!("increase({without}[1m])"), last("without"));
    assert!(lacking.is_some_and(|found| found < 8.0), "{lacking:?}");
    let difference = format!("{without} - (last_over_time({without}[1h] offset 1m) or {without} * 0)");
    assert!(close(one(&prometheus, &difference, last("without")), 12.0), "{difference}");
    // The series that say so are taken for what they are, not stored.
    assert!(prometheus.query("{__name__=~\"http_.*_created\"}", None).is_empty());
}
