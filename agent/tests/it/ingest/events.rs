//! User events, and events that go to other topics than the usual one.

use serde_json::{Value, json};

use super::Door;
use crate::agent::program;
use crate::kafka::{shared, unique, wait_until};

/// Keys and values, without their ids.
fn records(topic: &str) -> Vec<(String, Value)> {
    let shown = |record: crate::kafka::Record| {
        let mut value: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        assert_eq!(
            value.as_object_mut().expect("an object").remove("eventId").expect("an id").as_str().unwrap().len(),
            36
        );
        (String::from_utf8(record.key.unwrap_or_default()).expect("text"), value)
    };
    let mut records: Vec<_> = shared().read(topic).into_iter().map(shown).collect();
    records.sort_by_key(|(key, value)| (key.clone(), value.to_string()));
    records
}

#[test]
fn user_events_have_the_fields_that_the_config_names_and_the_same_answers_as_logs() {
    let topic = unique("user-events");
    shared().create_topic(&topic, 3, &[]);
    let door = Door::open(shared(), "ingest-events", &format!("  event_size: 1KiB\n  events: {{ topic: {topic} }}\n"));
    let one = r#"{"user_id":"user_001","event_type":"button_click","element_id":"btn_submit","timestamp":"2024-01-15T10:30:00Z"}"#;
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "one"), ("X-Correlation-Id", "c-1")];
    let first = door.post("/api/events", &headers, one.as_bytes());
    let again = door.post("/api/events", &headers, one.as_bytes());
    assert_eq!((first.status, again.status, &first.body), (202, 202, &again.body));
    assert_eq!(
        (again.headers["idempotent-replayed"].as_str(), first.headers["x-correlation-id"].as_str()),
        ("true", "c-1")
    );
    let long = format!(r#"{{"user_id":"u","event_type":"x","element_id":"{}"}}"#, "e".repeat(1_100));
    let body = format!(
        r#"[{{"user_id":"a","event_type":"page_view"}},{{"user_id":"b"}},{long},{{"user_id":"a","event_type":"x","page":"/"}},5]"#
    );
    let answer = door.post_json("/api/events/batch", &body);
    let (status, answer) = (answer.status, answer.json());
    assert_eq!((status, &answer["accepted"], &answer["failed"]), (202, &json!(1), &json!(4)), "{answer}");
    let reasons: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["reason"].as_str().unwrap()).collect();
    for (reason, words) in
        reasons.iter().zip(["`event_type` is missing", "1024 are allowed", "unknown field `page`", "a JSON object"])
    {
        assert!(reason.contains(words), "{reason}: {words}");
    }
    for (path, body, status) in [
        ("/api/events", "{", 400),
        ("/api/events", long.as_str(), 413),
        ("/api/events/batch", "", 400),
        ("/api/logs", one, 400),
    ] {
        assert_eq!(door.post_json(path, body).status, status, "{path} {body}");
    }
    wait_until("two events in Kafka", || shared().read(&topic).len() == 2);
    let found = records(&topic);
    assert_eq!(found[1], ("user_001:button_click".into(), serde_json::from_str(one).unwrap()));
    assert_eq!((found[0].0.as_str(), &found[0].1["event_type"]), ("a:page_view", &json!("page_view")));
    let time = found[0].1["timestamp"].as_str().expect("when it came").parse::<jiff::Timestamp>();
    assert!(time.is_ok_and(|time| time.as_second() > 1_700_000_000));
    assert!(shared().read(&door.topic).is_empty());
    let page = door.agent.scrape();
    for line in [
        format!("streamgauge_ingest_accepted_events_total{{topic=\"{topic}\"}} 2\n"),
        "streamgauge_ingest_requests_total{endpoint=\"events\",code=\"202\"} 2\n".into(),
        "streamgauge_ingest_requests_total{endpoint=\"events_batch\",code=\"202\"} 1\n".into(),
    ] {
        assert!(page.contains(&line), "{line}: {page}");
    }
}

#[test]
fn what_the_config_does_not_take_is_told() {
    let door = Door::open(shared(), "ingest-logs-only", "");
    let answer = door.post_json("/api/events", "{}");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("its config has no `ingest.events`"), "{answer:?}");
}

#[test]
fn a_path_or_a_field_decides_the_topic() {
    let kafka = shared();
    let [audit, critical, buys] = ["audit", "critical", "purchases"].map(unique);
    for topic in [&audit, &critical, &buys] {
        kafka.create_topic(topic, 2, &[]);
    }
    let events = unique("user-events");
    kafka.create_topic(&events, 2, &[]);
    let lines = format!(
        "  routes:\n    - {{ path: /audit, topic: {audit} }}\n    - {{ where: {{ level: [error, FATAL], source: pay }}, topic: {critical} }}\n\
         \x20 events:\n    topic: {events}\n    fields: {{ user: {{ type: integer, required: true }}, kind: {{ required: true }} }}\n\
         \x20   key: [user]\n    routes: [{{ where: {{ kind: [purchase, refund] }}, topic: {buys} }}]\n"
    );
    let door = Door::open(kafka, "ingest-routes", &lines);
    let log = |source: &str, level: &str| json!({ "source": source, "level": level, "message": "m" });
    let all = json!([log("pay", "ERROR"), log("pay", "INFO"), log("shop", "FATAL"), log("pay", "fatal")]);
    assert_eq!(door.post_json("/api/logs/batch", &all.to_string()).json()["accepted"], 4);
    assert_eq!(door.post_json("/audit", &log("pay", "ERROR").to_string()).status, 202);
    assert_eq!(door.post_json("/audit/batch", &all.to_string()).json()["accepted"], 4);
    let user = |user: u64, kind: &str| json!({ "user": user, "kind": kind });
    let all = json!([user(1, "view"), user(2, "purchase"), user(3, "refund"), user(1, "login")]);
    assert_eq!(door.post_json("/api/events/batch", &all.to_string()).json()["accepted"], 4);
    for (topic, count) in [(&door.topic, 2), (&critical, 2), (&audit, 5), (&events, 2), (&buys, 2)] {
        wait_until("the events in their topics", || kafka.read(topic).len() == count);
        let delivered = format!("streamgauge_ingest_delivered_events_total{{topic=\"{topic}\"}} {count}\n");
        wait_until("they are counted by topic", || door.agent.scrape().contains(&delivered));
    }
    assert_eq!(records(&buys).iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["2", "3"]);
    let status = door.agent.status().and_then(|status| status.ingest).expect("an agent with a door");
    assert_eq!(status.topics.len(), 5);
}

