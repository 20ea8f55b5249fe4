//! What belongs to a source, and what belongs to another group's.

use crate::agent::Agent;
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

/// One event each ten seconds of `minutes` from `start` on.
fn produce(kafka: &Kafka, topic: &str, start: i64, minutes: i64) {
    let events: Vec<String> = (0..minutes * 6).map(|n| format!("{{\"at\":{}}}", start + n * 10_000)).collect();
    kafka.produce(topic, 0, events.iter().map(|event| ("", event.as_str())));
}

fn counted(agent: &Agent, topic: &str) -> f64 {
    number(&agent.scrape(), "orders_events_total", &[("topic", topic)])
}

/// The beginning of a whole minute two hours ago.
fn two_hours_ago() -> i64 {
    (unix_millis() - 120 * MINUTE) / MINUTE * MINUTE
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
        |line: &str| [&group, &topic].iter().all(|name| line.contains(&format!("{name}"))) && line.contains("group_id");
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
