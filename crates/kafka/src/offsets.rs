//! Adding input offsets to a transaction, with an end to it.
//!
//! librdkafka's call has a timeout that does not always hold: with a group coordinator that it knew and that is gone, it
//! waits until that broker is back (2.12: the wait for a cached coordinator is not timed). So the call is made on a thread
//! of its own, which can be left behind.

use super::consumer::list_with_offsets;
use super::login::LoggedIn;
use super::txn_error::take_error;
use super::{Context, GroupMetadata, TopicPartition, TxnError};
use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka_sys as sys;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A call that is late by this much will not come back in time for anything.
const OVERDUE: Duration = Duration::from_secs(1);

struct Call {
    offsets: TopicPartitionList,
    metadata: Arc<GroupMetadata>,
    timeout: Duration,
}

/// The thread that calls. It ends with its last handle, or when a call that hung comes back after that.
pub struct OffsetSender {
    calls: Sender<Call>,
    answers: Receiver<Result<(), TxnError>>,
    /// A call has not returned: whatever is answered from now on may be the answer to that one.
    hung: AtomicBool,
}

impl OffsetSender {
    /// Starts the thread, which keeps `producer` for as long as it lives.
    pub fn start(producer: Arc<LoggedIn<BaseProducer<Context>>>) -> std::io::Result<OffsetSender> {
        let (calls, inbox) = bounded::<Call>(1);
        let (outbox, answers) = bounded(1);
        std::thread::Builder::new().name("offsets".into()).spawn(move || {
            for call in inbox {
                if outbox.send(send(&producer, &call)).is_err() {
                    break;
                }
            }
        })?;
        Ok(OffsetSender { calls, answers, hung: AtomicBool::new(false) })
    }

    /// Adds `offsets` to the transaction.
    ///
    /// # Errors
    /// As the call itself; and [`TxnError::Fatal`] if it does not return: the producer must not be used any more.
    pub fn send(
        &self,
        offsets: &[(TopicPartition, i64)],
        metadata: &Arc<GroupMetadata>,
        timeout: Duration,
    ) -> Result<(), TxnError> {
        if self.hung.load(Ordering::Acquire) {
            return Err(hung("an earlier call for the group's offsets has not returned"));
        }
        let call = Call { offsets: list_with_offsets(offsets)?, metadata: metadata.clone(), timeout };
        // There is room: every call before this one was answered.
        let sent = self.calls.try_send(call).map_err(|_| "the thread that sends offsets has ended");
        let answer = sent.and_then(|()| {
            self.answers
                .recv_timeout(timeout + OVERDUE)
                .map_err(|_| "the group's coordinator is gone, and the client waits for it without end")
        });
        answer.unwrap_or_else(|detail| {
            self.hung.store(true, Ordering::Release);
            Err(hung(detail))
        })
    }
}

fn hung(detail: &str) -> TxnError {
    TxnError::Fatal { code: RDKafkaErrorCode::OperationTimedOut, message: detail.to_owned() }
}

fn send(producer: &BaseProducer<Context>, call: &Call) -> Result<(), TxnError> {
    // SAFETY: valid producer, list and metadata; the error, if any, is ours.
    let error = unsafe {
        sys::rd_kafka_send_offsets_to_transaction(
            producer.client().native_ptr(),
            call.offsets.ptr(),
            call.metadata.ptr(),
            call.timeout.as_millis() as i32,
        )
    };
    take_error(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login;
    use crate::stats::Clients;
    use rdkafka::ClientConfig;
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::producer::BaseRecord;

    #[test]
    fn a_group_coordinator_that_is_gone_does_not_hold_the_committer_for_ever() {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        cluster.coordinator(MockCoordinator::Transaction("id".into()), 1).unwrap();
        cluster.coordinator(MockCoordinator::Group("g".into()), 2).unwrap();
        cluster.partition_leader("t", 0, Some(1)).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("transactional.id", "id");
        config.set("statistics.interval.ms", "20");
        let clients = Clients::default();
        let context = Context::shown(&config, clients.client("test"));
        let producer = Arc::new(login::client::<BaseProducer<_>, _>(&config, context).unwrap());
        let sender = OffsetSender::start(producer.clone()).unwrap();
        let (second, offsets) = (Duration::from_secs(1), [(TopicPartition::new("t", 0), 1)]);
        let metadata = Arc::new(GroupMetadata::of(c"g").unwrap());
        producer.init_transactions(second * 10).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<[u8], [u8]>::to("t").payload(b"x")).map_err(|(error, _)| error).unwrap();
        sender.send(&offsets, &metadata, second * 10).unwrap();
        producer.commit_transaction(second * 10).unwrap();

        let wait_for_connections = |count| {
            let connections = || clients.views().get(&("test", 2)).map(|view| view.connections);
            for _ in 0..500 {
                if connections() == Some(count) {
                    return;
                }
                producer.poll(second / 50);
            }
            panic!("{:?} instead of {count}", connections());
        };
        wait_for_connections(1);
        cluster.broker_down(2).unwrap();
        cluster.coordinator(MockCoordinator::Group("g".into()), 3).unwrap();
        // A client that does not know yet that its coordinator is gone asks for the new one; it is the other that waits.
        wait_for_connections(0);
        producer.begin_transaction().unwrap();
        let answer = sender.send(&offsets, &metadata, second);
        assert!(matches!(answer, Err(TxnError::Fatal { .. })), "{answer:?}");
        let again = sender.send(&offsets, &metadata, second);
        assert!(matches!(again, Err(TxnError::Fatal { .. })), "{again:?}");
    }
}
