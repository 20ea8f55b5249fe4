//! Topic ids: what tells a topic from an earlier one of the same name. rdkafka does not wrap this call.

use super::call::Event;
use super::{Admin, AdminError, failed};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};

impl Admin {
    /// The ids of `topics` by name, as Kafka's tools print them. A topic that the asked broker does not know (yet), or
    /// that has no id because the brokers are older than 2.8, is left out.
    ///
    /// # Errors
    /// If no broker answers within the timeout, or none knows this call.
    pub fn topic_ids(&self, topics: &[&str]) -> Result<HashMap<String, String>, AdminError> {
        let what = "describe topics";
        let names: Result<Vec<CString>, _> = topics.iter().map(|name| CString::new(*name)).collect();
        let names = names.map_err(|error| AdminError::Failed { what: what.to_owned(), error: error.to_string() })?;
        let pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        // SAFETY: the handles are valid during the call; the names are valid, and are copied by it.
        let event = self.ask(operation, false, &|client, options, queue| unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_ptr().cast_mut(), pointers.len());
            sys::rd_kafka_DescribeTopics(client, topics, options, queue);
            sys::rd_kafka_TopicCollection_destroy(topics);
        });
        let event = event.map_err(|error| failed(what, error))?;
        Ok(ids(&event))
    }
}

/// The ids in a result.
fn ids(event: &Event) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut count = 0;
    // SAFETY: the event is valid; of another type it gives a null result. The descriptions and what they point to belong
    // to the event, and their texts are copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.ptr());
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
