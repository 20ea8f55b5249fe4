//! What librdkafka calls back into: logs, errors, statistics, rebalances, delivery reports.

use super::cause::Complaints;
use super::rebalance::Rebalance;
use super::{TopicPartition, repeats, stats};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Statistics, TopicPartitionList};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Ends of a partition's log as of the last fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub high: i64,
    pub last_stable: i64,
    /// The next offset to fetch, which markers and aborted records move, too.
    pub fetched: i64,
    /// The partition's leader has answered lately, so that these are of now.
    pub is_fresh: bool,
}

/// A leader that has sent nothing for longer is not heard of: an idle fetch is answered several times a second. Microseconds.
const SILENT_MICROS: i64 = 5_000_000;

/// Shared by all our clients; each uses the part it needs.
#[derive(Default)]
pub struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    watermarks: Mutex<HashMap<TopicPartition, Watermarks>>,
    fatal: Mutex<Option<(RDKafkaErrorCode, String)>>,
    pub(super) complaints: Complaints,
    /// Where this client's view of the brokers is shown.
    client: Arc<stats::Client>,
}

impl Context {
    /// For a client that is made with `config`.
    pub(super) fn of(config: &ClientConfig) -> Self {
        Context { complaints: Complaints::of(config), ..Context::default() }
    }

    /// For a client whose view of the brokers is shown among those of the same purpose.
    pub(super) fn shown(config: &ClientConfig, client: Arc<stats::Client>) -> Self {
        Context { client, ..Context::of(config) }
    }

    pub(super) fn take_rebalance(&self) -> Option<Rebalance> {
        self.rebalances.lock().pop_front()
    }

    /// Ends of the log of each assigned partition, from the client's last statistics.
    pub fn watermarks(&self) -> HashMap<TopicPartition, Watermarks> {
        self.watermarks.lock().clone()
    }

    /// The error after which this client is of no use, if there was one.
    pub fn fatal(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.fatal.lock().clone()
    }

    /// The latest error the client reported by itself (a broker that is down, a failed authentication).
    pub fn last_error(&self) -> Option<String> {
        self.complaints.last()
    }

    /// Why no broker can be reached, if that is what the client said last: refused, an unknown host, no authentication. A
    /// broker that takes connections and answers nothing is not among it.
    pub fn unreachable(&self) -> Option<String> {
        self.complaints.unreachable()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let sentence = self.complaints.log(facility, message);
        let told = match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => None,
            _ => repeats::tell(&sentence),
        };
        match (told, level) {
            (None, _) => tracing::debug!(target: "librdkafka", facility, "{message}"),
            (Some(told), RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice) => {
                tracing::info!(target: "librdkafka", "{told}");
            }
            (Some(told), _) => tracing::warn!(target: "librdkafka", "{told}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.client.update(&statistics);
        let answers: HashSet<i32> = statistics
            .brokers
            .values()
            .filter(|broker| broker.state == "UP" && (0..SILENT_MICROS).contains(&broker.rxidle))
            .map(|broker| broker.nodeid)
            .collect();
        let mut watermarks = self.watermarks.lock();
        watermarks.clear();
        for (name, topic) in statistics.topics {
            let name: Arc<str> = name.into();
            for (partition, stats) in topic.partitions {
                if stats.hi_offset >= 0 {
                    let (high, last_stable) = (stats.hi_offset, stats.ls_offset);
                    let is_fresh = answers.contains(&stats.leader);
                    let ends = Watermarks { high, last_stable, fetched: stats.next_offset, is_fresh };
                    watermarks.insert(TopicPartition::new(name.clone(), partition), ends);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            // What a reader waits for; not an error.
            return;
        }
        let sentence = self.complaints.error(&error, reason);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            tracing::error!(target: "librdkafka", "fatal: {reason}");
            return;
        }
        match sentence.and_then(|sentence| repeats::tell(&sentence)) {
            Some(told) => tracing::warn!(target: "librdkafka", "{told}"),
            None => tracing::debug!(target: "librdkafka", "{reason}"),
        }
    }
}

impl ConsumerContext for Context {
    /// Only notes what happened: the worker answers it right after the poll that ran this, with its tasks at hand.
    /// librdkafka waits for that answer (an assign or unassign call).
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect();
        let rebalance = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(partitions),
            _ if consumer.assignment_lost() => Rebalance::Lost(partitions),
            _ => Rebalance::Revoked(partitions),
        };
        self.rebalances.lock().push_back(rebalance);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    /// Producers whose deliveries matter take them from their queue themselves (`events.rs`).
    fn delivery(&self, _: &DeliveryResult<'_>, _: ()) {}
}
