//! Each broker stopped, killed, paused, cut off; two of three lost; all restarted, each under load: what is said of it,
//! within how many seconds, and what the load test measured. Prints the table of docs/reliability.md.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use streamgauge_proto::v1 as pb;

use super::scene::{Scene, command};
use crate::agent::program;
use crate::heavy_tests;
use crate::kafka::{Kafka, wait_until};
use crate::proxy::Proxy;

/// From when the trouble is noticed to when it is over. A broker that is silent is put out of the cluster after nine.
const TROUBLE: Duration = Duration::from_secs(12);
/// How long the load runs before the trouble, and after it.
const AROUND: Duration = Duration::from_secs(4);

/// What was seen of one fault.
struct Row {
    fault: String,
    noticed: Duration,
    said: String,
    metrics: String,
    code: Option<i32>,
    load: Value,
    well_again: Duration,
}

#[test]
fn each_broker_fault_is_noticed_named_and_over_when_it_is_over() {
    if !heavy_tests() {
        return;
    }
    let proxies = Proxy::three();
    let kafka = Kafka::start_with(3, &["--proxy-port", &proxies[0].port().to_string()]);
    for (proxy, broker) in proxies.iter().zip(kafka.listener("PROXIED").split(',')) {
        proxy.lead_to(broker);
    }
    let servers = proxies.each_ref().map(|proxy| format!("127.0.0.1:{}", proxy.port())).join(",");
    let scene = Scene::through(&kafka, &servers);
    let each = |harm: fn(&Kafka, usize), heal: fn(&Kafka, usize), what: &str| -> Vec<Row> {
        let one = |broker| fault(&scene, &format!("broker {broker} {what}"), &[broker], &harm, &heal);
        (1..=3).map(one).collect()
    };
    let mut rows = each(Kafka::stop_broker, Kafka::start_broker, "stopped");
    rows.extend(each(Kafka::kill_broker, Kafka::start_broker, "killed"));
    rows.extend(each(Kafka::pause_broker, Kafka::resume_broker, "frozen"));
    let (cut, mend) = (|_: &Kafka, i: usize| proxies[i - 1].cut(), |_: &Kafka, i: usize| proxies[i - 1].mend());
    rows.push(fault(&scene, "links to broker 2 cut", &[2], &cut, &mend));
    rows.push(fault(&scene, "brokers 1 and 2 killed", &[1, 2], &Kafka::kill_broker, &start_together));
    rows.push(fault(&scene, "all killed", &[1, 2, 3], &Kafka::kill_broker, &start_together));
    print_table(&rows);
    scene.equals_the_tools();
    scene.counts_are_exact();
}

fn print_table(rows: &[Row]) {
    println!(
        "| fault | noticed (s) | what is said first | metrics meanwhile | exit code | load test: acknowledged, lost, doubled, longest wait (s) | healthy again (s) |"
    );
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        let (noticed, again) = (row.noticed.as_secs_f64(), row.well_again.as_secs_f64());
        let code = row.code.map_or(String::new(), |code| code.to_string());
        let (load, found) = (&row.load, &row.load["verification"]);
        let longest = load["latency_ms"]["max"].as_f64().unwrap_or_default() / 1e3;
        println!(
            "| {} | {noticed:.1} | {} | {} | {code} | {} of {}, {}, {}, {longest:.1} | {again:.1} |",
            row.fault, row.said, row.metrics, load["acknowledged"], load["events"], found["lost"], found["duplicated"],
        );
    }
}

/// A broker alone is no quorum and never gets ready: all that are down have to start at once.
fn start_together(kafka: &Kafka, broker: usize) {
    if kafka.script(&["status"], &[]).lines().any(|line| line == format!("broker {broker}: not running")) {
        kafka.script(&["start"], &[]);
    }
}

fn fault(
    scene: &Scene,
    name: &str,
    brokers: &[usize],
    harm: &dyn Fn(&Kafka, usize),
    heal: &dyn Fn(&Kafka, usize),
) -> Row {
    let load = Load::start(scene);
    let began = Instant::now();
    brokers.iter().for_each(|broker| harm(scene.kafka, *broker));
    scene.wait_for(name, |health| health.status() != pb::HealthStatus::Healthy);
    let noticed = began.elapsed();
    let (code, text) = command(&["cluster", "health", "--bootstrap-servers", &scene.servers]);
    assert_eq!(code, Some(2), "{name}: {text}");
    let expected = if brokers.len() == 3 { "no broker answers".to_owned() } else { format!("broker {}", brokers[0]) };
    assert!(text.contains(&expected), "{name}: {text}");
    std::thread::sleep(TROUBLE);
    let (health, metrics) = (scene.health(), metrics(&scene.page()));
    let healed = Instant::now();
    brokers.iter().for_each(|broker| heal(scene.kafka, *broker));
    scene.wait_for(name, |health| health.status() == pb::HealthStatus::Healthy);
    let well_again = healed.elapsed();
    let load = load.end();
    println!("{name}: {noticed:?}, {:?}, {load}", health.problems);
    let found = &load["verification"];
    assert_eq!((found["lost"].as_u64(), found["duplicated"].as_u64()), (Some(0), Some(0)), "{name}: {load}");
    assert!(load["acknowledged"].as_u64() > Some(0), "{name}: {load}");
    let said = health.problems.first().cloned().unwrap_or_default();
    Row { fault: name.to_owned(), noticed, said, metrics, code, load, well_again }
}

/// What a dashboard would show of it.
fn metrics(page: &str) -> String {
    let of = |name: &str| {
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or("none").trim_end_matches(".0").to_owned()
    };
    let partitions = ["under_replicated", "under_min_isr", "offline", "silent"]
        .map(|what| format!("{} {}", of(&format!("streamgauge_cluster_{what}_partitions")), what.replace('_', "-")));
    format!("{} brokers healthy; partitions: {}", of("kafka_cluster_brokers_healthy"), partitions.join(", "))
}

/// A load test with acks=all from the command line to the topic that the agent counts.
struct Load(Child);

impl Load {
    fn start(scene: &Scene) -> Load {
        let load = "loadtest --topic orders --rate 500 --duration 5m --acks all --keys 50 --verify -o json";
        let child = Command::new(program())
            .args(load.split(' '))
            .args(["--bootstrap-servers", &scene.servers])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary was built");
        std::thread::sleep(AROUND);
        Load(child)
    }

    /// Stops sending; what was measured, and found when it was read back.
    fn end(self) -> Value {
        std::thread::sleep(AROUND);
        // SAFETY: kill has no memory effects; the child is ours and was not waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGINT) };
        let output = self.0.wait_with_output().expect("it ends");
        serde_json::from_slice(&output.stdout).expect("a report in JSON")
    }
}

impl Scene<'_> {
    /// Every acknowledged record has been counted once.
    fn counts_are_exact(&self) {
        let expected = self.kafka.read("orders").len();
        wait_until("every record is counted, once", || {
            let page = self.page();
            let totals = page.lines().filter(|line| line.starts_with("a_events_total{"));
            let sum: f64 = totals.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
            assert!(sum <= expected as f64, "{sum} of {expected}");
            sum == expected as f64
        });
        println!("all {expected} records were counted once");
    }
}
