//! One admin call of librdkafka: asked, waited for, and its answer kept until it was read. Brokers say in words what they
//! refuse, and rdkafka's own wrapper throws these words away.

use super::super::{Context, Settings};
use super::Admin;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka_sys as sys;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

/// How often a waiting call looks whether any broker can be reached.
const SLICE_MS: i32 = 100;
/// librdkafka gives up by itself after its own timeout; this much later we do.
const SPARE: Duration = Duration::from_secs(1);
/// A call is given up early if no broker could be reached for this long since it began.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(3);

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
    #[error("{0:?} holds a byte of zero")]
    Text(String),
}

/// What librdkafka is given for calls to a group's coordinator, its longest; we stop waiting by ourselves. When such a
/// call times out while the coordinator is being looked for, and it is found afterwards, librdkafka 2.12 takes its own
/// bookkeeping for broken and aborts the process (its issue 4605).
pub(in crate::kafka) const COORDINATOR_TIMEOUT_MS: i32 = 3_600_000;

/// Whether librdkafka looks for a group's coordinator first.
pub(in crate::kafka) fn asks_a_coordinator(kind: sys::rd_kafka_admin_op_t) -> bool {
    use sys::rd_kafka_admin_op_t as Kind;
    matches!(kind, Kind::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS | Kind::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS)
}

/// Owns a result event.
pub(super) struct Event(*mut sys::rd_kafka_event_t);

