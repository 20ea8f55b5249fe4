//! One admin call that rdkafka does not wrap: asked, waited for, and cleaned up.

use super::{Admin, AdminError};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ptr::{self, NonNull};

/// librdkafka gives up by itself after its own timeout; this much later we do.
const SPARE_MS: i32 = 1_000;

/// The result of an admin call, destroyed when dropped.
pub(super) struct Event(NonNull<sys::rd_kafka_event_t>);

impl Event {
    pub fn ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.0.as_ptr()
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

impl Admin {
    /// Makes the call `begin` with a client, options for `operation`, and a queue for the result; waits for that.
    ///
    /// # Errors
    /// If nobody answers in time, or the answer is an error as a whole.
    pub(super) fn ask(
        &self,
        what: &str,
        operation: sys::rd_kafka_admin_op_t,
        begin: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Event, AdminError> {
        let client = self.client.inner().native_ptr();
        let timeout = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX - SPARE_MS);
        // SAFETY: the client lives as long as `self`; everything made here is destroyed here, once, after its last use.
        // An answer that comes after that is dropped by librdkafka.
        let (event, code) = unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
            let queue = sys::rd_kafka_queue_new(client);
            begin(client, options, queue);
            let event = sys::rd_kafka_queue_poll(queue, timeout.saturating_add(SPARE_MS));
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_AdminOptions_destroy(options);
            let Some(event) = NonNull::new(event) else {
                return Err(AdminError::Failed { what: what.to_owned(), error: "no answer".to_owned() });
            };
            let code: RDKafkaErrorCode = sys::rd_kafka_event_error(event.as_ptr()).into();
            (Event(event), code)
        };
        if code == RDKafkaErrorCode::NoError { Ok(event) } else { Err(super::refusal(what.to_owned(), code)) }
    }
}
