//! OpenTelemetry's log records over gRPC: with the protocol's own client, and from a Collector.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use serde_json::{Value, json};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};

use super::{Client, Door};
use crate::agent::{free_address, repository};
use crate::heavy_tests;
use crate::kafka::{block_on_io, shared, wait_until};

const UNLIMITED: &str = "  requests_per_second: 0\n  batches_per_second: 0\n";

fn open(what: &str, lines: &str) -> (Door, SocketAddr) {
    let address = free_address();
    (Door::open(shared(), what, &format!("  otlp_grpc: \"{address}\"\n{lines}")), address)
}

fn export(records: Value) -> Value {
    json!({ "resourceLogs": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
        "scopeLogs": [{ "logRecords": records }],
    }] })
}

fn record(message: &str, severity: u32) -> Value {
    json!({ "severityNumber": severity, "body": { "stringValue": message } })
}

fn request(records: Value) -> ExportLogsServiceRequest {
    serde_json::from_value(export(records)).expect("a request")
}

fn messages(door: &Door) -> Vec<String> {
    let value = |record: crate::kafka::Record| {
        let event: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        event["message"].as_str().expect("a message").to_owned()
    };
    let mut messages: Vec<_> = shared().read(&door.topic).into_iter().map(value).collect();
    messages.sort();
    messages
}

#[test]
fn records_are_accepted_with_partial_success_and_counted() {
    let (door, address) = open("ingest-otlp-grpc", &format!("{UNLIMITED}  event_size: 2KiB\n  batch_events: 5\n"));
    block_on_io(async {
        let client = LogsServiceClient::connect(format!("http://{address}")).await.expect("it connects");
        let mut client = client.send_compressed(CompressionEncoding::Gzip);
        let answer =
            client.export(request(json!([record("one", 9), record("two", 17)]))).await.expect("both are taken");
        assert_eq!(answer.into_inner().partial_success, None);
        let answer = client.export(request(json!([record("three", 13), record(&"x".repeat(3_000), 9)]))).await;
        let partial = answer.expect("one is taken").into_inner().partial_success.expect("one is too large");
        assert!(partial.rejected_log_records == 1 && partial.error_message.contains("2048 are allowed"), "{partial:?}");
        let many: Vec<_> = (0..6).map(|_| record("m", 9)).collect();
        let refused = client.export(request(json!(many))).await.expect_err("there are too many");
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "the batch has more than 5 events"));
    });
    wait_until("three events in Kafka", || messages(&door) == ["one", "three", "two"]);
    let page = door.agent.scrape();
    for line in ["{endpoint=\"otlp_grpc\",code=\"200\"} 2\n", "{endpoint=\"otlp_grpc\",code=\"413\"} 1\n"] {
        assert!(page.contains(&format!("streamgauge_ingest_requests_total{line}")), "{page}");
    }
}

#[test]
fn the_lock_and_the_limits_are_those_of_the_door() {
    let dir = tempfile::tempdir().unwrap();
    let (app, reader) = (dir.path().join("app"), dir.path().join("reader"));
    std::fs::write(&app, "the-token-of-an-app\n").unwrap();
    std::fs::write(&reader, "the-token-of-a-reader\n").unwrap();
    let lines = format!(
        "  batches_per_second: 2\n  identities:\n    app: {{ token_file: {} }}\n    reader: {{ token_file: {}, may: [read] }}\n",
        app.display(),
        reader.display()
    );
    let (door, address) = open("ingest-otlp-locked", &lines);
    block_on_io(async {
        let mut client = LogsServiceClient::connect(format!("http://{address}")).await.expect("it connects");
        let mut ask = async |token: &str| {
            let mut request = Request::new(request(json!([record("m", 9)])));
            if !token.is_empty() {
                request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            }
            client.export(request).await
        };
        assert_eq!(ask("").await.expect_err("nobody knows who").code(), Code::Unauthenticated);
        assert_eq!(ask("the-token-of-a-reader").await.expect_err("it may not").code(), Code::PermissionDenied);
        let mut refused = None;
        for _ in 0..6 {
            refused = ask("the-token-of-an-app").await.err().or(refused);
        }
        let refused = refused.expect("six at once are too many");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let details = String::from_utf8_lossy(refused.details()).into_owned();
        assert!(details.contains("type.googleapis.com/google.rpc.RetryInfo"), "senders try again: {details}");
    });
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_door_calls_total{door=\"otlp_grpc\",outcome=\"forbidden\"} 1"), "{page}");
}

