//! The dashboard of the Kafka cluster, from the metrics of the agent's `cluster` section.

use super::board::Board;
use super::panel::{Look, Panel};
use crate::monitoring::uid::CLUSTER_UID;

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
    .row("Is it fine?", now())
    .row("Brokers", brokers())
    .row("Topics", topics())
    .row("Consumer groups", groups())
}

fn lines(title: &str, unit: &str, text: &str, expr: String, legend: &str) -> Panel {
    Panel::new(Look::Lines, title, unit, text).query(expr, legend)
}

/// Every agent tells of the same cluster: the highest of what they say, and only then sums.
fn each(metric: &str, by: &str) -> String {
    format!("max by ({by}) ({metric}{{{T}}})")
}

fn now() -> Vec<Panel> {
    let stat = |title: &str, text: &str, expr: String| Panel::new(Look::Stat, title, "short", text).query(expr, "");
    vec![
        stat("Brokers", "Brokers that the cluster lists.", format!("max(kafka_brokers{{{J}}})")),
        stat(
            "Healthy brokers",
            "Brokers that are listed and answer.",
            format!("max(kafka_cluster_brokers_healthy{{{J}}})"),
        ),
        stat(
            "Healthy topics",
            "Topics with a leader that answers and all replicas in sync for each partition.",
            format!("max(kafka_cluster_topics_healthy{{{J}}})"),
        ),
        stat("Partitions", "Partitions of all topics.", format!("sum({})", each("kafka_topic_partitions", "topic"))),
        stat(
            "Under-replicated",
            "Partitions with fewer replicas in sync than they should have.",
            format!("sum({})", each("kafka_topic_partition_under_replicated_partition", "topic, partition")),
        )
        .red_from(1.0),
        stat(
            "Offline",
            "Partitions without a leader: neither read nor written.",
            format!("max(streamgauge_cluster_offline_partitions{{{J}}})"),
        )
        .red_from(1.0),
    ]
}

fn brokers() -> Vec<Panel> {
    let by = "broker {{broker}}";
    vec![
        lines("Brokers up", "bool_yes_no", "1: the broker is listed and answers; 0: it is silent or down.",
            format!("max by (broker) (streamgauge_cluster_broker_up{{{J}}})"), by),
        lines("Answer to a health check", "s", "What each broker took to answer the last health check.",
            format!("max by (broker) (streamgauge_cluster_broker_latency_seconds{{{J}}})"), by),
        lines("Request latency, p99", "s", "Of the requests of the agents' own clients, over their last statistics interval.",
            format!("max by (client, broker) (streamgauge_kafka_request_latency_p99_seconds{{{J}}})"), "{{client}}, broker {{broker}}"),
        lines("Requests in flight and queued", "short", "Of the agents' own connections: sent and not answered; not sent yet. A broker's own queue no client can see.",
            format!("sum by (broker) (streamgauge_kafka_requests_in_flight{{{J}}})"), "broker {{broker}} in flight")
            .query(format!("sum by (broker) (streamgauge_kafka_requests_queued{{{J}}})"), "broker {{broker}} queued"),
        lines("Throttled", "s", "Longest time a broker told the agents' clients to hold back (quotas).",
            format!("max by (broker) (streamgauge_kafka_throttle_seconds{{{J}}})"), by).quiet(),
        lines("Probe, round trip p99", "s", "From producing a message of the probe to consuming it, by the leader's broker.",
            format!("histogram_quantile(0.99, sum by (broker, le) (rate(streamgauge_probe_roundtrip_seconds_bucket{{{J}}}[$__rate_interval])))"), by),
    ]
}

fn topics() -> Vec<Panel> {
    let at = "topic, partition";
    let [current, oldest] =
        ["current", "oldest"].map(|which| each(&format!("kafka_topic_partition_{which}_offset"), at));
    let [in_sync, all] =
        ["in_sync_replica", "replicas"].map(|which| each(&format!("kafka_topic_partition_{which}"), at));
    vec![
        lines(
            "Messages in",
            "mps",
            "Messages written per second, by topic (from the ends of its partitions).",
            format!(
                "sum by (topic) (max by ({at}) (rate(kafka_topic_partition_current_offset{{{T}}}[$__rate_interval])))"
            ),
            "{{topic}}",
        ),
        lines(
            "Messages kept",
            "short",
            "Messages between the oldest offset and the end, by topic.",
            format!("sum by (topic) ({current} - {oldest})"),
            "{{topic}}",
        ),
        lines(
            "Replicas in sync",
            "percentunit",
            "Share of the replicas that are in sync.",
            format!("sum by (topic) ({in_sync}) / sum by (topic) ({all})"),
            "{{topic}}",
        ),
        lines(
            "Leaders that are not the preferred ones",
            "short",
            "Partitions led by another broker than the first of their replicas.",
            format!("sum by (topic) (1 - {})", each("kafka_topic_partition_leader_is_preferred", at)),
            "{{topic}}",
        )
        .quiet(),
    ]
}

fn groups() -> Vec<Panel> {
    vec![
        lines(
            "Lag in messages",
            "short",
            "Messages between a group's committed offset and the end, by group and topic.",
            format!("max by (consumergroup, topic) (kafka_consumergroup_lag_sum{{{G}}})"),
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
            "mps",
            "Offsets committed per second, by group and topic.",
            format!(
                "max by (consumergroup, topic) (rate(kafka_consumergroup_current_offset_sum{{{G}}}[$__rate_interval]))"
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
