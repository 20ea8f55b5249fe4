//! Topics and consumer groups as the brokers describe them.

use super::TopicPartition;
use super::call::{Event, Names, code, elements, partitions, words};
use super::cause::Complaints;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka_sys as sys;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// A topic and where its partitions are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicDescription {
    pub name: Arc<str>,
    /// Base64; empty if the brokers do not tell, and in a list of all topics.
    pub id: String,
    /// Kafka's own.
    pub internal: bool,
    /// By number.
    pub partitions: Vec<PartitionDescription>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionDescription {
    pub id: i32,
    /// `None`: nobody can read or write it.
    pub leader: Option<i32>,
    /// The first one is the preferred leader.
    pub replicas: SmallVec<[i32; 4]>,
    pub in_sync: SmallVec<[i32; 4]>,
}

/// A group as its coordinator describes it. One that does not exist is `Dead`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDescription {
    pub name: String,
    /// Kafka's word: `Stable`, `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Dead`, `Unknown`.
    pub state: String,
    /// How partitions are shared out, such as `cooperative-sticky`; empty if it has no members.
    pub assignor: String,
    pub coordinator: Option<i32>,
    pub members: Vec<GroupMember>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMember {
    pub id: String,
    pub client_id: String,
    /// `group.instance.id`; empty if it is not static.
    pub instance_id: String,
    /// Where it connects from, as the broker sees it: `/10.0.0.7`.
    pub host: String,
    /// What it was given; empty while the group rebalances.
    pub partitions: Vec<TopicPartition>,
}

/// Whether a topic is one that Kafka keeps for itself.
pub fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state" | "__cluster_metadata")
}

/// All topics by name, without their ids, as one broker sees them now. One with an error is left out: it is being deleted,
/// or hidden from this user.
pub fn all_topics(
    client: &Client<impl ClientContext>,
    complaints: &Complaints,
    timeout: Duration,
    serve: impl Fn(),
) -> KafkaResult<Vec<TopicDescription>> {
    let metadata = complaints.metadata(client, None, timeout, serve)?;
    let partition = |partition: &MetadataPartition| PartitionDescription {
        id: partition.id(),
        leader: Some(partition.leader()).filter(|id| *id >= 0),
        replicas: partition.replicas().into(),
        in_sync: partition.isr().into(),
    };
    let mut topics: Vec<_> = (metadata.topics().iter())
        .filter(|topic| topic.error().is_none())
        .map(|topic| TopicDescription {
            name: topic.name().into(),
            id: String::new(),
            internal: is_internal(topic.name()),
            partitions: sorted(topic.partitions().iter().map(partition)),
        })
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// The topics in an answer, those with an error as that.
pub fn topics_in(event: &Event) -> Vec<Result<TopicDescription, RDKafkaErrorCode>> {
    // SAFETY: what is read is copied while the event lives.
    unsafe {
        let found =
            event.list(sys::rd_kafka_event_DescribeTopics_result, sys::rd_kafka_DescribeTopics_result_topics).iter();
        found
            .map(|&found| match code(sys::rd_kafka_TopicDescription_error(found)) {
                RDKafkaErrorCode::NoError => Ok(topic(found)),
                code => Err(code),
            })
            .collect()
    }
}

/// # Safety
/// `topic` belongs to a result that lives.
unsafe fn topic(topic: *const sys::rd_kafka_TopicDescription_t) -> TopicDescription {
    let mut count = 0;
    // SAFETY: as the caller says; ids and texts are copied.
    unsafe {
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let zero =
            sys::rd_kafka_Uuid_most_significant_bits(id) == 0 && sys::rd_kafka_Uuid_least_significant_bits(id) == 0;
        let partitions = elements(sys::rd_kafka_TopicDescription_partitions(topic, &mut count), count);
        TopicDescription {
            name: words(sys::rd_kafka_TopicDescription_name(topic)).into(),
            id: if zero { String::new() } else { words(sys::rd_kafka_Uuid_base64str(id)) },
            internal: sys::rd_kafka_TopicDescription_is_internal(topic) != 0,
            partitions: sorted(partitions.iter().map(|&found| partition(found))),
        }
    }
}

/// # Safety
/// `partition` belongs to a result that lives.
unsafe fn partition(partition: *const sys::rd_kafka_TopicPartitionInfo_t) -> PartitionDescription {
    let (mut replicas, mut in_sync) = (0, 0);
    // SAFETY: as the caller says.
    unsafe {
        let nodes = |list: &[*const sys::rd_kafka_Node_t]| list.iter().filter_map(|&found| node(found)).collect();
        PartitionDescription {
            id: sys::rd_kafka_TopicPartitionInfo_partition(partition),
            leader: node(sys::rd_kafka_TopicPartitionInfo_leader(partition)),
            replicas: nodes(elements(sys::rd_kafka_TopicPartitionInfo_replicas(partition, &mut replicas), replicas)),
            in_sync: nodes(elements(sys::rd_kafka_TopicPartitionInfo_isr(partition, &mut in_sync), in_sync)),
        }
    }
}

/// A node's id, if there is one.
///
/// # Safety
/// `node` is null or valid.
pub unsafe fn node(node: *const sys::rd_kafka_Node_t) -> Option<i32> {
    // SAFETY: as the caller says.
    (!node.is_null()).then(|| unsafe { sys::rd_kafka_Node_id(node) }).filter(|id| *id >= 0)
}

fn sorted(partitions: impl Iterator<Item = PartitionDescription>) -> Vec<PartitionDescription> {
    let mut all: Vec<_> = partitions.collect();
    all.sort_by_key(|partition| partition.id);
    all
}

/// The groups in an answer, those with an error as that. `assignments`: also who has which partitions.
pub fn groups_in(event: &Event, assignments: bool) -> Vec<Result<GroupDescription, RDKafkaErrorCode>> {
    // SAFETY: what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result;
        let found = event.list(result, sys::rd_kafka_DescribeConsumerGroups_result_groups).iter();
        found
            .map(|&found| match code(sys::rd_kafka_ConsumerGroupDescription_error(found)) {
                RDKafkaErrorCode::NoError => Ok(group(found, assignments)),
                code => Err(code),
            })
            .collect()
    }
}

