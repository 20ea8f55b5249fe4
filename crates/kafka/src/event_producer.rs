//! The producer behind `produce` and load tests: idempotent, counts every acknowledgement and how long it took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use super::cause::{Complaints, missing_acl, missing_acl_of, why_unwritten};
use super::login::{self, LoggedIn};
use streamgauge_runtime::clock::{BootTime, Clock};

/// How long to wait for brokers that do not answer.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Ours, unless the user says otherwise. The second name of a property is an alias of it.
const DEFAULTS: [(&str, &str, &str); 9] = [
    ("client.id", "", "streamgauge-produce"),
    ("enable.idempotence", "", "true"),
    ("linger.ms", "queue.buffering.max.ms", "10"),
    ("batch.size", "", "262144"),
    ("compression.codec", "compression.type", "snappy"),
    // What Java producers do: the same key goes to the same partition, whoever produced it.
    ("partitioner", "", "murmur2_random"),
    // As in Java; a killed broker is replaced, or back, well before that.
    ("message.timeout.ms", "delivery.timeout.ms", "120000"),
    // librdkafka's 10 s leave a broker that is back idle for as long.
    ("reconnect.backoff.max.ms", "", "1000"),
    // A quarter of a second at the highest rates: enough to be fast, and waiting in it does not hide what Kafka does.
    ("queue.buffering.max.messages", "", "100000"),
];

/// Why events cannot be produced.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error("librdkafka refuses the properties: {0}")]
    Properties(String),
    #[error("Kafka at {servers} cannot be used: {reason}")]
    Unreachable { servers: String, reason: String },
    #[error("topic {topic} cannot be created: {reason}")]
    Create { topic: String, reason: String },
    #[error("topic {topic} cannot be used: {reason}")]
    Topic { topic: String, reason: String },
    #[error("an event was refused: {0}")]
    Send(KafkaError),
    #[error("latencies cannot be kept: {0}")]
    Histogram(String),
}

/// Names the property, and not its value: that may be a password.
fn refused(error: KafkaError) -> ProduceError {
    ProduceError::Properties(match error {
        KafkaError::ClientConfig(_, reason, name, _) if !name.is_empty() => format!("{name}: {reason}"),
        KafkaError::ClientCreation(reason) => reason,
        other => other.to_string(),
    })
}

/// What became of the events that were sent so far.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub acknowledged: u64,
    pub failed: u64,
    /// Why the first of the failed ones failed.
    pub first_error: Option<String>,
    /// When the last report came, since the producer was made.
    pub last_report: Duration,
    /// Microseconds from the moment given to [`EventProducer::send`] to the acknowledgement.
    pub latency: Histogram<u64>,
}

impl Delivered {
    /// Nothing so far.
    ///
    /// # Errors
    /// If there is no memory for latencies.
    pub fn none() -> Result<Delivered, ProduceError> {
        // 1 µs to 10 minutes with three digits; beyond that it says 10 minutes.
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3);
        let latency = latency.map_err(|e| ProduceError::Histogram(e.to_string()))?;
        Ok(Delivered { acknowledged: 0, failed: 0, first_error: None, last_report: Duration::ZERO, latency })
    }
}

/// An idempotent producer with `acks=all` that keeps count.
pub struct EventProducer {
    producer: LoggedIn<ThreadedProducer<Reports>>,
    config: ClientConfig,
    servers: String,
}

impl EventProducer {
    /// Makes the producer; does not wait for a broker. `properties` are librdkafka's and win over the defaults.
    pub fn new(properties: &BTreeMap<String, String>, clock: Clock) -> Result<Self, ProduceError> {
        let mut config = ClientConfig::new();
        for (name, alias, value) in DEFAULTS {
            if !properties.contains_key(alias) {
                config.set(name, value);
            }
        }
        for (name, value) in properties {
            config.set(name, value);
        }
        let producer = login::client(&config, Reports::new(Complaints::of(&config), clock)?).map_err(refused)?;
        let servers = config.get("bootstrap.servers").unwrap_or("no broker").to_owned();
        Ok(EventProducer { producer, config, servers })
    }

