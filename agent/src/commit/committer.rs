//! The thread that commits epochs, one at a time, while the worker folds on into the next.

use crate::failpoint;
use super::seal::SealedEntry;
use super::{AbortReason, AssignmentNumber, DeadLetter, Epoch, Generation, GenerationFence, OFFSET_RECORD_KEY, Sealed, TaskEpoch, seal};
use crate::clock::Clock;
use crate::config::DeadLetters;
use crate::kafka::{
    Delivered, GroupConsumer, Identity, SendError, Settings, TopicPartition, TransactionalProducer, TxnError,
};
use crate::state::{Checkpointer, Committed, Lease, TaskId};
use crate::telemetry::Metrics;
use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// One step of librdkafka's flush would wait 100 ms; this is how often we look ourselves.
const DELIVERY_POLL: Duration = Duration::from_millis(1);

/// How long an abort waits in one go for records that are still on their way.
const ABORT_STEP: Duration = Duration::from_secs(1);

/// How one call to the transaction coordinator is bounded; it is repeated until the outcome is known.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Name of a topic's dead-letter topic.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}-dlq")
}

/// What became of an epoch.
#[derive(Debug)]
pub enum Outcome {
    /// Durable and published.
    Committed(Epoch),
    /// Nothing of it is visible: all of it is dirty again.
    Aborted { epoch: Epoch, reason: AbortReason, detail: String },
    /// The agent cannot go on.
    Failed(String),
}

/// What a committer is made of.
pub struct CommitterSettings {
    pub settings: Settings,
    pub identity: Identity,
    pub transactional: bool,
    pub entry_limit: usize,
    pub dead_letters: DeadLetters,
    pub consumer: Arc<GroupConsumer>,
    pub assignment: Arc<AssignmentNumber>,
    pub generation: Arc<GenerationFence>,
    pub lease: Arc<Lease>,
    pub checkpointer: Arc<Checkpointer>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// Set when nobody waits for an outcome any more: the process is to end.
    pub abandoned: Arc<AtomicBool>,
    /// Changelog topic of each source topic.
    pub changelog_topic: Arc<dyn Fn(&str) -> String + Send + Sync>,
}

