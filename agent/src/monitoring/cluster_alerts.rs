//! Alerts on the Kafka cluster, from the metrics that `cluster` publishes under the names of kafka_exporter.

use super::Options;
use super::grafana::CLUSTER_UID;
use super::rule::{Alert, Group, Rule, Severity};

/// Name, expression, `for`, severity, summary, description, runbook.
type Row = (&'static str, &'static str, &'static str, Severity, &'static str, &'static str, &'static str);

const ROWS: [Row; 5] = [
    (
        "KafkaUnderReplicated",
        "sum by (job) (kafka_topic_partition_under_replicated_partition) > 0",
        "1m",
        Severity::Warning,
        "{{ $value | humanize }} partitions are under-replicated",
        "{{ $value | humanize }} partitions have fewer replicas in sync than they should. Another broker less may stop writes to \
         them, or lose what was acknowledged with acks=1.",
        "kafka-under-replicated",
    ),
    (
        // A cluster of one for development shall not page: three are expected where there were three, or where topics
        // have three replicas.
        "KafkaBrokersMissing",
        "max by (job) (kafka_brokers) < 3\nand\n(\n  max by (job) (max_over_time(kafka_brokers[1d])) > 2\n  or\n  \
         max by (job) (kafka_topic_partition_replicas) > 2\n)",
        "30s",
        Severity::Critical,
        "only {{ $value | humanize }} brokers are up",
        "The cluster has {{ $value | humanize }} brokers and should have 3.",
        "kafka-brokers-missing",
    ),
    (
        "KafkaOfflinePartitions",
        "sum by (job) (kafka_topic_partition_leader < bool 0) > 0",
        "30s",
        Severity::Critical,
        "{{ $value | humanize }} partitions have no leader",
        "{{ $value | humanize }} partitions can be neither read nor written.",
        "kafka-offline-partitions",
    ),
    (
        "KafkaGroupLag",
        "sum by (job, consumergroup, topic) (kafka_consumergroup_lag_sum) > 10000",
        "5m",
        Severity::Warning,
        "group {{ $labels.consumergroup }} is {{ $value | humanize }} messages behind on {{ $labels.topic }}",
        "Consumer group {{ $labels.consumergroup }} has had more than 10,000 messages of {{ $labels.topic }} before it for 5 \
         minutes.",
        "kafka-group-lag",
    ),
    (
        "KafkaRequestQueue",
        "max by (job, instance) (kafka_network_requestchannel_requestqueuesize) > 100",
        "1m",
        Severity::Warning,
        "{{ $labels.instance }}: {{ $value | humanize }} requests wait",
        "{{ $value | humanize }} requests wait in the queue of broker {{ $labels.instance }} (from its JMX exporter).",
        "kafka-request-queue",
    ),
];

pub fn group(options: &Options) -> Group {
    Group { name: "kafka".into(), rules: ROWS.map(|row| Rule::Alert(alert(row, options))).into() }
}

fn alert((name, expr, hold, severity, summary, description, page): Row, options: &Options) -> Alert {
    Alert {
        name,
        expr: expr.to_owned(),
        hold,
        keep: "",
        severity,
        summary: summary.to_owned(),
        description: description.to_owned(),
        runbook_url: options.runbook(page),
        dashboard_url: options.dashboard(CLUSTER_UID),
    }
}
