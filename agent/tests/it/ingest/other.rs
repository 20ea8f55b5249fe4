//! The other ways in, and where events go.

use std::collections::BTreeMap;
use std::fs;

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use prost::Message;
use serde_json::{Value, json};
use streamgauge_proto::types::{ListValue, Struct, Timestamp, Value as Any, value::Kind};
use streamgauge_proto::v1::ingest_service_client::IngestServiceClient;
use streamgauge_proto::v1::{IngestBatchRequest, IngestRequest, IngestStreamRequest, LogEvent, LogLevel};
use tonic::Code;

use super::Door;
use crate::kafka::{block_on_io, shared, wait_until};

const UNLIMITED: &str = "  requests_per_second: 0\n  batches_per_second: 0\n";

fn values(door: &Door) -> Vec<Value> {
    let records = shared().read(&door.topic);
    records.iter().map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()).collect()
}

fn export(records: Value) -> Value {
    json!({ "resourceLogs": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
        "scopeLogs": [{ "logRecords": records }],
    }] })
}

#[test]
fn opentelemetrys_log_records_are_taken_as_protobuf_and_as_json_with_partial_success() {
    let door = Door::open(shared(), "ingest-otlp", &format!("{UNLIMITED}  event_size: 2KiB\n"));
    let record =
        |message: &str, severity: u32| json!({ "severityNumber": severity, "body": { "stringValue": message } });
    let good = export(json!([record("one", 9), record("two", 17)]));
    let answer = door.post_json("/v1/logs", &good.to_string());
    assert_eq!((answer.status, answer.json()), (200, json!({ "partialSuccess": null })));
    let request: ExportLogsServiceRequest =
        serde_json::from_value(export(json!([record("three", 13), record(&"x".repeat(3_000), 9),]))).unwrap();
    let packed = zstd::encode_all(request.encode_to_vec().as_slice(), 3).unwrap();
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "zstd")];
    let answer = door.post("/v1/logs", &headers, &packed);
    let response = ExportLogsServiceResponse::decode(answer.body.as_bytes()).expect("protobuf");
    let partial = response.partial_success.expect("one is too large");
    assert_eq!((answer.status, partial.rejected_log_records), (200, 1));
    assert!(partial.error_message.contains("2048 are allowed"), "{partial:?}");
    wait_until("three events in Kafka", || values(&door).len() == 3);
    let mut seen: Vec<_> = values(&door)
        .iter()
        .map(|event| (event["message"].to_string(), event["level"].to_string(), event["source"].to_string()))
        .collect();
    seen.sort();
    let expected = [("one", "INFO"), ("three", "WARN"), ("two", "ERROR")];
    let expected = expected
        .map(|(message, level)| (json!(message).to_string(), json!(level).to_string(), json!("shop").to_string()));
    assert_eq!(seen, expected);
    for (headers, body, status) in [
        (("Content-Type", "application/json"), &b"{"[..], 400),
        (("Content-Type", "application/x-protobuf"), b"\xff\xff", 400),
        (("Content-Type", "text/plain"), b"", 415),
    ] {
        assert_eq!(door.post("/v1/logs", &[headers], body).status, status, "{headers:?}");
    }
}

fn event(source: &str, level: LogLevel, message: &str) -> LogEvent {
    LogEvent { source: source.into(), level: level.into(), message: message.into(), ..Default::default() }
}

