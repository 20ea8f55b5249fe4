//! The dashboard of the Kafka cluster, from the metrics of the agent's `cluster` section.

use super::CLUSTER_UID;
use super::board::Board;
use super::panel::{Look, Panel};

const J: &str = "job=~\"$job\"";
const T: &str = "job=~\"$job\", topic=~\"$topic\"";
const G: &str = "job=~\"$job\", consumergroup=~\"$consumergroup\", topic=~\"$topic\"";

pub fn board() -> Board {
    Board::new(
        CLUSTER_UID,
        "Kafka cluster",
        "Brokers, topics, replicas and consumer groups, as a client of the cluster sees them.",
    )
    .variable("job", "kafka_brokers")
    .variable("topic", "kafka_topic_partitions")
    .variable("consumergroup", "kafka_consumergroup_members")
    .row("Now", now())
    .row("Topics", topics())
    .row("Consumer groups", groups())
}

fn stat(title: &str, text: &str, expr: String) -> Panel {
    Panel::new(Look::Stat, title, "short", text).query(expr, "")
}

fn lines(title: &str, unit: &str, text: &str, expr: String, legend: &str) -> Panel {
    Panel::new(Look::Lines, title, unit, text).query(expr, legend).wide(12)
}

fn now() -> Vec<Panel> {
    vec![
        stat("Brokers", "Brokers that are up.", format!("max(kafka_brokers{{{J}}})")),
        stat(
            "Healthy brokers",
            "Brokers that answer and are not being shut down.",
            format!("max(kafka_cluster_brokers_healthy{{{J}}})"),
        ),
        stat(
            "Healthy topics",
            "Topics with a leader and all replicas in sync for each partition.",
            format!("max(kafka_cluster_topics_healthy{{{J}}})"),
        ),
        stat("Partitions", "Partitions of all topics.", format!("sum(kafka_topic_partitions{{{T}}})")),
        stat(
            "Under-replicated",
            "Partitions with fewer replicas in sync than they should have.",
            format!("sum(kafka_topic_partition_under_replicated_partition{{{T}}})"),
        )
        .red_from(1.0),
        stat(
            "Offline",
            "Partitions without a leader: neither read nor written.",
            format!("sum(kafka_topic_partition_leader{{{T}}} < bool 0)"),
        )
        .red_from(1.0),
    ]
}

fn topics() -> Vec<Panel> {
    vec![
        lines(
            "Messages in",
            "cps",
            "Messages written per second, by topic (from the ends of its partitions).",
            format!("sum by (topic) (rate(kafka_topic_partition_current_offset{{{T}}}[$__rate_interval]))"),
            "{{topic}}",
        ),
        lines(
            "Messages kept",
            "short",
            "Messages between the oldest offset and the end, by topic.",
            format!(
                "sum by (topic) (kafka_topic_partition_current_offset{{{T}}} - kafka_topic_partition_oldest_offset{{{T}}})"
            ),
            "{{topic}}",
        ),
        lines(
            "Replicas in sync",
            "percentunit",
            "Share of the replicas that are in sync.",
            format!(
                "sum by (topic) (kafka_topic_partition_in_sync_replica{{{T}}}) / sum by (topic) (kafka_topic_partition_replicas{{{T}}})"
            ),
            "{{topic}}",
        ),
        lines(
            "Leaders that are not the preferred ones",
            "short",
            "Partitions led by another broker than the first of their replicas.",
            format!("sum by (topic) (1 - kafka_topic_partition_leader_is_preferred{{{T}}})"),
            "{{topic}}",
        ),
    ]
}

fn groups() -> Vec<Panel> {
    vec![
        lines(
            "Lag in messages",
            "short",
            "Messages between a group's committed offset and the end, by group and topic.",
            format!("sum by (consumergroup, topic) (kafka_consumergroup_lag_sum{{{G}}})"),
            "{{consumergroup}} {{topic}}",
        )
        .red_from(10_000.0),
        lines(
            "Lag in seconds",
            "s",
            "How long ago the oldest message was written that a group has not committed.",
            format!("max by (consumergroup, topic) (kafka_consumergroup_lag_seconds{{{G}}})"),
            "{{consumergroup}} {{topic}}",
        ),
        lines(
            "Consumed",
            "cps",
            "Offsets committed per second, by group and topic.",
            format!(
                "sum by (consumergroup, topic) (rate(kafka_consumergroup_current_offset_sum{{{G}}}[$__rate_interval]))"
            ),
            "{{consumergroup}} {{topic}}",
        ),
        lines(
            "Members",
            "short",
            "Members of each group.",
            format!("max by (consumergroup) (kafka_consumergroup_members{{{J}, consumergroup=~\"$consumergroup\"}})"),
            "{{consumergroup}}",
        ),
    ]
}
