//! Events that a measure of the kind `anomaly` found unusual are marked among the recent ones, at whichever agent somebody
//! asks, live as well, and after a crash as before it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{At, Tapping, get, place};
use crate::agent::Agent;
use crate::kafka::{shared, unique, wait_until};
use crate::scene::{number, unix_millis};

fn config(topic: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{topic}\n  session_timeout: 6s\n\
         sources:\n  calls:\n    topics: [{topic}]\n    timestamp: {{ field: at, format: unix_ms }}\n    \
         recent_events: {{ fields: {{ page: page }} }}\n\
         aggregates:\n  calls:\n    source: calls\n    by: {{ page: page }}\n    measures:\n      \
         calls: count\n      slow: {{ anomaly: {{ of: ms, sigma: 3, min_count: 20 }}, unit: ms }}\n"
    )
}

/// Calls of two pages; of every hundredth, one takes far longer than usual.
fn calls(start: i64, from: i64, count: i64) -> Vec<String> {
    let ms = |n: i64| if n % 100 == 99 { 60_000 } else { 100 + n % 7 };
    let call = |n: i64| json!({ "at": start + n, "page": format!("/p{}", n % 2), "ms": ms(n) }).to_string();
    (from..from + count).map(call).collect()
}

/// The places of the events that are marked, among the newest 500.
fn marked(agent: &Agent) -> BTreeSet<At> {
    let page = get(agent, "/api/v1/events?page_size=500");
    let events = page["events"].as_array().expect("events");
    let is_marked = |event: &&Value| {
        let unusual = event["unusual"].as_array().cloned().unwrap_or_default();
        let right = json!([{ "aggregate": "calls", "measure": "slow", "above": true }]);
        assert!(unusual.is_empty() || Value::from(unusual.clone()) == right, "{event}");
        assert!(!event.to_string().contains("60000"), "what took long is no field that people see: {event}");
        !unusual.is_empty()
    };
    events.iter().filter(is_marked).map(place).collect()
}

#[test]
fn unusual_events_are_marked_at_every_agent_live_and_after_a_crash() {
    let (kafka, topic) = (shared(), unique("unusual"));
    kafka.create_topic(&topic, 2, &[]);
    let start = unix_millis() - 100_000;
    let mut agents = [(); 2].map(|()| Agent::start(kafka.bootstrap(), &config(&topic)));
    agents.iter_mut().for_each(Agent::wait_ready);
    wait_until("each has a partition", || {
        agents.iter().all(|agent| agent.scrape().matches("\nstreamgauge_lag_messages{").count() == 1)
    });
    for partition in 0..2 {
        let texts = calls(start, 0, 200);
        kafka.produce(&topic, partition, texts.iter().map(|text| ("", text.as_str())));
    }
    let counted = |agents: &[Agent]| {
        agents.iter().map(|agent| number(&agent.scrape(), "calls_calls_total", &[])).sum::<f64>() as i64
    };
    wait_until("all is counted", || counted(&agents) == 400);
    // In the log of a partition there is nothing but these.
    let expected: BTreeSet<At> = (0..2).flat_map(|partition| [(partition, 99), (partition, 199)]).collect();
    for agent in &agents {
        wait_until("they are marked", || marked(agent) == expected);
    }
    let tap = Tapping::start(&agents[0], &["--last", "1"]);
    tap.first();
    let texts = calls(start, 200, 100);
    kafka.produce(&topic, 1, texts.iter().map(|text| ("", text.as_str())));
    let mut told = Vec::new();
    wait_until("they are told", || {
        told.extend(tap.lines.try_iter());
        told.len() == 100
    });
    let unusual = told.iter().filter(|event| event["unusual"].as_array().is_some_and(|of| !of.is_empty()));
    assert_eq!(unusual.map(place).collect::<Vec<_>>(), [(1, 299)]);
    for agent in &mut agents {
        agent.kill9();
        agent.restart();
        agent.wait_ready();
    }
    let after: BTreeSet<At> = [(0, 199), (1, 299)].into();
    for agent in &agents {
        wait_until("they still are", || {
            let marked = marked(agent);
            after.iter().all(|place| marked.contains(place))
        });
    }
}
