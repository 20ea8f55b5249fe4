//! One admin call of librdkafka: asked, waited for, and its answer kept until it was read. Brokers say in words what they
//! refuse, and rdkafka's own wrapper throws these words away.

use super::super::call::{Aim, Call, Event, Operation, words};
use super::super::cause::UNREACHABLE_AFTER;
use super::super::login::{self, LoggedIn};
use super::super::{Context, Settings};
use super::Admin;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka_sys as sys;
use std::ffi::{NulError, c_char};
use std::time::Duration;

/// How often a waiting call looks whether any broker can be reached.
const SLICE: Duration = Duration::from_millis(100);

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// A broker's answer, in its own words.
    #[error("{reason}")]
    Refused { code: RDKafkaErrorCode, reason: String },
    /// No broker can be reached: refused, unknown host, failed authentication.
    #[error("{0}")]
    Unreachable(String),
    /// A broker was asked and did not answer. What was asked may still be done.
    #[error("nothing came within {} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("a text holds a byte of zero")]
    Text(#[from] NulError),
}

/// A client for the topics of a cluster. A producer, because rdkafka's admin client drops what its connections complain of.
pub struct TopicAdmin {
    pub(super) producer: LoggedIn<BaseProducer<Context>>,
    pub(super) timeout: Duration,
}

impl TopicAdmin {
    /// `timeout` bounds each call.
    ///
    /// # Errors
    /// Which property librdkafka refuses, and not its value: that may be a password.
    pub fn create(settings: &Settings, timeout: Duration) -> Result<TopicAdmin, String> {
        let config = settings.plain();
        let producer = login::client(&config, Context::of(&config)).map_err(|error| match error {
            KafkaError::ClientConfig(_, reason, name, _) if !name.is_empty() => format!("{name}: {reason}"),
            KafkaError::ClientCreation(reason) => reason,
            other => other.to_string(),
        })?;
        Ok(TopicAdmin { producer, timeout })
    }

    /// Takes what the client has to tell: some lines for each attempt to connect.
    pub(super) fn serve(&self) {
        (0..64).for_each(|_| self.producer.poll(Duration::ZERO));
    }
}

/// A client to ask with.
pub(super) trait Asks {
    fn client(&self) -> &Client<Context>;
    fn timeout(&self) -> Duration;
    /// Why no broker can be reached, if the client said so last.
    fn unreachable(&self) -> Option<String>;

    /// Asks once, and waits for the answer.
    fn ask(
        &self,
        operation: Operation,
        validate_only: bool,
        submit: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Event, CallError> {
        let mut call = Call::new(self.client(), self.timeout());
        call.ask(operation, Aim { validate_only, ..Aim::default() }, submit);
        let event = loop {
            if let Some(event) = call.next_within(SLICE) {
                break event;
            }
            if call.elapsed() >= UNREACHABLE_AFTER
                && let Some(reason) = self.unreachable()
            {
                return Err(CallError::Unreachable(reason));
            }
            if call.is_over() {
                return Err(self.silent());
            }
        };
        match event.error() {
            RDKafkaErrorCode::NoError => Ok(event),
            RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut => Err(self.silent()),
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown => {
                Err(CallError::Unreachable(self.unreachable().unwrap_or_else(|| event.reason())))
            }
            code => Err(CallError::Refused { code, reason: event.reason() }),
        }
    }

    fn silent(&self) -> CallError {
        self.unreachable().map_or(CallError::Silent(self.timeout()), CallError::Unreachable)
    }
}

impl Asks for TopicAdmin {
    fn client(&self) -> &Client<Context> {
        self.producer.client()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn unreachable(&self) -> Option<String> {
        self.serve();
        self.producer.context().unreachable()
    }
}

impl Asks for Admin {
    fn client(&self) -> &Client<Context> {
        self.client.inner()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn unreachable(&self) -> Option<String> {
        self.client.inner().context().unreachable()
    }
}

/// A result's code and words as an error, if it is one.
pub(super) fn check(code: sys::rd_kafka_resp_err_t, reason: *const c_char) -> Result<(), CallError> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        // SAFETY: librdkafka's texts are null or end with a zero, and live as long as the result they belong to.
        code => match unsafe { words(reason) } {
            reason if reason.is_empty() => Err(refused(code)),
            reason => Err(CallError::Refused { code, reason }),
        },
    }
}

/// A code without words.
pub(super) fn refused(code: RDKafkaErrorCode) -> CallError {
    CallError::Refused { code, reason: code.to_string() }
}
