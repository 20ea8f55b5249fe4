//! State that earlier versions wrote is read by this one: a changelog of each is kept in `fixtures/`, and an agent without
//! any state of its own answers from it as the version that wrote it did.
//!
//! `STREAMGAUGE_BLESS=1` keeps the changelog of this version. A release does that; a fixture that is there never changes.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use rdkafka::producer::{BaseRecord, Producer};
use serde_json::{Value, json};
use streamgauge_proto::storage::v1::OffsetRecord;

use crate::agent::{Agent, repository};
use crate::kafka::{Kafka, shared, wait_until};
use crate::scene::number;

/// The group and the topic stand in the stored records.
const NAME: &str = "stored";
const CHANGELOG: &str = "streamgauge-stored-stored-changelog";
const EVENTS: u64 = 400;
/// 2025-11-24T16:00:00Z.
const START: i64 = 1_764_000_000_000;
const QUESTIONS: [&str; 3] = [
    "/api/v1/query/kept",
    "/api/v1/query/kept?window=1m&start=2025-11-24T16:00:00Z&end=2025-11-24T16:10:00Z&buckets",
    "/api/v1/query/visits",
];

/// A measure of each kind.
const CONFIG: &str = "kafka:\n  bootstrap_servers: ${KAFKA_BOOTSTRAP_SERVERS}\n  group_id: stored\n  session_timeout: 6s\n\
     sources:\n  events:\n    topics: [stored]\n    timestamp: { field: at, format: unix_ms }\n    max_future: 1000d\n\
     aggregates:\n  kept:\n    source: events\n    by: { page: page }\n    windows: [1m, 5m/1m]\n    grace: 10s\n    \
     retention: 3h\n    measures:\n      \
     events: count\n      size: { sum: ms }\n      least: { min: ms }\n      most: { max: ms }\n      mean: { avg: ms }\n      \
     wait: { histogram: ms, unit: ms }\n      steps: { buckets: { of: ms, bounds: [10, 100, 500] } }\n      \
     failures: { count: { where: { ok: false } } }\n      failure: { ratio: { part: failures, of: events } }\n      \
     patience: { apdex: { of: ms, target: 0.3 }, unit: ms }\n      \
     slow: { anomaly: { of: ms, sigma: 2, min_count: 20 } }\n      users: { distinct: user }\n      \
     busiest: { top: { of: user, k: 3 } }\n      opening: { first: ms }\n      closing: { last: ms }\n      seen: last_seen\n  \
     visits:\n    source: events\n    by: { user: user }\n    windows: [{ session: 1m, max: 1h }]\n    grace: 10s\n    \
     measures: { clicks: count }\n";

fn event(n: u64) -> String {
    let page = ["/a", "/b"][(n % 7 / 4) as usize];
    let (at, ms, user) = (START + (n * 1_500) as i64, n * n % 613, format!("u{}", n * n % 31));
    json!({ "at": at, "page": page, "ms": ms, "ok": !n.is_multiple_of(9), "user": user }).to_string()
}

fn folder() -> PathBuf {
    repository().join("agent/tests/fixtures")
}

/// What this version writes, kept for those that come.
fn keep(kafka: &Kafka) {
    kafka.create_topic(NAME, 1, &[]);
    let events: Vec<String> = (0..EVENTS).map(event).collect();
    kafka.produce(NAME, 0, events.iter().map(|text| ("", text.as_str())));
    let mut agent = Agent::start(kafka.bootstrap(), CONFIG);
    agent.wait_ready();
    wait_until("all is counted", || number(&agent.scrape(), "kept_events_total", &[]) == EVENTS as f64);
    let answers = answers(&agent);
    assert!(agent.terminate().success());
    // As compaction leaves it: the last record of each key.
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for record in kafka.read(CHANGELOG) {
        let key = record.key.expect("changelog records have keys");
        records.retain(|(known, _)| *known != key);
        records.extend(record.value.map(|value| (key, value)));
    }
    let records: Vec<_> = records.iter().map(|(key, value)| [STANDARD.encode(key), STANDARD.encode(value)]).collect();
    let fixture = json!({ "config": CONFIG, "events": EVENTS, "records": records, "answers": answers });
    fs::create_dir_all(folder()).expect("the folder is made");
    let path = folder().join(format!("changelog-{}.json", env!("CARGO_PKG_VERSION")));
    fs::write(path, format!("{fixture:#}\n")).expect("the fixture is written");
}