#[test]
fn routes_and_fields_that_cannot_work_are_told_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yaml");
    for (section, words) in [
        ("ingest: {}", "`ingest` has neither a `topic` nor `events`"),
        ("ingest: { routes: [{ path: /a, topic: t }], events: { topic: e } }", "need a `topic`"),
        ("ingest: { topic: a, routes: [{ path: /x, topic: 'a b' }] }", "`a b` is not a valid topic name"),
        ("ingest: { topic: a, routes: [{ path: audit, topic: b }] }", "`audit` is not a path"),
        ("ingest: { topic: a, routes: [{ path: /api/logs/x, topic: b }] }", "has a meaning of its own"),
        ("ingest: { topic: a, routes: [{ path: /x/batch, topic: b }] }", "has a meaning of its own"),
        (
            "ingest: { topic: a, routes: [{ path: /x, topic: b }, { path: /x, topic: c }] }",
            "another route has the path",
        ),
        ("ingest: { topic: a, routes: [{ topic: b }] }", "either a `path` or a `where`"),
        (
            "ingest: { topic: a, routes: [{ path: /x, where: { level: INFO }, topic: b }] }",
            "either a `path` or a `where`",
        ),
        ("ingest: { topic: a, routes: [{ where: { level: LOUD }, topic: b }] }", "`LOUD` is not a level"),
        ("ingest: { topic: a, routes: [{ where: { user_id: x }, topic: b }] }", "cannot ask for `user_id`"),
        ("ingest: { events: { topic: a, routes: [{ where: { level: INFO }, topic: b }] } }", "cannot ask for `level`"),
        ("ingest: { events: { topic: a, key: [element_id] } }", "`element_id` cannot be in the key"),
        ("ingest: { events: { topic: a, fields: { x: { required: true } } } }", "the usual key needs `user_id`"),
        ("ingest: { events: { topic: a, fields: { eventId: {} }, key: [eventId] } }", "written by the door itself"),
        ("ingest: { events: { topic: a, fields: { x: { type: date } } } }", "date"),
    ] {
        let text = format!(
            "kafka: {{ bootstrap_servers: x }}\nsources: {{ s: {{ topics: [t], timestamp: {{ from: kafka }} }} }}\n\
             aggregates: {{ a: {{ source: s, measures: {{ n: count }} }} }}\n{section}\n"
        );
        std::fs::write(&file, text).unwrap();
        let output =
            std::process::Command::new(program()).args(["validate", "-c"]).arg(&file).output().expect("the binary");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{section}: {said}");
    }
}

#[test]
fn a_topic_that_is_not_there_is_named_and_holds_up_no_other() {
    let kafka = shared();
    let missing = unique("missing");
    let lines = format!(
        "  delivery_timeout: 2s\n  requests_per_second: 0\n  batches_per_second: 0\n  routes:\n    - {{ where: {{ source: lost }}, topic: {missing} }}\n"
    );
    let door = Door::open(kafka, "ingest-missing", &lines);
    let post = |source: &str, level: &str, n: usize| {
        let event = json!({ "source": source, "level": level, "message": n.to_string() });
        door.post_json("/api/logs", &event.to_string())
    };
    // More than half of what is sent: were it the brokers' fault, nothing would be tried for a minute.
    for n in 0..20 {
        assert_eq!((post("lost", "INFO", n).status, post("found", "INFO", n).status), (202, 202));
    }
    assert_eq!(post("lost", "ERROR", 20).status, 202, "it is on disk");
    let said = format!("topic {missing} is not there");
    wait_until("the log names it", || door.agent.log().contains(&said));
    wait_until("the others are in their topic", || kafka.read(&door.topic).len() == 20);
    let refused = post("lost", "INFO", 21);
    assert!(
        refused.status == 503 && refused.body.contains(&said) && refused.headers.contains_key("retry-after"),
        "{refused:?}"
    );
    let refused_for_it = "streamgauge_ingest_rejected_events_total{reason=\"no_topic\"} 1\n";
    assert!(door.agent.scrape().contains(refused_for_it), "{}", door.agent.scrape());
    let begun = std::time::Instant::now();
    for n in 0..200 {
        assert_eq!(post("found", "ERROR", n).status, 202);
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "the others do not wait: {:?}", begun.elapsed());
    assert_eq!(kafka.read(&door.topic).len(), 220, "an ERROR is in Kafka when it is answered");
    let page = door.agent.scrape();
    assert!(page.contains("streamgauge_ingest_circuit_state 0\n"), "{page}");
    kafka.create_topic(&missing, 1, &[]);
    wait_until("what waited for it is in it", || kafka.read(&missing).len() == 21);
    wait_until("it takes events again", || post("lost", "INFO", 22).status == 202);
    wait_until("nothing waits on disk", || door.agent.scrape().contains("streamgauge_ingest_spool_events 0\n"));
}
