//! librdkafka's own admin interface, for the calls that rdkafka does not wrap, or whose answers it throws away: options, a
//! queue, and the answers that come to it until the deadline. Whatever is made here is destroyed here; an answer that comes
//! later is dropped by librdkafka. Also how texts and lists of its answers are read.

use super::TopicPartition;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::{CStr, CString, NulError, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_runtime::clock::{BootTime, Clock};
use sys::rd_kafka_topic_partition_t as Element;

pub use sys::rd_kafka_admin_op_t as Operation;

/// librdkafka gives up by itself after the timeout; this much later we do.
const SPARE: Duration = Duration::from_millis(500);
/// What librdkafka is given for questions to a group's coordinator, its longest; we stop waiting by ourselves. When such a
/// question times out while the coordinator is being looked for, and it is found afterwards, librdkafka 2.12 takes its own
/// bookkeeping for broken and aborts the process (its issue 4605).
const COORDINATOR_TIMEOUT: Duration = Duration::from_secs(3600);

/// What is asked besides the request itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aim {
    /// Comes back with the answer.
    pub tag: usize,
    /// Asks this broker, and no other.
    pub broker: Option<i32>,
    /// Nothing is to be changed.
    pub validate_only: bool,
}

pub struct Call<'a> {
    client: *mut sys::rd_kafka_t,
    began: BootTime,
    timeout: Duration,
    queue: *mut sys::rd_kafka_queue_t,
    options: Vec<*mut sys::rd_kafka_AdminOptions_t>,
    lives: PhantomData<&'a ()>,
}

impl<'a> Call<'a> {
    pub fn new(client: &'a Client<impl ClientContext>, timeout: Duration) -> Self {
        let client = client.native_ptr();
        // SAFETY: the client is valid and outlives the call.
        let queue = unsafe { sys::rd_kafka_queue_new(client) };
        Call { client, began: Clock::System.boot_time(), timeout, queue, options: Vec::new(), lives: PhantomData }
    }

    /// Asks once: `ask` gets the client, the options and the queue, all valid until this value is dropped.
    pub fn ask(
        &mut self,
        operation: Operation,
        aim: Aim,
        ask: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) {
        let left = match asks_a_coordinator(operation) {
            true => COORDINATOR_TIMEOUT,
            false => self.timeout.saturating_sub(self.elapsed()),
        };
        let left = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).max(1);
        // SAFETY: the client is valid; the options are destroyed once, on drop. The tag is a number, never followed. What
        // goes wrong with an option needs no text: it stays as it was.
        let options = unsafe {
            let options = sys::rd_kafka_AdminOptions_new(self.client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, left, ptr::null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_opaque(options, aim.tag as *mut c_void);
            if waits_for_all(operation) {
                sys::rd_kafka_AdminOptions_set_operation_timeout(options, left, ptr::null_mut(), 0);
            }
            if aim.validate_only {
                sys::rd_kafka_AdminOptions_set_validate_only(options, 1, ptr::null_mut(), 0);
            }
            if let Some(broker) = aim.broker {
                sys::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
            }
            options
        };
        self.options.push(options);
        ask(self.client, options, self.queue);
    }

    /// Time since the call was made.
    pub fn elapsed(&self) -> Duration {
        Clock::System.boot_time().since(self.began)
    }

    pub fn is_over(&self) -> bool {
        self.elapsed() >= self.timeout + SPARE
    }

    /// The next answer, unless none comes before the deadline.
    pub fn next(&self) -> Option<Event> {
        self.next_within((self.timeout + SPARE).saturating_sub(self.elapsed()))
    }

    /// The next answer, unless none comes within this time.
    pub fn next_within(&self, time: Duration) -> Option<Event> {
        let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is valid; the event goes to its only owner.
        let event = unsafe { sys::rd_kafka_queue_poll(self.queue, millis) };
        (!event.is_null()).then_some(Event(event))
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

/// Whether librdkafka looks for a group's coordinator first.
fn asks_a_coordinator(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS | Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS
    )
}

/// Whether the controller can be told how long to wait for the change to reach all brokers.
fn waits_for_all(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS
            | Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS
            | Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS
    )
}

/// An answer; what is read of it has to be copied before it is dropped.
pub struct Event(*mut sys::rd_kafka_event_t);

impl Event {
    /// Gives a null result to whoever takes it for the answer to another call.
    pub fn raw(&self) -> *mut sys::rd_kafka_event_t {
        self.0
    }

    pub fn error(&self) -> RDKafkaErrorCode {
        // SAFETY: a valid event.
        unsafe { sys::rd_kafka_event_error(self.0) }.into()
    }

    /// The error in words.
    pub fn reason(&self) -> String {
        // SAFETY: a valid event, whose text is copied.
        unsafe { words(sys::rd_kafka_event_error_string(self.0)) }
    }

    pub fn tag(&self) -> usize {
        // SAFETY: a valid event.
        unsafe { sys::rd_kafka_event_opaque(self.0) as usize }
    }

    /// The list that `get` reads from the result that `of` finds in the event; empty if it is another call's.
    ///
    /// # Safety
    /// Both are librdkafka's, and `get` takes the results of `of`.
    pub unsafe fn list<R, T>(
        &self,
        of: unsafe extern "C" fn(*mut sys::rd_kafka_event_t) -> *const R,
        get: unsafe extern "C" fn(*const R, *mut usize) -> *mut *const T,
    ) -> &[*const T] {
        let mut count = 0;
        // SAFETY: a valid event, and what is read of it lives as long as the event does.
        unsafe {
            let result = of(self.0);
            if result.is_null() { &[] } else { elements(get(result, &mut count), count) }
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: this is its only owner.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

/// Texts for librdkafka.
///
/// # Errors
/// If one holds a byte of zero.
pub fn texts(texts: &[impl AsRef<str>]) -> Result<Vec<CString>, NulError> {
    texts.iter().map(|text| CString::new(text.as_ref())).collect()
}

pub fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).collect()
}

/// A text of librdkafka's, copied; null is empty.
///
/// # Safety
/// `text` is null or a valid C string.
pub unsafe fn words(text: *const c_char) -> String {
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
pub unsafe fn partitions<'a>(list: *const sys::rd_kafka_topic_partition_list_t) -> &'a [Element] {
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

/// Copies a topic's name once for all its partitions that stand together.
#[derive(Default)]
pub struct Names(Option<Arc<str>>);

impl Names {
    /// # Safety
    /// The element is valid.
    pub unsafe fn place(&mut self, element: &Element) -> TopicPartition {
        // SAFETY: as the caller promises; its name is a valid text.
        let name = unsafe { CStr::from_ptr(element.topic) }.to_string_lossy();
        let name = match &self.0 {
            Some(known) if **known == *name => known.clone(),
            _ => self.0.insert(name.into()).clone(),
        };
        TopicPartition { topic: name, partition: element.partition }
    }
}