/// Rows of the answers; as of when they are is left out.
fn answers(agent: &Agent) -> Vec<Value> {
    let answer = |path: &str| {
        let (status, body) = agent.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        let mut answer: Value = serde_json::from_str(&body).expect("JSON");
        answer["rows"].take()
    };
    QUESTIONS.map(answer).to_vec()
}

/// Lays a kept changelog on a broker, beside a source topic whose records cannot be counted again.
fn lay(kafka: &Kafka, fixture: &Value) {
    kafka.create_topic(NAME, 1, &[]);
    kafka.create_topic(CHANGELOG, 1, &[("cleanup.policy", "compact")]);
    let count = fixture["events"].as_u64().expect("a count");
    kafka.produce(NAME, 0, (0..count).map(|_| ("", "no event")));
    let producer = kafka.producer();
    for record in fixture["records"].as_array().expect("records") {
        let bytes = |at: usize| STANDARD.decode(record[at].as_str().expect("a text")).expect("base64");
        let (key, mut value) = (bytes(0), bytes(1));
        if key == b"offset" {
            // The topic of this broker has another id.
            let mut offset = OffsetRecord::decode(&*value).expect("an offset record");
            offset.topic_id.clear();
            value = offset.encode_to_vec();
        }
        producer.send(BaseRecord::to(CHANGELOG).partition(0).key(&key).payload(&value)).expect("there is room");
    }
    producer.flush(std::time::Duration::from_secs(30)).expect("all is acknowledged");
}

fn check(path: &Path) {
    let fixture: Value = serde_json::from_str(&fs::read_to_string(path).expect("a fixture")).expect("JSON");
    let kafka = shared();
    lay(kafka, &fixture);
    let mut agent = Agent::start(kafka.bootstrap(), fixture["config"].as_str().expect("a config"));
    agent.wait_ready();
    for (question, (found, kept)) in
        QUESTIONS.iter().zip(answers(&agent).iter().zip(fixture["answers"].as_array().expect("answers")))
    {
        assert!(kept.as_array().is_some_and(|rows| !rows.is_empty()), "{question}: nothing was kept");
        assert!(says(found, kept), "{}: {question}: {found}\nwas {kept}", path.display());
    }
    assert!(!agent.scrape().contains("streamgauge_decode_errors_total{"), "the source was read again");
    drop(agent);
    kafka.delete_topic(NAME);
    kafka.delete_topic(CHANGELOG);
}

/// Whether an answer has all that an earlier version's had; it may have more fields.
fn says(found: &Value, kept: &Value) -> bool {
    match (found, kept) {
        (Value::Object(found), Value::Object(kept)) => {
            kept.iter().all(|(name, kept)| found.get(name).is_some_and(|found| says(found, kept)))
        }
        (Value::Array(found), Value::Array(kept)) => {
            found.len() == kept.len() && found.iter().zip(kept).all(|(found, kept)| says(found, kept))
        }
        (found, kept) => found == kept,
    }
}

#[test]
fn what_earlier_versions_stored_is_read_and_answers_the_same() {
    if std::env::var("STREAMGAUGE_BLESS").is_ok_and(|v| v == "1") {
        keep(shared());
        return;
    }
    let mut fixtures: Vec<PathBuf> =
        fs::read_dir(folder()).expect("fixtures").map(|entry| entry.expect("an entry").path()).collect();
    fixtures.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    fixtures.sort();
    assert!(!fixtures.is_empty());
    fixtures.iter().for_each(|path| check(path));
}
