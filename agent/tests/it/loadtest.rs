//! Load tests through grpcurl and from the command line, on a real broker: what they say is what arrived.

use serde_json::{Value, json};

use crate::calls::{answer, call, json as printed, refused, run};
use crate::kafka::{shared, unique, wait_until};
use crate::topics::agent;

const ALLOWED: &str =
    "{ load_tests: { allow: true, max_events: 50000, max_duration: 20s, max_rate: 100000, max_event_size: 1KiB } }";

fn number(value: &Value) -> u64 {
    // 64-bit numbers are text in protobuf's JSON.
    value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok()).unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn a_test_is_started_watched_and_read_back() {
    let kafka = shared();
    let (source, topic) = (unique("source"), unique("load"));
    kafka.create_topic(&source, 1, &[]);
    kafka.create_topic(&topic, 3, &[]);
    // What is there already belongs to nobody's test.
    kafka.produce(&topic, 0, [("k", "other"), ("k", "{\"load_test\": \"00000000-000000000001\"}")]);
    let agent = agent(kafka, &source, ALLOWED);
    let request =
        json!({ "topic": topic, "events": 4000, "rate": 2000, "event_size": 250, "keys": 10, "verify": true });
    let started = answer(&agent, "LoadTestService/StartLoadTest", &request);
    assert_eq!(started["state"], "STATE_RUNNING");
    let again = "wait for its end, or cancel it";
    refused(&agent, "LoadTestService/StartLoadTest", &request, "FailedPrecondition", again);
    let seen = call(&agent, "LoadTestService/WatchLoadTest", &json!({ "id": started["id"] })).expect("a stream");
    assert!(seen.len() > 3, "{seen:?}");
    let sent: Vec<u64> = seen.iter().map(|test| number(&test["sent"])).collect();
    assert!(sent.is_sorted(), "{sent:?}");
    let end = seen.last().expect("an end");
    assert_eq!(
        (&end["state"], number(&end["acknowledged"]), number(&end["failed"])),
        (&json!("STATE_DONE"), 4000, 0),
        "{end}"
    );
    let found = &end["verification"];
    assert_eq!(number(&found["found"]), 4000, "{found}");
    for none in ["lost", "duplicated", "reordered"] {
        assert_eq!(number(&found[none]), 0, "{none}: {found}");
    }
    let rate = end["rate"].as_f64().expect("a rate");
    assert!((500.0..=2_010.0).contains(&rate), "4000 events at 2000/s: {rate}/s");
    let latency = |name: &str| end["latency"][name].as_f64().unwrap_or_else(|| panic!("{name}: {end}"));
    let ordered = ["p50", "p95", "p99", "p999", "max"].map(latency);
    assert!(ordered.is_sorted() && ordered[0] > 0.0005, "{ordered:?}");

    let records = kafka.read(&topic);
    assert_eq!(records.len(), 4002);
    let ours: Vec<_> = records.iter().filter(|record| record.value.as_ref().is_some_and(|v| v.len() == 250)).collect();
    assert_eq!(ours.len(), 4000);
    let keys: std::collections::BTreeSet<_> = ours.iter().map(|record| record.key.clone().expect("a key")).collect();
    assert_eq!(keys.len(), 10);

    let now = answer(&agent, "LoadTestService/GetLoadTest", &json!({}));
    assert_eq!((number(&now["stats"]["tests"]), number(&now["stats"]["acknowledged"])), (1, 4000));
    let page = agent.scrape();
    assert!(page.contains("\nkafka_producer_success_total 4000\n"), "{page}");
    assert!(page.contains("\nkafka_producer_send_time_seconds_count 4000\n"), "{page}");
    let reset = answer(&agent, "LoadTestService/ResetLoadTestStats", &json!({}));
    assert_eq!((number(&reset["tests"]), number(&reset["sent"])), (0, 0));
}

#[test]
fn a_test_that_is_cancelled_keeps_what_it_measured() {
    let kafka = shared();
    let (source, topic) = (unique("source"), unique("load"));
    kafka.create_topic(&source, 1, &[]);
    kafka.create_topic(&topic, 1, &[]);
    let agent = agent(kafka, &source, ALLOWED);
    refused(&agent, "LoadTestService/CancelLoadTest", &json!({}), "NotFound", "start one");
    answer(&agent, "LoadTestService/StartLoadTest", &json!({ "topic": topic, "duration": "20s", "rate": 500 }));
    let test = || answer(&agent, "LoadTestService/GetLoadTest", &json!({}))["test"].clone();
    wait_until("some events were acknowledged", || number(&test()["acknowledged"]) > 100);
    answer(&agent, "LoadTestService/CancelLoadTest", &json!({}));
    wait_until("it has ended", || test()["state"] == "STATE_CANCELLED");
    let end = test();
    assert!(number(&end["sent"]) < 9_000 && number(&end["sent"]) == number(&end["acknowledged"]), "{end}");
    refused(&agent, "LoadTestService/GetLoadTest", &json!({ "id": "nothing" }), "NotFound", "only the last one");
}

