//! The fixtures themselves: a cluster that starts, loses a broker, and keeps what was acknowledged.

use crate::kafka::{Kafka, shared, unique};

#[test]
fn what_is_produced_to_every_partition_of_the_shared_cluster_is_read_back() {
    let (kafka, topic) = (shared(), unique("smoke"));
    kafka.create_topic(&topic, 12, &[("retention.ms", "3600000")]);
    for partition in 0..12 {
        let value = format!("value {partition}");
        kafka.produce(&topic, partition, [("key", value.as_str())]);
    }
    let records = kafka.read(&topic);
    let found: Vec<_> = records.iter().map(|r| (r.partition, r.offset, r.value.clone().unwrap_or_default())).collect();
    let expected: Vec<_> = (0..12).map(|p| (p, 0, format!("value {p}").into_bytes())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_cluster_of_three_keeps_acknowledged_records_when_a_broker_is_killed() {
    let kafka = Kafka::start(3);
    let topic = unique("smoke");
    kafka.create_topic(&topic, 3, &[]);
    (0..3).for_each(|partition| kafka.produce(&topic, partition, [("k", "before")]));
    kafka.kill_broker(1);
    (0..3).for_each(|partition| kafka.produce(&topic, partition, [("k", "meanwhile")]));
    kafka.start_broker(1);
    (0..3).for_each(|partition| kafka.produce(&topic, partition, [("k", "after")]));
    let values: Vec<_> = kafka.read(&topic).into_iter().filter_map(|r| String::from_utf8(r.value?).ok()).collect();
    assert_eq!(values, ["before", "meanwhile", "after"].repeat(3));
}
