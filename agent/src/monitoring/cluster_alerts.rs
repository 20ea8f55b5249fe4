//! Alerts on the Kafka cluster, from the metrics that `cluster` publishes under the names of kafka_exporter.

use super::Options;
use super::rule::{Alert, Group, Rule, Severity};
use super::uid::CLUSTER_UID;

/// Name, expression, `for`, severity, summary, description, runbook.
type Row = (&'static str, &'static str, &'static str, Severity, &'static str, &'static str, &'static str);

const ROWS: [Row; 5] = [
    (
        "KafkaUnderReplicated",
        "sum by (job) (max by (job, topic, partition) (kafka_topic_partition_under_replicated_partition)) > 0",
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
        "max by (job) (kafka_cluster_brokers_healthy) < 3\nand\n(\n  max by (job) (max_over_time(kafka_cluster_brokers_healthy[1d])) > 2\n  or\n  \
         max by (job) (kafka_topic_partition_replicas) > 2\n)",
        "30s",
        Severity::Critical,
        "only {{ $value | humanize }} brokers answer",
        "{{ $value | humanize }} brokers of the cluster answer; there should be 3.",
        "kafka-brokers-missing",
    ),
    (
        "KafkaOfflinePartitions",
        "max by (job) (streamgauge_cluster_offline_partitions) > 0",
        "30s",
        Severity::Critical,
        "{{ $value | humanize }} partitions have no leader",
        "{{ $value | humanize }} partitions can be neither read nor written.",
        "kafka-offline-partitions",
    ),
    (
        "KafkaGroupLag",
        "max by (job, consumergroup, topic) (kafka_consumergroup_lag_sum) > 10000",
        "5m",
        Severity::Warning,
        "group {{ $labels.consumergroup }} is {{ $value | humanize }} messages behind on {{ $labels.topic }}",
        "Consumer group {{ $labels.consumergroup }} has had more than 10,000 messages of {{ $labels.topic }} before it for 5 \
         minutes.",
        "kafka-group-lag",
    ),
    (
        "KafkaRequestQueue",
        "max by (job, instance) (kafka_network_requestchannel_requestqueuesize) > 100\nor\n\
         max by (job, instance, broker) (streamgauge_kafka_requests_queued) > 100",
        "1m",
        Severity::Warning,
        "{{ $labels.instance }}: {{ $value | humanize }} requests wait {{ with $labels.broker }}for broker {{ . }}{{ end }}",
        "{{ $value | humanize }} requests wait: in the queue of a broker, as its JMX exporter says, or in the agent's connections to one.",
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
