//! The brokers: which there are, and which answer.

use super::super::call::{Aim, Call, Event, Operation, words};
use super::super::described::node;
use super::{CallError, ClusterClient, answer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka_sys as sys;
use std::collections::BTreeMap;
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

const ASK: &str = "ask the broker";
const DESCRIBE: &str = "describe the cluster";

impl ClusterClient {
    /// The nodes, by id, as one broker lists them: whoever the client takes for the controller, else the first to answer.
    ///
    /// # Errors
    /// If no broker answers, each way within `timeout`.
    pub fn nodes(&self, timeout: Duration) -> Result<Nodes, CallError> {
        let mut call = self.call(timeout);
        describe_cluster(&mut call, None);
        match answer(&call, DESCRIBE) {
            Ok(event) => Ok(nodes_in(&event)),
            // For some seconds after a broker has died, others may still name it as the controller.
            Err(error) if error.is_silence() && !self.complains() => self.nodes_by_any(timeout),
            Err(error) => Err(error),
        }
    }

    fn nodes_by_any(&self, timeout: Duration) -> Result<Nodes, CallError> {
        let failed = |error: KafkaError| {
            CallError::new(DESCRIBE, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::OperationTimedOut))
        };
        let metadata = self
            .producer
            .context()
            .complaints
            .metadata(self.producer.client(), None, timeout, || self.serve(Duration::ZERO))
            .map_err(failed)?;
        let mut call = self.call(timeout);
        metadata.brokers().iter().for_each(|broker| describe_cluster(&mut call, Some(broker.id())));
        let answers = metadata.brokers().iter().map_while(|_| call.next());
        let first = answers.into_iter().find(|event| event.error() == RDKafkaErrorCode::NoError);
        first.map(|event| nodes_in(&event)).ok_or_else(|| CallError::new(DESCRIBE, RDKafkaErrorCode::OperationTimedOut))
    }

    /// Asks each of these brokers itself, all at once: how long each took to answer, or why it has not.
    pub fn ping(&self, brokers: &[i32], timeout: Duration) -> BTreeMap<i32, Result<Duration, CallError>> {
        let mut call = self.call(timeout);
        for broker in brokers {
            describe_cluster(&mut call, Some(*broker));
        }
        let mut answers = BTreeMap::new();
        for _ in brokers {
            let Some(event) = call.next() else { break };
            let answer = match event.error() {
                RDKafkaErrorCode::NoError => Ok(call.elapsed()),
                code => Err(CallError::new(ASK, code)),
            };
            answers.insert(event.tag() as i32, answer);
        }
        let silence = || Err(CallError::new(ASK, RDKafkaErrorCode::OperationTimedOut));
        for broker in brokers {
            answers.entry(*broker).or_insert_with(silence);
        }
        answers
    }
}

fn describe_cluster(call: &mut Call<'_>, broker: Option<i32>) {
    let aim = Aim { tag: broker.unwrap_or_default() as usize, broker, ..Aim::default() };
    // SAFETY: all three are valid.
    call.ask(Operation::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER, aim, |client, options, queue| unsafe {
        sys::rd_kafka_DescribeCluster(client, options, queue);
    });
}

fn nodes_in(event: &Event) -> Nodes {
    // SAFETY: the result and what it points to belong to the event, and are copied.
    unsafe {
        let of = sys::rd_kafka_event_DescribeCluster_result;
        let read = |node: &*const sys::rd_kafka_Node_t| Node {
            id: sys::rd_kafka_Node_id(*node),
            host: words(sys::rd_kafka_Node_host(*node)),
            port: sys::rd_kafka_Node_port(*node),
            rack: words(sys::rd_kafka_Node_rack(*node)),
        };
        let mut nodes: Vec<Node> =
            event.list(of, sys::rd_kafka_DescribeCluster_result_nodes).iter().map(read).collect();
        nodes.sort_by_key(|node| node.id);
        let Some(result) = of(event.raw()).as_ref() else { return Nodes::default() };
        let controller = node(sys::rd_kafka_DescribeCluster_result_controller(result));
        Nodes { cluster_id: words(sys::rd_kafka_DescribeCluster_result_cluster_id(result)), controller, nodes }
    }
}
