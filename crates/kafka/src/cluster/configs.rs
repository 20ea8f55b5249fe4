//! One setting of many topics, without the hundreds of others.

use super::super::call::{Aim, Event, Operation, elements, words};
use super::{CallError, ClusterClient, answer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::time::Duration;

const READ: &str = "read topic settings";

impl ClusterClient {
    /// The value of `setting` for each topic that has one and may be seen.
    ///
    /// # Errors
    /// If no broker answers within `timeout`, or this user may see none.
    pub fn topic_setting(
        &self,
        topics: &[&str],
        setting: &'static CStr,
        timeout: Duration,
    ) -> Result<HashMap<String, String>, CallError> {
        if topics.is_empty() {
            return Ok(HashMap::new());
        }
        let mut call = self.call(timeout);
        // Kafka allows no zero byte in a topic's name.
        let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(*name).ok()).collect();
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        // SAFETY: everything is valid; the resources are copied by the call and destroyed here.
        call.ask(operation, Aim::default(), |client, options, queue| unsafe {
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
        values_in(&answer(&call, READ)?, setting)
    }
}

fn values_in(event: &Event, setting: &CStr) -> Result<HashMap<String, String>, CallError> {
    let (mut values, mut refused, mut entries) = (HashMap::new(), None, 0);
    // SAFETY: what is read of the event is copied.
    unsafe {
        let of = sys::rd_kafka_event_DescribeConfigs_result;
        for &resource in event.list(of, sys::rd_kafka_DescribeConfigs_result_resources) {
            let code: RDKafkaErrorCode = sys::rd_kafka_ConfigResource_error(resource).into();
            if code != RDKafkaErrorCode::NoError {
                let name = words(sys::rd_kafka_ConfigResource_name(resource));
                refused = Some(CallError { operation: "DescribeConfigs", ..CallError::new(READ, code).about(name) });
            }
            for &entry in elements(sys::rd_kafka_ConfigResource_configs(resource, &mut entries), entries) {
                if words(sys::rd_kafka_ConfigEntry_name(entry)).as_bytes() == setting.to_bytes() {
                    let topic = words(sys::rd_kafka_ConfigResource_name(resource));
                    values.insert(topic, words(sys::rd_kafka_ConfigEntry_value(entry)));
                }
            }
        }
    }
    match refused {
        Some(error) if values.is_empty() => Err(error),
        _ => Ok(values),
    }
}
