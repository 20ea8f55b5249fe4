//! The producer of events that others hand in: idempotent, `acks=all`, to any topic, with headers. Reports are taken on the
//! caller's thread, which sleeps until one comes or until somebody wakes it.

use super::events::MainQueue;
use super::load_producer::Report;
use super::login::{self, LoggedIn};
use super::{Context, Settings};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use std::sync::Arc;
use std::time::Duration;

/// Records and bytes that librdkafka has of ours at most.
const IN_FLIGHT: usize = 50_000;
const IN_FLIGHT_KBYTES: usize = 16 << 10;

/// How long a topic may be unknown before what is sent to it fails.
const LONGEST_UNKNOWN: Duration = Duration::from_secs(5);
/// How often the brokers are asked which topics there are.
const METADATA: Duration = Duration::from_secs(10);

/// What a record has beside its key and value, headers included, at most.
const RECORD_OVERHEAD: usize = 16 << 10;

/// A record to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outbound<'a> {
    pub topic: &'a str,
    /// `None`: by the key, as Kafka's own producer does it.
    pub partition: Option<i32>,
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub headers: &'a [(&'a str, &'a str)],
    /// Unix milliseconds.
    pub time: i64,
    /// Comes back with the report.
    pub tag: u64,
}

/// What became of a record that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed {
    Taken,
    /// The queue is full: take reports, and hand it over again.
    Full,
    /// It is reported nowhere else.
    Refused(RDKafkaErrorCode),
}

/// The producer.
pub struct Sender(Arc<Inner>);

struct Inner {
    // Dropped before the client it belongs to.
    queue: MainQueue,
    producer: LoggedIn<BaseProducer<Tagged>>,
}

/// Ends the sleep of whoever waits for reports. The producer lives at least as long as this.
#[derive(Clone)]
pub struct Waker(Arc<Inner>);

impl Waker {
    /// The sleep that goes on, or the next one, ends at once.
    pub fn wake(&self) {
        self.0.queue.wake();
    }
}

impl Sender {
    /// Makes it; does not wait for a broker. `timeout`: how long a record may take, all retries included. `largest`: bytes
    /// of a record's key and value.
    ///
    /// # Errors
    /// If librdkafka refuses the user's properties.
    pub fn create(settings: &Settings, timeout: Duration, largest: usize) -> KafkaResult<Sender> {
        let mut config = settings.load();
        config.remove("delivery.timeout.ms");
        config.set("message.timeout.ms", timeout.as_millis().to_string());
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        if config.get("linger.ms").is_none() && config.get("queue.buffering.max.ms").is_none() {
            config.set("linger.ms", "5");
        }
        config.set("retry.backoff.ms", "100");
        config.set("retry.backoff.max.ms", "10000");
        for (name, millis) in [
            // What is sent to a topic that is not there fails before its time is over, and by a name of its own; …
            ("topic.metadata.propagation.max.ms", (timeout / 2).min(LONGEST_UNKNOWN).as_millis()),
            // … when the topic has been made, that is seen soon.
            ("topic.metadata.refresh.interval.ms", METADATA.as_millis()),
        ] {
            if config.get(name).is_none() {
                config.set(name, millis.to_string());
            }
        }
        config.set("queue.buffering.max.messages", (2 * IN_FLIGHT).to_string());
        let kbytes = (2 * IN_FLIGHT_KBYTES).max(largest.div_ceil(512));
        config.set("queue.buffering.max.kbytes", kbytes.to_string());
        if config.get("batch.size").is_none() {
            // What takes the largest event takes every batch: of one that is too large, brokers refuse all events.
            config.set("batch.size", largest.clamp(16 << 10, 1_000_000).to_string());
        }
        if config.get("message.max.bytes").is_none() {
            // Whether the topic takes as much is for the brokers to say.
            config.set("message.max.bytes", (largest + RECORD_OVERHEAD).max(1_000_000).to_string());
        }
        let producer: LoggedIn<BaseProducer<Tagged>> = login::client(&config, Tagged(Context::of(&config)))?;
        let queue = MainQueue::of(producer.client())?;
        Ok(Sender(Arc::new(Inner { queue, producer })))
    }

    /// Records that librdkafka takes at most before it has reported any.
    pub const fn room() -> (usize, usize) {
        (IN_FLIGHT, IN_FLIGHT_KBYTES << 10)
    }

    pub fn waker(&self) -> Waker {
        Waker(self.0.clone())
    }

    /// Hands one record over, which is copied.
    pub fn send(&self, record: &Outbound<'_>) -> Handed {
        let mut base = BaseRecord::<[u8], [u8], usize>::with_opaque_to(record.topic, record.tag as usize)
            .key(record.key)
            .payload(record.value)
            .timestamp(record.time);
        base.partition = record.partition;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let insert = |headers: OwnedHeaders, (key, value): &(&str, &str)| {
                headers.insert(Header { key, value: Some(*value) })
            };
            base.headers = Some(record.headers.iter().fold(headers, insert));
        }
        match self.0.producer.send(base) {
            Ok(()) => Handed::Taken,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Handed::Full,
            Err((error, _)) => Handed::Refused(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        }
    }

    /// Sleeps until a report has come or it is woken, `wait` at most; then takes all that are there.
    pub fn poll(&self, wait: Duration, mut report: impl FnMut(Report)) {
        self.0.queue.serve(&**self.0.producer.context(), wait, |delivered| {
            report(Report { tag: delivered.opaque() as u64, result: delivered.result() });
        });
    }

    /// Gives up what is under way; each such record is reported as failed, though the brokers may have it.
    pub fn give_up(&self) {
        self.0.producer.purge(PurgeConfig::default().queue().inflight());
    }

    /// The error after which this producer is of no use, if there was one.
    pub fn fatal(&self) -> Option<RDKafkaErrorCode> {
        self.0.producer.client().fatal_error().map(|(code, _)| code)
    }

    /// The latest trouble the client reported by itself.
    pub fn last_error(&self) -> Option<String> {
        self.0.producer.context().0.last_error()
    }
}

/// Whether a record that failed so by itself would fail again, however often it is sent. Of a batch, all records fail
/// together.
pub fn is_hopeless(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp
    )
}

/// Whether a record failed so because of its topic, which is not there or may not be written to: those of others may not.
pub fn is_of_topic(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::InvalidTopic
    )
}

/// The shared context for a producer whose records have tags.
struct Tagged(Context);

impl ClientContext for Tagged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Tagged {
    type DeliveryOpaque = usize;

    /// Reports are taken from the queue.
    fn delivery(&self, _: &DeliveryResult<'_>, _: usize) {}
}
