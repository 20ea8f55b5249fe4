//! Topics come and go under a source: patterns mean what they mean in the config, what is deleted holds nothing up, and what
//! is named but missing is said.

use std::process::Command;
use std::time::Duration;

use crate::agent::{Agent, program};
use crate::kafka::{Kafka, shared, unique, wait_until};
use crate::scene::{number, unix_millis};

const MINUTE: i64 = 60_000;

/// One source that reads `topics`, looked at every second.
fn config(group: &str, topics: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: {group}\n  session_timeout: 6s\n  \
         properties: {{ topic.metadata.refresh.interval.ms: 1000 }}\n\
         sources:\n  orders:\n    topics: [{topics}]\n    timestamp: {{ field: at, format: unix_ms }}\n\
         aggregates:\n  orders:\n    source: orders\n    windows: [1m]\n    grace: 0s\n    retention: 3h\n    \
         idle_timeout: 3s\n    measures: {{ events: count }}\n"
    )
}

/// One event each ten seconds of `minutes` from `start` on, in one partition.
fn produce_to(kafka: &Kafka, (topic, partition): (&str, i32), start: i64, minutes: i64) {
    let events: Vec<String> = (0..minutes * 6).map(|n| format!("{{\"at\":{}}}", start + n * 10_000)).collect();
    kafka.produce(topic, partition, events.iter().map(|event| ("", event.as_str())));
}

/// The same, in the topic's first.
fn produce(kafka: &Kafka, topic: &str, start: i64, minutes: i64) {
    produce_to(kafka, (topic, 0), start, minutes);
}

fn counted(agent: &Agent, topic: &str) -> f64 {
    number(&agent.scrape(), "orders_events_total", &[("topic", topic)])
}

fn window_end(agent: &Agent) -> i64 {
    (number(&agent.scrape(), "orders_window_end_timestamp_seconds", &[]) * 1_000.0) as i64
}

/// The beginning of a whole minute two hours ago.
fn two_hours_ago() -> i64 {
    (unix_millis() - 120 * MINUTE) / MINUTE * MINUTE
}

fn has_partitions_of(agent: &Agent, topic: &str) -> bool {
    let topic = format!("topic=\"{topic}\"");
    agent.scrape().lines().any(|line| line.starts_with("streamgauge_lag_messages{") && line.contains(&topic))
}

#[test]
fn a_pattern_means_what_it_means_to_validate_and_its_topics_come_and_go() {
    let (kafka, base) = (shared(), unique("ev"));
    let topic = |name: &str| format!("{base}-{name}");
    let pattern = format!("'^{base}-\\d+$', '^(?i){}-(?:X|Y)$'", base.to_uppercase());
    let start = two_hours_ago();
    // `\d` is the letter d to the regular expressions of the C library.
    for name in ["1", "d", "x"] {
        kafka.create_topic(&topic(name), 1, &[]);
        produce(kafka, &topic(name), start, 1);
    }
    let mut agent = Agent::start(kafka.bootstrap(), &config(&format!("group-of-{base}"), &pattern));
    agent.wait_ready();
    wait_until("both patterns are read", || counted(&agent, &topic("1")) + counted(&agent, &topic("x")) == 12.0);
    kafka.create_topic(&topic("22"), 2, &[]);
    produce(kafka, &topic("22"), start, 1);
    wait_until("the new topic is read", || counted(&agent, &topic("22")) == 6.0);
    let rebalances = |agent: &Agent| number(&agent.scrape(), "streamgauge_rebalances_total", &[]);
    wait_until("its other partition is there", || agent.scrape().matches("streamgauge_lag_messages{").count() == 4);
    let before = rebalances(&agent);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(rebalances(&agent), before, "nothing came or went, and yet the group was joined again: {}", agent.log());
    kafka.delete_topic(&topic("22"));
    wait_until("the deleted topic is let go", || !has_partitions_of(&agent, &topic("22")));
    produce(kafka, &topic("1"), start + 30 * MINUTE, 1);
    wait_until("the others go on", || counted(&agent, &topic("1")) == 12.0);
    assert!(!has_partitions_of(&agent, &topic("d")));
    assert_eq!(agent.get("/-/ready").0, 200, "{}", agent.get("/-/ready").1);
    assert!(!agent.log().contains("joining again"), "{}", agent.log());
}

