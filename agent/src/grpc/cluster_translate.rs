//! The cluster's health and lag as messages. The command line makes the same ones when it asks Kafka itself.

use crate::cluster::{BrokerHealth, BrokerState, GroupLag, Health, PartitionLag, Status, TopicHealth, TopicLag};
use crate::kafka::{GroupDescription, GroupMember};
use std::collections::HashMap;
use std::time::Duration;
use streamgauge_proto::types::{Duration as PbDuration, Timestamp};
use streamgauge_proto::v1 as pb;

/// Unix milliseconds.
pub fn timestamp(millis: i64) -> Timestamp {
    Timestamp { seconds: millis.div_euclid(1_000), nanos: (millis.rem_euclid(1_000) * 1_000_000) as i32 }
}

fn duration(duration: Duration) -> PbDuration {
    PbDuration { seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), nanos: duration.subsec_nanos() as i32 }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub fn health(health: &Health, view: pb::HealthView) -> pb::ClusterHealth {
    let in_full = view != pb::HealthView::StatusOnly;
    let status = match health.status {
        Status::Unknown => pb::HealthStatus::Unspecified,
        Status::Healthy => pb::HealthStatus::Healthy,
        Status::Degraded => pb::HealthStatus::Degraded,
        Status::Unhealthy => pb::HealthStatus::Unhealthy,
    };
    let up = health.brokers_up();
    pb::ClusterHealth {
        status: status.into(),
        status_since: Some(timestamp(health.status_since)),
        checked_at: Some(timestamp(health.checked_at)),
        check_took: Some(duration(health.took)),
        reachable: health.reachable,
        reachable_since: Some(timestamp(health.reachable_since)),
        problems: health.problems.clone(),
        notes: health.notes.clone(),
        cluster_id: health.cluster_id.clone(),
        controller: health.controller,
        brokers_up: count(up),
        brokers_down: count(health.brokers.len() - up),
        topics: count(health.topics.len()),
        topics_healthy: count(health.topics_healthy()),
        partitions: count(health.partitions()),
        under_replicated_partitions: count(health.under_replicated()),
        under_min_isr_partitions: health.under_min_isr.map(count),
        offline_partitions: count(health.offline()),
        silent_partitions: count(health.silent()),
        brokers: if in_full { health.brokers.iter().map(broker).collect() } else { Vec::new() },
        unhealthy_topics: if in_full { health.unhealthy_topics.iter().map(topic).collect() } else { Vec::new() },
    }
}

fn broker(broker: &BrokerHealth) -> pb::BrokerHealth {
    let state = match broker.state {
        BrokerState::Up => pb::BrokerState::Up,
        BrokerState::Silent => pb::BrokerState::Silent,
        BrokerState::Down => pb::BrokerState::Down,
    };
    let node = &broker.node;
    pb::BrokerHealth {
        id: node.id,
        address: if node.host.is_empty() { String::new() } else { format!("{}:{}", node.host, node.port) },
        rack: node.rack.clone(),
        state: state.into(),
        latency: broker.latency.map(duration),
        leads: count(broker.leads),
        replicas: count(broker.replicas),
        in_sync: count(broker.in_sync),
    }
}

fn topic(topic: &TopicHealth) -> pb::TopicHealth {
    pb::TopicHealth {
        name: topic.name.to_string(),
        partitions: count(topic.partitions),
        under_replicated: topic.under_replicated.clone(),
        under_min_isr: topic.under_min_isr.clone(),
        offline: topic.offline.clone(),
        silent: topic.silent.clone(),
        min_insync_replicas: topic.min_isr,
    }
}

/// A group without its members; `partitions`: with the lag of each.
pub fn group(group: &GroupLag, partitions: bool) -> pb::ConsumerGroup {
    let topic = |topic: &TopicLag| pb::TopicLag {
        topic: topic.topic.to_string(),
        lag_messages: topic.lag(),
        lag_seconds: topic.seconds().map(rounded),
        partition_count: count(topic.partitions.len()),
        partitions: if partitions { topic.partitions.iter().map(partition).collect() } else { Vec::new() },
    };
    pb::ConsumerGroup {
        name: group.name.clone(),
        state: group.state.clone(),
        member_count: count(group.members.unwrap_or(0)),
        lag_messages: group.lag(),
        lag_seconds: group.seconds().map(rounded),
        topics: group.topics.iter().map(topic).collect(),
        r#type: group.kind.to_string(),
        lag_unknown_because: if group.without_offsets { without_offsets(&group.kind) } else { String::new() },
        ..Default::default()
    }
}

fn without_offsets(kind: &str) -> String {
    match kind {
        "other" => {
            "it is a share group, or a streams group that has committed nothing; the client library can ask for \
                    neither: see kafka-share-groups.sh and kafka-streams-groups.sh"
                .to_owned()
        }
        kind => format!("a group of type {kind} is not one of consumers"),
    }
}

/// With the sums of the topics that are left.
pub fn with_sums(mut group: pb::ConsumerGroup) -> pb::ConsumerGroup {
    if !group.lag_unknown_because.is_empty() {
        return group;
    }
    group.lag_messages = group.topics.iter().map(|topic| topic.lag_messages).sum();
    group.lag_seconds = group.topics.iter().try_fold(0.0, |worst: f64, topic| Some(worst.max(topic.lag_seconds?)));
    group
}

/// A group with its members and partitions.
pub fn group_in_full(lag: &GroupLag, seen: &GroupDescription) -> pb::ConsumerGroup {
    let mut answer = group(lag, true);
    let mut owners = HashMap::new();
    for member in &seen.members {
        owners.extend(member.partitions.iter().map(|of| ((&*of.topic, of.partition), &member.id)));
    }
    for topic in &mut answer.topics {
        for partition in &mut topic.partitions {
            let owner = owners.get(&(topic.topic.as_str(), partition.partition));
            partition.member = owner.map(|id| id.to_string()).unwrap_or_default();
        }
    }
    answer.members = seen.members.iter().map(member).collect();
    answer.assignor = seen.assignor.clone();
    answer.coordinator = seen.coordinator;
    answer
}

fn partition(lag: &PartitionLag) -> pb::PartitionLag {
    pb::PartitionLag {
        partition: lag.partition,
        current_offset: lag.committed,
        log_end_offset: lag.high,
        lag_messages: lag.lag,
        lag_seconds: lag.seconds.map(rounded),
        member: String::new(),
        lost_messages: lag.lost,
        beyond_end: lag.beyond_end,
    }
}

fn member(member: &GroupMember) -> pb::ConsumerGroupMember {
    pb::ConsumerGroupMember {
        id: member.id.clone(),
        client_id: member.client_id.clone(),
        instance_id: member.instance_id.clone(),
        host: member.host.clone(),
        partition_count: count(member.partitions.len()),
    }
}

/// Milliseconds are what it is known to.
fn rounded(seconds: f32) -> f64 {
    (f64::from(seconds) * 1e3).round() / 1e3
}