#[test]
fn what_a_test_may_not_do_is_refused_before_anything_is_produced() {
    let kafka = shared();
    let (source, topic) = (unique("source"), unique("load"));
    kafka.create_topic(&source, 1, &[]);
    kafka.create_topic(&topic, 1, &[]);
    let open = agent(kafka, &source, ALLOWED);
    let start = |more: Value| {
        let mut request = json!({ "topic": topic, "events": 10 });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    for (more, code, words) in [
        (json!({ "topic": "nowhere" }), "NotFound", "there is no topic nowhere"),
        (json!({ "topic": source }), "FailedPrecondition", "allow_source_topic"),
        (json!({ "topic": format!("{source}-dlq") }), "PermissionDenied", "is protected"),
        (json!({ "events": 0 }), "InvalidArgument", "needs an end"),
        (json!({ "events": 50_001 }), "InvalidArgument", "cluster.load_tests.max_events"),
        (json!({ "events": 0, "duration": "21s" }), "InvalidArgument", "cluster.load_tests.max_duration"),
        (json!({ "rate": 100_001 }), "InvalidArgument", "cluster.load_tests.max_rate"),
        (json!({ "event_size": 2000 }), "InvalidArgument", "cluster.load_tests.max_event_size"),
        (json!({ "event_size": 7 }), "InvalidArgument", "the smallest event"),
        (json!({ "compression": "rar" }), "InvalidArgument", "none, gzip, snappy, lz4 or zstd"),
    ] {
        refused(&open, "LoadTestService/StartLoadTest", &start(more), code, words);
    }
    answer(&open, "LoadTestService/StartLoadTest", &start(json!({ "validate_only": true })));
    assert_eq!(kafka.read(&topic).len() + kafka.read(&source).len(), 0);
    drop(open);
    let closed = agent(kafka, &source, "{}");
    refused(
        &closed,
        "LoadTestService/StartLoadTest",
        &start(json!({})),
        "PermissionDenied",
        "cluster.load_tests.allow",
    );
}

#[test]
fn the_command_line_measures_verifies_and_climbs_the_ladder() {
    let kafka = shared();
    let (source, topic) = (unique("source"), unique("load"));
    kafka.create_topic(&source, 1, &[]);
    kafka.create_topic(&topic, 4, &[]);
    let servers = ["--bootstrap-servers", kafka.bootstrap(), "--topic", &topic];
    let test = printed(&[&["loadtest", "--events", "20000", "--verify", "-o", "json"], &servers[..]].concat());
    assert_eq!((&test["acknowledged"], &test["verification"]["found"]), (&json!(20_000), &json!(20_000)), "{test}");
    assert!(test["latency_ms"]["p99.9"].as_f64() > Some(0.0), "{test}");
    let (code, table, error) = run(&[&["loadtest", "--ladder=1000,3000", "--verify"], &servers[..]].concat());
    assert_eq!(code, 0, "{table}{error}");
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows.len() == 3 && rows[0].contains("P99.9") && rows[2].trim_start().starts_with("3,000"), "{table}");
    assert_eq!(kafka.read(&topic).len(), 24_000);

    let agent = agent(kafka, &source, ALLOWED);
    let address = agent.grpc().to_string();
    let (code, text, error) = run(&["loadtest", "--agent", &address, "--topic", &topic, "--events", "500"]);
    assert!(code == 0 && text.starts_with("acknowledged  500 of 500 events\n"), "{text}{error}");
    let (code, _, error) = run(&["loadtest", "--agent", &address, "--topic", &source, "--events", "500"]);
    assert!(code == 1 && error.contains("allow_source_topic") && error.lines().count() == 1, "{error}");
    let (code, _, error) = run(&["loadtest", "--bootstrap-servers", "127.0.0.1:1", "--topic", "t"]);
    assert!(code == 1 && error.contains("Kafka cannot be used"), "{error}");
}
