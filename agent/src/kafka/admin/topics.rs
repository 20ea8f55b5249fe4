//! Topics for whoever administers them: described in full, made, grown and deleted, each with what the broker says.

use super::Admin;
use super::call::{CallError, check, each, text, words};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::c_char;
use std::ptr;
use sys::rd_kafka_admin_op_t as Op;

/// A topic with its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    pub name: String,
    /// As Kafka's tools print it; empty if the brokers do not tell.
    pub id: String,
    /// Kafka's own.
    pub internal: bool,
    /// In the order of their numbers.
    pub partitions: Vec<PartitionDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    pub partition: i32,
    pub leader: Option<i32>,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// `None`: the brokers' default.
    pub partitions: Option<i32>,
    pub replication: Option<i32>,
    pub configs: Vec<(String, String)>,
}

impl Admin {
    /// All topics of the cluster by name, without their ids.
    ///
    /// # Errors
    /// If no broker answers.
    pub fn list(&self) -> Result<Vec<TopicDescription>, CallError> {
        let metadata =
            self.client.inner().fetch_metadata(None, self.timeout).map_err(|error| self.no_answer(&error))?;
        let mut topics: Vec<TopicDescription> = metadata
            .topics()
            .iter()
            .map(|topic| TopicDescription {
                name: topic.name().to_owned(),
                id: String::new(),
                internal: is_internal(topic.name()),
                partitions: sorted(topic.partitions().iter().map(|p| PartitionDescription {
                    partition: p.id(),
                    leader: Some(p.leader()).filter(|id| *id >= 0),
                    replicas: p.replicas().to_vec(),
                    in_sync: p.isr().to_vec(),
                })),
            })
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    fn no_answer(&self, error: &rdkafka::error::KafkaError) -> CallError {
        let context = self.client.inner().context();
        match (context.unreachable(), error.rdkafka_error_code()) {
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
        let c_name = text(name)?;
        let event = self.ask(Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, false, &|client, options, queue| {
            let mut names = [c_name.as_ptr()];
            // SAFETY: the collection copies the name, and the call copies the collection.
            unsafe {
                let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
                sys::rd_kafka_DescribeTopics(client, topics, options, queue);
                sys::rd_kafka_TopicCollection_destroy(topics);
            }
        })?;
        let mut count = 0;
        // SAFETY: the event lives until the end of this function; what is read of it is copied.
        unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(event.ptr());
            let topics = each(sys::rd_kafka_DescribeTopics_result_topics(result, &mut count), count);
            let Some(&topic) = topics.first() else {
                let code = RDKafkaErrorCode::UnknownTopicOrPartition;
                return Err(CallError::Refused { code, reason: code.to_string() });
            };
            let error = sys::rd_kafka_TopicDescription_error(topic);
            check(sys::rd_kafka_error_code(error), ptr::null())?;
            Ok(description(topic))
        }
    }

    /// Makes a topic; `validate_only`: only asks whether it could be made.
    pub fn make_topic(&self, new: &NewTopic, validate_only: bool) -> Result<(), CallError> {
        let name = text(&new.name)?;
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
        let event = self.ask(Op::RD_KAFKA_ADMIN_OP_CREATETOPICS, validate_only, &|client, options, queue| {
            // SAFETY: the call copies the topic.
            unsafe { sys::rd_kafka_CreateTopics(client, &mut { topic }, 1, options, queue) }
        });
        // SAFETY: destroyed once, after its last use.
        unsafe { sys::rd_kafka_NewTopic_destroy(topic) };
        let event = event?;
        let mut count = 0;
        // SAFETY: the event lives until the end of this function.
        unsafe {
            let result = sys::rd_kafka_event_CreateTopics_result(event.ptr());
            results(sys::rd_kafka_CreateTopics_result_topics(result, &mut count), count)
        }
    }

    /// Grows a topic to `total` partitions.
    pub fn grow(&self, name: &str, total: i32, validate_only: bool) -> Result<(), CallError> {
        let c_name = text(name)?;
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
        let event = self.ask(Op::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, validate_only, &|client, options, queue| {
            // SAFETY: the call copies the request.
            unsafe { sys::rd_kafka_CreatePartitions(client, &mut { partitions }, 1, options, queue) }
        });
        // SAFETY: destroyed once, after its last use.
        unsafe { sys::rd_kafka_NewPartitions_destroy(partitions) };
        let event = event?;
        let mut count = 0;
        // SAFETY: the event lives until the end of this function.
        unsafe {
            let result = sys::rd_kafka_event_CreatePartitions_result(event.ptr());
            results(sys::rd_kafka_CreatePartitions_result_topics(result, &mut count), count)
        }
    }

    /// Deletes a topic.
    pub fn remove_topic(&self, name: &str) -> Result<(), CallError> {
        let name = text(name)?;
        let event = self.ask(Op::RD_KAFKA_ADMIN_OP_DELETETOPICS, false, &|client, options, queue| {
            // SAFETY: the name is copied, the call copies the request, and it is destroyed once.
            unsafe {
                let topic = sys::rd_kafka_DeleteTopic_new(name.as_ptr());
                sys::rd_kafka_DeleteTopics(client, &mut { topic }, 1, options, queue);
                sys::rd_kafka_DeleteTopic_destroy(topic);
            }
        })?;
        let mut count = 0;
        // SAFETY: the event lives until the end of this function.
        unsafe {
            let result = sys::rd_kafka_event_DeleteTopics_result(event.ptr());
            results(sys::rd_kafka_DeleteTopics_result_topics(result, &mut count), count)
        }
    }
}

/// Whether a topic is one that Kafka keeps for itself.
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state" | "__cluster_metadata")
}

