//! One setting of many topics, without the hundreds of others.

use super::call::{Call, Operation, elements, text};
use super::{CallError, ClusterClient};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::collections::HashMap;
use std::ffi::CString;
use std::time::Duration;

impl ClusterClient {
    /// The value of `setting` for each topic that has one and may be seen.
    ///
    /// # Errors
    /// If no broker answers within `timeout`, or this user may see none.
    pub fn topic_setting(
        &self,
        topics: &[&str],
        setting: &'static std::ffi::CStr,
        timeout: Duration,
    ) -> Result<HashMap<String, String>, CallError> {
        if topics.is_empty() {
            return Ok(HashMap::new());
        }
        let mut call = Call::new(self, "read topic settings", timeout);
        // Kafka allows no zero byte in a topic's name.
        let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(*name).ok()).collect();
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        // SAFETY: everything is valid; the resources are copied by the call and destroyed here.
        call.ask(operation, 0, None, |client, options, queue| unsafe {
            let mut resources: Vec<_> = names
                .iter()
                .map(|name| {
                    let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
                    let resource = sys::rd_kafka_ConfigResource_new(kind, name.as_ptr());
                    sys::rd_kafka_ConfigResource_set_config(resource, setting.as_ptr(), c"".as_ptr());
                    resource
                })
                .collect();
            sys::rd_kafka_DescribeConfigs(client, resources.as_mut_ptr(), resources.len(), options, queue);
            sys::rd_kafka_ConfigResource_destroy_array(resources.as_mut_ptr(), resources.len());
        });
        let event = call.next_good()?;
        // SAFETY: a valid event; what is read is copied before it is dropped.
        unsafe { values_in(event.raw(), setting) }
    }
}

/// # Safety
/// `event` is valid.
unsafe fn values_in(
    event: *mut sys::rd_kafka_event_t,
    setting: &std::ffi::CStr,
) -> Result<HashMap<String, String>, CallError> {
    let (mut values, mut refused) = (HashMap::new(), None);
    // SAFETY: the result and what it points to belong to the event; another type of event gives null, which has none.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConfigs_result(event);
        let mut count = 0;
        let resources = match result.is_null() {
            true => std::ptr::null_mut(),
            false => sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count),
        };
        for resource in elements(resources, count) {
            let code: RDKafkaErrorCode = sys::rd_kafka_ConfigResource_error(*resource).into();
            if code != RDKafkaErrorCode::NoError {
                refused = Some(CallError::new("read topic settings", code));
                continue;
            }
            let mut entries = 0;
            let array = sys::rd_kafka_ConfigResource_configs(*resource, &mut entries);
            for entry in elements(array, entries) {
                if text(sys::rd_kafka_ConfigEntry_name(*entry)).as_bytes() == setting.to_bytes() {
                    let topic = text(sys::rd_kafka_ConfigResource_name(*resource));
                    values.insert(topic, text(sys::rd_kafka_ConfigEntry_value(*entry)));
                }
            }
        }
    }
    match refused {
        Some(error) if values.is_empty() => Err(error),
        _ => Ok(values),
    }
}
