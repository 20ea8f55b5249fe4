//! Commits against what Kafka takes: brokers that take little, brokers that stand still, topics that take only small records.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer};

use crate::agent::Agent;
use crate::kafka::{Kafka, wait_until};
use crate::scene::{Scene, number, unix_millis};

const PATIENCE: Duration = Duration::from_secs(150);

/// One total for each user.
fn totals(topic: &str, group: &str, kafka: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: {group}\n{kafka}\
         sources:\n  s: {{ topics: [{topic}], timestamp: {{ field: timestamp, format: unix_ms }} }}\n\
         aggregates:\n  u: {{ source: s, by: {{ user: user }}, limit: 1000000, measures: {{ requests: count }} }}\n"
    )
}

/// One event of each of so many users, whose names compress as little as names can.
fn one_event_of_each(kafka: &Kafka, topic: &str, partitions: i32, users: u64) {
    let now = unix_millis();
    let producer = kafka.producer();
    for user in 0..users {
        let mut name = user.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        name ^= name >> 29;
        let event =
            format!("{{\"timestamp\": {now}, \"user\": \"{:016x}\"}}", name.wrapping_mul(0xbf58_476d_1ce4_e5b9));
        let mut record = BaseRecord::<str, str>::to(topic).partition((user % partitions as u64) as i32).payload(&event);
        while let Err((_, back)) = producer.send(record) {
            producer.poll(Duration::from_millis(10));
            record = back;
        }
    }
    producer.flush(Duration::from_secs(60)).expect("all is acknowledged");
}

/// The agent's producer may write so many bytes a second.
fn limit(kafka: &Kafka, bytes: u32) {
    let quota = format!("producer_byte_rate={bytes}");
    kafka.script(
        &["configs"],
        &["--alter", "--entity-type", "clients", "--entity-name", "streamgauge", "--add-config", &quota],
    );
}

/// The page once so many offsets are committed and this run of the agent may show them: after a restart the numbers are
/// there before the first commit gives the agent its lease, and until then it shows none.
fn wait_committed(agent: &Agent, topic_end: i64) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let committed: i64 = agent.status().map_or(0, |status| status.partitions.iter().map(|p| p.next_offset).sum());
        if committed >= topic_end {
            let page = agent.scrape();
            let held: Vec<_> = page.lines().filter(|line| line.starts_with("streamgauge_lease_held{")).collect();
            if !held.is_empty() && held.iter().all(|line| line.ends_with(" 1")) {
                return page;
            }
        }
        assert!(Instant::now() < until, "{committed} of {topic_end} committed in time");
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn sum(page: &str, series: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(series));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn brokers_that_take_little_are_given_little_at_a_time() {
    let kafka = Kafka::start(1);
    const USERS: u64 = 200_000;
    kafka.create_topic("users", 4, &[]);
    one_event_of_each(&kafka, "users", 4, USERS);
    limit(&kafka, 300_000);
    let agent = Agent::start(kafka.bootstrap(), &totals("users", "quota", ""));
    let page = wait_committed(&agent, USERS as i64);
    assert_eq!(sum(&page, "u_requests_total{"), USERS as f64);
    assert_eq!(sum(&page, "streamgauge_events_total{"), USERS as f64, "nothing was folded twice");
}

#[test]
fn what_one_partition_has_folded_and_cannot_commit_is_folded_again_in_smaller_parts() {
    let kafka = Kafka::start(1);
    const USERS: u64 = 60_000;
    kafka.create_topic("users", 1, &[]);
    one_event_of_each(&kafka, "users", 1, USERS);
    limit(&kafka, 60_000);
    // The first commit takes so long that all the rest is folded meanwhile, however slow the machine is.
    let config = totals("users", "quota", "  transaction_timeout: 3s\n");
    let slow = [("STREAMGAUGE_FAILPOINTS", "commit.begun=sleep:2000@1")];
    let mut agent = Agent::at_rest(kafka.bootstrap(), &config, &slow);
    agent.restart();
    let page = wait_committed(&agent, USERS as i64);
    assert_eq!(sum(&page, "u_requests_total{"), USERS as f64);
    assert!(
        sum(&page, "streamgauge_epochs_aborted_total{reason=\"timed_out\"}") > 0.0,
        "the first epochs were too large"
    );
    let log = agent.log();
    assert!(log.contains("kafka.transaction_timeout (3s)"), "the log names the setting");
    assert!(log.contains("folding less"));
}

#[test]
fn a_term_signal_ends_an_agent_whose_brokers_stand_still_in_the_middle_of_a_commit() {
    let kafka = Kafka::start(1);
    kafka.create_topic("users", 2, &[]);
    one_event_of_each(&kafka, "users", 2, 1_000);
    let config = totals("users", "frozen", "");
    let mut agent = Agent::start_with(
        kafka.bootstrap(),
        &config,
        // The brokers freeze while the epoch after this one is on its way.
        &[("STREAMGAUGE_FAILPOINTS", "commit.begun=sleep:3000@4")],
    );
    wait_committed(&agent, 1_000);
    one_event_of_each(&kafka, "users", 2, 1_000);
    wait_until("a commit has begun", || agent.log().contains("commit.begun"));
    kafka.pause_broker(1);
    std::thread::sleep(Duration::from_secs(3));
    let asked = Instant::now();
    agent.terminate();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(40), "it took {took:?} to end");
    kafka.resume_broker(1);
    agent.set("STREAMGAUGE_FAILPOINTS", None);
    agent.restart();
    let page = wait_committed(&agent, 2_000);
    assert_eq!(sum(&page, "u_requests_total{"), 2_000.0);
}

#[test]
fn a_dead_letter_larger_than_its_topic_takes_is_cut_and_says_so() {
    let scene = Scene::new("large-letters", 1);
    let letters = format!("{}-dlq", scene.topic);
    scene.kafka.create_topic(&letters, 1, &[("max.message.bytes", "20000")]);
    // One letter that is too large, and so many small ones that they are too large together.
    let noise = |n: u64| format!("{:016x}", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995);
    let large: String = (0..12_500).map(noise).collect();
    let small: Vec<String> = (0..40).map(|n| (0..125).map(|m| noise(n * 1_000 + m)).collect()).collect();
    scene.kafka.produce(&scene.topic, 0, [("large", large.as_str())]);
    scene.kafka.produce(&scene.topic, 0, small.iter().map(|text| ("small", text.as_str())));
    let agent = scene.agent();
    let page = wait_committed(&agent, 41);
    let found = scene.kafka.read(&letters);
    let offsets: BTreeSet<_> =
        found.iter().map(|letter| header(letter, "streamgauge.offset").expect("an offset")).collect();
    assert_eq!((found.len(), offsets.len()), (41, 41), "each once");
    for letter in &found {
        let value = String::from_utf8(letter.value.clone().expect("a value")).expect("text");
        if letter.key.as_deref() == Some(b"large") {
            assert_eq!(header(letter, "streamgauge.cut_from").as_deref(), Some("200005"));
            assert!(large.starts_with(&value) && value.len() > 1_000 && value.len() < 20_000, "{}", value.len());
        } else {
            assert_eq!(header(letter, "streamgauge.cut_from"), None);
            assert!(small.contains(&value));
        }
    }
    assert_eq!(number(&page, "streamgauge_dead_letters_cut_total", &[("source", "requests")]), 1.0);
}

fn header(letter: &crate::kafka::Record, name: &str) -> Option<String> {
    let (_, value) = letter.headers.iter().find(|(key, _)| key == name)?;
    Some(String::from_utf8(value.clone()).expect("text"))
}