#[test]
fn windows_go_on_when_a_topic_of_the_pattern_is_deleted_and_when_one_that_sorts_before_the_rest_comes() {
    let (kafka, base) = (shared(), unique("orders"));
    let topic = |n: usize| format!("{base}-{n}");
    let start = two_hours_ago();
    for n in [1, 2] {
        kafka.create_topic(&topic(n), 1, &[]);
        produce(kafka, &topic(n), start, 5);
    }
    let group = format!("group-of-{base}");
    let mut agent = Agent::start(kafka.bootstrap(), &config(&group, &format!("'^{base}-[0-9]$'")));
    agent.wait_ready();
    wait_until("windows show", || window_end(&agent) >= start + 4 * MINUTE);
    kafka.delete_topic(&topic(1));
    produce(kafka, &topic(2), start + 10 * MINUTE, 5);
    wait_until("windows go on without it", || window_end(&agent) >= start + 14 * MINUTE);
    let complete = |agent: &Agent| number(&agent.scrape(), "orders_window_complete", &[]);
    wait_until("and are whole", || complete(&agent) == 1.0);
    assert_eq!(agent.get("/-/ready").0, 200, "{}", agent.get("/-/ready").1);
    let shown = window_end(&agent);
    kafka.create_topic(&topic(0), 1, &[]);
    wait_until("the new topic is read", || {
        let end = window_end(&agent);
        assert!(end == 0 || end >= shown, "windows went back from {shown} to {end}");
        has_partitions_of(&agent, &topic(0))
    });
    produce(kafka, &topic(0), start + 20 * MINUTE, 5);
    produce(kafka, &topic(2), start + 20 * MINUTE, 5);
    wait_until("windows go on with it", || {
        let end = window_end(&agent);
        assert!(end == 0 || end >= shown, "windows went back from {shown} to {end}");
        end >= start + 24 * MINUTE
    });
    wait_until("both topics' events are in it", || number(&agent.scrape(), "orders_window_events", &[]) == 12.0);
}

/// Two agents share the topics of a pattern: each is counted once in the group, and what the group shows stays whole while topics
/// come and go and one of the agents dies.
#[test]
fn two_agents_count_each_topic_of_a_pattern_once_while_topics_and_an_agent_come_and_go() {
    let (kafka, base) = (shared(), unique("pair"));
    let topic = |n: usize| format!("{base}-{n}");
    let start = two_hours_ago();
    for n in [1, 2] {
        kafka.create_topic(&topic(n), 2, &[]);
        produce_evenly(kafka, &topic(n), start, 5);
    }
    let config = config(&format!("group-of-{base}"), &format!("'^{base}-[0-9]$'"));
    let [mut one, mut other] = [(); 2].map(|()| Agent::start(kafka.bootstrap(), &config));
    one.wait_ready();
    other.wait_ready();
    let shares = |agent: &Agent| agent.scrape().matches("streamgauge_lag_messages{").count();
    wait_until("each has a share", || shares(&one) == 2 && shares(&other) == 2);
    let window = |agents: &[&Agent]| newest_window(agents);
    let both = [&one, &other];
    wait_until("whole windows of both show", || window(&both) == Some((start + 5 * MINUTE, 24.0, 1.0)));
    assert_eq!(counted_by(&both, &topic(1)), 60.0);

    kafka.create_topic(&topic(3), 2, &[]);
    kafka.delete_topic(&topic(1));
    for n in [2, 3] {
        produce_evenly(kafka, &topic(n), start + 10 * MINUTE, 5);
    }
    wait_until("the new topic is counted", || counted_by(&both, &topic(3)) == 60.0);
    wait_until("windows go on with it, and without the deleted one", || {
        window(&both) == Some((start + 15 * MINUTE, 24.0, 1.0))
    });
    wait_until("each has a share", || shares(&one) == 2 && shares(&other) == 2);

    one.kill9();
    for n in [2, 3] {
        produce_evenly(kafka, &topic(n), start + 20 * MINUTE, 5);
    }
    wait_until("the other shows all of it", || window(&[&other]) == Some((start + 25 * MINUTE, 24.0, 1.0)));
    assert_eq!([2, 3].map(|n| counted_by(&[&other], &topic(n))), [180.0, 120.0]);
}

/// The same, in both of its partitions.
fn produce_evenly(kafka: &Kafka, topic: &str, start: i64, minutes: i64) {
    for partition in [0, 1] {
        produce_to(kafka, (topic, partition), start, minutes);
    }
}

