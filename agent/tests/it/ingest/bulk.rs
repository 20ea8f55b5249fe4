//! Elasticsearch's bulk API, by its documented wire format.

use serde_json::{Value, json};

use super::{Door, curl};
use crate::kafka::{shared, wait_until};

fn values(door: &Door) -> Vec<Value> {
    let records = shared().read(&door.topic);
    records.iter().map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()).collect()
}

#[test]
fn documents_are_log_events_and_each_is_answered() {
    let lines = "  requests_per_second: 0\n  batches_per_second: 0\n  event_size: 2KiB\n  batch_events: 100\n";
    let door = Door::open(shared(), "ingest-bulk", lines);
    let root = curl(door.address, "curl http://127.0.0.1:9748/");
    assert!(root.contains("\"tagline\":\"You Know, for Search\"") && root.ends_with("\n200"), "{root}");
    assert!(curl(door.address, "curl --head http://127.0.0.1:9748/_cat/health").contains("200 OK"));
    let document = |n: usize| json!({ "@timestamp": "2024-01-15T10:30:00Z", "message": format!("line {n}"), "service": { "name": "shop" }, "log": { "level": "warn" } });
    let pair = |action: &str, document: &Value| format!("{{\"{action}\":{{\"_index\":\"shop-logs\"}}}}\n{document}\n");
    let body: String = (0..50).map(|n| pair("create", &document(n))).collect();
    // As the clients of its version 8 send it.
    let vendor = ("Content-Type", "application/vnd.elasticsearch+x-ndjson;compatible-with=8");
    let answer = door.post("/_bulk", &[vendor], body.as_bytes());
    assert_eq!((answer.status, answer.headers["x-elastic-product"].as_str()), (200, "Elasticsearch"));
    let said = answer.json();
    assert_eq!((&said["errors"], said["items"].as_array().unwrap().len()), (&json!(false), 50));
    let first = &said["items"][0]["create"];
    assert_eq!(
        (&first["status"], &first["_index"], &first["result"]),
        (&json!(201), &json!("shop-logs"), &json!("created"))
    );
    let large = json!({ "message": "x".repeat(3_000) });
    let some = [pair("index", &document(50)), pair("create", &large), "{\"delete\":{\"_id\":\"1\"}}\n".into()].concat();
    let answer = door.post("/web/_bulk", &[("Content-Type", "application/x-ndjson")], some.as_bytes());
    let said = answer.json();
    let statuses: Vec<_> = [("index", 0), ("create", 1), ("delete", 2)]
        .map(|(action, n)| said["items"][n][action]["status"].clone())
        .into();
    assert_eq!(
        (answer.status, &said["errors"], statuses),
        (200, &json!(true), vec![json!(201), json!(413), json!(400)])
    );
    wait_until("all good documents in Kafka", || values(&door).len() == 51);
    let all = values(&door);
    let messages: Vec<_> = all.iter().map(|event| event["message"].clone()).collect();
    assert_eq!(messages, (0..51).map(|n| json!(format!("line {n}"))).collect::<Vec<_>>(), "in their order");
    assert_eq!(
        (&all[0]["source"], &all[0]["level"], &all[0]["eventId"]),
        (&json!("shop"), &json!("WARN"), &first["_id"])
    );
    for (body, status, words) in [
        ("{\"message\":\"m\"}\n", 400, "line 1 is no action"),
        ("", 400, "the body is empty"),
        (&"{\"create\":{}}\n{}\n".repeat(101), 413, "more than 100 events"),
    ] {
        let answer = door.post("/_bulk", &[], body.as_bytes());
        assert_eq!((answer.status, &answer.json()["status"]), (status, &json!(status)), "{words}");
        assert!(answer.body.contains(words), "{answer:?}");
    }
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_ingest_requests_total{endpoint=\"bulk\",code=\"200\"} 2\n"), "{page}");
}