#[test]
fn events_over_grpc_are_the_same_events() {
    let door = Door::open(shared(), "ingest-grpc", UNLIMITED);
    let any = |kind: Kind| Any { kind: Some(kind) };
    let list = Kind::ListValue(ListValue { values: vec![any(Kind::NumberValue(0.5)), any(Kind::BoolValue(true))] });
    let fields = BTreeMap::from([("n".into(), any(Kind::NumberValue(7.0))), ("list".into(), any(list))]);
    let full = LogEvent {
        metadata: Some(Struct { fields: fields.into_iter().collect() }),
        stack_trace: "at a".into(),
        timestamp: Some(Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 }),
        ..event("app", LogLevel::Error, "a \"b\"")
    };
    block_on_io(async {
        let mut client =
            IngestServiceClient::connect(format!("http://{}", door.agent.grpc())).await.expect("it connects");
        let answer = client.ingest(IngestRequest { event: Some(full) }).await.expect("it is accepted").into_inner();
        assert_eq!(answer.event_id.len(), 36);
        let refused = client.ingest(IngestRequest { event: None }).await.expect_err("nothing is in it");
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "`level` is missing"));
        let events =
            vec![event("app", LogLevel::Info, "1"), event("", LogLevel::Info, "2"), event("app", LogLevel::Fatal, "3")];
        let answer = client.ingest_batch(IngestBatchRequest { events }).await.expect("two are accepted").into_inner();
        let errors: Vec<_> = answer.errors.iter().map(|error| (error.index, error.retry)).collect();
        assert_eq!((answer.accepted, errors), (2, vec![(1, false)]));
        // Answers come in order, and no more batches are read than are answered.
        let requests = (0..200_u32).map(|number| IngestStreamRequest {
            events: (0..number % 3 + 1)
                .map(|each| event("stream", LogLevel::Info, &format!("{number}.{each}")))
                .collect(),
        });
        let mut answers = client.ingest_stream(tokio_stream::iter(requests)).await.expect("a stream").into_inner();
        for number in 0..200_u32 {
            let answer = answers.message().await.expect("an answer").expect("one more");
            assert_eq!((answer.accepted, answer.errors.len()), (number % 3 + 1, 0));
        }
        assert!(answers.message().await.expect("the end").is_none());
    });
    let expected = 3 + (0..200).map(|number| number % 3 + 1).sum::<usize>();
    wait_until("all events in Kafka", || values(&door).len() == expected);
    let all = values(&door);
    let first = all.iter().find(|event| event["message"] == "a \"b\"").expect("the first one");
    assert_eq!((&first["metadata"], &first["stackTrace"]), (&json!({ "n": 7, "list": [0.5, true] }), &json!("at a")));
    assert_eq!((&first["timestamp"], &first["level"]), (&json!("2023-11-14T22:13:20.005Z"), &json!("ERROR")));
    let order: Vec<_> =
        all.iter().filter(|event| event["source"] == "stream").map(|event| event["message"].clone()).collect();
    let sent = (0..200).flat_map(|number| (0..number % 3 + 1).map(move |each| json!(format!("{number}.{each}"))));
    assert_eq!(order, sent.collect::<Vec<_>>(), "what a source sent first stands first");
    wait_until("the agent's status to follow", || {
        let status = door.agent.status().and_then(|status| status.ingest).expect("an agent with a door");
        status.topics[0].completed as usize == expected && status.topics[0].p99.is_some() && status.circuit == "closed"
    });
}

#[test]
fn an_event_that_its_topic_does_not_take_costs_no_other() {
    let kafka = shared();
    let door = Door::at_rest(kafka, "ingest-large", UNLIMITED);
    kafka.delete_topic(&door.topic);
    kafka.create_topic(&door.topic, 1, &[("max.message.bytes", "5000")]);
    let mut door = door;
    door.agent.restart();
    door.agent.wait_ready();
    let line = |size: usize| json!({ "source": "a", "level": "INFO", "message": "m".repeat(size) }).to_string();
    let lines = [vec![line(1_000); 50], vec![line(10_000)], vec![line(1_000); 50]].concat();
    assert_eq!(door.post("/api/logs/batch", &[], lines.join("\n").as_bytes()).status, 202);
    wait_until("all but the large one in Kafka", || values(&door).len() == 100);
    let failed = format!("streamgauge_ingest_failed_events_total{{topic=\"{}\"}} 1\n", door.topic);
    wait_until("the large one to be given up", || door.agent.scrape().contains(&failed));
    let large = line(10_000).replace("INFO", "ERROR");
    let answer = door.post_json("/api/logs", &large);
    assert_eq!((answer.status, answer.body.contains("the brokers refuse it")), (413, true), "{answer:?}");
    assert_eq!(values(&door).len(), 100);
}

