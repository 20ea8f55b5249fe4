//! The committer's producer: records and offsets in one transaction. Used by one thread.

use super::events::{DeliveryReport, MainQueue};
use super::login::{self, LoggedIn};
use super::offsets::OffsetSender;
use super::txn_error::{TxnError, take_error};
use super::{Context, GroupMetadata, Identity, Settings, TopicPartition};
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka_sys as sys;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_core::config::Guarantee;

/// What became of the records sent since the last transaction began.
#[derive(Debug, Default)]
pub struct Deliveries {
    last_offset: Delivered,
    failure: Option<DeliveryFailure>,
}

/// A record that did not arrive.
#[derive(Clone, Debug)]
pub struct DeliveryFailure {
    pub code: RDKafkaErrorCode,
    pub topic: String,
    pub text: String,
}

impl Deliveries {
    /// Takes one report. They come in runs of one partition, in the order of their offsets, so only the last of a run is
    /// looked up.
    fn note(&mut self, run: &mut Option<Run>, report: &DeliveryReport) {
        match report.result() {
            Ok(()) => {
                let (handle, partition, offset) = (report.topic_handle(), report.partition(), report.offset());
                match run {
                    Some(run) if run.handle == handle && run.partition == partition => run.last = run.last.max(offset),
                    _ => {
                        self.end_run(run.take());
                        let topic = report.topic().to_owned();
                        *run = Some(Run { handle, topic, partition, last: offset });
                    }
                }
            }
            Err(code) => {
                self.failure.get_or_insert_with(|| {
                    let topic = report.topic().to_owned();
                    DeliveryFailure { code, text: format!("{topic}/{}: {code}", report.partition()), topic }
                });
            }
        }
    }

    fn end_run(&mut self, run: Option<Run>) {
        if let Some(Run { topic, partition, last, .. }) = run {
            let offset = self.last_offset.entry(TopicPartition::new(topic, partition)).or_insert(last);
            *offset = last.max(*offset);
        }
    }
}

/// Records of one partition that were reported one after the other.
struct Run {
    handle: usize,
    topic: String,
    partition: i32,
    last: i64,
}

/// Offset of the last record delivered to each partition in a transaction.
pub type Delivered = HashMap<TopicPartition, i64>;

/// Why a record could not be handed to librdkafka.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the producer's queue is full")]
    QueueFull,
    #[error("{topic}: {code}")]
    Refused { topic: String, code: RDKafkaErrorCode },
}

/// Ends the transaction that a producer with this id has left open, if it has, and fences that producer. Gives up after
/// `timeout`, or within a second once it is not `wanted` any more.
pub fn end_transaction_of(
    settings: &Settings,
    transactional_id: &str,
    timeout: Duration,
    wanted: &dyn Fn() -> bool,
) -> KafkaResult<()> {
    let config = settings.ending_producer(transactional_id);
    let producer: LoggedIn<BaseProducer<Context>> = login::client(&config, Context::of(&config))?;
    init_within(&producer, timeout, wanted)
}

fn init_within(producer: &BaseProducer<Context>, timeout: Duration, wanted: &dyn Fn() -> bool) -> KafkaResult<()> {
    const STEP: Duration = Duration::from_secs(1);
    let mut left = timeout;
    loop {
        left = left.saturating_sub(STEP);
        match producer.init_transactions(STEP) {
            // Asked again, it goes on where it was.
            Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() && wanted() => {}
            ended => return ended,
        }
    }
}

/// What a transaction is open on of which the coordinator knows nothing.
pub struct Hanging<'a> {
    pub partitions: &'a [TopicPartition],
    /// Of the group.
    pub offsets_of: &'a [TopicPartition],
    pub metadata: &'a Arc<GroupMetadata>,
}

/// Ends what was left open under this id although its coordinator takes it for ended, as a broker that died can leave it:
/// aborts another transaction on the same partitions. Its markers end everything that the id has open there, since the
/// producer's number stays the same. Fences any producer of this id; each step gives up after `timeout`, the first one
/// within a second once it is not `wanted` any more.
///
/// # Errors
/// If the transaction cannot be made; it may have ended something all the same.
pub fn abort_hanging_transaction(
    settings: &Settings,
    transactional_id: &str,
    hanging: &Hanging<'_>,
    timeout: Duration,
    wanted: &dyn Fn() -> bool,
) -> Result<(), TxnError> {
    // Never to be read; without a key, compacted topics refuse it.
    const KEY: &[u8] = b"ends a hanging transaction";
    let config = settings.ending_producer(transactional_id);
    let producer = TransactionalProducer::of(&config, Context::of(&config), Guarantee::ExactlyOnce)?;
    init_within(&producer.producer, timeout, wanted)?;
    producer.begin()?;
    let added = hanging.partitions.iter().try_for_each(|at| {
        let sent = producer.send(&at.topic, Some(at.partition), Some(KEY), None, None);
        sent.map_err(|error| TxnError::Abortable { code: RDKafkaErrorCode::Fail, message: error.to_string() })
    });
    let added = added.and_then(|()| producer.producer.flush(timeout).map_err(TxnError::from));
    let zeros: Vec<_> = hanging.offsets_of.iter().map(|of| (of.clone(), 0)).collect();
    let added = added.and_then(|()| producer.send_offsets(&zeros, hanging.metadata, timeout));
    // Whatever was added has its marker then.
    producer.abort(timeout)?;
    added
}

