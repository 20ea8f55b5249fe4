//! Loki's push API, by its documented wire format.

use prost::Message;
use serde_json::{Value, json};
use streamgauge_proto::types::Timestamp;

use super::{Door, curl};
use crate::kafka::{shared, wait_until};

/// logproto.PushRequest, as Loki's documentation has it.
#[derive(Clone, PartialEq, Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<StreamAdapter>,
}

#[derive(Clone, PartialEq, Message)]
struct StreamAdapter {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<EntryAdapter>,
    #[prost(uint64, tag = "3")]
    hash: u64,
}

#[derive(Clone, PartialEq, Message)]
struct EntryAdapter {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    line: String,
}

fn values(door: &Door) -> Vec<Value> {
    let records = shared().read(&door.topic);
    records.iter().map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()).collect()
}

/// As Loki's documentation has it, with another port.
const LINE: &str = r#"curl -H "Content-Type: application/json" -s -X POST "http://127.0.0.1:9748/loki/api/v1/push" --data-raw '{"streams": [{ "stream": { "foo": "bar2" }, "values": [ [ "1570818238000000000", "fizzbuzz" ] ] }]}'"#;

#[test]
fn lines_pushed_as_to_loki_are_log_events() {
    let lines = "  requests_per_second: 0\n  batches_per_second: 0\n  event_size: 2KiB\n  batch_events: 100\n";
    let door = Door::open(shared(), "ingest-loki", lines);
    assert_eq!(curl(door.address, LINE), "\n204");
    let entry = |n: i64| EntryAdapter {
        timestamp: Some(Timestamp { seconds: 1_700_000_000 + n, nanos: 5 }),
        line: format!("line {n}"),
    };
    let labels = r#"{job="web", level="warn", filename="C:\\logs\\a \"b\".log"}"#.to_owned();
    let stream = StreamAdapter { labels, entries: (0..50).map(entry).collect(), hash: 7 };
    let packed =
        snap::raw::Encoder::new().compress_vec(&PushRequest { streams: vec![stream] }.encode_to_vec()).unwrap();
    let answer = door.post("/loki/api/v1/push", &[("Content-Type", "application/x-protobuf")], &packed);
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let line = |text: &str| json!(["1700000000000000000", text]);
    let some =
        json!({ "streams": [{ "stream": { "app": "shop" }, "values": [line("good"), line(&"x".repeat(3_000))] }] });
    let answer = door.post_json("/loki/api/v1/push", &some.to_string());
    assert_eq!(answer.status, 413);
    assert!(answer.body.starts_with("1 of 2 lines are not accepted: the event has "), "{answer:?}");
    wait_until("all good lines in Kafka", || values(&door).len() == 52);
    let all = values(&door);
    let of = |source: &str| all.iter().filter(|event| event["source"] == source).cloned().collect::<Vec<_>>();
    let web = of("web");
    let messages: Vec<_> = web.iter().map(|event| event["message"].clone()).collect();
    assert_eq!(messages, (0..50).map(|n| json!(format!("line {n}"))).collect::<Vec<_>>(), "in their order");
    assert_eq!((&web[0]["level"], &web[0]["timestamp"]), (&json!("WARN"), &json!("2023-11-14T22:13:20.000000005Z")));
    assert_eq!(web[0]["metadata"]["labels"]["filename"], "C:\\logs\\a \"b\".log");
    assert_eq!(of("shop")[0]["message"], "good");
    assert_eq!(of("unknown_service")[0]["metadata"], json!({ "labels": { "foo": "bar2" } }));
    let many = json!({ "streams": [{ "stream": {}, "values": vec![line("m"); 101] }] }).to_string();
    for (kind, body, status) in [
        ("application/json", b"{".as_slice(), 400),
        ("application/json", many.as_bytes(), 413),
        ("application/x-protobuf", b"{}", 400),
        ("text/plain", b"x", 415),
    ] {
        assert_eq!(door.post("/loki/api/v1/push", &[("Content-Type", kind)], body).status, status, "{kind}");
    }
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_ingest_requests_total{endpoint=\"loki\",code=\"204\"} 2\n"), "{page}");
}