/// # Safety
/// `group` is valid.
unsafe fn group(group: *const sys::rd_kafka_ConsumerGroupDescription_t, assignments: bool) -> GroupDescription {
    // SAFETY: as the caller promises; what it points to is its own.
    unsafe {
        let state = sys::rd_kafka_ConsumerGroupDescription_state(group);
        let count = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        let member = |at| member(sys::rd_kafka_ConsumerGroupDescription_member(group, at), assignments);
        GroupDescription {
            name: words(sys::rd_kafka_ConsumerGroupDescription_group_id(group)),
            state: words(sys::rd_kafka_consumer_group_state_name(state)),
            assignor: words(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(group)),
            coordinator: node(sys::rd_kafka_ConsumerGroupDescription_coordinator(group)),
            members: (0..count).map(member).collect(),
        }
    }
}

/// # Safety
/// `member` is valid.
unsafe fn member(member: *const sys::rd_kafka_MemberDescription_t, assignments: bool) -> GroupMember {
    let mut names = Names::default();
    // SAFETY: as the caller promises; what it points to is its own.
    unsafe {
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let list = match assignments && !assignment.is_null() {
            true => partitions(sys::rd_kafka_MemberAssignment_partitions(assignment)),
            false => &[],
        };
        GroupMember {
            id: words(sys::rd_kafka_MemberDescription_consumer_id(member)),
            client_id: words(sys::rd_kafka_MemberDescription_client_id(member)),
            instance_id: words(sys::rd_kafka_MemberDescription_group_instance_id(member)),
            host: words(sys::rd_kafka_MemberDescription_host(member)),
            partitions: list.iter().map(|element| names.place(element)).collect(),
        }
    }
}