pub struct TransactionalProducer {
    // Dropped before the client it belongs to.
    queue: MainQueue,
    deliveries: Mutex<Deliveries>,
    producer: Arc<LoggedIn<BaseProducer<Context>>>,
    offsets: OffsetSender,
    guarantee: Guarantee,
}

impl TransactionalProducer {
    /// At least once it is an idempotent producer whose transaction calls do nothing.
    pub fn create(settings: &Settings, identity: &Identity, guarantee: Guarantee) -> KafkaResult<Self> {
        let config = settings.producer(identity, guarantee);
        TransactionalProducer::of(&config, Context::shown(&config, settings.clients().client("producer")), guarantee)
    }

    fn of(config: &ClientConfig, context: Context, guarantee: Guarantee) -> KafkaResult<Self> {
        let producer: Arc<LoggedIn<BaseProducer<Context>>> = Arc::new(login::client(config, context)?);
        let offsets = OffsetSender::start(producer.clone())
            .map_err(|error| KafkaError::ClientCreation(format!("cannot start a thread: {error}")))?;
        let queue = MainQueue::of(producer.client())?;
        Ok(TransactionalProducer { queue, deliveries: Mutex::default(), producer, offsets, guarantee })
    }

    /// Ends what an earlier process with this identity left open, and fences it.
    pub fn init(&self, timeout: Duration) -> Result<(), TxnError> {
        if self.guarantee.is_transactional() {
            self.producer.init_transactions(timeout)?;
        }
        Ok(())
    }

    pub fn begin(&self) -> Result<(), TxnError> {
        *self.deliveries.lock() = Deliveries::default();
        if self.guarantee.is_transactional() {
            self.producer.begin_transaction()?;
        }
        Ok(())
    }

    /// Queues one record; `payload: None` is a tombstone, `partition: None` lets the key decide.
    pub fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) -> Result<(), SendError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record.partition = partition;
        record.key = key;
        record.payload = payload;
        record.headers = headers;
        self.producer.send(record).map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => SendError::QueueFull,
            code => SendError::Refused { topic: topic.to_owned(), code: code.unwrap_or(RDKafkaErrorCode::Unknown) },
        })
    }

    /// Asks for a topic's partitions anew: one that was just added is unknown until then, and refused.
    pub fn refresh(&self, topic: &str, timeout: Duration) -> KafkaResult<()> {
        self.producer.client().fetch_metadata(Some(topic), timeout).map(|_| ())
    }

    /// Waits until librdkafka reports something, `wait` at most, and takes all there is. Says whether there was anything.
    pub fn poll(&self, wait: Duration) -> bool {
        let mut deliveries = self.deliveries.lock();
        let mut run = None;
        let came = self.queue.serve(&**self.producer.context(), wait, |report| deliveries.note(&mut run, report));
        deliveries.end_run(run);
        came
    }

    /// Records that have no delivery report yet.
    pub fn in_flight(&self) -> usize {
        self.producer.in_flight_count().max(0) as usize
    }

    /// What was delivered since [`TransactionalProducer::begin`]; an error if one record was not.
    pub fn delivered(&self) -> Result<Delivered, DeliveryFailure> {
        let deliveries = std::mem::take(&mut *self.deliveries.lock());
        match deliveries.failure {
            Some(failure) => Err(failure),
            None => Ok(deliveries.last_offset),
        }
    }

    /// Adds input offsets to the transaction under `metadata`.
    ///
    /// # Errors
    /// [`TxnError::Fatal`] also if librdkafka does not return in time; this producer has to be replaced then.
    pub fn send_offsets(
        &self,
        offsets: &[(TopicPartition, i64)],
        metadata: &Arc<GroupMetadata>,
        timeout: Duration,
    ) -> Result<(), TxnError> {
        self.offsets.send(offsets, metadata, timeout)
    }

    pub fn commit(&self, timeout: Duration) -> Result<(), TxnError> {
        if !self.guarantee.is_transactional() {
            return Ok(());
        }
        // Not through rdkafka, whose call flushes first and wakes every broker's thread: every report was taken by now.
        // SAFETY: valid producer; the error, if any, is ours.
        take_error(unsafe {
            sys::rd_kafka_commit_transaction(self.producer.client().native_ptr(), timeout.as_millis() as i32)
        })
    }

    pub fn abort(&self, timeout: Duration) -> Result<(), TxnError> {
        if self.guarantee.is_transactional() {
            self.producer.abort_transaction(timeout)?;
        }
        Ok(())
    }

    /// What made this producer useless, if something did (it was fenced, say).
    pub fn fatal_error(&self) -> Option<String> {
        self.producer.client().fatal_error().map(|(_, reason)| reason)
    }

    /// The latest trouble the client reported by itself (brokers down, authentication refused).
    pub fn last_error(&self) -> Option<String> {
        // Logs come before the error that says why.
        for _ in 0..3 {
            self.poll(Duration::from_millis(10));
        }
        self.producer.context().last_error()
    }

    pub fn is_transactional(&self) -> bool {
        self.guarantee.is_transactional()
    }
}
