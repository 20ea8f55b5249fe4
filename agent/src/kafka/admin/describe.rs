//! Topic ids: what tells a topic from an earlier one of the same name. rdkafka does not wrap this call.

use super::{Admin, AdminError};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;

/// librdkafka gives up by itself after its own timeout; this much later we do.
const SPARE_MS: i32 = 1_000;

impl Admin {
    /// The ids of `topics` by name, as Kafka's tools print them. A topic that the asked broker does not know (yet), or
    /// that has no id because the brokers are older than 2.8, is left out.
    ///
    /// # Errors
    /// If no broker answers within the timeout, or none knows this call.
    pub fn topic_ids(&self, topics: &[&str]) -> Result<HashMap<String, String>, AdminError> {
        let failed = |error: String| AdminError::Failed { what: "describe topics".to_owned(), error };
        let names: Result<Vec<CString>, _> = topics.iter().map(|name| CString::new(*name)).collect();
        let event = self.describe(&names.map_err(|error| failed(error.to_string()))?);
        if event.is_null() {
            return Err(failed("no answer".to_owned()));
        }
        // SAFETY: a valid event, which only this function has; what is read of it is copied before it is destroyed.
        unsafe {
            let code: RDKafkaErrorCode = sys::rd_kafka_event_error(event).into();
            let ids = if code == RDKafkaErrorCode::NoError { Ok(ids(event)) } else { Err(failed(code.to_string())) };
            sys::rd_kafka_event_destroy(event);
            ids
        }
    }

    /// Asks, and waits for the result event (null if none came); the caller destroys it.
    fn describe(&self, names: &[CString]) -> *mut sys::rd_kafka_event_t {
        let client = self.client.inner().native_ptr();
        let timeout = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX - SPARE_MS);
        let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the client lives as long as `self`; the names are valid and are copied; everything made here is
        // destroyed here, once, after its last use. An answer that comes after that is dropped by librdkafka.
        unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
            let queue = sys::rd_kafka_queue_new(client);
            sys::rd_kafka_DescribeTopics(client, topics, options, queue);
            let event = sys::rd_kafka_queue_poll(queue, timeout + SPARE_MS);
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_TopicCollection_destroy(topics);
            event
        }
    }
}

/// The ids in a result.
///
/// # Safety
/// `event` is a valid event.
unsafe fn ids(event: *mut sys::rd_kafka_event_t) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut count = 0;
    // SAFETY: `event` is valid; of another type it gives a null result. The descriptions and what they point to belong to
    // the event, and their texts are copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return found;
        }
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for at in 0..count {
            let description = *descriptions.add(at);
            let code: RDKafkaErrorCode =
                sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(description)).into();
            let id = sys::rd_kafka_TopicDescription_topic_id(description);
            let zero =
                sys::rd_kafka_Uuid_most_significant_bits(id) == 0 && sys::rd_kafka_Uuid_least_significant_bits(id) == 0;
            if code != RDKafkaErrorCode::NoError || zero {
                continue;
            }
            let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(description));
            let id = CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id));
            found.insert(name.to_string_lossy().into_owned(), id.to_string_lossy().into_owned());
        }
    }
    found
}