#[test]
fn a_port_of_its_own_is_asked_for_and_a_topic() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yaml");
    for (section, words) in [
        ("ingest: { topic: a, otlp_grpc: '127.0.0.1:9747' }", "`ingest.otlp_grpc` and `grpc.listen` are the same"),
        ("ingest: { topic: a, otlp_grpc: '127.0.0.1:9748' }", "`ingest.otlp_grpc` and `ingest.listen` are the same"),
        ("ingest: { topic: a, otlp_grpc: here }", "`here` is not an address to listen on"),
        ("ingest: { events: { topic: a }, otlp_grpc: '127.0.0.1:4317' }", "need a `topic`"),
    ] {
        let text = format!(
            "kafka: {{ bootstrap_servers: x }}\nsources: {{ s: {{ topics: [t], timestamp: {{ from: kafka }} }} }}\n\
             aggregates: {{ a: {{ source: s, measures: {{ n: count }} }} }}\n{section}\n"
        );
        std::fs::write(&file, text).unwrap();
        let output =
            Command::new(crate::agent::program()).args(["validate", "-c"]).arg(&file).output().expect("the binary");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{section}: {said}");
    }
}

/// Ends with the test.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_a_collector_was_given_is_in_kafka() {
    if !heavy_tests() {
        return;
    }
    // As many batches as an address may send: the Collector is told to come again, and does.
    let (door, address) = open("ingest-collector", "");
    let home = tempfile::tempdir().expect("a temporary directory");
    let (config, own) = (home.path().join("collector.yaml"), free_address());
    let text = format!(
        "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: '{own}' }} }} }} }}\n\
         exporters: {{ otlp: {{ endpoint: '{address}', tls: {{ insecure: true }} }} }}\n\
         service: {{ telemetry: {{ metrics: {{ level: none }} }}, pipelines: {{ logs: {{ receivers: [otlp], exporters: [otlp] }} }} }}\n"
    );
    std::fs::write(&config, text).expect("the config is written");
    let tools = Command::new(repository().join("scripts/tools")).arg("otelcol").output().expect("scripts/tools runs");
    let tool = String::from_utf8_lossy(&tools.stdout).trim().to_owned();
    let log = std::fs::File::create(home.path().join("log")).expect("a log");
    let child = Command::new(tool).arg("--config").arg(&config).stdout(Stdio::null()).stderr(log).spawn();
    let _collector = Collector(child.expect("the Collector starts"));
    let mut client = Client::new(own);
    let send = |client: &mut Client, batch: u64| {
        let records: Vec<_> =
            (0..50).map(|n| record(&format!("{:05}", batch * 50 + n), 9 + (n as u32 % 3) * 4)).collect();
        let body = export(json!(records)).to_string();
        client.post("/v1/logs", &[("Content-Type", "application/json")], body.as_bytes()).map(|answer| answer.status)
    };
    wait_until("the Collector takes the first batch", || send(&mut client, 0) == Some(200));
    for batch in 1..30 {
        assert_eq!(send(&mut client, batch), Some(200), "batch {batch}");
    }
    let expected: Vec<_> = (0..1_500).map(|n| format!("{n:05}")).collect();
    wait_until("every record is in Kafka, once", || messages(&door) == expected);
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_ingest_requests_total{endpoint=\"otlp_grpc\",code=\"429\"}"), "{page}");
}
