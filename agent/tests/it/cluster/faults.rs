//! Each broker stopped, killed, paused; two of three lost; all restarted: what is said of it, and within how many
//! seconds. Prints the table of docs/reliability.md.

use std::time::{Duration, Instant};

use streamgauge_proto::v1 as pb;

use super::scene::{PARTITIONS, Scene, command};
use crate::heavy_tests;
use crate::kafka::Kafka;

/// What was seen of one fault.
struct Row {
    fault: String,
    noticed: Duration,
    said: String,
    code: Option<i32>,
    well_again: Duration,
}

#[test]
fn each_broker_fault_is_noticed_named_and_over_when_it_is_over() {
    if !heavy_tests() {
        return;
    }
    let kafka = Kafka::start(3);
    let scene = Scene::start(&kafka);
    let mut rows = Vec::new();
    for broker in 1..=3 {
        rows.push(fault(
            &scene,
            &format!("broker {broker} stopped"),
            &[broker],
            Kafka::stop_broker,
            Kafka::start_broker,
        ));
        rows.push(fault(
            &scene,
            &format!("broker {broker} killed"),
            &[broker],
            Kafka::kill_broker,
            Kafka::start_broker,
        ));
        rows.push(fault(
            &scene,
            &format!("broker {broker} paused"),
            &[broker],
            Kafka::pause_broker,
            Kafka::resume_broker,
        ));
    }
    rows.push(fault(&scene, "brokers 1 and 2 killed", &[1, 2], Kafka::kill_broker, start_together));
    rows.push(fault(&scene, "all killed", &[1, 2, 3], Kafka::kill_broker, start_together));
    println!(
        "| fault | noticed after | status, exit code | what is said first | healthy after |\n|---|---|---|---|---|"
    );
    for row in rows {
        let (noticed, again) = (row.noticed.as_secs_f64(), row.well_again.as_secs_f64());
        let code = row.code.map_or(String::new(), |code| code.to_string());
        println!("| {} | {noticed:.1} s | {code} | {} | {again:.1} s |", row.fault, row.said);
    }
    scene.equals_the_tools();
    scene.counts_are_exact();
}

/// A broker alone is no quorum and never gets ready: all that are down have to start at once.
fn start_together(kafka: &Kafka, broker: usize) {
    if kafka.script(&["status"], &[]).lines().any(|line| line == format!("broker {broker}: not running")) {
        kafka.script(&["start"], &[]);
    }
}

fn fault(scene: &Scene, name: &str, brokers: &[usize], harm: fn(&Kafka, usize), heal: fn(&Kafka, usize)) -> Row {
    let began = Instant::now();
    brokers.iter().for_each(|broker| harm(scene.kafka, *broker));
    scene.wait_for(name, |health| health.status() != pb::HealthStatus::Healthy);
    let noticed = began.elapsed();
    let health = scene.health();
    let (code, text) = command(&["cluster", "health", "--bootstrap-servers", scene.kafka.bootstrap()]);
    assert_eq!(code, Some(2), "{name}: {text}");
    let expected = if brokers.len() == 3 { "no broker answers".to_owned() } else { format!("broker {}", brokers[0]) };
    assert!(text.contains(&expected), "{name}: {text}");
    scene.agent.scrape();
    // Time for the cluster to notice, too: a broker is fenced after nine seconds.
    std::thread::sleep(Duration::from_secs(12));
    scene.produce_more(3 - brokers.len() >= 2);
    let healed = Instant::now();
    brokers.iter().for_each(|broker| heal(scene.kafka, *broker));
    scene.wait_for(name, |health| health.status() == pb::HealthStatus::Healthy);
    let said = health.problems.first().cloned().unwrap_or_default();
    println!("{name}: {noticed:?}, {:?}", health.problems);
    Row { fault: name.to_owned(), noticed, said, code, well_again: healed.elapsed() }
}

impl Scene<'_> {
    /// Goes on producing while a majority is in sync.
    fn produce_more(&self, possible: bool) {
        if possible {
            (0..PARTITIONS).for_each(|p| self.kafka.produce("orders", p, (0..20).map(|_| ("k", "{\"a\":1}"))));
        }
    }

    /// Every acknowledged record has been counted once.
    fn counts_are_exact(&self) {
        let expected = self.kafka.read("orders").len();
        crate::kafka::wait_until("every record is counted, once", || {
            let page = self.page();
            let totals = page.lines().filter(|line| line.starts_with("a_events_total{"));
            let sum: f64 = totals.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
            assert!(sum <= expected as f64, "{sum} of {expected}");
            sum == expected as f64
        });
    }
}
