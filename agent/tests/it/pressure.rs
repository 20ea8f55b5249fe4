//! Backpressure: a burst against a small memory budget. Without the budget the same burst takes more memory, or the test
//! would prove nothing.

use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::scene::Scene;

const BUDGET_MIB: u64 = 192;
const EVENTS: u64 = 600_000;

/// Totals of 100,000 users: each commit copies what a burst has touched.
fn config(scene: &Scene, group: &str, budget: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: {group}\n\
         sources:\n  s: {{ topics: [{}], timestamp: {{ field: timestamp, format: unix_ms }} }}\n\
         aggregates:\n  u:\n    source: s\n    by: {{ user: user_id }}\n    windows: [10s]\n    grace: 1s\n    retention: 30s\n    limit: 1000000\n    \
         measures: {{ requests: count, sum: {{ sum: response_time_ms }}, max: {{ max: response_time_ms }} }}\n{budget}",
        scene.topic
    )
}

/// Peak of resident memory, MiB.
fn peak(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("the agent runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("kilobytes") / 1024
}

/// Sum of a metric's series; the page has a hundred thousand others, so it is not parsed as a whole.
fn number(page: &str, series: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(series));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn counted(agent: &Agent) -> (String, f64) {
    let page = agent.scrape();
    let counted = number(&page, "streamgauge_events_total{");
    (page, counted)
}

#[test]
fn a_burst_is_read_within_the_memory_budget_and_without_losing_the_membership() {
    let scene = Scene::new("pressure", 4);
    scene.produce_now(EVENTS, 1);
    let mut free = Agent::start(scene.kafka.bootstrap(), &config(&scene, &format!("{}-free", scene.group), ""));
    free.wait_ready();
    let until = Instant::now() + Duration::from_secs(120);
    while counted(&free).1 < EVENTS as f64 {
        assert!(Instant::now() < until, "not counted in time");
        std::thread::sleep(Duration::from_millis(400));
    }
    let without = peak(&free);
    drop(free);

    let budget = format!("limits: {{ memory_budget: {BUDGET_MIB}MiB }}\n");
    let mut agent = Agent::start(scene.kafka.bootstrap(), &config(&scene, &scene.group, &budget));
    agent.wait_ready();
    let (mut lag_while_paused, until) = (0.0f64, Instant::now() + Duration::from_secs(180));
    let page = loop {
        let (page, counted) = counted(&agent);
        if number(&page, "streamgauge_paused_partitions ") > 0.0 {
            lag_while_paused = lag_while_paused.max(number(&page, "streamgauge_lag_messages{"));
        }
        if counted >= EVENTS as f64 && number(&page, "streamgauge_lag_messages{") == 0.0 {
            break page;
        }
        assert!(Instant::now() < until, "{counted} of {EVENTS} in time");
        std::thread::sleep(Duration::from_millis(250));
    };
    let with = peak(&agent);
    assert_eq!(number(&page, "streamgauge_events_total{"), EVENTS as f64, "nothing twice");
    assert!(number(&page, "streamgauge_pauses_total ") > 0.0, "never paused; peak {with} MiB");
    assert!(lag_while_paused > 0.0, "the lag does not show what waits");
    let events = |event| number(&page, &format!("streamgauge_rebalances_total{{event=\"{event}\""));
    assert_eq!((events("assigned"), events("revoked"), events("lost")), (1.0, 0.0, 0.0));
    println!("peak {with} MiB with the budget, {without} without");
    assert!(without > BUDGET_MIB, "the burst takes {without} MiB by itself: it tests nothing");
    assert!(with <= BUDGET_MIB, "{with} MiB with the budget, {without} without");
}
