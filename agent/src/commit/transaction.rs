//! One attempt at one transaction: produce, check the fences, add the offsets, commit; and what a failure means.

use super::deadline::Deadline;
use super::work::{CALL_TIMEOUT, Failure, Work};
use super::{AbortReason, Epoch, OFFSET_RECORD_KEY, Sealed, Standing, TaskEpoch, member_of, standing};
use crate::failpoint;
use crate::kafka::{Delivered, SendError, TopicPartition, TxnError, missing_acl};
use crate::sources::changelog_topic;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The longest sleep without a report; one that comes ends it.
const REPORT_WAIT: Duration = Duration::from_secs(1);

/// The first step of an abort drops what has not been sent; what it dropped has to be reported before the next can end.
const FIRST_ABORT_STEP: Duration = Duration::from_millis(20);
/// How long an abort waits in one go for records that are still on their way, and then for its coordinator.
const ABORT_STEP: Duration = Duration::from_secs(1);

impl Work {
    /// How long writing an epoch may take. The brokers end a transaction after its timeout, and the producer with it.
    pub(super) fn deadline(&self) -> Deadline {
        let timeout = self.settings.settings.kafka().transaction_timeout;
        let within = if self.producer.is_transactional() { timeout * 9 / 10 } else { Duration::MAX };
        Deadline::new(&self.settings.clock, within)
    }