/// Handle to the committer's thread.
pub struct Committer {
    epochs: Option<Sender<Epoch>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread over a producer whose `init` has succeeded.
    pub fn start(settings: CommitterSettings, producer: TransactionalProducer) -> std::io::Result<Committer> {
        let (epochs, inbox) = bounded::<Epoch>(1);
        let (outbox, outcomes) = bounded(1);
        let name = format!("committer-{}", settings.identity.worker);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let mut work = Work { settings, producer };
            for epoch in inbox {
                let outcome = work.commit(epoch);
                if outbox.send(outcome).is_err() {
                    break;
                }
            }
        })?;
        Ok(Committer { epochs: Some(epochs), outcomes, thread: Some(thread) })
    }

    /// Hands over an epoch; at most one may be under way.
    pub fn submit(&self, epoch: Epoch) -> Result<(), Epoch> {
        match &self.epochs {
            Some(epochs) => epochs.try_send(epoch).map_err(crossbeam_channel::TrySendError::into_inner),
            None => Err(epoch),
        }
    }

    /// The outcome of the epoch under way, if it is known by now or within `wait`.
    pub fn outcome(&self, wait: Duration) -> Option<Outcome> {
        if wait.is_zero() { self.outcomes.try_recv().ok() } else { self.outcomes.recv_timeout(wait).ok() }
    }

    /// Whether the thread is still there.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the thread after the epoch under way.
    pub fn join(mut self) {
        self.epochs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Why an attempt ended without a commit.
enum Failure {
    Abort(AbortReason, String),
    /// Kafka does not take records for one of the topics.
    Refused(String),
    /// Kafka refuses a topic, and the epoch has dead letters: it may be theirs.
    DeadLetters(String),
    /// The producer is of no use any more; `undecided`: the commit had been asked for.
    Producer { undecided: bool, detail: String },
    Stop(String),
}

impl Failure {
    fn kafka(detail: impl std::fmt::Display) -> Failure {
        Failure::Abort(AbortReason::Kafka, detail.to_string())
    }
}

struct Work {
    settings: CommitterSettings,
    producer: TransactionalProducer,
}

impl Work {
    fn commit(&mut self, mut epoch: Epoch) -> Outcome {
        let began = self.settings.clock.boot_time();
        let sealed = match self.seal(&epoch) {
            Ok(sealed) => sealed,
            Err(error) => return Outcome::Failed(error),
        };
        failpoint::hit("commit.sealed");
        let mut attempt = self.attempt(&epoch, &sealed);
        if let (Err(Failure::DeadLetters(detail)), DeadLetters::DropAndCount) = (&attempt, self.settings.dead_letters) {
            self.drop_dead_letters(&mut epoch, detail);
            attempt = self.attempt(&epoch, &sealed);
        }
        let attempt = match attempt {
            Err(Failure::Producer { undecided, detail }) => self.recover(&epoch, undecided, &detail),
            other => other,
        };
        match attempt {
            Ok(delivered) => {
                failpoint::hit("commit.after_kafka");
                self.publish(&mut epoch, sealed, &delivered);
                self.settings.lease.renew(began);
                let took = self.settings.clock.boot_time().since(began);
                self.settings.metrics.committed(took);
                failpoint::hit("commit.published");
                Outcome::Committed(epoch)
            }
            Err(Failure::Abort(reason, detail)) => {
                self.settings.metrics.aborted(reason.as_str());
                Outcome::Aborted { epoch, reason, detail }
            }
            Err(Failure::DeadLetters(detail)) => Outcome::Failed(format!(
                "a dead letter cannot be written: {detail}; make the dead-letter topic and let this user write to it, or set kafka.dead_letters: drop_and_count"
            )),
            Err(Failure::Producer { detail, .. } | Failure::Stop(detail) | Failure::Refused(detail)) => Outcome::Failed(detail),
        }
    }

    fn seal(&self, epoch: &Epoch) -> Result<Vec<Sealed>, String> {
        let now = self.settings.clock.unix_millis();
        epoch.tasks.iter().map(|task| seal(&task.task.view.read(), task, now, self.settings.entry_limit)).collect()
    }

    fn attempt(&self, epoch: &Epoch, sealed: &[Sealed]) -> Result<Delivered, Failure> {
        self.producer.begin().map_err(|error| match error {
            TxnError::Fatal { message, .. } => Failure::Producer { undecided: false, detail: message },
            error => Failure::kafka(error),
        })?;
        failpoint::hit("commit.begun");
        let result = self.transact(epoch, sealed);
        if let Err(Failure::Abort(_, detail) | Failure::DeadLetters(detail) | Failure::Refused(detail)) = &result {
            self.abort().map_err(|error| {
                Failure::Producer { undecided: false, detail: format!("{detail}; then the abort failed: {error}") }
            })?;
        }
        result
    }

    fn transact(&self, epoch: &Epoch, sealed: &[Sealed]) -> Result<Delivered, Failure> {
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
        self.send_offsets(&offsets, &metadata)?;
        if failpoint::hit("commit.offsets_sent") {
            return Err(Failure::kafka("failpoint commit.offsets_sent"));
        }
        self.commit_transaction()?;
        Ok(delivered)
    }

    fn produce_task(&self, epoch: &TaskEpoch, sealed: &Sealed) -> Result<(), Failure> {
        let id = &epoch.task.id;
        let changelog = (self.settings.changelog_topic)(&id.topic);
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
        let headers = [
            text("streamgauge.reason", letter.reason),
            text("streamgauge.detail", &letter.detail),
            text("streamgauge.topic", &id.topic),
            text("streamgauge.partition", &id.partition.to_string()),
            text("streamgauge.offset", &letter.offset.to_string()),
            text("streamgauge.timestamp", &letter.timestamp.map_or_else(String::new, |time| time.to_string())),
        ];
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let topic = dead_letter_topic(&id.topic);
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
        loop {
            match self.producer.send(topic, partition, key, payload, headers.clone()) {
                Ok(()) => return Ok(()),
                Err(SendError::QueueFull) => self.producer.poll(DELIVERY_POLL),
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
            self.producer.poll(DELIVERY_POLL);
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
        match self.producer.send_offsets(offsets, &metadata, CALL_TIMEOUT) {
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

    fn drop_dead_letters(&self, epoch: &mut Epoch, detail: &str) {
        for task in &mut epoch.tasks {
            let letters = std::mem::take(&mut task.dead_letters);
            if !letters.is_empty() {
                tracing::warn!(task = %task.task.id, letters = letters.len(), "dead letters dropped: {detail}");
                self.settings.metrics.dead_letters_dropped(&task.task.source, letters.len() as u64);
            }
        }
    }

    fn send_offsets(
        &self,
        offsets: &[(TopicPartition, i64)],
        metadata: &crate::kafka::GroupMetadata,
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

    fn check_abandoned(&self) -> Result<(), Failure> {
        if self.settings.abandoned.load(Ordering::Acquire) {
            return Err(Failure::Stop("stopped while a commit was undecided; the next start finds out".into()));
        }
        Ok(())
    }

    /// An abort waits until every record's delivery report was taken, which nobody but us does: first those that come
    /// soon, then, between the attempts, those of records that the abort has dropped.
    fn abort(&self) -> Result<(), TxnError> {
        self.take_reports(ABORT_STEP);
        loop {
            match self.producer.abort(ABORT_STEP) {
                Err(TxnError::Retriable(detail)) if !self.settings.abandoned.load(Ordering::Acquire) => {
                    tracing::debug!("abort undecided, asking again: {detail}");
                    self.take_reports(ABORT_STEP);
                }
                other => return other,
            }
        }
    }

    fn take_reports(&self, within: Duration) {
        let deadline = Deadline::new(&self.settings.clock, within);
        while self.producer.in_flight() > 0 && !deadline.passed() {
            self.producer.poll(DELIVERY_POLL);
        }
    }

    /// After a fatal error: a new producer with the same id ends what the old one left open; then the group's committed
    /// offsets tell whether the epoch made it.
    fn recover(&mut self, epoch: &Epoch, undecided: bool, detail: &str) -> Result<Delivered, Failure> {
        tracing::warn!("the transactional producer failed and is made anew: {detail}");
        self.settings.metrics.producer_rebuilt();
        let mut wait = Duration::from_millis(100);
        self.producer = loop {
            self.check_abandoned()?;
            if self.settings.consumer.fatal_error().is_some() {
                return Err(Failure::Abort(AbortReason::Fenced, detail.to_owned()));
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_secs(5));
            let made = TransactionalProducer::create(&self.settings.settings, &self.settings.identity, true)
                .map_err(TxnError::from)
                .and_then(|producer| producer.init(Duration::from_secs(30)).map(|()| producer));
            match made {
                Ok(producer) => break producer,
                Err(error) => tracing::warn!("no transactional producer yet, trying again: {error}"),
            }
        };
        if undecided && self.was_committed(epoch)? {
            return Ok(Delivered::default());
        }
        Err(Failure::Abort(AbortReason::Kafka, detail.to_owned()))
    }

    /// Whether the group's offsets show the epoch's transaction. Only a task whose offset moved can tell; a commit that
    /// moved none is taken for aborted, and writing it again does no harm.
    fn was_committed(&self, epoch: &Epoch) -> Result<bool, Failure> {
        let moved = epoch.tasks.iter().find(|task| task.next_offset > task.task.view.read().record().next_offset);
        let Some(moved) = moved else { return Ok(false) };
        let partition: TopicPartition = (moved.task.id.topic.clone(), moved.task.id.partition);
        loop {
            match self.settings.consumer.committed(std::slice::from_ref(&partition), CALL_TIMEOUT) {
                Ok(offsets) => {
                    return Ok(offsets.get(&partition).copied().flatten().is_some_and(|o| o >= moved.next_offset));
                }
                Err(_) if self.settings.consumer.fatal_error().is_some() => {
                    return Err(Failure::Abort(AbortReason::Fenced, "consumer fenced".into()));
                }
                Err(error) => tracing::warn!("asking for the group's offsets again: {error}"),
            }
            self.check_abandoned()?;
        }
    }

    /// Shows readers what has been committed, and lets redb follow.
    fn publish(&self, epoch: &mut Epoch, sealed: Vec<Sealed>, delivered: &Delivered) {
        let now = self.settings.clock.unix_millis();
        for (task, sealed) in epoch.tasks.iter().zip(sealed) {
            let id = &task.task.id;
            let changelog = (self.settings.changelog_topic)(&id.topic);
            let next = delivered.get(&(changelog, id.partition)).map(|offset| offset + 1);
            let removed: Vec<_> = sealed.removed.iter().map(|(entry, _)| entry.clone()).collect();
            let mut entries = Vec::with_capacity(sealed.entries.len());
            let mut written = Vec::with_capacity(sealed.entries.len() + removed.len());
            for SealedEntry { entry, cell, hash, key, value } in sealed.entries {
                entries.push((entry, Committed { cell, hash }));
                written.push((key, Some(value)));
            }
            written.extend(sealed.removed.into_iter().map(|(_, key)| (key, None)));
            self.settings.checkpointer.committed(id, written, &sealed.record, next);
            task.task.view.write().apply(entries, &removed, sealed.record, now);
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

    fn passed(&self) -> bool {
        self.clock.boot_time().since(self.began) >= self.within
    }
}
