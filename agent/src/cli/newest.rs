//! The newest records of a topic, read outside the group.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rdkafka::error::KafkaError;

use crate::config::Kafka;
use crate::kafka::{Isolation, PartitionReader, Reading, Settings, TopicPartition, is_passing, why_unread};
use crate::sample::Record;

const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const READ_WAIT: Duration = Duration::from_millis(200);
/// Kafka says nothing for so many waits: something is wrong.
const PATIENCE: u32 = 150;

/// The newest committed records of a topic, oldest first.
pub fn records(kafka: &Kafka, topic: &str, wanted: usize) -> anyhow::Result<Vec<Record>> {
    let settings = Settings::new(kafka.clone(), "streamgauge-cli".into());
    let mut reader = PartitionReader::create(&settings, Isolation::ReadCommitted)?;
    let partitions = reader.partition_count(topic, CALL_TIMEOUT);
    let partitions = partitions.map_err(|error| {
        anyhow!("Kafka at {} cannot be used: {}", kafka.bootstrap_servers, reader.why(&error, topic))
    })?;
    let partitions = partitions.with_context(|| format!("there is no topic `{topic}`"))?;
    let all: Vec<TopicPartition> = TopicPartition::all_of(&topic.into(), partitions).collect();
    let unread = |error: KafkaError| anyhow!("cannot read {topic}: {}", why_unread(&error, topic));
    let ends = reader.ends(&all, CALL_TIMEOUT).map_err(unread)?;
    let beginnings = reader.beginnings(&all, CALL_TIMEOUT).map_err(unread)?;
    let mut left = BTreeMap::new();
    let mut from = Vec::new();
    for partition in all {
        let end = ends.get(&partition).copied().unwrap_or(0);
        let first = beginnings.get(&partition).copied().unwrap_or(0);
        // Every second offset may be the mark at a transaction's end.
        let back = i64::try_from(wanted).unwrap_or(i64::MAX).saturating_mul(2).saturating_add(10);
        let start = end.saturating_sub(back).max(first);
        if start < end {
            left.insert(partition.partition, end);
            from.push((partition, start));
        }
    }
    if from.is_empty() {
        return Ok(Vec::new());
    }
    reader.assign(&from)?;
    let (mut found, mut silent) = (Vec::new(), 0);
    while !left.is_empty() && silent < PATIENCE {
        let done = match reader.read(READ_WAIT) {
            Reading::Record(record) => {
                silent = 0;
                let at = (record.timestamp(), record.partition(), record.offset());
                let given = Record {
                    payload: record.payload().map(<[u8]>::to_vec),
                    timestamp: record.timestamp(),
                    read_at: None,
                    topic: topic.to_owned(),
                    partition: record.partition(),
                    key: record.key().map(<[u8]>::to_vec),
                    headers: record.headers(),
                };
                found.push((at, given));
                left.get(&record.partition())
                    .is_none_or(|&end| record.offset() + 1 >= end)
                    .then_some(record.partition())
            }
            // What is left before the end are markers and records that were never committed.
            Reading::End { partition } => Some(partition.partition),
            Reading::Nothing => {
                silent += 1;
                None
            }
            Reading::Error(error) if is_passing(&error) => {
                silent += 1;
                None
            }
            Reading::Error(error) => return Err(unread(error)),
        };
        if let Some(partition) = done {
            left.remove(&partition);
        }
    }
    if !left.is_empty() {
        bail!(
            "Kafka does not deliver all of {topic}{}",
            reader.last_error().map(|e| format!(": {e}")).unwrap_or_default()
        );
    }
    found.sort_by_key(|(at, _)| *at);
    let surplus = found.len().saturating_sub(wanted);
    Ok(found.into_iter().skip(surplus).map(|(_, given)| given).collect())
}