pub(super) type Pairs = Vec<(std::ffi::CString, std::ffi::CString)>;

pub(super) fn pairs(configs: &[(String, String)]) -> Result<Pairs, CallError> {
    configs.iter().map(|(key, value)| Ok((text(key)?, text(value)?))).collect()
}

fn sorted(partitions: impl Iterator<Item = PartitionDescription>) -> Vec<PartitionDescription> {
    let mut all: Vec<_> = partitions.collect();
    all.sort_by_key(|partition| partition.partition);
    all
}

/// The first error among the results.
///
/// # Safety
/// The list is one of a result that lives.
unsafe fn results(list: *mut *const sys::rd_kafka_topic_result_t, count: usize) -> Result<(), CallError> {
    // SAFETY: as the caller says.
    unsafe {
        each(list, count).iter().try_for_each(|&result| {
            check(sys::rd_kafka_topic_result_error(result), sys::rd_kafka_topic_result_error_string(result))
        })
    }
}

/// # Safety
/// `topic` belongs to a result that lives.
unsafe fn description(topic: *const sys::rd_kafka_TopicDescription_t) -> TopicDescription {
    let mut count = 0;
    // SAFETY: as the caller says; ids and texts are copied.
    unsafe {
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let zero =
            sys::rd_kafka_Uuid_most_significant_bits(id) == 0 && sys::rd_kafka_Uuid_least_significant_bits(id) == 0;
        let partitions = each(sys::rd_kafka_TopicDescription_partitions(topic, &mut count), count);
        TopicDescription {
            name: words(sys::rd_kafka_TopicDescription_name(topic)),
            id: if zero { String::new() } else { words(sys::rd_kafka_Uuid_base64str(id)) },
            internal: sys::rd_kafka_TopicDescription_is_internal(topic) != 0,
            partitions: sorted(partitions.iter().map(|&partition| partition_description(partition))),
        }
    }
}

/// # Safety
/// `partition` belongs to a result that lives.
unsafe fn partition_description(partition: *const sys::rd_kafka_TopicPartitionInfo_t) -> PartitionDescription {
    let (mut replicas, mut in_sync) = (0, 0);
    // SAFETY: as the caller says.
    unsafe {
        let leader = sys::rd_kafka_TopicPartitionInfo_leader(partition);
        let leader = (!leader.is_null()).then(|| sys::rd_kafka_Node_id(leader)).filter(|id| *id >= 0);
        let nodes = |list: &[*const sys::rd_kafka_Node_t]| {
            list.iter().filter(|node| !node.is_null()).map(|&node| sys::rd_kafka_Node_id(node)).collect()
        };
        PartitionDescription {
            partition: sys::rd_kafka_TopicPartitionInfo_partition(partition),
            leader,
            replicas: nodes(each(sys::rd_kafka_TopicPartitionInfo_replicas(partition, &mut replicas), replicas)),
            in_sync: nodes(each(sys::rd_kafka_TopicPartitionInfo_isr(partition, &mut in_sync), in_sync)),
        }
    }
}
