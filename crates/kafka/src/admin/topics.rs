//! Topics for whoever administers them: described in full, made, grown and deleted, each with what the broker says.

use super::super::call::{Event, Operation, pointers, texts, words};
use super::super::described::{TopicDescription, all_topics, topics_in};
use super::ask::{Asks, CallError, TopicAdmin, check, refused};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer;
use rdkafka_sys as sys;
use std::ffi::{CString, c_char};

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// `None`: the brokers' default.
    pub partitions: Option<i32>,
    pub replication: Option<i32>,
    pub configs: Vec<(String, String)>,
}

impl TopicAdmin {
    /// All topics of the cluster by name, without their ids.
    ///
    /// # Errors
    /// If no broker answers.
    pub fn list(&self) -> Result<Vec<TopicDescription>, CallError> {
        all_topics(self.producer.client(), &self.producer.context().complaints, self.timeout, || self.serve())
            .map_err(|error| self.no_answer(&error))
    }

    fn no_answer(&self, error: &rdkafka::error::KafkaError) -> CallError {
        match (self.unreachable(), error.rdkafka_error_code()) {
            (Some(reason), _) => CallError::Unreachable(reason),
            (None, Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut)) => {
                CallError::Silent(self.timeout)
            }
            (None, code) => {
                CallError::Refused { code: code.unwrap_or(RDKafkaErrorCode::Unknown), reason: error.to_string() }
            }
        }
    }

    /// One topic.
    ///
    /// # Errors
    /// `Refused` with `UnknownTopicOrPartition` if there is none, and with `TopicAuthorizationFailed` if this user may not
    /// see it.
    pub fn describe_topic(&self, name: &str) -> Result<TopicDescription, CallError> {
        let found = topics_in(&ask_topics(self, &[name])?).pop();
        found.unwrap_or(Err(RDKafkaErrorCode::UnknownTopicOrPartition)).map_err(refused)
    }

    /// Makes a topic; `validate_only`: only asks whether it could be made.
    pub fn make_topic(&self, new: &NewTopic, validate_only: bool) -> Result<(), CallError> {
        let name = CString::new(new.name.as_str())?;
        let configs = pairs(&new.configs)?;
        let partitions = new.partitions.unwrap_or(-1);
        let replication = new.replication.unwrap_or(-1);
        let mut why: [c_char; 256] = [0; 256];
        // SAFETY: the name is copied; null is an error told in `why`.
        let topic =
            unsafe { sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replication, why.as_mut_ptr(), why.len()) };
        if topic.is_null() {
            // SAFETY: librdkafka has written a text that ends with a zero.
            let reason = unsafe { words(why.as_ptr()) };
            return Err(CallError::Refused { code: RDKafkaErrorCode::InvalidArgument, reason });
        }
        for (key, value) in &configs {
            // SAFETY: the topic is valid, the texts are copied.
            unsafe { sys::rd_kafka_NewTopic_set_config(topic, key.as_ptr(), value.as_ptr()) };
        }
        let event = self.ask(Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS, validate_only, |client, options, queue| {
            // SAFETY: the call copies the topic.
            unsafe { sys::rd_kafka_CreateTopics(client, &mut { topic }, 1, options, queue) }
        });
        // SAFETY: destroyed once, after its last use.
        unsafe { sys::rd_kafka_NewTopic_destroy(topic) };
        let event = event?;
        // SAFETY: the event lives until the end of this function.
        unsafe {
            results(event.list(sys::rd_kafka_event_CreateTopics_result, sys::rd_kafka_CreateTopics_result_topics))
        }
    }

    /// Grows a topic to `total` partitions.
    pub fn grow(&self, name: &str, total: i32, validate_only: bool) -> Result<(), CallError> {
        let c_name = CString::new(name)?;
        let mut why: [c_char; 256] = [0; 256];
        let total = usize::try_from(total).unwrap_or(0);
        // SAFETY: the name is copied; null is an error told in `why`.
        let partitions =
            unsafe { sys::rd_kafka_NewPartitions_new(c_name.as_ptr(), total, why.as_mut_ptr(), why.len()) };
        if partitions.is_null() {
            // SAFETY: librdkafka has written a text that ends with a zero.
            let reason = unsafe { words(why.as_ptr()) };
            return Err(CallError::Refused { code: RDKafkaErrorCode::InvalidArgument, reason });
        }
        let event = self.ask(Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, validate_only, |client, options, queue| {
            // SAFETY: the call copies the request.
            unsafe { sys::rd_kafka_CreatePartitions(client, &mut { partitions }, 1, options, queue) }
        });
        // SAFETY: destroyed once, after its last use.
        unsafe { sys::rd_kafka_NewPartitions_destroy(partitions) };
        let event = event?;
        // SAFETY: the event lives until the end of this function.
        unsafe {
            results(
                event.list(sys::rd_kafka_event_CreatePartitions_result, sys::rd_kafka_CreatePartitions_result_topics),
            )
        }
    }

    /// Deletes a topic.
    pub fn remove_topic(&self, name: &str) -> Result<(), CallError> {
        let name = CString::new(name)?;
        let event = self.ask(Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS, false, |client, options, queue| {
            // SAFETY: the name is copied, the call copies the request, and it is destroyed once.
            unsafe {
                let topic = sys::rd_kafka_DeleteTopic_new(name.as_ptr());
                sys::rd_kafka_DeleteTopics(client, &mut { topic }, 1, options, queue);
                sys::rd_kafka_DeleteTopic_destroy(topic);
            }
        })?;
        // SAFETY: the event lives until the end of this function.
        unsafe {
            results(event.list(sys::rd_kafka_event_DeleteTopics_result, sys::rd_kafka_DeleteTopics_result_topics))
        }
    }
}

/// Asks for the descriptions of topics.
pub(super) fn ask_topics(client: &impl Asks, topics: &[&str]) -> Result<Event, CallError> {
    let names = texts(topics)?;
    let names = pointers(&names);
    // SAFETY: the collection copies the names, and the call copies the collection.
    client.ask(Operation::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, false, |client, options, queue| unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_ptr().cast_mut(), names.len());
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
    })
}

pub(super) fn pairs(configs: &[(String, String)]) -> Result<Vec<(CString, CString)>, CallError> {
    let pair = |(key, value): &(String, String)| Ok((CString::new(key.as_str())?, CString::new(value.as_str())?));
    configs.iter().map(pair).collect()
}

/// The first error among the results.
///
/// # Safety
/// They are valid.
unsafe fn results(list: &[*const sys::rd_kafka_topic_result_t]) -> Result<(), CallError> {
    // SAFETY: as the caller says.
    list.iter().try_for_each(|&result| unsafe {
        check(sys::rd_kafka_topic_result_error(result), sys::rd_kafka_topic_result_error_string(result))
    })
}
