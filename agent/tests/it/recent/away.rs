//! Single events are what Kafka has: what it has deleted is gone, and while it is away nobody sees any.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{At, SHOWN, get, place};
use crate::agent::{Agent, http_get};
use crate::kafka::{Kafka, wait_until};
use crate::scene::{number, unix_millis};

const TOPIC: &str = "away";

fn config() -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: away\n  session_timeout: 6s\n\
         sources:\n  requests:\n    topics: [{TOPIC}]\n    timestamp: {{ field: at, format: unix_ms }}\n    {SHOWN}\n\
         aggregates:\n  calls:\n    source: requests\n    measures: {{ events: count }}\n"
    )
}

#[test]
fn what_kafka_deletes_is_gone_and_while_it_is_away_events_are_refused() {
    let kafka = Kafka::start(1);
    kafka.create_topic(TOPIC, 1, &[]);
    let at = unix_millis();
    let texts: Vec<String> = (0..100).map(|n| format!(r#"{{"at": {}, "endpoint": "/a"}}"#, at + n)).collect();
    kafka.produce(TOPIC, 0, texts.iter().map(|text| ("", text.as_str())));
    let mut agent = Agent::start(kafka.bootstrap(), &config());
    agent.wait_ready();
    let counted = |agent: &Agent| number(&agent.scrape(), "calls_events_total", &[]);
    wait_until("all is counted", || counted(&agent) == 100.0);
    kafka.delete_records(TOPIC, &BTreeMap::from([(0, 70)]));
    let page = get(&agent, "/api/v1/events?page_size=100");
    let places: Vec<At> = page["events"].as_array().expect("events").iter().map(place).collect();
    assert_eq!(places, (70..100).rev().map(|offset| (0, offset)).collect::<Vec<_>>());
    assert_eq!(page.get("nextPageToken"), None, "{page}");
    kafka.stop_broker(1);
    let (status, text) = http_get(agent.http(), "/api/v1/events", Duration::from_secs(40)).expect("an answer");
    assert!(status == 503 && text.contains("unavailable"), "{status} {text}");
    kafka.start_broker(1);
    wait_until("they are there again", || agent.get("/api/v1/events").0 == 200);
    let again = get(&agent, "/api/v1/events?page_size=100");
    assert_eq!(again["events"].as_array().map(Vec::len), Some(30));
}
