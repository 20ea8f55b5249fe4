//! One admin call: options, a queue of its own, and the answers that come to it until the deadline. Whatever is made
//! here is destroyed here; an answer that comes later is dropped by librdkafka.

use super::{CallError, ClusterClient};
use crate::clock::BootTime;
use crate::kafka::admin::{COORDINATOR_TIMEOUT_MS, asks_a_coordinator};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer;
use rdkafka_sys as sys;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::time::Duration;

pub use sys::rd_kafka_admin_op_t as Operation;

/// librdkafka gives up by itself after the timeout; this much later we do.
const SPARE: Duration = Duration::from_millis(500);

pub struct Call<'a> {
    client: &'a ClusterClient,
    what: &'static str,
    began: BootTime,
    timeout: Duration,
    queue: *mut sys::rd_kafka_queue_t,
    options: Vec<*mut sys::rd_kafka_AdminOptions_t>,
}

impl<'a> Call<'a> {
    pub fn new(client: &'a ClusterClient, what: &'static str, timeout: Duration) -> Self {
        // SAFETY: the client is valid and outlives the call.
        let queue = unsafe { sys::rd_kafka_queue_new(client.producer.client().native_ptr()) };
        Call { client, what, began: client.clock.boot_time(), timeout, queue, options: Vec::new() }
    }

    /// Asks once: `ask` gets the client, the options and the queue, all valid until this value is dropped. `tag` comes
    /// back with the answer; `broker` asks that one.
    pub fn ask(
        &mut self,
        operation: Operation,
        tag: usize,
        broker: Option<i32>,
        ask: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) {
        let client = self.client.producer.client().native_ptr();
        let millis = match asks_a_coordinator(operation) {
            true => COORDINATOR_TIMEOUT_MS,
            false => i32::try_from(self.left().as_millis()).unwrap_or(i32::MAX).max(1),
        };
        // SAFETY: the client is valid; the options are destroyed once, on drop. The tag is a number, never followed.
        let options = unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_opaque(options, tag as *mut c_void);
            if let Some(broker) = broker {
                sys::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
            }
            options
        };
        self.options.push(options);
        ask(client, options, self.queue);
    }

    fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.client.clock.boot_time().since(self.began))
    }

    /// Time since the call was made.
    pub fn elapsed(&self) -> Duration {
        self.client.clock.boot_time().since(self.began)
    }

    /// The next answer.
    ///
    /// # Errors
    /// If none comes before the deadline.
    pub fn next(&self) -> Result<Event, CallError> {
        let millis = i32::try_from((self.left() + SPARE).as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is valid; the event goes to its only owner.
        let event = unsafe { sys::rd_kafka_queue_poll(self.queue, millis) };
        match event.is_null() {
            true => Err(CallError::new(self.what, RDKafkaErrorCode::OperationTimedOut)),
            false => Ok(Event(event)),
        }
    }

    /// The next answer, if it is not an error as a whole.
    ///
    /// # Errors
    /// If none comes before the deadline, or it is an error.
    pub fn next_good(&self) -> Result<Event, CallError> {
        let event = self.next()?;
        match event.error() {
            RDKafkaErrorCode::NoError => Ok(event),
            code => Err(CallError::new(self.what, code)),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // SAFETY: made in this value, used by nobody else, destroyed once.
        unsafe {
            self.options.iter().for_each(|options| sys::rd_kafka_AdminOptions_destroy(*options));
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// An answer; what is read of it has to be copied before it is dropped.
pub struct Event(*mut sys::rd_kafka_event_t);

impl Event {
    pub fn raw(&self) -> *mut sys::rd_kafka_event_t {
        self.0
    }

    pub fn error(&self) -> RDKafkaErrorCode {
        // SAFETY: a valid event.
        unsafe { sys::rd_kafka_event_error(self.0) }.into()
    }

    /// What [`Call::ask`] was given.
    pub fn tag(&self) -> usize {
        // SAFETY: a valid event.
        unsafe { sys::rd_kafka_event_opaque(self.0) as usize }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: this is its only owner.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

/// A text of librdkafka's; null is empty.
///
/// # Safety
/// `text` is null or a valid C string.
pub unsafe fn text(text: *const c_char) -> String {
    // SAFETY: as the caller promises.
    if text.is_null() { String::new() } else { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() }
}

/// The code of an error object; null is none.
///
/// # Safety
/// `error` is null or valid.
pub unsafe fn code(error: *const sys::rd_kafka_error_t) -> RDKafkaErrorCode {
    // SAFETY: as the caller promises; null is allowed.
    unsafe { sys::rd_kafka_error_code(error) }.into()
}

/// `count` pointers from `array` on.
///
/// # Safety
/// `array` is null, or has `count` elements that live as long as they are used.
pub unsafe fn elements<'a, T>(array: *mut *const T, count: usize) -> &'a [*const T] {
    // SAFETY: as the caller promises.
    if array.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(array, count) } }
}

/// The elements of a list of partitions; null is empty.
///
/// # Safety
/// `list` is null, or valid for as long as its elements are used.
pub unsafe fn partitions<'a>(
    list: *const sys::rd_kafka_topic_partition_list_t,
) -> &'a [sys::rd_kafka_topic_partition_t] {
    // SAFETY: as the caller promises.
    unsafe {
        match list.as_ref() {
            Some(list) if !list.elems.is_null() && list.cnt > 0 => {
                std::slice::from_raw_parts(list.elems, list.cnt as usize)
            }
            _ => &[],
        }
    }
}
