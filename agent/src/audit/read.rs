//! Reading the topics again, committed records only, each partition up to where the answers stand.

use super::event::Envelope;
use super::recount::Recount;
use crate::clock::Clock;
use crate::kafka::{Isolation, PartitionReader, Reading, Settings, TopicPartition, is_passing, why_unread};
use rdkafka::error::KafkaError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const READ_WAIT: Duration = Duration::from_millis(200);
/// Kafka says nothing for so long: something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{what}: {reason}")]
    Kafka { what: &'static str, reason: String },
    #[error("no data from {topic}, although offset {end} of partition {partition} was not reached{reason}")]
    Silent { topic: String, partition: i32, end: i64, reason: String },
}

/// Reads what the recount needs. `since`: only records that windows from then on (Unix milliseconds) can depend on.
/// Returns the number of records read.
pub fn read(
    settings: &Settings,
    recount: &mut Recount<'_>,
    since: Option<i64>,
    clock: &Clock,
) -> Result<u64, ReadError> {
    let ends = recount.ends();
    let topics: BTreeSet<&str> = ends.keys().map(|of| &*of.topic).collect();
    let mut records = 0;
    for topic in topics {
        let of_topic = ends.iter().filter(|(of, _)| &*of.topic == topic);
        let ends: BTreeMap<i32, i64> = of_topic.map(|(of, &end)| (of.partition, end)).collect();
        records += read_topic(settings, topic, ends, recount, since, clock)?;
    }
    Ok(records)
}

fn read_topic(
    settings: &Settings,
    topic: &str,
    mut ends: BTreeMap<i32, i64>,
    recount: &mut Recount<'_>,
    since: Option<i64>,
    clock: &Clock,
) -> Result<u64, ReadError> {
    let failed = |what| move |error: KafkaError| ReadError::Kafka { what, reason: why_unread(&error, topic) };
    let mut reader = PartitionReader::create(settings, Isolation::ReadCommitted).map_err(failed("reader"))?;
    let starts = starts(&reader, topic, &mut ends, recount, since)?;
    // Partitions of which Kafka has dropped the beginning: their first record tells from when on it has all.
    let mut cut: BTreeSet<i32> =
        starts.iter().filter(|start| start.cut).map(|start| start.partition.partition).collect();
    let from: Vec<_> = starts.into_iter().map(|start| (start.partition, start.offset)).collect();
    if !from.is_empty() {
        reader.assign(&from).map_err(failed("assign"))?;
    }
    let (mut records, mut heard) = (0, clock.boot_time());
    while !ends.is_empty() {
        let done = match reader.read(READ_WAIT) {
            Reading::Record(record) => {
                heard = clock.boot_time();
                let partition = record.partition();
                match ends.get(&partition) {
                    Some(&end) if record.offset() < end => {
                        if cut.remove(&partition) {
                            recount.begins_late(record.timestamp().unwrap_or(i64::MAX));
                        }
                        records += 1;
                        let envelope = Envelope {
                            topic: topic.to_owned(),
                            partition,
                            time: record.timestamp(),
                            key: record.key().map(<[u8]>::to_vec),
                            headers: record.headers(),
                        };
                        recount.record(&envelope, record.offset(), record.payload());
                        (record.offset() + 1 >= end).then_some(partition)
                    }
                    Some(_) => Some(partition),
                    None => None,
                }
            }
            // What is left before the end are markers and records that were never committed.
            Reading::End { partition } => ends.contains_key(&partition.partition).then_some(partition.partition),
            Reading::Error(error) if !is_passing(&error) => return Err(failed("read")(error)),
            Reading::Nothing | Reading::Error(_) => None,
        };
        if let Some(partition) = done {
            ends.remove(&partition);
            reader.finish(&TopicPartition::new(topic, partition)).map_err(failed("unassign"))?;
        }
        if let (true, Some((&partition, &end))) = (clock.boot_time().since(heard) > PATIENCE, ends.first_key_value()) {
            let reason = reader.last_error().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(ReadError::Silent { topic: topic.to_owned(), partition, end, reason });
        }
    }
    Ok(records)
}

/// Where reading a partition begins.
struct Beginning {
    partition: TopicPartition,
    offset: i64,
    /// Kafka no longer has what was before.
    cut: bool,
}

/// Takes out of `ends` the partitions of which nothing has to be read.
fn starts(
    reader: &PartitionReader,
    topic: &str,
    ends: &mut BTreeMap<i32, i64>,
    recount: &mut Recount<'_>,
    since: Option<i64>,
) -> Result<Vec<Beginning>, ReadError> {
    let failed = |what| move |error: KafkaError| ReadError::Kafka { what, reason: why_unread(&error, topic) };
    let name: Arc<str> = topic.into();
    let partitions: Vec<TopicPartition> =
        ends.keys().map(|partition| TopicPartition::new(name.clone(), *partition)).collect();
    let firsts = reader.beginnings(&partitions, CALL_TIMEOUT).map_err(failed("beginnings"))?;
    // An event of a window may have been written as long before it as it may be dated ahead.
    let earliest = since.map(|since| since.saturating_sub(recount.max_future_ms()));
    let offsets = match earliest {
        Some(time) => Some(reader.first_since(&partitions, time, CALL_TIMEOUT).map_err(failed("offsets of a time"))?),
        None => None,
    };
    let mut starts = Vec::new();
    for partition in partitions {
        let first = firsts.get(&partition).copied().unwrap_or(0);
        let end = ends.get(&partition.partition).copied().unwrap_or(0);
        let offset = match &offsets {
            Some(offsets) => offsets.get(&partition).copied().flatten().unwrap_or(end),
            None => first,
        };
        if offset > first {
            recount.begins_within();
        }
        if offset >= end {
            ends.remove(&partition.partition);
            continue;
        }
        starts.push(Beginning { cut: first > 0 && offset <= first, offset, partition });
    }
    Ok(starts)
}
