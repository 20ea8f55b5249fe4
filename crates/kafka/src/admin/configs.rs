//! A topic's settings: read with where they come from, and changed one by one. rdkafka wraps only the call that resets
//! every setting it is not told.

use super::super::call::{Operation, elements, texts, words};
use super::ask::{Asks, CallError, TopicAdmin, check};
use super::topics::pairs;
use rdkafka_sys as sys;
use std::ffi::CString;
use std::ptr;
use sys::rd_kafka_AlterConfigOpType_t as Change;
use sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC as TOPIC;

/// A setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    /// `None` for a secret.
    pub value: Option<String>,
    /// Not set for this topic: the broker's, or Kafka's own default.
    pub is_default: bool,
    pub is_secret: bool,
}

impl TopicAdmin {
    /// Every setting of a topic, by name.
    pub fn settings_of(&self, topic: &str) -> Result<Vec<Setting>, CallError> {
        let name = CString::new(topic)?;
        let event = self.ask(Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, false, |client, options, queue| {
            // SAFETY: the name is copied, the call copies the resource, and it is destroyed once.
            unsafe {
                let resource = sys::rd_kafka_ConfigResource_new(TOPIC, name.as_ptr());
                sys::rd_kafka_DescribeConfigs(client, &mut { resource }, 1, options, queue);
                sys::rd_kafka_ConfigResource_destroy(resource);
            }
        })?;
        let (mut entries, mut settings) = (0, Vec::new());
        // SAFETY: the event lives until the end of this function; what is read of it is copied.
        unsafe {
            let of = sys::rd_kafka_event_DescribeConfigs_result;
            for &resource in event.list(of, sys::rd_kafka_DescribeConfigs_result_resources) {
                accepted(resource)?;
                let list = elements(sys::rd_kafka_ConfigResource_configs(resource, &mut entries), entries);
                settings.extend(list.iter().map(|&entry| setting(entry)));
            }
        }
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(settings)
    }

    /// Sets some settings of a topic, takes others back to their default, and leaves the rest as it is.
    pub fn change_settings(
        &self,
        topic: &str,
        set: &[(String, String)],
        reset: &[String],
        validate_only: bool,
    ) -> Result<(), CallError> {
        let name = CString::new(topic)?;
        let set = pairs(set)?;
        let reset = texts(reset)?;
        let event =
            self.ask(Operation::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS, validate_only, |client, options, queue| {
                // SAFETY: the texts are copied, the call copies the resource, and it is destroyed once. An error object
                // may be null.
                unsafe {
                    let resource = sys::rd_kafka_ConfigResource_new(TOPIC, name.as_ptr());
                    let add = |key: *const _, change, value: *const _| {
                        let error = sys::rd_kafka_ConfigResource_add_incremental_config(resource, key, change, value);
                        sys::rd_kafka_error_destroy(error);
                    };
                    for (key, value) in &set {
                        add(key.as_ptr(), Change::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value.as_ptr());
                    }
                    for key in &reset {
                        add(key.as_ptr(), Change::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, ptr::null());
                    }
                    sys::rd_kafka_IncrementalAlterConfigs(client, &mut { resource }, 1, options, queue);
                    sys::rd_kafka_ConfigResource_destroy(resource);
                }
            })?;
        // SAFETY: the event lives until the end of this function.
        unsafe {
            let of = sys::rd_kafka_event_IncrementalAlterConfigs_result;
            let found = event.list(of, sys::rd_kafka_IncrementalAlterConfigs_result_resources);
            found.iter().try_for_each(|&resource| accepted(resource))
        }
    }
}

/// # Safety
/// `resource` belongs to a result that lives.
unsafe fn accepted(resource: *const sys::rd_kafka_ConfigResource_t) -> Result<(), CallError> {
    // SAFETY: as the caller says.
    unsafe { check(sys::rd_kafka_ConfigResource_error(resource), sys::rd_kafka_ConfigResource_error_string(resource)) }
}

/// # Safety
/// `entry` belongs to a result that lives.
unsafe fn setting(entry: *const sys::rd_kafka_ConfigEntry_t) -> Setting {
    // SAFETY: as the caller says; the texts are copied.
    unsafe {
        let value = sys::rd_kafka_ConfigEntry_value(entry);
        let is_secret = sys::rd_kafka_ConfigEntry_is_sensitive(entry) > 0;
        let source = sys::rd_kafka_ConfigEntry_source(entry);
        Setting {
            name: words(sys::rd_kafka_ConfigEntry_name(entry)),
            value: (!value.is_null() && !is_secret).then(|| words(value)),
            is_default: source != sys::rd_kafka_ConfigSource_t::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG,
            is_secret,
        }
    }
}
