//! The Kafka cluster on the page: the names that dashboards for Kafka already know (kafka_exporter's, and those of the
//! agent itself). Written from the last check and the last collection; nothing is asked here.

use super::own::{family, seconds};
use super::page::{Labels, Page};
use super::point::{Number, Point};
use crate::cluster::{Collected, GroupLag, Health, PartitionLag, Status, TopicLag, View};
use crate::config::{ClusterLag, Granularity};
use crate::kafka::PartitionDescription;
use crate::kafka::stats::{BrokerView, Clients};
use crate::telemetry::Name;

pub fn write(page: &mut Page<'_>, view: &View) {
    if let Some(monitor) = &view.monitor {
        let health = monitor.health();
        if health.check > 0 {
            write_health(page, &health);
        }
        let lag = monitor.lag();
        if let Some(Ok(found)) = lag.as_deref() {
            write_lag(page, found, &monitor.config().lag);
        }
    }
    write_clients(page, &view.clients);
}

fn gauge(page: &mut Page<'_>, name: Name, value: Number) {
    page.family(family(name));
    point(page, &[], value);
}

/// A point of the family that was begun last.
fn point(page: &mut Page<'_>, labels: &[(&str, &str)], value: Number) {
    let labels = Labels::of(page.style.format, labels);
    page.point(&labels.bytes, None, &Point::Value(value));
}

fn int(count: usize) -> Number {
    Number::Int(count as u64)
}

/// Seconds, which are known to milliseconds.
fn age(seconds: f32) -> Number {
    Number::Nanos((f64::from(seconds) * 1e3).round() as i128 * 1_000_000)
}

fn write_health(page: &mut Page<'_>, health: &Health) {
    gauge(page, Name::ClusterBrokersHealthy, int(health.brokers_up()));
    gauge(page, Name::ClusterReachable, Number::Int(u64::from(health.reachable)));
    gauge(page, Name::ClusterHealthy, Number::Int(u64::from(health.status == Status::Healthy)));
    gauge(page, Name::ClusterChecked, seconds(health.checked_at));
    gauge(page, Name::ClusterCheckTime, Number::Float(health.took.as_secs_f64()));
    page.family(family(Name::BrokerUp));
    for broker in &health.brokers {
        let up = Number::Int(u64::from(broker.state == crate::cluster::BrokerState::Up));
        point(page, &[("broker", &broker.node.id.to_string())], up);
    }
    page.family(family(Name::BrokerLatency));
    for broker in &health.brokers {
        if let Some(latency) = broker.latency {
            point(page, &[("broker", &broker.node.id.to_string())], Number::Float(latency.as_secs_f64()));
        }
    }
    // What a cluster that does not answer has is not known.
    if health.reachable {
        write_nodes(page, health);
        write_topics(page, health);
    }
}

fn write_nodes(page: &mut Page<'_>, health: &Health) {
    let listed = || health.brokers.iter().filter(|b| b.state != crate::cluster::BrokerState::Down);
    gauge(page, Name::KafkaBrokers, int(listed().count()));
    page.family(family(Name::KafkaBrokerInfo));
    for broker in listed() {
        let (id, address) = (broker.node.id.to_string(), format!("{}:{}", broker.node.host, broker.node.port));
        point(page, &[("id", &id), ("address", &address)], Number::Int(1));
    }
    gauge(page, Name::ClusterTopicsHealthy, int(health.topics_healthy()));
    gauge(page, Name::ClusterUnderReplicated, int(health.under_replicated()));
    gauge(page, Name::ClusterOffline, int(health.offline()));
    gauge(page, Name::ClusterSilent, int(health.silent()));
    if let Some(count) = health.under_min_isr {
        gauge(page, Name::ClusterUnderMinIsr, int(count));
    }
}

/// Topics and partitions as the last health check saw them.
fn write_topics(page: &mut Page<'_>, health: &Health) {
    page.family(family(Name::TopicPartitions));
    for topic in health.topics.iter() {
        point(page, &[("topic", &topic.name)], int(topic.partitions.len()));
    }
    let mut each = |name: Name, value: &dyn Fn(&PartitionDescription) -> Option<u64>| {
        page.family(family(name));
        let mut labels = Labels::new(page.style.format);
        for topic in health.topics.iter() {
            labels.bytes.clear();
            labels.push("topic", &topic.name);
            let begin = labels.bytes.len();
            for partition in &topic.partitions {
                labels.bytes.truncate(begin);
                labels.push("partition", &partition.id.to_string());
                if let Some(value) = value(partition) {
                    page.point(&labels.bytes, None, &Point::Value(Number::Int(value)));
                }
            }
        }
    };
    each(Name::PartitionLeader, &|p| p.leader.and_then(|id| u64::try_from(id).ok()));
    each(Name::PartitionPreferred, &|p| Some(u64::from(p.leader.is_some() && p.leader == p.replicas.first().copied())));
    each(Name::PartitionReplicas, &|p| Some(p.replicas.len() as u64));
    each(Name::PartitionInSync, &|p| Some(p.in_sync.len() as u64));
    each(Name::PartitionUnderReplicated, &|p| Some(u64::from(p.in_sync.len() < p.replicas.len())));
}