fn counted_by(agents: &[&Agent], topic: &str) -> f64 {
    agents.iter().map(|agent| counted(agent, topic)).sum()
}

/// End (Unix milliseconds), events and completeness of the window on the agents' pages; none while nobody shows one.
fn newest_window(agents: &[&Agent]) -> Option<(i64, f64, f64)> {
    let shows = |page: &String| page.contains("orders_window_end_timestamp_seconds{");
    let pages: Vec<String> = agents.iter().map(|agent| agent.scrape()).filter(shows).collect();
    assert!(pages.len() < 2, "two agents show windows");
    let page = pages.first()?;
    let [end, events, complete] =
        ["end_timestamp_seconds", "events", "complete"].map(|name| number(page, &format!("orders_window_{name}"), &[]));
    Some(((end * 1_000.0) as i64, events, complete))
}

#[test]
fn a_named_topic_that_is_missing_is_said_and_holds_no_windows_up() {
    let (kafka, base) = (shared(), unique("named"));
    let (missing, there) = (format!("{base}-nope"), format!("{base}-t"));
    let start = two_hours_ago();
    kafka.create_topic(&there, 1, &[]);
    produce(kafka, &there, start, 5);
    let config = config(&format!("group-of-{base}"), &format!("{missing}, {there}"));
    let agent = Agent::start(kafka.bootstrap(), &config);
    wait_until("windows show", || agent.try_get("/metrics").is_some() && window_end(&agent) >= start + 4 * MINUTE);
    assert_eq!(number(&agent.scrape(), "orders_window_complete", &[]), 1.0);
    let (status, reasons) = agent.get("/-/ready");
    assert!(status == 503 && reasons.contains(&missing), "{status}: {reasons}");
    let absent = |agent: &Agent| number(&agent.scrape(), "streamgauge_topic_missing", &[("topic", &missing)]);
    assert_eq!(absent(&agent), 1.0);
    let output = Command::new(program())
        .args(["validate", "--connect", "-c"])
        .arg(agent.config_path())
        .envs([("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap()), ("STATE_DIR", "s"), ("HTTP_LISTEN", "127.0.0.1:1")])
        .env("GRPC_LISTEN", "127.0.0.1:2")
        .output()
        .expect("the binary was built");
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(said.contains(&format!("topic {missing} of source orders is missing")), "{said}");
    kafka.create_topic(&missing, 1, &[]);
    produce(kafka, &missing, start + 20 * MINUTE, 5);
    produce(kafka, &there, start + 20 * MINUTE, 5);
    wait_until("it is read once it is there", || counted(&agent, &missing) == 30.0);
    wait_until("and nothing is missing", || agent.get("/-/ready").0 == 200);
    assert_eq!(absent(&agent), 0.0);
    wait_until("windows have both", || window_end(&agent) >= start + 24 * MINUTE);
    wait_until("in full", || number(&agent.scrape(), "orders_window_events", &[]) == 12.0);
}

#[test]
fn a_changelog_that_another_groups_topic_has_the_same_name_for_is_refused() {
    let (kafka, base) = (shared(), unique("same"));
    let (group, topic) = (format!("{base}-prod"), format!("eu-{base}"));
    let (other_group, other_topic) = (format!("{base}-prod-eu"), base.clone());
    for topic in [&topic, &other_topic] {
        kafka.create_topic(topic, 1, &[]);
        produce(kafka, topic, two_hours_ago(), 5);
    }
    let mut first = Agent::start(kafka.bootstrap(), &config(&group, &topic));
    first.wait_ready();
    wait_until("the first has counted", || counted(&first, &topic) == 30.0);
    let mut second = Agent::start(kafka.bootstrap(), &config(&other_group, &other_topic));
    assert_eq!(second.wait_exit().code(), Some(1), "{}", second.log());
    let names =
        |line: &str| [&group, &topic].iter().all(|name| line.contains(name.as_str())) && line.contains("group_id");
    assert!(second.log().lines().any(names), "{}", second.log());
    let reset = second.verb(&["state", "reset", "--yes"]);
    assert!(!reset.status.success(), "the other group's state must not be reset");
    produce(kafka, &topic, two_hours_ago() + 20 * MINUTE, 5);
    wait_until("the first goes on", || counted(&first, &topic) == 60.0);
    first.kill9();
    first.restart();
    first.wait_ready();
    wait_until("with its state", || counted(&first, &topic) == 60.0);
}
