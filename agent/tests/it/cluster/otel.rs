//! The same cluster as the OpenTelemetry Collector's kafkametrics receiver sees it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::scene::Scene;
use super::tools::value;
use crate::agent::{free_address, http_get, repository};
use crate::heavy_tests;
use crate::kafka::{Kafka, wait_until};

/// Ends with the test.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Our family and the Collector's, and our label of the group (theirs is `group`).
const PAIRS: [(&str, &str); 6] = [
    ("kafka_topic_partition_current_offset", "kafka_partition_current_offset"),
    ("kafka_topic_partition_oldest_offset", "kafka_partition_oldest_offset"),
    ("kafka_topic_partition_replicas", "kafka_partition_replicas"),
    ("kafka_topic_partition_in_sync_replica", "kafka_partition_replicas_in_sync"),
    ("kafka_consumergroup_current_offset", "kafka_consumer_group_offset"),
    ("kafka_consumergroup_lag", "kafka_consumer_group_lag"),
];

#[test]
fn the_collector_finds_the_same_at_a_standstill_and_while_a_broker_is_down() {
    if !heavy_tests() {
        return;
    }
    let kafka = Kafka::start(3);
    let scene = Scene::start(&kafka);
    let address = free_address();
    let home = tempfile::tempdir().expect("a temporary directory");
    let config = home.path().join("collector.yaml");
    let text = format!(
        "receivers: {{ kafkametrics: {{ brokers: [{}], protocol_version: 3.6.0, collection_interval: 2s, \
         scrapers: [brokers, topics, consumers] }} }}\n\
         exporters: {{ prometheus: {{ endpoint: '{address}', metric_expiration: 6s }} }}\n\
         service: {{ telemetry: {{ metrics: {{ level: none }} }}, pipelines: {{ metrics: \
         {{ receivers: [kafkametrics], exporters: [prometheus] }} }} }}\n",
        kafka.bootstrap().split(',').collect::<Vec<_>>().join(", "),
    );
    std::fs::write(&config, text).expect("the config is written");
    let tools = Command::new(repository().join("scripts/tools")).arg("otelcol").output().expect("scripts/tools runs");
    let program = String::from_utf8_lossy(&tools.stdout).trim().to_owned();
    let log = std::fs::File::create(home.path().join("log")).expect("a log");
    let child = Command::new(program).arg("--config").arg(&config).stdout(Stdio::null()).stderr(log).spawn();
    let _collector = Collector(child.expect("the collector starts"));
    same(&scene, address);
    kafka.kill_broker(3);
    scene.wait_for("broker 3 is down", |health| health.brokers_up == 2 && health.under_replicated_partitions > 0);
    scene.wait_for_elections();
    same(&scene, address);
}

fn same(scene: &Scene, address: std::net::SocketAddr) {
    let mut last = String::new();
    wait_until("both say the same", || {
        std::thread::sleep(Duration::from_secs(1));
        let Some((200, theirs)) = http_get(address, "/metrics", Duration::from_secs(5)) else { return false };
        let difference = difference(&scene.page(), &theirs);
        if let Some(difference) = &difference
            && *difference != last
        {
            eprintln!("{difference}");
            last.clone_from(difference);
        }
        difference.is_none()
    });
}

/// What differs in the series of `orders`, which stand still; the agent's own group and topics go on.
fn difference(ours: &str, theirs: &str) -> Option<String> {
    let mut compared = 0;
    for (our_name, their_name) in PAIRS {
        for line in ours.lines().filter(|line| line.starts_with(&format!("{our_name}{{"))) {
            let label = |name: &str| {
                let rest = line.split(&format!("{name}=\"")).nth(1)?;
                rest.split('"').next()
            };
            let (topic, partition) = (label("topic")?, label("partition")?);
            let group = label("consumergroup");
            if topic != "orders" || group == Some("sg") {
                continue;
            }
            let mut labels = vec![("topic", topic), ("partition", partition)];
            labels.extend(group.map(|group| ("group", group)));
            let our_value: Option<f64> = line.rsplit(' ').next().and_then(|text| text.parse().ok());
            // Gauges of unit 1 are called ratios by its exporter.
            let their_value =
                value(theirs, their_name, &labels).or_else(|| value(theirs, &format!("{their_name}_ratio"), &labels));
            if our_value != their_value {
                return Some(format!("{line}: the Collector says {their_value:?}"));
            }
            compared += 1;
        }
    }
    (compared < 6 * 4 + 2 * 6 * 2).then(|| format!("only {compared} series were compared"))
}
