//! Nodes, and the partitions of all topics.

use super::call::{Call, Operation, elements, text};
use super::{CallError, ClusterClient, ClusterContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka_sys as sys;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A broker as the cluster lists it: one it has let in, and has heard from lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub id: i32,
    pub host: String,
    pub port: u16,
    /// Empty if it has none.
    pub rack: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    pub cluster_id: String,
    /// Whom admin requests may be sent to. With ZooKeeper this is the controller; a KRaft broker names any live broker.
    pub controller: Option<i32>,
    pub nodes: Vec<Node>,
}

/// A topic and where its partitions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    pub name: Arc<str>,
    /// By number.
    pub partitions: Vec<PartitionSeen>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionSeen {
    pub id: i32,
    /// `None`: nobody can read or write it.
    pub leader: Option<i32>,
    /// The first one is the preferred leader.
    pub replicas: SmallVec<[i32; 4]>,
    pub in_sync: SmallVec<[i32; 4]>,
}

impl ClusterClient {
    /// The nodes, by id, as any broker lists them.
    ///
    /// # Errors
    /// If no broker answers within `timeout`.
    pub fn nodes(&self, timeout: Duration) -> Result<Nodes, CallError> {
        let mut call = Call::new(self, "describe the cluster", timeout);
        self.describe_cluster(&mut call, None);
        let event = call.next_good()?;
        // SAFETY: a valid event; what is read is copied before it is dropped.
        Ok(unsafe { nodes_in(event.raw()) })
    }

    /// Asks each of these brokers itself, all at once: how long each took to answer, or why it has not.
    pub fn ping(&self, brokers: &[i32], timeout: Duration) -> BTreeMap<i32, Result<Duration, CallError>> {
        let mut call = Call::new(self, "ask the broker", timeout);
        for broker in brokers {
            self.describe_cluster(&mut call, Some(*broker));
        }
        let mut answers = BTreeMap::new();
        for _ in brokers {
            let Ok(event) = call.next() else { break };
            let answer = match event.error() {
                RDKafkaErrorCode::NoError => Ok(call.elapsed()),
                code => Err(CallError::new("ask the broker", code)),
            };
            answers.insert(event.tag() as i32, answer);
        }
        let silence = || Err(CallError::new("ask the broker", RDKafkaErrorCode::OperationTimedOut));
        for broker in brokers {
            answers.entry(*broker).or_insert_with(silence);
        }
        answers
    }

    fn describe_cluster(&self, call: &mut Call<'_>, broker: Option<i32>) {
        let tag = broker.unwrap_or_default() as usize;
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
        // SAFETY: all three are valid.
        call.ask(operation, tag, broker, |client, options, queue| unsafe {
            sys::rd_kafka_DescribeCluster(client, options, queue);
        });
    }
}

/// # Safety
/// `event` is valid.
unsafe fn nodes_in(event: *mut sys::rd_kafka_event_t) -> Nodes {
    // SAFETY: the result and what it points to belong to the event; another type of event gives null.
    unsafe {
        let result = sys::rd_kafka_event_DescribeCluster_result(event);
        if result.is_null() {
            return Nodes::default();
        }
        let mut count = 0;
        let array = sys::rd_kafka_DescribeCluster_result_nodes(result, &mut count);
        let node = |node: &*const sys::rd_kafka_Node_t| Node {
            id: sys::rd_kafka_Node_id(*node),
            host: text(sys::rd_kafka_Node_host(*node)),
            port: sys::rd_kafka_Node_port(*node),
            rack: text(sys::rd_kafka_Node_rack(*node)),
        };
        let mut nodes: Vec<Node> = elements(array, count).iter().map(node).collect();
        nodes.sort_by_key(|node| node.id);
        let controller = sys::rd_kafka_DescribeCluster_result_controller(result);
        let controller = (!controller.is_null()).then(|| sys::rd_kafka_Node_id(controller)).filter(|id| *id >= 0);
        Nodes { cluster_id: text(sys::rd_kafka_DescribeCluster_result_cluster_id(result)), controller, nodes }
    }
}

pub fn topics(producer: &BaseProducer<ClusterContext>, timeout: Duration) -> Result<Vec<TopicPartitions>, CallError> {
    let failed = |error: KafkaError| {
        CallError::new("list the topics", error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
    };
    let metadata = producer.client().fetch_metadata(None, timeout).map_err(failed)?;
    let mut topics = Vec::with_capacity(metadata.topics().len());
    // A topic with an error is being deleted, or hidden from this user.
    for topic in metadata.topics().iter().filter(|topic| topic.error().is_none()) {
        let partition = |partition: &rdkafka::metadata::MetadataPartition| PartitionSeen {
            id: partition.id(),
            leader: (partition.leader() >= 0).then(|| partition.leader()),
            replicas: partition.replicas().into(),
            in_sync: partition.isr().into(),
        };
        let mut partitions: Vec<_> = topic.partitions().iter().map(partition).collect();
        partitions.sort_by_key(|partition| partition.id);
        topics.push(TopicPartitions { name: topic.name().into(), partitions });
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}