impl Event {
    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.0
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_poll`, and destroyed here alone; a null pointer is allowed.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

/// The objects that `submit` needs: client, options, queue.
pub(super) type Submission<'a> =
    dyn Fn(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t) + 'a;

/// A client for the topics of a cluster. A producer, because rdkafka's admin client drops what its connections complain of.
pub struct TopicAdmin {
    pub(super) producer: BaseProducer<Context>,
    pub(super) timeout: Duration,
}

impl TopicAdmin {
    /// `timeout` bounds each call.
    ///
    /// # Errors
    /// Which property librdkafka refuses, and not its value: that may be a password.
    pub fn create(settings: &Settings, timeout: Duration) -> Result<TopicAdmin, String> {
        let producer = settings.plain().create_with_context(Context::default()).map_err(|error| match error {
            KafkaError::ClientConfig(_, reason, name, _) if !name.is_empty() => format!("{name}: {reason}"),
            KafkaError::ClientCreation(reason) => reason,
            other => other.to_string(),
        })?;
        Ok(TopicAdmin { producer, timeout })
    }
}

/// A client to ask with.
pub(super) trait Asks {
    fn handle(&self) -> *mut sys::rd_kafka_t;
    fn timeout(&self) -> Duration;
    /// Why no broker can be reached, if the client said so last.
    fn unreachable(&self) -> Option<String>;

    /// Submits a call of this kind and waits for its result event.
    fn ask(
        &self,
        kind: sys::rd_kafka_admin_op_t,
        validate_only: bool,
        submit: &Submission<'_>,
    ) -> Result<Event, CallError> {
        let client = self.handle();
        let timeout = match asks_a_coordinator(kind) {
            true => COORDINATOR_TIMEOUT_MS,
            false => i32::try_from(self.timeout().as_millis()).unwrap_or(i32::MAX),
        };
        let mut text: [c_char; 128] = [0; 128];
        // SAFETY: the client lives as long as `self`. Options and queue are destroyed here, once, after their last use; an
        // answer that comes after that is dropped by librdkafka. The texts are within their buffer's length.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, kind);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, text.as_mut_ptr(), text.len());
            if is_change(kind) && kind != sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS {
                // How long the controller waits for the change to reach all brokers.
                sys::rd_kafka_AdminOptions_set_operation_timeout(options, timeout, text.as_mut_ptr(), text.len());
            }
            if validate_only {
                sys::rd_kafka_AdminOptions_set_validate_only(options, 1, text.as_mut_ptr(), text.len());
            }
            let queue = sys::rd_kafka_queue_new(client);
            submit(client, options, queue);
            let event = self.wait(queue);
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_AdminOptions_destroy(options);
            event
        }
    }

    /// # Safety
    /// `queue` is a valid queue.
    unsafe fn wait(&self, queue: *mut sys::rd_kafka_queue_t) -> Result<Event, CallError> {
        let mut waited = Duration::ZERO;
        let event = loop {
            // SAFETY: as the caller says; the event is ours.
            let event = unsafe { sys::rd_kafka_queue_poll(queue, SLICE_MS) };
            if !event.is_null() {
                break Event(event);
            }
            waited += Duration::from_millis(SLICE_MS as u64);
            if waited >= UNREACHABLE_AFTER
                && let Some(reason) = self.unreachable()
            {
                return Err(CallError::Unreachable(reason));
            }
            if waited >= self.timeout() + SPARE {
                return Err(self.silent());
            }
        };
        // SAFETY: a valid event; its text is copied while it lives.
        let (code, reason) = unsafe {
            let code: RDKafkaErrorCode = sys::rd_kafka_event_error(event.ptr()).into();
            (code, words(sys::rd_kafka_event_error_string(event.ptr())))
        };
        match code {
            RDKafkaErrorCode::NoError => Ok(event),
            RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut => Err(self.silent()),
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown => {
                Err(CallError::Unreachable(self.unreachable().unwrap_or(reason)))
            }
            code => Err(CallError::Refused { code, reason }),
        }
    }

    fn silent(&self) -> CallError {
        self.unreachable().map_or(CallError::Silent(self.timeout()), CallError::Unreachable)
    }
}

impl Asks for TopicAdmin {
    fn handle(&self) -> *mut sys::rd_kafka_t {
        self.producer.client().native_ptr()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn unreachable(&self) -> Option<String> {
        // Takes what the client has to tell.
        (0..8).for_each(|_| self.producer.poll(Duration::ZERO));
        self.producer.context().unreachable()
    }
}

impl Asks for Admin {
    fn handle(&self) -> *mut sys::rd_kafka_t {
        self.client.inner().native_ptr()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn unreachable(&self) -> Option<String> {
        self.client.inner().context().unreachable()
    }
}

fn is_change(kind: sys::rd_kafka_admin_op_t) -> bool {
    use sys::rd_kafka_admin_op_t::*;
    matches!(
        kind,
        RD_KAFKA_ADMIN_OP_CREATETOPICS
            | RD_KAFKA_ADMIN_OP_DELETETOPICS
            | RD_KAFKA_ADMIN_OP_CREATEPARTITIONS
            | RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS
    )
}

/// A result's code and words as an error, if it is one.
pub(super) fn check(code: sys::rd_kafka_resp_err_t, reason: *const c_char) -> Result<(), CallError> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => {
            // SAFETY: librdkafka's texts are null or end with a zero, and live as long as the result they belong to.
            let reason = unsafe { words(reason) };
            Err(CallError::Refused { code, reason: if reason.is_empty() { code.to_string() } else { reason } })
        }
    }
}

/// A text of librdkafka's, copied; empty for none.
///
/// # Safety
/// `text` is null or ends with a zero.
pub(super) unsafe fn words(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A text for librdkafka.
pub(super) fn text(text: &str) -> Result<CString, CallError> {
    CString::new(text).map_err(|_| CallError::Text(text.to_owned()))
}

/// What a list in a result holds.
///
/// # Safety
/// `list` points to `count` pointers that live as long as `'a`, or is null.
pub(super) unsafe fn each<'a, T>(list: *mut *const T, count: usize) -> &'a [*const T] {
    match list.is_null() {
        true => &[],
        // SAFETY: as the caller says.
        false => unsafe { std::slice::from_raw_parts(ptr::NonNull::new_unchecked(list).as_ptr(), count) },
    }
}