fn write_lag(page: &mut Page<'_>, found: &Collected, config: &ClusterLag) {
    gauge(page, Name::LagCollected, seconds(found.at));
    gauge(page, Name::LagCollectTime, Number::Float(found.took.as_secs_f64()));
    write_offsets(page, found);
    let partitions = found.groups.iter().flat_map(|group| &group.topics).map(|topic| topic.partitions.len()).sum();
    let too_many = partitions > config.max_partitions;
    gauge(page, Name::LagLeftOut, int(if too_many { partitions } else { 0 }));
    if config.granularity == Granularity::Partition && !too_many {
        write_partitions(page, &found.groups);
    } else {
        by_topic(page, &found.groups, Name::GroupLagSeconds, &|t| t.seconds().map(age));
    }
    by_topic(page, &found.groups, Name::GroupOffsetSum, &|t| u64::try_from(t.offset_sum()).ok().map(Number::Int));
    by_topic(page, &found.groups, Name::GroupLagSum, &|t| t.lag().map(Number::Int));
    page.family(family(Name::GroupInfo));
    for group in &found.groups {
        let labels = [("consumergroup", group.name.as_str()), ("type", &*group.kind), ("state", &*group.state)];
        point(page, &labels, Number::Int(1));
    }
    by_group(page, &found.groups, Name::GroupMembers, "consumergroup", &|g| g.members.map(int));
    by_group(page, &found.groups, Name::ConsumerLag, "group", &|g| g.lag().map(Number::Int));
}

fn write_offsets(page: &mut Page<'_>, found: &Collected) {
    let mut each = |name: Name, value: &dyn Fn(crate::cluster::Log) -> Option<i64>| {
        page.family(family(name));
        let mut labels = Labels::new(page.style.format);
        for topic in found.topics.iter() {
            labels.bytes.clear();
            labels.push("topic", &topic.name);
            let begin = labels.bytes.len();
            for partition in &topic.partitions {
                labels.bytes.truncate(begin);
                labels.push("partition", &partition.id.to_string());
                let offset = found.logs.log(&topic.name, partition.id).and_then(value);
                if let Some(offset) = offset.and_then(|offset| u64::try_from(offset).ok()) {
                    page.point(&labels.bytes, None, &Point::Value(Number::Int(offset)));
                }
            }
        }
    };
    each(Name::PartitionCurrentOffset, &|log| log.high);
    each(Name::PartitionOldestOffset, &|log| log.oldest);
}

fn write_partitions(page: &mut Page<'_>, groups: &[GroupLag]) {
    let mut each = |name: Name, value: &dyn Fn(&PartitionLag) -> Option<Number>| {
        page.family(family(name));
        let mut labels = Labels::new(page.style.format);
        for (group, topic) in groups.iter().flat_map(|group| group.topics.iter().map(move |topic| (group, topic))) {
            topic_labels(&mut labels, group, topic);
            let begin = labels.bytes.len();
            for partition in &topic.partitions {
                labels.bytes.truncate(begin);
                labels.push("partition", &partition.partition.to_string());
                if let Some(value) = value(partition) {
                    page.point(&labels.bytes, None, &Point::Value(value));
                }
            }
        }
    };
    each(Name::GroupOffset, &|p| p.committed.and_then(|offset| u64::try_from(offset).ok()).map(Number::Int));
    each(Name::GroupLag, &|p| p.lag.map(Number::Int));
    each(Name::GroupLost, &|p| (p.lost > 0).then_some(Number::Int(p.lost)));
    each(Name::GroupBeyondEnd, &|p| p.beyond_end.then_some(Number::Int(1)));
    each(Name::GroupLagSeconds, &|p| p.seconds.map(age));
}

/// In place of what was there.
fn topic_labels(labels: &mut Labels, group: &GroupLag, topic: &TopicLag) {
    labels.bytes.clear();
    labels.push("consumergroup", &group.name);
    labels.push("topic", &topic.topic);
}

fn by_topic(page: &mut Page<'_>, groups: &[GroupLag], name: Name, value: &dyn Fn(&TopicLag) -> Option<Number>) {
    page.family(family(name));
    let mut labels = Labels::new(page.style.format);
    for (group, topic) in groups.iter().flat_map(|group| group.topics.iter().map(move |topic| (group, topic))) {
        topic_labels(&mut labels, group, topic);
        if let Some(value) = value(topic) {
            page.point(&labels.bytes, None, &Point::Value(value));
        }
    }
}

fn by_group(
    page: &mut Page<'_>,
    groups: &[GroupLag],
    name: Name,
    group_label: &str,
    value: &dyn Fn(&GroupLag) -> Option<Number>,
) {
    page.family(family(name));
    for group in groups {
        if let Some(value) = value(group) {
            point(page, &[(group_label, &group.name)], value);
        }
    }
}

fn write_clients(page: &mut Page<'_>, clients: &Clients) {
    let views = clients.views();
    if views.is_empty() {
        return;
    }
    let mut each = |name: Name, value: &dyn Fn(&BrokerView) -> Option<Number>| {
        page.family(family(name));
        for ((client, broker), view) in &views {
            if let Some(value) = value(view) {
                point(page, &[("client", client), ("broker", &broker.to_string())], value);
            }
        }
    };
    each(Name::RequestLatencyMean, &|v| v.latency.map(|latency| Number::Float(latency.mean)));
    each(Name::RequestLatencyHigh, &|v| v.latency.map(|latency| Number::Float(latency.p99)));
    each(Name::RequestsInFlight, &|v| Some(Number::Int(v.in_flight)));
    each(Name::RequestsQueued, &|v| Some(Number::Int(v.queued)));
    each(Name::Throttle, &|v| Some(Number::Float(v.throttle)));
}
