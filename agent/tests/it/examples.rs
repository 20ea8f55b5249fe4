//! The examples of other things than requests, each as it is shipped: counted by an agent that is killed meanwhile,
//! all of their totals and windows equal the audit's recount, and dashboards are made of them.

use std::fs;

use serde_json::{Value, json};

use crate::agent::{Agent, free_address, repository};
use crate::ingest::{Client, curl};
use crate::kafka::{shared, unique, wait_until};
use crate::scene::{number, unix_millis};

const PARTITIONS: u64 = 3;

/// Numbers that are always the same ones.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn example(name: &str, topic: &str) -> String {
    let text = fs::read_to_string(repository().join(format!("examples/{name}.yaml"))).expect("the example");
    let group = format!("group_id: group-of-{topic}\n  session_timeout: 6s");
    let replacements = [
        (format!("group_id: streamgauge-{name}"), group),
        ("dir: ./state".to_owned(), "dir: ${STATE_DIR}".to_owned()),
        ("http: { listen: 127.0.0.1:9746 }".to_owned(), "http:\n  listen: ${HTTP_LISTEN}".to_owned()),
        ("grpc: { listen: 127.0.0.1:9747 }".to_owned(), "grpc:\n  listen: ${GRPC_LISTEN}".to_owned()),
    ];
    let text = replacements.iter().fold(text, |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{name}: {from:?} is not there once");
        text.replace(from, to)
    });
    text.replace("listen: 127.0.0.1:9748", &format!("listen: {}", free_address()))
}

/// The example with another topic.
fn reading(config: &str, own: &str, topic: &str) -> String {
    let reads = format!("topics: [{own}]");
    assert_eq!(config.matches(&reads).count(), 1, "it reads {own}");
    config
        .replace(&reads, &format!("topics: [{topic}]"))
        .replace(&format!("topic: {own}\n"), &format!("topic: {topic}\n"))
}