    /// Creates the topic with the cluster's default replication, unless it is there. A refusal does not matter if the
    /// topic turns out to exist: see [`EventProducer::partitions`].
    pub async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), ProduceError> {
        let failed = |reason: String| ProduceError::Create { topic: topic.to_owned(), reason };
        // Says sooner than the admin client, and why, that there is nobody to ask.
        self.metadata()?;
        let admin: LoggedIn<AdminClient<_>> = login::client(&self.config, DefaultClientContext).map_err(refused)?;
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT)).request_timeout(Some(ADMIN_TIMEOUT));
        match admin.create_topics([&new], &options).await {
            Ok(results) => match results.into_iter().next() {
                Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                    Err(failed(missing_acl_of(code, "Create", topic).unwrap_or_else(|| code.to_string())))
                }
                _ => Ok(()),
            },
            Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut)) => Err(self.unreachable()),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// The number of the topic's partitions, once all of them have a leader. Waits a while for a topic that was just
    /// created. Asks for every topic, because brokers may create one that is asked for by its name.
    pub fn partitions(&self, topic: &str) -> Result<usize, ProduceError> {
        let unseen = || {
            let acl = missing_acl("Describe and Write", &format!("--topic {topic}"));
            format!("it does not exist, or this user may not see it: then {acl}")
        };
        let mut reason = String::new();
        for _ in 0..30 {
            let metadata = self.metadata()?;
            reason = match metadata.topics().iter().find(|t| t.name() == topic) {
                None => unseen(),
                Some(t) if t.partitions().is_empty() || t.partitions().iter().any(|p| p.leader() < 0) => {
                    "a partition of it has no leader".to_owned()
                }
                Some(t) => return Ok(t.partitions().len()),
            };
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(ProduceError::Topic { topic: topic.to_owned(), reason })
    }

    fn metadata(&self) -> Result<Metadata, ProduceError> {
        let (client, complaints) = (self.producer.client(), &self.producer.context().complaints);
        complaints.metadata(client, None, ADMIN_TIMEOUT, || {}).map_err(|_| self.unreachable())
    }

    fn unreachable(&self) -> ProduceError {
        let said = self.producer.context().complaints.last();
        let reason =
            said.unwrap_or_else(|| format!("nothing came within {} s; is it running?", ADMIN_TIMEOUT.as_secs()));
        ProduceError::Unreachable { servers: self.servers.clone(), reason }
    }

    /// Hands one event over, with the moment (since the producer was made) from which its latency counts. `false`: the
    /// queue is full, wait and send it again.
    pub fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: &[u8],
        latency_from: Duration,
    ) -> Result<bool, ProduceError> {
        // The moment rides in the message's opaque pointer: nothing is allocated for it.
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, latency_from.as_micros() as usize);
        record.key = key;
        match self.producer.send(record.payload(value)) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(ProduceError::Send(error)),
        }
    }

    /// Events that were handed over and have no report yet.
    pub fn outstanding(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Time since the producer was made.
    pub fn elapsed(&self) -> Duration {
        self.producer.context().elapsed()
    }

    /// What became of the events so far.
    pub fn delivered(&self) -> Delivered {
        self.producer.context().delivered.lock().clone()
    }

    /// Acknowledged and failed events so far; cheaper than [`EventProducer::delivered`].
    pub fn counts(&self) -> (u64, u64) {
        let delivered = self.producer.context().delivered.lock();
        (delivered.acknowledged, delivered.failed)
    }
}

/// Takes the delivery reports, on the producer's own thread.
struct Reports {
    complaints: Complaints,
    clock: Clock,
    start: BootTime,
    delivered: Mutex<Delivered>,
}

impl Reports {
    fn new(complaints: Complaints, clock: Clock) -> Result<Self, ProduceError> {
        let start = clock.boot_time();
        Ok(Reports { complaints, clock, start, delivered: Mutex::new(Delivered::none()?) })
    }

    fn elapsed(&self) -> Duration {
        self.clock.boot_time().since(self.start)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.complaints.log(facility, message);
        DefaultClientContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: usize) {
        let now = self.elapsed();
        let mut delivered = self.delivered.lock();
        delivered.last_report = now;
        match result {
            Ok(_) => {
                delivered.acknowledged += 1;
                delivered.latency.saturating_record((now.as_micros() as u64).saturating_sub(sent as u64));
            }
            Err((error, message)) => {
                delivered.failed += 1;
                let why = || match error.rdkafka_error_code() {
                    Some(code) => why_unwritten(code, message.topic()),
                    None => error.to_string(),
                };
                delivered.first_error.get_or_insert_with(why);
            }
        }
    }
}