#[test]
fn a_request_that_is_repeated_under_its_key_is_one_event() {
    let door = Door::open(shared(), "ingest-repeated", UNLIMITED);
    let body = br#"{"source":"a","level":"ERROR","message":"m"}"#;
    let key = [("Idempotency-Key", "8e03978e-40d5-43dd-bc93-6894a57f9324")];
    let first = door.post("/api/logs", &key, body);
    let again = door.post("/api/logs", &key, body);
    assert_eq!((first.status, again.status, &first.body), (202, 202, &again.body));
    assert_eq!(again.headers.get("idempotent-replayed").map(String::as_str), Some("true"));
    let other = door.post("/api/logs", &key, br#"{"source":"b","level":"INFO","message":"m"}"#);
    assert_eq!(other.status, 422, "{other:?}");
    assert_eq!(door.post("/api/logs/batch", &key, body).status, 202, "another endpoint is another request");
    let bad = door.post("/api/logs", &[("Idempotency-Key", "2")], b"{}");
    assert_eq!((bad.status, door.post("/api/logs", &[("Idempotency-Key", "2")], body).status), (400, 202));
    wait_until("three events in Kafka", || values(&door).len() == 3);
    block_on_io(async {
        let mut client =
            IngestServiceClient::connect(format!("http://{}", door.agent.grpc())).await.expect("it connects");
        let with_key = |message: &str| {
            let events = vec![event("a", LogLevel::Info, message), event("", LogLevel::Info, "no source")];
            let mut request = tonic::Request::new(IngestBatchRequest { events });
            request.metadata_mut().insert("idempotency-key", "of gRPC".parse().unwrap());
            request
        };
        let first = client.ingest_batch(with_key("m")).await.expect("one is accepted").into_inner();
        let again = client.ingest_batch(with_key("m")).await.expect("it was accepted").into_inner();
        assert_eq!((first.accepted, &first), (1, &again));
        let other = client.ingest_batch(with_key("other")).await.expect_err("the key is taken");
        assert_eq!(
            (other.code(), other.message()),
            (Code::InvalidArgument, "another request had this Idempotency-Key")
        );
    });
    wait_until("a fourth event in Kafka", || values(&door).len() == 4);
}

/// Prints, for each line of a file, the partition that Kafka's own producer would send a record with that key to.
const JAVA: &str = "import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
public class Partitions {
  public static void main(String[] args) throws Exception {
    StringBuilder out = new StringBuilder();
    for (String key : Files.readAllLines(Path.of(args[0])))
      out.append(BuiltInPartitioner.partitionForKey(key.getBytes(StandardCharsets.UTF_8), Integer.parseInt(args[1]))).append('\\n');
    System.out.print(out);
  }
}
";

#[test]
fn ten_thousand_sources_go_where_kafkas_own_producer_would_send_them() {
    let (kafka, door) = (shared(), Door::open(shared(), "ingest-murmur", UNLIMITED));
    let sources: Vec<String> =
        (0..10_000).map(|number| format!("{}-söurce-{number}", "x".repeat(number % 13))).collect();
    let body: Vec<_> =
        sources.iter().map(|source| json!({ "source": source, "level": "INFO", "message": "" })).collect();
    assert_eq!(door.post_json("/api/logs/batch", &json!(body).to_string()).json()["accepted"], 10_000);
    wait_until("all events in Kafka", || kafka.read(&door.topic).len() == 10_000);
    let found: BTreeMap<String, i32> = kafka
        .read(&door.topic)
        .into_iter()
        .map(|record| (String::from_utf8(record.key.unwrap()).unwrap(), record.partition))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let (program, keys) = (dir.path().join("Partitions.java"), dir.path().join("keys"));
    fs::write(&program, JAVA).unwrap();
    fs::write(&keys, sources.join("\n")).unwrap();
    let printed = kafka.script(&["run"], &[program.to_str().unwrap(), keys.to_str().unwrap(), "3"]);
    let expected: BTreeMap<_, _> =
        sources.iter().cloned().zip(printed.lines().map(|line| line.parse::<i32>().expect("a partition"))).collect();
    assert_eq!((expected.len(), found == expected), (10_000, true), "some differ");
    assert!((0..3).all(|partition| found.values().filter(|at| **at == partition).count() > 3_000));
}