/// Runs an example on 20,000 events of a quarter of an hour; `counter` has counted all of them in the end.
#[track_caller]
fn check(name: &str, own_topic: &str, counter: &str, event: fn(&mut Random, i64) -> Value) {
    const COUNT: u64 = 20_000;
    let (kafka, topic) = (shared(), unique(name));
    kafka.create_topic(&topic, PARTITIONS as i32, &[]);
    let mut agent = Agent::start(kafka.bootstrap(), &reading(&example(name, &topic), own_topic, &topic));
    agent.wait_ready();
    let (mut random, start) = (Random(0x2545_f491_4f6c_dd1d), unix_millis() - 1_800_000);
    let mut produce = |from: u64, to: u64| {
        let mut partitions = vec![Vec::new(); PARTITIONS as usize];
        for n in from..to {
            let at = start + (n * 900_000 / COUNT) as i64 - random.next(1_000) as i64;
            let partition = random.next(PARTITIONS) as usize;
            partitions[partition].push(event(&mut random, at).to_string());
        }
        for (partition, texts) in (0..).zip(&partitions) {
            kafka.produce(&topic, partition, texts.iter().map(|text| ("", text.as_str())));
        }
    };
    produce(0, COUNT / 2);
    wait_until("something is counted", || number(&agent.scrape(), counter, &[]) > 0.0);
    agent.kill9();
    agent.restart();
    agent.wait_ready();
    produce(COUNT / 2, COUNT);
    wait_until("all is counted", || number(&agent.scrape(), counter, &[]) == COUNT as f64);
    let audit = agent.verb(&["audit", "--all", "--address", &format!("http://{}", agent.grpc())]);
    let text = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(audit.status.success(), "{text}{}", String::from_utf8_lossy(&audit.stderr));
    let compared: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
    assert!(compared.len() >= 3 && compared.iter().all(|line| line.ends_with(": the same")), "{text}");
    let boards = tempfile::tempdir().expect("a temporary directory");
    let folder = boards.path().to_str().expect("plain names");
    let made = agent.verb(&["generate", "grafana", "--output", folder]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn user_actions_are_counted_as_they_were() {
    check("user-actions", "user-actions", "actions_events_total", |random, at| {
        let kind = ["page_view", "button_click", "form_submit", "purchase"][random.next(4) as usize];
        let time = jiff::Timestamp::from_millisecond(at).expect("a time").to_string();
        json!({
            "timestamp": time, "event_type": kind, "user_id": format!("u{}", random.next(700)),
            "page": format!("/p{}", random.next(5)), "element_id": format!("#e{}", random.next(30) * random.next(30)),
            "load_ms": if random.next(500) == 0 { 9_000 } else { 100 + random.next(900) },
        })
    });
}

#[test]
fn logins_are_counted_as_they_were() {
    check("security", "logins", "logins_attempts_total", |random, at| {
        let time = jiff::Timestamp::from_millisecond(at).expect("a time").to_string();
        json!({
            "time": time, "user": format!("user{}", random.next(40) * random.next(3)), "tries": 1 + random.next(4),
            "address": format!("203.0.{}.{}", random.next(4), random.next(250)),
            "outcome": if random.next(3) == 0 { "failure" } else { "success" },
        })
    });
}

#[test]
fn payments_are_counted_as_they_were() {
    check("payments", "payments", "payments_attempts_total", |random, at| {
        json!({
            "created": at as f64 / 1_000.0, "merchant": format!("m{}", random.next(4)),
            "customer": format!("c{}", random.next(200) * random.next(10)),
            "status": if random.next(20) == 0 { "declined" } else { "paid" },
            "amount": random.next(10_000) as f64 / 100.0, "took_ms": 50 + random.next(600) * random.next(4),
        })
    });
}

/// As the README of a dashboard for user events has it.
const USER_EVENT: &str = r##"curl -X POST http://127.0.0.1:9748/api/events -H "Content-Type: application/json" -d '{
  "user_id": "user_001",
  "event_type": "button_click",
  "element_id": "btn_submit",
  "timestamp": "2024-01-15T10:30:00Z"
}'"##;

#[test]
fn user_actions_that_are_handed_in_are_counted() {
    let (kafka, topic) = (shared(), unique("user-actions-door"));
    kafka.create_topic(&topic, PARTITIONS as i32, &[]);
    let config = reading(&example("user-actions", &topic), "user-actions", &topic);
    let listen = config.split("ingest:\n  listen: ").nth(1).and_then(|rest| rest.lines().next());
    let door = listen.expect("the example has a door").parse().expect("an address");
    let mut agent = Agent::start(kafka.bootstrap(), &config);
    agent.wait_ready();
    let answer = curl(door, USER_EVENT);
    assert!(answer.contains("\"status\":\"Accepted\"") && answer.ends_with("\n202"), "{answer}");
    let action = |n: u64| {
        let kind = ["page_view", "button_click", "form_submit"][(n % 3) as usize];
        let time = jiff::Timestamp::from_millisecond(1_705_314_600_000 + n as i64 * 10).expect("a time").to_string();
        json!({
            "user_id": format!("user_{:03}", n % 50), "event_type": kind, "element_id": format!("btn_{}", n % 7),
            "page": "/cart", "load_ms": 100 + n % 900, "timestamp": time,
        })
    };
    let mut client = Client::new(door);
    for batch in 0..3 {
        let events: Vec<_> = (0..1_000).map(|n| action(batch * 1_000 + n)).collect();
        let body = Value::from(events).to_string();
        let answer = client.post("/api/events/batch", &[("Content-Type", "application/json")], body.as_bytes());
        assert_eq!(answer.expect("an answer").json()["accepted"], 1_000);
    }
    wait_until("all is counted", || number(&agent.scrape(), "actions_events_total", &[]) == 3_001.0);
    let page = agent.scrape();
    let of = |kind: &str| number(&page, "actions_events_total", &[("type", kind)]);
    assert_eq!((of("page_view"), of("button_click"), of("form_submit")), (1_000.0, 1_001.0, 1_000.0));
    let path = "/api/v1/query/actions?start=2024-01-15T10:30:00Z&end=2024-01-15T10:31:00Z&measure=events";
    let (status, answer) = agent.get(path);
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let rows = answer["rows"].as_array().expect("rows");
    let counted: Vec<_> =
        rows.iter().map(|row| (row["labels"]["type"].clone(), row["values"][0]["count"].clone())).collect();
    let expected = [("button_click", "1001"), ("form_submit", "1000"), ("page_view", "1000")];
    assert_eq!(counted, expected.map(|(kind, count)| (json!(kind), json!(count))), "{answer}");
}

#[test]
fn application_logs_are_counted_as_they_were() {
    check("application-logs", "logs", "logs_lines_total", |random, at| {
        let level = ["INFO", "INFO", "INFO", "WARN", "ERROR", "FATAL"][random.next(6) as usize];
        let source = ["checkout", "search", "login"][random.next(3) as usize];
        let time = jiff::Timestamp::from_millisecond(at).expect("a time").to_string();
        let mut line = json!({
            "source": source, "level": level, "timestamp": time, "message": format!("message {}", random.next(9)),
            "metadata": { "userId": random.next(300).to_string() },
        });
        if level == "FATAL" {
            line["stackTrace"] = json!("Exception: error\n  at main");
        }
        line
    });
}

#[test]
fn visits_and_unusual_requests_are_counted_as_they_were() {
    check("http-visits", "log-events", "endpoints_requests_total", |random, at| {
        let slow = random.next(300) == 0;
        let status = [200, 200, 200, 404, 500][random.next(5) as usize];
        json!({
            "timestamp": at, "endpoint": format!("/api/{}", random.next(6)), "method": "GET",
            "status": status, "region": format!("region-{}", random.next(3)),
            "response_time_ms": if slow { 5_000 } else { 20 + random.next(200) },
            "user_id": format!("user_{}", random.next(400)),
        })
    });
}
