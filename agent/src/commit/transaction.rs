//! One attempt at one transaction: produce, check the fences, add the offsets, commit; and what a failure means.

use super::committer::{CALL_TIMEOUT, Failure, Work};
use super::{AbortReason, DeadLetter, Epoch, Generation, OFFSET_RECORD_KEY, Sealed, TaskEpoch};
use crate::clock::Clock;
use crate::failpoint;
use crate::kafka::{Delivered, SendError, TopicPartition, TxnError};
use crate::sources::{changelog_topic, dead_letter_topic};
use crate::state::TaskId;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest sleep without a report; one that comes ends it.
const REPORT_WAIT: Duration = Duration::from_secs(1);

/// The first step of an abort drops what has not been sent; what it dropped has to be reported before the next can end.
const FIRST_ABORT_STEP: Duration = Duration::from_millis(20);
/// How long an abort waits in one go for records that are still on their way, and then for its coordinator.
const ABORT_STEP: Duration = Duration::from_secs(1);

impl Work {
    pub(super) fn transact(&self, epoch: &Epoch, sealed: &[Sealed]) -> Result<Delivered, Failure> {
        for (task, sealed) in epoch.tasks.iter().zip(sealed) {
            self.produce_task(task, sealed).map_err(|failure| self.blame(epoch, failure))?;
        }
        if failpoint::hit("commit.produced") {
            return Err(Failure::kafka("failpoint commit.produced"));
        }
        let offsets: Vec<(TopicPartition, i64)> = epoch
            .tasks
            .iter()
            .map(|task| ((task.task.id.topic.clone(), task.task.id.partition), task.next_offset))
            .collect();
        let delivered = self.await_deliveries(&offsets).map_err(|failure| self.blame(epoch, failure))?;
        failpoint::hit("commit.delivered");
        // The metadata is fetched now: saved when the epoch was frozen, it would be refused after a rebalance for
        // partitions that we still have. The fences are checked against the very metadata that is sent.
        let metadata = self.settings.consumer.group_metadata();
        let generation = metadata.as_ref().map(|metadata| metadata.generation());
        if self.settings.generation.observe(generation) == Generation::Broken {
            return Err(Failure::Abort(AbortReason::Fenced, format!("generation {generation:?}")));
        }
        if epoch.assignment != self.settings.assignment.current() {
            return Err(Failure::Abort(AbortReason::Reassigned, "frozen under an older assignment".into()));
        }
        let Some(metadata) = metadata.filter(|metadata| metadata.generation() >= 0) else {
            return Err(Failure::Abort(AbortReason::Rebalancing, "not in the group at the moment".into()));
        };
        if !self.producer.is_transactional() {
            self.settings.consumer.commit_async(&offsets).map_err(Failure::kafka)?;
            return Ok(delivered);
        }
        self.send_offsets(&offsets, &Arc::new(metadata))?;
        if failpoint::hit("commit.offsets_sent") {
            return Err(Failure::kafka("failpoint commit.offsets_sent"));
        }
        self.commit_transaction()?;
        Ok(delivered)
    }

    fn produce_task(&self, epoch: &TaskEpoch, sealed: &Sealed) -> Result<(), Failure> {
        let id = &epoch.task.id;
        let changelog = changelog_topic(self.settings.settings.group(), &id.topic);
        for entry in &sealed.entries {
            self.send(&changelog, Some(id.partition), Some(&entry.key), Some(&entry.value), None)?;
        }
        for (_, key) in &sealed.removed {
            self.send(&changelog, Some(id.partition), Some(key), None, None)?;
        }
        for letter in &epoch.dead_letters {
            self.send_dead_letter(id, letter)?;
        }
        // Always the last of the task's records: it vouches for all before it.
        self.send(&changelog, Some(id.partition), Some(OFFSET_RECORD_KEY), Some(&sealed.record_bytes), None)
    }

    fn send_dead_letter(&self, id: &TaskId, letter: &DeadLetter) -> Result<(), Failure> {
        let text = |key, value: &str| (key, value.to_owned());
        let mut headers = vec![
            text("streamgauge.reason", letter.reason),
            text("streamgauge.detail", &letter.detail),
            text("streamgauge.topic", &id.topic),
            text("streamgauge.partition", &id.partition.to_string()),
            text("streamgauge.offset", &letter.offset.to_string()),
            text("streamgauge.timestamp", &letter.timestamp.map_or_else(String::new, |time| time.to_string())),
        ];
        if letter.payload.as_ref().map_or(0, Vec::len) < letter.bytes {
            headers.push(text("streamgauge.payload_bytes", &letter.bytes.to_string()));
        }
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let topic = letter.topic.as_deref().map_or_else(|| dead_letter_topic(&id.topic), str::to_owned);
        self.send(&topic, None, letter.key.as_deref(), letter.payload.as_deref(), Some(headers))
    }

    fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) -> Result<(), Failure> {
        let mut refreshed = false;
        loop {
            match self.producer.send(topic, partition, key, payload, headers.clone()) {
                Ok(()) => return Ok(()),
                Err(SendError::QueueFull) => {
                    self.producer.poll(REPORT_WAIT);
                }
                // The changelog grew with its topic, and librdkafka would look only at its next interval.
                Err(SendError::Refused { code: RDKafkaErrorCode::UnknownPartition, .. }) if !refreshed => {
                    refreshed = true;
                    self.producer.refresh(topic, CALL_TIMEOUT).map_err(Failure::kafka)?;
                }
                Err(error) => {
                    return Err(match self.producer.fatal_error() {
                        Some(detail) => Failure::Producer { undecided: false, detail },
                        None => match error {
                            SendError::Refused { code, .. } if is_refusal(code) => Failure::Refused(error.to_string()),
                            error => Failure::kafka(error),
                        },
                    });
                }
            }
        }
    }

    /// Waits for every record's delivery report. librdkafka gives each record up within `delivery.timeout.ms`.
    fn await_deliveries(&self, offsets: &[(TopicPartition, i64)]) -> Result<Delivered, Failure> {
        while self.producer.in_flight() > 0 {
            self.producer.poll(REPORT_WAIT);
        }
        if let Some(detail) = self.producer.fatal_error() {
            return Err(Failure::Producer { undecided: false, detail });
        }
        self.producer.delivered().map_err(|failure| match failure.code {
            // The transaction has failed as a whole; the transaction's own error says why, if it is asked for.
            RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight => self.why_purged(offsets, &failure.text),
            code if is_refusal(code) => Failure::Refused(failure.text),
            _ => Failure::kafka(failure.text),
        })
    }

    /// The error that made librdkafka drop a transaction's records. Offsets cannot be sent in a failed transaction, and the
    /// refusal names the cause; should it succeed, the abort that follows takes it back.
    fn why_purged(&self, offsets: &[(TopicPartition, i64)], text: &str) -> Failure {
        let Some(metadata) = self.settings.consumer.group_metadata() else { return Failure::kafka(text) };
        match self.producer.send_offsets(offsets, &Arc::new(metadata), CALL_TIMEOUT) {
            Err(TxnError::Abortable { code, message }) if is_refusal(code) => Failure::Refused(message),
            Err(TxnError::Fatal { message, .. }) => Failure::Producer { undecided: false, detail: message },
            Err(error) => Failure::kafka(error),
            Ok(()) => Failure::kafka(text),
        }
    }

    /// With dead letters in the epoch, a refused topic is taken for theirs; without, it can only be a changelog.
    fn blame(&self, epoch: &Epoch, failure: Failure) -> Failure {
        match failure {
            Failure::Refused(detail) if epoch.tasks.iter().any(|task| !task.dead_letters.is_empty()) => {
                Failure::DeadLetters(detail)
            }
            Failure::Refused(detail) => Failure::kafka(detail),
            failure => failure,
        }
    }

    fn send_offsets(
        &self,
        offsets: &[(TopicPartition, i64)],
        metadata: &Arc<crate::kafka::GroupMetadata>,
    ) -> Result<(), Failure> {
        let deadline = Deadline::new(&self.settings.clock, self.settings.settings.kafka().transaction_timeout);
        loop {
            match self.producer.send_offsets(offsets, metadata, CALL_TIMEOUT) {
                Ok(()) => return Ok(()),
                Err(TxnError::Retriable(_)) if !deadline.passed() => {}
                Err(TxnError::Retriable(detail)) => return Err(Failure::kafka(detail)),
                Err(TxnError::Fatal { message, .. }) => {
                    return Err(Failure::Producer { undecided: false, detail: message });
                }
                Err(TxnError::Abortable { code, message }) => {
                    return Err(Failure::Abort(reason_of(code), format!("offsets refused: {message}")));
                }
            }
        }
    }

    /// Asks for the commit until it is decided; an abort in between would be refused.
    fn commit_transaction(&self) -> Result<(), Failure> {
        loop {
            self.check_abandoned()?;
            match self.producer.commit(CALL_TIMEOUT) {
                Ok(()) => return Ok(()),
                Err(TxnError::Retriable(detail)) => tracing::debug!("commit undecided, asking again: {detail}"),
                Err(TxnError::Abortable { code, message }) => return Err(Failure::Abort(reason_of(code), message)),
                Err(TxnError::Fatal { message, .. }) => {
                    return Err(Failure::Producer { undecided: true, detail: message });
                }
            }
        }
    }

    pub(super) fn check_abandoned(&self) -> Result<(), Failure> {
        if self.settings.abandoned.load(Ordering::Acquire) {
            return Err(Failure::Stop("stopped while a commit was undecided; the next start finds out".into()));
        }
        Ok(())
    }

    /// An abort waits until every record's delivery report was taken, which nobody but us does: so its first step is short,
    /// and the reports of what it has dropped, or could not call back, are taken before the next.
    pub(super) fn abort(&self) -> Result<(), TxnError> {
        let mut step = FIRST_ABORT_STEP;
        loop {
            match self.producer.abort(step) {
                Err(TxnError::Retriable(detail)) if !self.settings.abandoned.load(Ordering::Acquire) => {
                    tracing::debug!("abort undecided, asking again: {detail}");
                    self.take_reports(ABORT_STEP);
                    step = ABORT_STEP;
                }
                other => return other,
            }
        }
    }

    fn take_reports(&self, within: Duration) {
        let deadline = Deadline::new(&self.settings.clock, within);
        while self.producer.in_flight() > 0 && !deadline.passed() {
            self.producer.poll(deadline.left());
        }
    }
}

/// Errors that say no to a topic, and will say so again.
fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::PolicyViolation
    )
}

fn reason_of(code: RDKafkaErrorCode) -> AbortReason {
    match code {
        RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::RebalanceInProgress => AbortReason::Rebalancing,
        RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::FencedInstanceId => AbortReason::Membership,
        _ => AbortReason::Kafka,
    }
}

struct Deadline<'a> {
    clock: &'a Clock,
    began: crate::clock::BootTime,
    within: Duration,
}

impl<'a> Deadline<'a> {
    fn new(clock: &'a Clock, within: Duration) -> Self {
        Deadline { clock, began: clock.boot_time(), within }
    }

    fn left(&self) -> Duration {
        self.within.saturating_sub(self.clock.boot_time().since(self.began))
    }

    fn passed(&self) -> bool {
        self.left().is_zero()
    }
}
