//! Messages to and from each broker, for the end-to-end probe: a topic with a partition for each broker, a producer, and
//! a reader without a group.

use super::PartitionDescription;
use super::login::{self, LoggedIn};
use super::{Settings, stats};
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, Statistics, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;

/// Its messages are of no use to anybody later.
const TOPIC_SETTINGS: [(&str, &str); 3] =
    [("retention.ms", "600000"), ("segment.ms", "600000"), ("cleanup.policy", "delete")];

pub struct ProbeClient {
    producer: LoggedIn<BaseProducer<Reports>>,
    consumer: LoggedIn<BaseConsumer<Quiet>>,
    admin: LoggedIn<AdminClient<DefaultClientContext>>,
    topic: String,
}

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    Acknowledged(u64),
    Failed(u64),
}

impl ProbeClient {
    /// `timeout`: a message that is not acknowledged by then is given up.
    ///
    /// # Errors
    /// If librdkafka refuses the properties.
    pub fn create(settings: &Settings, topic: &str, timeout: Duration) -> Result<Self, KafkaError> {
        let mut producing = settings.plain();
        producing.set("acks", "all").set("linger.ms", "0").set("statistics.interval.ms", "5000");
        producing.set("message.timeout.ms", timeout.as_millis().to_string());
        producing.set("socket.timeout.ms", timeout.as_millis().clamp(1_000, 60_000).to_string());
        let mut reading = settings.reader(false);
        reading.set("fetch.wait.max.ms", "500").set("enable.partition.eof", "false");
        let reports = Reports { client: settings.clients().client("probe"), reports: Mutex::default() };
        Ok(ProbeClient {
            producer: login::client(&producing, reports)?,
            consumer: login::client(&reading, Quiet)?,
            admin: login::client(&settings.plain(), DefaultClientContext)?,
            topic: topic.to_owned(),
        })
    }

    /// Makes the topic, one partition for each of `leaders`, on which `replicas` brokers keep it.
    ///
    /// # Errors
    /// What the brokers say.
    pub async fn create_topic(&self, leaders: &[i32], replicas: usize, timeout: Duration) -> Result<(), String> {
        let places = places(leaders, leaders, replicas);
        let places: Vec<&[i32]> = places.iter().map(Vec::as_slice).collect();
        let mut topic = NewTopic::new(&self.topic, places.len() as i32, TopicReplication::Variable(&places));
        for (key, value) in TOPIC_SETTINGS {
            topic = topic.set(key, value);
        }
        let made = self.admin.create_topics([&topic], &options(timeout)).await.map_err(|error| error.to_string())?;
        refused(made, RDKafkaErrorCode::TopicAlreadyExists)
    }

    /// Adds a partition for each of `leaders` to the `count` there are.
    ///
    /// # Errors
    /// What the brokers say.
    pub async fn grow_topic(
        &self,
        count: usize,
        leaders: &[i32],
        brokers: &[i32],
        replicas: usize,
        timeout: Duration,
    ) -> Result<(), String> {
        let places = places(leaders, brokers, replicas);
        let places: Vec<&[i32]> = places.iter().map(Vec::as_slice).collect();
        let more = NewPartitions::new(&self.topic, count + leaders.len()).assign(&places);
        let made = self.admin.create_partitions([&more], &options(timeout)).await.map_err(|error| error.to_string())?;
        refused(made, RDKafkaErrorCode::InvalidPartitions)
    }

    /// Reads these partitions from these offsets on.
    ///
    /// # Errors
    /// If librdkafka refuses.
    pub fn read_from(&self, offsets: &[(i32, i64)]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
        }
        self.consumer.assign(&list)
    }

    /// Hands a message over; `false`: it cannot be sent at all.
    pub fn send(&self, partition: &PartitionDescription, number: u64, payload: &[u8]) -> bool {
        let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, number as usize);
        self.producer.send(record.partition(partition.id).payload(payload)).is_ok()
    }

    /// What has been reported of messages since the last call.
    pub fn reports(&self) -> Vec<Report> {
        self.producer.poll(Duration::ZERO);
        std::mem::take(&mut *self.producer.context().reports.lock())
    }

    /// The payload of the next message that comes within `wait`. Errors are told by what does not come.
    pub fn read<T>(&self, wait: Duration, of: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        of(self.consumer.poll(wait)?.ok()?.payload()?)
    }
}

/// The replicas of a partition for each of `leaders`: the leader first, then the brokers behind it.
fn places(leaders: &[i32], brokers: &[i32], replicas: usize) -> Vec<Vec<i32>> {
    let place = |leader: &i32| {
        let at = brokers.iter().position(|broker| broker == leader).unwrap_or(0);
        let others = brokers.iter().cycle().skip(at + 1).take(brokers.len().saturating_sub(1));
        std::iter::once(*leader).chain(others.copied().take(replicas.saturating_sub(1))).collect()
    };
    leaders.iter().map(place).collect()
}

fn options(timeout: Duration) -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(timeout)).request_timeout(Some(timeout))
}

fn refused(results: Vec<Result<String, (String, RDKafkaErrorCode)>>, fine: RDKafkaErrorCode) -> Result<(), String> {
    match results.into_iter().find_map(|result| result.err().filter(|(_, code)| *code != fine)) {
        Some((topic, code)) => Err(format!("topic {topic}: {code}")),
        None => Ok(()),
    }
}

struct Reports {
    client: Arc<stats::Client>,
    reports: Mutex<Vec<Report>>,
}

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn stats(&self, statistics: Statistics) {
        self.client.update(&statistics);
    }

    fn error(&self, _: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{reason}");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let number = number as u64;
        let report = if result.is_ok() { Report::Acknowledged(number) } else { Report::Failed(number) };
        self.reports.lock().push(report);
    }
}

/// What is wrong with a broker shows in what does not come back.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, _: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{reason}");
    }
}

impl ConsumerContext for Quiet {}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn each_broker_leads_a_partition_and_the_next_ones_follow() {
        assert_eq!(places(&[1, 2, 5], &[1, 2, 5], 2), [[1, 2], [2, 5], [5, 1]]);
        assert_eq!(places(&[5], &[1, 2, 5], 3), [[5, 1, 2]]);
        assert_eq!(places(&[7], &[7], 3), [[7]]);
    }
}
