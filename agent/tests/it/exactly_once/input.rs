//! What comes in is not always sound: broken events become dead letters, once each; aborted input never counts.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::kafka::{Record, wait_until};
use crate::oracle::Recount;
use crate::scene::{Scene, number, unix_millis};

const TIMEOUT: Duration = Duration::from_secs(30);
const EVENT_SIZE: usize = 10_240;

/// A sound event, but for what replaces `"from"`.
fn event(from: &str, to: &str) -> Vec<u8> {
    let now = unix_millis();
    let sound = format!(
        r#"{{"timestamp": {now}, "endpoint": "/api/users", "method": "GET", "status": 200, "response_time_ms": 12.5, "region": "us-east"}}"#
    );
    assert!(sound.contains(from), "{from}");
    sound.replacen(from, to, 1).into_bytes()
}

/// Payloads that are no events, with the reason that their dead letters are to give.
fn broken() -> Vec<(&'static str, Option<Vec<u8>>)> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let pad = "x".repeat(EVENT_SIZE);
    let year_2100 = r#""timestamp": 4102444800000, "was":"#;
    vec![
        ("empty", text("")),
        ("not_json", text("GET /api/users 200 12ms")),
        ("not_json", text(r#"{"timestamp": 17636574"#)),
        ("not_json", Some(vec![0xff, 0xfe, 0x00])),
        ("not_json", Some(vec![0; 100])),
        ("not_json", Some([r#"{"timestamp": 1, "deep": "#.as_bytes(), &[b'['; 5_000]].concat())),
        ("not_an_object", text("17")),
        ("not_an_object", text("null")),
        ("missing_timestamp", Some(event("timestamp", "time"))),
        ("bad_timestamp", Some(event(r#""timestamp": "#, r#""timestamp": "yesterday", "was": "#))),
        ("bad_timestamp", Some(event(r#""timestamp": "#, r#""timestamp": {}, "was": "#))),
        ("too_far_ahead", Some(event(r#""timestamp":"#, year_2100))),
        ("too_large", Some(event("timestamp", &pad))),
    ]
}

/// Events of which some aggregate cannot use a part, with the word for that. Only a strict source makes dead letters of
/// them.
fn odd() -> Vec<(&'static str, Option<Vec<u8>>)> {
    let odd = [
        ("missing_label", event("endpoint", "path")),
        ("missing_label", event("status", "code")),
        ("missing_label", event("region", "zone")),
        ("missing_label", event(r#""/api/users""#, "null")),
        ("label_type", event(r#""/api/users""#, r#"["/api/users"]"#)),
        ("missing_value", event("response_time_ms", "response_time")),
        ("missing_value", event("12.5", "null")),
        ("missing_value", event("12.5", r#""-""#)),
        ("value_type", event("12.5", r#""fast""#)),
        ("negative_value", event("12.5", "-12.5")),
    ];
    odd.into_iter().map(|(reason, payload)| (reason, Some(payload))).collect()
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, key: &str, payload: Option<&[u8]>) {
    let mut record = BaseRecord::<str, [u8]>::to(topic).partition(partition).key(key);
    record.payload = payload;
    producer.send(record).map_err(|(error, _)| error).expect("there is room in the queue");
    producer.poll(Duration::ZERO);
}

fn header(record: &Record, name: &str) -> String {
    let found: Vec<_> = record.headers.iter().filter(|(key, _)| key == name).collect();
    assert_eq!(found.len(), 1, "{name} in {:?}", record.headers);
    String::from_utf8(found[0].1.clone()).expect("headers are text")
}

/// Every broken record of the input is in the dead-letter topic once, unchanged, with the right reason and place.
fn assert_dead_letters(scene: &Scene, broken: &[(&'static str, Option<Vec<u8>>)]) -> usize {
    let reasons: BTreeMap<String, &str> =
        broken.iter().enumerate().map(|(nth, (reason, _))| (format!("broken-{nth}"), *reason)).collect();
    let input = scene.kafka.read(&scene.topic);
    let mut wanted: BTreeMap<(String, String), &Record> = BTreeMap::new();
    for record in &input {
        let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        if key.starts_with("broken-") {
            wanted.insert((record.partition.to_string(), record.offset.to_string()), record);
        }
    }
    let all = wanted.len();
    for letter in scene.kafka.read(&format!("{}-dlq", scene.topic)) {
        let place = (header(&letter, "streamgauge.partition"), header(&letter, "streamgauge.offset"));
        let Some(record) = wanted.remove(&place) else { panic!("twice, or for no broken record: {letter:?}") };
        assert_eq!((&letter.key, &letter.value), (&record.key, &record.value));
        assert_eq!(header(&letter, "streamgauge.topic"), scene.topic);
        let key = String::from_utf8(record.key.clone().expect("a key")).expect("text");
        assert_eq!(header(&letter, "streamgauge.reason"), reasons[&key], "{:?}", header(&letter, "streamgauge.detail"));
        assert!(header(&letter, "streamgauge.detail").len() > 10);
        assert!(header(&letter, "streamgauge.timestamp").parse::<i64>().is_ok());
    }
    assert!(wanted.is_empty(), "{} of {all} broken records have no dead letter: {:?}", wanted.len(), wanted.keys());
    all
}

#[test]
fn a_broken_event_is_one_dead_letter_that_says_why_and_the_others_count() {
    let scene = Scene::new("broken", 2).section("limits: { event_size: 10KiB }\n");
    scene.produce_now(2_000, 1);
    let producer = scene.kafka.producer();
    for partition in 0..2 {
        for (nth, (_, payload)) in broken().iter().enumerate() {
            send(&producer, &scene.topic, partition, &format!("broken-{nth}"), payload.as_deref());
            // Dated 1970: too late for every window, and still one more request in the totals.
            let old = event(r#""timestamp": "#, r#""timestamp": 1000, "was": "#);
            send(&producer, &scene.topic, partition, "old", Some(&old));
            send(&producer, &scene.topic, partition, "sound", Some(&event("12.5", "0.1")));
        }
    }
    producer.flush(TIMEOUT).expect("all is acknowledged");
    let agent = scene.agent();
    let recount = scene.assert_equals_recount(&[&agent]);
    assert_eq!(recount.late("http"), 2 * broken().len() as u64, "each event of 1970 is late");
    assert_eq!(assert_dead_letters(&scene, &broken()), 2 * broken().len());
    let page = agent.scrape();
    for (reason, count) in broken().iter().fold(BTreeMap::<_, f64>::new(), |mut counts, (reason, _)| {
        *counts.entry(*reason).or_default() += 2.0;
        counts
    }) {
        let labels = [("reason", reason), ("source", "requests")];
        assert_eq!(number(&page, "streamgauge_decode_errors_total", &labels), count, "{reason}");
    }
    let late = number(&page, "streamgauge_late_events_total", &[("aggregate", "http")]);
    assert_eq!(late, recount.late("http") as f64);
}

#[test]
fn an_event_that_one_aggregate_cannot_use_counts_wherever_it_can_be() {
    let scene = Scene::new("odd", 2);
    let producer = scene.kafka.producer();
    for partition in 0..2 {
        for (nth, (_, payload)) in odd().iter().enumerate() {
            send(&producer, &scene.topic, partition, &format!("odd-{nth}"), payload.as_deref());
            send(&producer, &scene.topic, partition, "quoted", Some(&event("12.5", r#""0.1""#)));
            send(&producer, &scene.topic, partition, "tombstone", None);
        }
    }
    producer.flush(TIMEOUT).expect("all is acknowledged");
    let agent = scene.agent();
    let recount = scene.assert_equals_recount(&[&agent]);
    let all = 4 * odd().len() as u64;
    assert_eq!(recount.merged_totals("http").values().map(|cell| cell.requests).sum::<u64>(), all);
    assert!(scene.kafka.read(&format!("{}-dlq", scene.topic)).is_empty());
    let count = |name: &str, labels: &[(&str, &str)]| number(&agent.scrape(), name, labels);
    let values = |reason| {
        let labels = [("aggregate", "http_region"), ("measure", "duration"), ("reason", reason)];
        count("streamgauge_skipped_values_total", &labels)
    };
    wait_until("what was skipped is counted", || values("missing_value") == 6.0);
    assert_eq!((values("value_type"), values("negative_value")), (2.0, 2.0));
    let labels = |label, reason| {
        let labels = [("aggregate", "http"), ("label", label), ("reason", reason)];
        count("streamgauge_adjusted_labels_total", &labels)
    };
    assert_eq!((labels("endpoint", "missing_label"), labels("endpoint", "label_type")), (4.0, 2.0));
    assert_eq!(count("streamgauge_aggregated_events_total", &[("aggregate", "http")]), all as f64);
    let tombstones = [("reason", "tombstone"), ("source", "requests")];
    assert_eq!(count("streamgauge_passed_by_events_total", &tombstones), 2.0 * odd().len() as f64);
}

#[test]
fn a_strict_source_makes_dead_letters_of_what_one_aggregate_cannot_use() {
    let scene = Scene::new("strict", 1).replacing("format: json\n", "format: json\n    strict: true\n");
    let producer = scene.kafka.producer();
    let odd = odd();
    for (nth, (_, payload)) in odd.iter().enumerate() {
        send(&producer, &scene.topic, 0, &format!("broken-{nth}"), payload.as_deref());
        send(&producer, &scene.topic, 0, "sound", Some(&event("12.5", "0.1")));
    }
    producer.flush(TIMEOUT).expect("all is acknowledged");
    let agent = scene.agent();
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).expect("the topic can be read");
    scene.wait_caught_up(&[&agent], &recount);
    assert_eq!(assert_dead_letters(&scene, &odd), odd.len());
    assert_eq!(number(&agent.scrape(), "http_requests_total", &[]), odd.len() as f64);
}

#[test]
fn dead_letters_are_written_once_though_transactions_abort_and_the_agent_is_killed() {
    let scene = Scene::new("dead-letters", 2).section("limits: { event_size: 10KiB }\n");
    let failing = "commit.offsets_sent=fail@3,commit.produced=fail@6,commit.after_kafka=kill@14";
    let mut agent = scene.agent_with(&[("STREAMGAUGE_FAILPOINTS", failing)]);
    let stream = scene.produce(30_000, 1, &["--rate", "10000"]);
    let producer = scene.kafka.producer();
    let broken = broken();
    for round in 0..200 {
        let nth = round % broken.len();
        send(&producer, &scene.topic, round as i32 % 2, &format!("broken-{nth}"), broken[nth].1.as_deref());
        std::thread::sleep(Duration::from_millis(20));
    }
    producer.flush(TIMEOUT).expect("all is acknowledged");
    agent.wait_exit();
    agent.set("STREAMGAUGE_FAILPOINTS", None);
    agent.restart();
    stream.finish();
    scene.assert_equals_recount(&[&agent]);
    assert_eq!(assert_dead_letters(&scene, &broken), 200);
}

#[test]
fn aborted_input_is_not_counted_and_is_not_waited_for() {
    let scene = Scene::new("transactions", 2);
    let producer: BaseProducer =
        scene.kafka.client().set("transactional.id", &scene.topic).create().expect("a transactional producer");
    producer.init_transactions(TIMEOUT).expect("transactions");
    let agent = scene.agent();
    let sound = event("12.5", "0.1");
    for round in 0..20 {
        producer.begin_transaction().expect("begun");
        for nth in 0..100 {
            send(&producer, &scene.topic, nth % 2, "key", Some(&sound));
        }
        producer.flush(TIMEOUT).expect("all is acknowledged");
        // The last one is aborted, too: nothing that counts comes after it.
        let end =
            if round % 3 == 1 { producer.abort_transaction(TIMEOUT) } else { producer.commit_transaction(TIMEOUT) };
        end.expect("ended");
    }
    let recount = scene.assert_equals_recount(&[&agent]);
    assert_eq!(recount.events(), 1_300);
    wait_until("no lag is left, though no record stands at the end", || {
        let page = agent.scrape();
        ["streamgauge_lag_messages", "streamgauge_stable_lag_messages"]
            .iter()
            .all(|name| page.contains(&format!("{name}{{")) && number(&page, name, &[]) == 0.0)
    });
    // An open transaction hides what comes after it, in the agent as in the recount.
    producer.begin_transaction().expect("begun");
    send(&producer, &scene.topic, 0, "key", Some(&sound));
    producer.flush(TIMEOUT).expect("all is acknowledged");
    scene.produce_now(1_000, 1);
    scene.assert_equals_recount(&[&agent]);
    producer.abort_transaction(TIMEOUT).expect("aborted");
    let recount = scene.assert_equals_recount(&[&agent]);
    assert_eq!(recount.events(), 2_300);
}
