//! The cluster as a whole, asked from outside any group: nodes, topics, consumer groups, ends of logs. rdkafka's admin
//! client lacks these calls; they are made with `kafka/call.rs`.

mod configs;
mod coordinators;
mod groups;
mod nodes;
mod offsets;
mod rest;

pub use groups::{Committed, GroupListed, GroupsListed};
pub use nodes::{Node, Nodes};
pub use offsets::{EARLIEST, LATEST, LogOffset};
pub use rest::Rest;

use super::call::{Call, Event};
use super::cause::{Complaints, is_silence, missing_acl_of};
use super::described::{TopicDescription, all_topics};
use super::events::MainQueue;
use super::login::{self, LoggedIn};
use super::{Settings, stats};
use coordinators::Coordinators;
use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Why a question about the cluster has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {what}: {}", self.reason())]
pub struct CallError {
    pub what: String,
    pub code: RDKafkaErrorCode,
    /// The right that the question takes.
    operation: &'static str,
    /// The topic or group it is about.
    name: String,
    /// Why no broker can be reached, as the client says it.
    unreachable: Option<String>,
}

impl CallError {
    fn new(what: impl Into<String>, code: RDKafkaErrorCode) -> Self {
        CallError { what: what.into(), code, operation: "Describe", name: String::new(), unreachable: None }
    }

    /// Of a question about the topic or group `name`.
    fn about(self, name: impl Into<String>) -> Self {
        CallError { name: name.into(), ..self }
    }

    fn reason(&self) -> String {
        match (&self.unreachable, self.code) {
            (Some(why), _) => why.clone(),
            (None, RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut) => {
                "no answer in time".to_owned()
            }
            (None, code) => missing_acl_of(code, self.operation, &self.name).unwrap_or_else(|| code.to_string()),
        }
    }

    /// No broker answered, or not in time.
    pub fn is_silence(&self) -> bool {
        is_silence(self.code)
    }

    /// The time was over before an answer came.
    pub fn is_deadline(&self) -> bool {
        matches!(
            self.code,
            RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut | RDKafkaErrorCode::TimedOutQueue
        )
    }

    /// This user may not ask.
    pub fn is_denied(&self) -> bool {
        matches!(
            self.code,
            RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
        )
    }
}

/// The call's next answer, if it is not an error as a whole.
fn answer(call: &Call<'_>, what: &'static str) -> Result<Event, CallError> {
    checked(call.next(), what)
}

fn checked(event: Option<Event>, what: &'static str) -> Result<Event, CallError> {
    let event = event.ok_or_else(|| CallError::new(what, RDKafkaErrorCode::OperationTimedOut))?;
    match event.error() {
        RDKafkaErrorCode::NoError => Ok(event),
        code => Err(CallError::new(what, code)),
    }
}

/// A client that asks. Every call has a deadline; none retries beyond it.
pub struct ClusterClient {
    // Dropped before the client it belongs to.
    queue: MainQueue,
    producer: LoggedIn<BaseProducer<ClusterContext>>,
    coordinators: Coordinators,
    settings: Settings,
}

impl ClusterClient {
    /// Makes the client; does not wait for a broker. `name` is what its view of the brokers is shown under.
    ///
    /// # Errors
    /// If librdkafka refuses the properties.
    pub fn create(settings: &Settings, name: &'static str) -> Result<Self, KafkaError> {
        let mut config = settings.plain();
        // A broker that hangs keeps its connections: without these it would be found out only after a minute.
        for (key, value) in [("socket.timeout.ms", "10000"), ("api.version.request.timeout.ms", "5000")] {
            if config.get(key).is_none() {
                config.set(key, value);
            }
        }
        config.set("socket.connection.setup.timeout.ms", "5000");
        let coordinators = Coordinators::new(config.clone(), &settings.kafka().group_id);
        config.set("statistics.interval.ms", "5000");
        let client = settings.clients().client(name);
        let context = ClusterContext { client, complaints: Complaints::of(&config), ..Default::default() };
        let producer: LoggedIn<BaseProducer<ClusterContext>> = login::client(&config, context)?;
        let queue = MainQueue::of(producer.client())?;
        Ok(ClusterClient { queue, producer, coordinators, settings: settings.clone() })
    }

    /// Lets the client tell what it noticed by itself; to be called now and then. Waits up to `wait` for the first of it.
    pub fn serve(&self, wait: Duration) {
        self.queue.serve(&**self.producer.context(), wait, |_| {});
    }

    /// Whether a connection failed since the last call: worth a look at the cluster.
    pub fn noticed_trouble(&self) -> bool {
        self.producer.context().trouble.swap(false, Ordering::Relaxed)
    }

    /// Why no broker can be reached, if that is what the client said last.
    pub fn unreachable(&self) -> Option<String> {
        self.producer.context().complaints.unreachable()
    }

    /// The error with the cause of it, if no broker can be reached.
    pub fn explain(&self, error: CallError) -> CallError {
        self.serve(Duration::ZERO);
        CallError { unreachable: self.unreachable().filter(|_| error.is_silence()), ..error }
    }

    /// Whether no broker can be reached, as of now.
    fn complains(&self) -> bool {
        self.serve(Duration::ZERO);
        self.unreachable().is_some()
    }

    /// The latest trouble the client reported by itself.
    pub fn last_error(&self) -> Option<String> {
        self.producer.context().complaints.last()
    }

    /// Topics and their partitions as one broker sees them now.
    ///
    /// # Errors
    /// If no broker answers within `timeout`.
    pub fn topics(&self, timeout: Duration) -> Result<Vec<TopicDescription>, CallError> {
        all_topics(self.producer.client(), &self.producer.context().complaints, timeout, || self.serve(Duration::ZERO))
            .map_err(|error| {
                CallError::new("list the topics", error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
            })
    }

    fn call(&self, timeout: Duration) -> Call<'_> {
        Call::new(self.producer.client(), timeout)
    }
}

#[derive(Default)]
struct ClusterContext {
    complaints: Complaints,
    client: Arc<stats::Client>,
    trouble: AtomicBool,
}

impl ClientContext for ClusterContext {
    /// What is wrong with the brokers is told by the health check; repeating each failed connection says no more.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        self.complaints.log(facility, message);
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn stats(&self, statistics: Statistics) {
        self.client.update(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{reason}");
        self.trouble.store(true, Ordering::Relaxed);
        self.complaints.error(&error, reason);
    }
}

impl ConsumerContext for ClusterContext {}

impl ProducerContext for ClusterContext {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, _: ()) {}
}
