//! Copying records of one topic to others, exactly once: what is written and how far was read are one transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::login::{self, LoggedIn};
use crate::reader::{ReadRecord, is_passing};
use crate::{Context, Settings};

const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const READ_WAIT: Duration = Duration::from_millis(200);
/// Kafka says nothing for so many waits: something is wrong.
const PATIENCE: u32 = 150;
/// Records in a transaction, at most.
const BATCH: usize = 500;

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub topic: String,
    /// `None`: the one of its key.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    /// Unix milliseconds.
    pub timestamp: Option<i64>,
    pub headers: Vec<(String, String)>,
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub read: u64,
    pub written: u64,
}

/// Reads what the group `reader` has not read of the topic `from` yet, up to its end of now, committed records only, and
/// writes what `each` makes of it. Whatever fails, no record is copied twice: what was not committed is read again by the
/// next call, and a call that begins ends what an earlier one has left open.
///
/// # Errors
/// The first error of Kafka; what was committed until then stays.
pub fn copy_exactly_once(
    settings: &Settings,
    from: &str,
    reader: &str,
    each: &mut dyn FnMut(&ReadRecord<'_>) -> Option<Outgoing>,
) -> KafkaResult<Copied> {
    let config = settings.copying_producer(&format!("{reader}-{from}"));
    let producer: LoggedIn<BaseProducer<Context>> = login::client(&config, Context::of(&config))?;
    // First of all: the positions of an earlier copy are settled when this comes back.
    producer.init_transactions(CALL_TIMEOUT)?;
    let consumer = reading(settings, reader)?;
    let mut left = assign(&consumer, from)?;
    let mut copied = Copied::default();
    while !left.is_empty() {
        producer.begin_transaction()?;
        let outcome = copy_batch(&consumer, &producer, from, &mut left, each);
        let outcome = outcome.and_then(|batch| commit(&producer).map(|()| batch));
        match outcome {
            Ok(batch) => {
                copied.read += batch.read;
                copied.written += batch.written;
            }
            Err(error) => {
                // What it held is read again by whoever tries again; a failure of this one says no more.
                let _ = producer.abort_transaction(CALL_TIMEOUT);
                return Err(error);
            }
        }
    }
    Ok(copied)
}

/// How many records [`copy_exactly_once`] has before it, at most: ends of transactions count as well.
///
/// # Errors
/// If Kafka does not tell.
pub fn left_to_copy(settings: &Settings, from: &str, reader: &str) -> KafkaResult<u64> {
    let consumer = reading(settings, reader)?;
    let ranges = ranges(&consumer, from)?;
    Ok(ranges.values().map(|(position, end)| end.saturating_sub(*position).unsigned_abs()).sum())
}

fn reading(settings: &Settings, group: &str) -> KafkaResult<LoggedIn<BaseConsumer<Context>>> {
    let mut config = settings.reader(true);
    config.set("group.id", group);
    login::client(&config, Context::of(&config))
}

/// Begins where the group is; gives the end of each partition that has records left.
fn assign(consumer: &BaseConsumer<Context>, topic: &str) -> KafkaResult<BTreeMap<i32, i64>> {
    let ranges = ranges(consumer, topic)?;
    let mut from = TopicPartitionList::new();
    for (&partition, &(position, _)) in &ranges {
        from.add_partition_offset(topic, partition, Offset::Offset(position))?;
    }
    consumer.assign(&from)?;
    Ok(ranges.into_iter().map(|(partition, (_, end))| (partition, end)).collect())
}

/// Where the group is and the end, of each partition that has records left.
fn ranges(consumer: &BaseConsumer<Context>, topic: &str) -> KafkaResult<BTreeMap<i32, (i64, i64)>> {
    let metadata = consumer.fetch_metadata(Some(topic), CALL_TIMEOUT)?;
    let described = metadata.topics().iter().find(|described| described.name() == topic);
    let partitions: Vec<i32> = described.into_iter().flat_map(|t| t.partitions().iter().map(|p| p.id())).collect();
    if partitions.is_empty() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
    let mut all = TopicPartitionList::new();
    partitions.iter().for_each(|&partition| {
        all.add_partition(topic, partition);
    });
    let positions = consumer.committed_offsets(all, CALL_TIMEOUT)?;
    let mut ranges = BTreeMap::new();
    for partition in partitions {
        let (first, end) = consumer.fetch_watermarks(topic, partition, CALL_TIMEOUT)?;
        let position = match positions.find_partition(topic, partition).map(|position| position.offset()) {
            Some(Offset::Offset(offset)) => offset.max(first),
            _ => first,
        };
        if position < end {
            ranges.insert(partition, (position, end));
        }
    }
    Ok(ranges)
}

/// One transaction's records, and how far they were read.
fn copy_batch(
    consumer: &BaseConsumer<Context>,
    producer: &BaseProducer<Context>,
    topic: &str,
    left: &mut BTreeMap<i32, i64>,
    each: &mut dyn FnMut(&ReadRecord<'_>) -> Option<Outgoing>,
) -> KafkaResult<Copied> {
    let (mut copied, mut silent) = (Copied::default(), 0);
    let mut positions = BTreeMap::new();
    while !left.is_empty() && (copied.read as usize) < BATCH {
        match consumer.poll(READ_WAIT) {
            Some(Ok(message)) => {
                silent = 0;
                let record = ReadRecord::of(message);
                let Some(&end) = left.get(&record.partition()) else { continue };
                if record.offset() < end {
                    copied.read += 1;
                    positions.insert(record.partition(), record.offset() + 1);
                    if let Some(outgoing) = each(&record) {
                        send(producer, &outgoing)?;
                        copied.written += 1;
                    }
                }
                if record.offset() + 1 >= end {
                    left.remove(&record.partition());
                }
            }
            // What is left before the end are markers and records that were never committed.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                left.remove(&partition);
            }
            Some(Err(error)) if !is_passing(&error) => return Err(error),
            // Half a batch is better than waiting with it.
            None if copied.read > 0 => break,
            _ => silent += 1,
        }
        if silent == PATIENCE {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
    }
    producer.flush(CALL_TIMEOUT)?;
    let mut offsets = TopicPartitionList::new();
    for (partition, next) in positions {
        offsets.add_partition_offset(topic, partition, Offset::Offset(next))?;
    }
    if let Some(group) = consumer.group_metadata().filter(|_| offsets.count() > 0) {
        producer.send_offsets_to_transaction(&offsets, &group, CALL_TIMEOUT)?;
    }
    Ok(copied)
}

fn send(producer: &BaseProducer<Context>, outgoing: &Outgoing) -> KafkaResult<()> {
    let headers = outgoing
        .headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    let mut record = BaseRecord::<[u8], [u8]>::to(&outgoing.topic).headers(headers);
    record.key = outgoing.key.as_deref();
    record.payload = outgoing.payload.as_deref();
    record.partition = outgoing.partition;
    record.timestamp = outgoing.timestamp;
    while let Err((error, back)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error);
        }
        producer.poll(READ_WAIT);
        record = back;
    }
    Ok(())
}

/// Asks until it is decided. A record that could not be delivered makes it fail.
fn commit(producer: &BaseProducer<Context>) -> KafkaResult<()> {
    loop {
        match producer.commit_transaction(CALL_TIMEOUT) {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            decided => return decided,
        }
    }
}