    pub(super) fn transact(&self, epoch: &Epoch, sealed: &[Sealed], deadline: &Deadline) -> Result<Delivered, Failure> {
        for (task, sealed) in epoch.tasks.iter().zip(sealed) {
            self.produce_task(task, sealed, deadline).map_err(|failure| self.blame(epoch, failure))?;
        }
        if failpoint::hit("commit.produced") {
            return Err(Failure::kafka("failpoint commit.produced"));
        }
        let offsets: Vec<(TopicPartition, i64)> =
            epoch.tasks.iter().map(|task| (task.task.id.clone(), task.next_offset)).collect();
        let delivered = self.await_deliveries(&offsets, deadline).map_err(|failure| self.blame(epoch, failure))?;
        failpoint::hit("commit.delivered");
        // The metadata is fetched now: saved when the epoch was frozen, it would be refused after a rebalance for
        // partitions that we still have. The fences are checked against the very metadata that is sent.
        let metadata = self.settings.consumer.group_metadata();
        let member = member_of(metadata.as_ref());
        if epoch.assignment != self.settings.assignment.current() {
            return Err(Failure::Abort(AbortReason::Reassigned, "frozen under an older assignment".into()));
        }
        let metadata = match (standing(&epoch.given_to, member.as_deref()), metadata) {
            (Standing::Same, Some(metadata)) => metadata,
            (Standing::PutOut, _) => {
                let detail = format!("the group had put {} out; it is {member:?} now", epoch.given_to);
                return Err(Failure::Abort(AbortReason::Fenced, detail));
            }
            (Standing::Same | Standing::Outside, _) => {
                return Err(Failure::Abort(AbortReason::Rebalancing, "not in the group at the moment".into()));
            }
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

    fn produce_task(&self, epoch: &TaskEpoch, sealed: &Sealed, deadline: &Deadline) -> Result<(), Failure> {
        let id = &epoch.task.id;
        let changelog = changelog_topic(self.settings.settings.group(), &id.topic);
        for entry in &sealed.entries {
            self.send(&changelog, Some(id.partition), Some(&entry.key), Some(&entry.value), None, deadline)?;
        }
        for (_, key) in &sealed.removed {
            self.send(&changelog, Some(id.partition), Some(key), None, None, deadline)?;
        }
        for letter in &epoch.dead_letters {
            self.send_dead_letter(id, letter, deadline)?;
        }
        // Always the last of the task's records: it vouches for all before it.
        self.send(&changelog, Some(id.partition), Some(OFFSET_RECORD_KEY), Some(&sealed.record_bytes), None, deadline)
    }

    pub(super) fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
        deadline: &Deadline,
    ) -> Result<(), Failure> {
        let mut refreshed = false;
        loop {
            match self.producer.send(topic, partition, key, payload, headers.clone()) {
                Ok(()) => return Ok(()),
                Err(SendError::QueueFull) if deadline.passed() => return Err(Failure::TimedOut),
                Err(SendError::QueueFull) => self.take_reports(REPORT_WAIT.min(deadline.left())),
                // The changelog grew with its topic, and librdkafka would look only at its next interval.
                Err(SendError::Refused { code: RDKafkaErrorCode::UnknownPartition, .. }) if !refreshed => {
                    refreshed = true;
                    self.producer.refresh(topic, CALL_TIMEOUT).map_err(Failure::kafka)?;
                }
                Err(error) => {
                    return Err(match self.producer.fatal_error() {
                        Some(detail) => Failure::Producer { undecided: false, detail },
                        None => match error {
                            SendError::Refused { topic, code } if is_refusal(code) => {
                                let detail = format!("{topic}: {code}");
                                Failure::Refused { code, topic: Some(topic), detail }
                            }
                            // The transaction has failed over a record that was sent before; its report says why.
                            SendError::Refused { code: RDKafkaErrorCode::State, .. } => {
                                self.drain(deadline)?;
                                self.refused_delivery().unwrap_or_else(|| Failure::kafka(error))
                            }
                            error => Failure::kafka(error),
                        },
                    });
                }
            }
        }
    }

    /// The delivery report of a record that the brokers refused, if there was one.
    fn refused_delivery(&self) -> Option<Failure> {
        let failure = self.producer.delivered().err().filter(|failure| is_refusal(failure.code))?;
        Some(Failure::Refused { code: failure.code, topic: Some(failure.topic), detail: failure.text })
    }

    /// Waits for every record's delivery report. librdkafka gives each record up within `delivery.timeout.ms`.
    fn await_deliveries(&self, offsets: &[(TopicPartition, i64)], deadline: &Deadline) -> Result<Delivered, Failure> {
        self.drain(deadline)?;
        if let Some(detail) = self.producer.fatal_error() {
            return Err(Failure::Producer { undecided: false, detail });
        }
        self.producer.delivered().map_err(|failure| match failure.code {
            // The transaction has failed as a whole; the transaction's own error says why, if it is asked for.
            RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight => self.why_purged(offsets, &failure.text),
            RDKafkaErrorCode::MessageTimedOut => Failure::TimedOut,
            code if is_refusal(code) => Failure::Refused { code, topic: Some(failure.topic), detail: failure.text },
            _ => Failure::kafka(failure.text),
        })
    }

    /// Waits until nothing is in flight.
    pub(super) fn drain(&self, deadline: &Deadline) -> Result<(), Failure> {
        while self.producer.in_flight() > 0 {
            if deadline.passed() {
                return Err(Failure::TimedOut);
            }
            self.producer.poll(deadline.left().min(REPORT_WAIT));
        }
        Ok(())
    }

    /// The error that made librdkafka drop a transaction's records. Offsets cannot be sent in a failed transaction, and the
    /// refusal names the cause; should it succeed, the abort that follows takes it back.
    fn why_purged(&self, offsets: &[(TopicPartition, i64)], text: &str) -> Failure {
        let Some(metadata) = self.settings.consumer.group_metadata() else { return Failure::kafka(text) };
        match self.producer.send_offsets(offsets, &Arc::new(metadata), CALL_TIMEOUT) {
            Err(TxnError::Abortable { code, message }) if is_refusal(code) => {
                Failure::Refused { code, topic: None, detail: message }
            }
            Err(TxnError::Fatal { message, .. }) => Failure::Producer { undecided: false, detail: message },
            Err(error) => Failure::kafka(error),
            Ok(()) => Failure::kafka(text),
        }
    }

    /// A refused topic is a dead-letter topic or a changelog. Where Kafka does not say which, dead letters in the epoch make
    /// it theirs.
    fn blame(&self, epoch: &Epoch, failure: Failure) -> Failure {
        let Failure::Refused { code, topic, mut detail } = failure else { return failure };
        let of_task = |task: &TaskEpoch| {
            let topics = task.dead_letters.iter().map(|letter| letter.goes_to(&task.task.id.topic));
            topics.collect::<BTreeSet<_>>()
        };
        let mut topics: Vec<_> = epoch.tasks.iter().flat_map(of_task).collect();
        topics.sort();
        topics.retain(|letters| topic.as_ref().is_none_or(|topic| topic == letters));
        topics.dedup();
        if code == RDKafkaErrorCode::TopicAuthorizationFailed {
            let changelog = |task: &TaskEpoch| changelog_topic(self.settings.settings.group(), &task.task.id.topic);
            let refused: BTreeSet<_> = match (&topic, topics.is_empty()) {
                (Some(topic), _) => [topic.clone()].into(),
                (None, false) => topics.iter().cloned().collect(),
                (None, true) => epoch.tasks.iter().map(changelog).collect(),
            };
            let refused: Vec<_> = refused.iter().map(|topic| format!("--topic {topic}")).collect();
            detail = format!("{detail}; {}", missing_acl("Write", &refused.join(" ")));
        }
        if topics.is_empty() { Failure::kafka(detail) } else { Failure::DeadLetters { code, topics, detail } }
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
                    let acl = match code {
                        RDKafkaErrorCode::TopicAuthorizationFailed => {
                            let topics: BTreeSet<_> =
                                offsets.iter().map(|(of, _)| format!("--topic {}", of.topic)).collect();
                            let topics: Vec<_> = topics.into_iter().collect();
                            format!("; {}", missing_acl("Read", &topics.join(" ")))
                        }
                        RDKafkaErrorCode::GroupAuthorizationFailed => {
                            format!("; {}", missing_acl("Read", &format!("--group {}", self.settings.settings.group())))
                        }
                        _ => String::new(),
                    };
                    return Err(Failure::Abort(reason_of(code), format!("offsets refused: {message}{acl}")));
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
        if self.settings.abandoned.is_requested() {
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
                Err(TxnError::Retriable(detail)) if !self.settings.abandoned.is_requested() => {
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
            | RDKafkaErrorCode::MessageBatchTooLarge
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
