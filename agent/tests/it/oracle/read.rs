//! Reads a topic from its beginning to its end, with a plain consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::Recount;

/// Feeds every record of the topic to the recount.
#[allow(clippy::disallowed_methods, reason = "a test's own deadline")]
pub fn consume(servers: &str, topic: &str, recount: &mut Recount) -> Result<(), Box<dyn std::error::Error>> {
    const STALLED: Duration = Duration::from_secs(60);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "oracle")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "10")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20))?;
    let partitions: Vec<i32> =
        metadata.topics().iter().flat_map(|t| t.partitions()).map(|partition| partition.id()).collect();
    if partitions.is_empty() {
        return Err("it has no partitions".into());
    }
    let (mut assignment, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
    for partition in &partitions {
        // `fetch_watermarks` asks the broker with this consumer's isolation level: the end of what is committed.
        let (_, end) = consumer.fetch_watermarks(topic, *partition, Duration::from_secs(20))?;
        ends.insert(*partition, end);
        recount.partitions.entry(*partition).or_default();
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut unfinished: BTreeSet<i32> = partitions.into_iter().collect();
    let mut last = Instant::now();
    while !unfinished.is_empty() {
        match consumer.poll(Duration::from_millis(200)) {
            _ if last.elapsed() > STALLED => return Err("nothing came for a minute".into()),
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unfinished.remove(&partition);
            }
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => {
                last = Instant::now();
                let (partition, offset) = (message.partition(), message.offset());
                // What was produced after the recount began is not part of it.
                if offset >= ends[&partition] {
                    unfinished.remove(&partition);
                } else {
                    let time = message.timestamp().to_millis().ok_or("a record has no timestamp")?;
                    recount.fold(partition, offset, time, message.payload());
                }
            }
        }
    }
    Ok(())
}

/// A broker was not there for a moment: librdkafka goes on by itself.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    error
        .rdkafka_error_code()
        .is_some_and(|code| [AllBrokersDown, BrokerTransportFailure, OperationTimedOut].contains(&code))
}
