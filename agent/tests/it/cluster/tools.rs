//! What Kafka's own tools print, read back, and compared with what the agent says.

use std::collections::BTreeMap;

use streamgauge_proto::v1 as pb;

use crate::kafka::Kafka;

/// Leader, replicas and replicas in sync, by topic and partition.
pub type Partitions = BTreeMap<(String, i32), (Option<i32>, usize, usize)>;
/// Committed offset, end, lag, by topic and partition.
pub type Lag = BTreeMap<(String, i32), (i64, i64, i64)>;

/// `kafka-topics --describe`.
pub fn partitions(kafka: &Kafka) -> Partitions {
    kafka.script(&["topics"], &["--describe"]).lines().filter_map(partition).collect()
}

/// `Topic: t  Partition: 0  Leader: 2  Replicas: 2,3,1  Isr: 2,3 …`, tabs in between.
fn partition(line: &str) -> Option<<Partitions as IntoIterator>::Item> {
    let field = |name: &str| {
        let rest = line.split(&format!("{name}: ")).nth(1)?;
        Some(rest.split(['\t', ' ']).next().unwrap_or_default().trim())
    };
    let list = |name: &str| field(name).map(|text| text.split(',').filter(|id| !id.is_empty()).count());
    let partition = line.split('\t').find_map(|part| part.trim().strip_prefix("Partition: "))?.trim().parse().ok()?;
    let leader = field("Leader").and_then(|id| id.parse().ok());
    Some(((field("Topic")?.to_owned(), partition), (leader, list("Replicas")?, list("Isr")?)))
}

/// The partitions with fewer replicas in sync than they have.
pub fn under_replicated(partitions: &Partitions) -> usize {
    partitions.values().filter(|(_, replicas, in_sync)| in_sync < replicas).count()
}

/// `kafka-consumer-groups --describe --group`, of all the groups at once: a Java machine each takes seconds.
pub fn lags<const N: usize>(kafka: &Kafka, groups: [&str; N]) -> [Lag; N] {
    let named: Vec<&str> = groups.iter().flat_map(|group| ["--group", group]).collect();
    let text = kafka.script(&["groups"], &[&["--describe"][..], &named].concat());
    groups.map(|group| {
        let row = |line: &str| {
            let cells: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| cells.get(at)?.parse::<i64>().ok();
            (cells.first() == Some(&group)).then_some(())?;
            Some(((cells.get(1)?.to_string(), number(2)? as i32), (number(3)?, number(4)?, number(5)?)))
        };
        let found: Lag = text.lines().filter_map(row).collect();
        assert!(!found.is_empty(), "{group}: {text}");
        found
    })
}

/// `kafka-groups --list`: the kind of each group, by its name.
pub fn kinds(kafka: &Kafka) -> BTreeMap<String, String> {
    let class = ["run", "org.apache.kafka.tools.GroupsCommand"];
    let text = kafka.class(&class, &["--list", "--bootstrap-server", kafka.bootstrap()]);
    let row = |line: &str| {
        let mut cells = line.split_whitespace().map(str::to_owned);
        Some((cells.next()?, cells.next()?))
    };
    text.lines().filter_map(row).filter(|(name, _)| name != "GROUP").collect()
}

/// The value of a series, its labels in any order.
pub fn value(page: &str, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let line = page.lines().find(|line| {
        line.strip_prefix(family).is_some_and(|rest| {
            rest.starts_with('{') && labels.iter().all(|(name, value)| rest.contains(&format!("{name}=\"{value}\"")))
        })
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

fn same(what: &str, tool: Option<f64>, agent: Option<f64>) -> Result<(), String> {
    if tool == agent { Ok(()) } else { Err(format!("{what}: the tool says {tool:?}, the agent {agent:?}")) }
}

pub fn same_partitions(page: &str, expected: &Partitions) -> Result<(), String> {
    let series = page.lines().filter(|line| line.starts_with("kafka_topic_partition_replicas{")).count();
    same("partitions", Some(expected.len() as f64), Some(series as f64))?;
    for ((topic, partition), (leader, replicas, in_sync)) in expected {
        let partition = partition.to_string();
        let labels = [("topic", topic.as_str()), ("partition", partition.as_str())];
        let found = |family: &str| value(page, family, &labels);
        let what = |name: &str| format!("{name} of {topic}-{partition}");
        same(&what("leader"), leader.map(f64::from), found("kafka_topic_partition_leader"))?;
        same(&what("replicas"), Some(*replicas as f64), found("kafka_topic_partition_replicas"))?;
        same(&what("in sync"), Some(*in_sync as f64), found("kafka_topic_partition_in_sync_replica"))?;
        let under = f64::from(in_sync < replicas);
        let family = "kafka_topic_partition_under_replicated_partition";
        same(&what("under-replicated"), Some(under), found(family))?;
    }
    Ok(())
}

pub fn same_lag(page: &str, group: &str, expected: &Lag) -> Result<(), String> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for ((topic, partition), (offset, end, lag)) in expected {
        let partition = partition.to_string();
        let labels = [("consumergroup", group), ("topic", topic.as_str()), ("partition", partition.as_str())];
        let what = |name: &str| format!("{name} of {group} in {topic}-{partition}");
        let found = |family: &str| value(page, family, &labels);
        same(&what("offset"), Some(*offset as f64), found("kafka_consumergroup_current_offset"))?;
        same(&what("lag"), Some(*lag as f64), found("kafka_consumergroup_lag"))?;
        let current = value(page, "kafka_topic_partition_current_offset", &labels[1..]);
        same(&what("end"), Some(*end as f64), current)?;
        *sums.entry(topic).or_default() += lag;
    }
    for (topic, sum) in &sums {
        let labels = [("consumergroup", group), ("topic", topic)];
        same("sum of lag", Some(*sum as f64), value(page, "kafka_consumergroup_lag_sum", &labels))?;
    }
    let all: i64 = sums.values().sum();
    same("lag of the group", Some(all as f64), value(page, "kafka_consumer_lag", &[("group", group)]))
}

pub fn same_answer(answer: &pb::ConsumerGroup, expected: &Lag) -> Result<(), String> {
    let all = answer.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.topic.clone(), p)));
    let found = all.map(|(topic, p)| {
        let lag = p.lag_messages.map_or(-1, |lag| lag as i64);
        ((topic, p.partition), (p.current_offset.unwrap_or(-1), p.log_end_offset.unwrap_or(-1), lag))
    });
    let found: Lag = found.collect();
    if found == *expected {
        Ok(())
    } else {
        Err(format!("{}: the tool says {expected:?}, the agent {found:?}", answer.name))
    }
}
