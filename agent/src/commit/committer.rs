//! The thread that commits epochs, one at a time, while the worker folds on into the next.

use super::deadline::Deadline;
use super::letter_limits::LetterLimits;
use super::seal::SealedEntry;
use super::work::{CALL_TIMEOUT, CommitterSettings, Failure, Work, is_size};
use super::{AbortReason, DeadLetter, Epoch, Sealed, seal};
use crate::config::DeadLetters;
use crate::failpoint;
use crate::kafka::{Delivered, TopicPartition, TransactionalProducer, TxnError};
use crate::sources::changelog_topic;
use crate::state::Committed;
use crate::stop::Stop;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::Duration;

/// What became of an epoch.
#[derive(Debug)]
pub enum Outcome {
    /// Durable and published, after so long.
    Committed { epoch: Epoch, took: Duration },
    /// Nothing of it is visible: all of it is dirty again.
    Aborted { epoch: Epoch, reason: AbortReason, detail: String },
    /// The agent cannot go on.
    Failed(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Outcome::Committed { .. } => "committed",
            Outcome::Aborted { .. } => "aborted",
            Outcome::Failed(_) => "failed",
        }
    }
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
        settings.metrics.may_abort(AbortReason::ALL.map(AbortReason::as_str));
        let (epochs, inbox) = bounded::<Epoch>(1);
        let (outbox, outcomes) = bounded(1);
        let name = format!("committer-{}", settings.identity.worker);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let mut work = Work { settings, producer, letters: LetterLimits::default() };
            for epoch in inbox {
                // At this level, so that a filter that lets warnings through lets them through with their commit.
                let span = tracing::error_span!("commit", tasks = epoch.tasks.len(), result = tracing::field::Empty);
                let outcome = span.in_scope(|| work.commit(epoch));
                span.record("result", outcome.word());
                drop(span);
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

    /// Ends the thread after the epoch under way; one that is not decided within `patience` is given up. `abandoned` is
    /// the token that it was started with.
    pub fn join(mut self, patience: Duration, abandoned: &Stop) {
        self.epochs = None;
        if let Err(RecvTimeoutError::Timeout) = self.outcomes.recv_timeout(patience) {
            tracing::warn!("the last commit is not decided; the next start finds out");
            abandoned.request();
        }
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn commit(&mut self, mut epoch: Epoch) -> Outcome {
        let began = self.settings.clock.now();
        let sealed = match self.seal(&epoch) {
            Ok(sealed) => sealed,
            Err(error) => return Outcome::Failed(error),
        };
        epoch.bytes = sealed.iter().map(Sealed::bytes).sum::<usize>()
            + epoch.tasks.iter().flat_map(|task| &task.dead_letters).map(DeadLetter::size).sum::<usize>();
        failpoint::hit("commit.sealed");
        let mut deadline = self.deadline();
        let mut attempt = self.attempt(&epoch, &sealed, &deadline);
        while let Err(Failure::DeadLetters { code, topics, detail }) = &attempt {
            // Each of them is shortened, not just the first that can be.
            if is_size(*code) && topics.iter().filter(|topic| self.letters.shorten(topic)).count() > 0 {
                tracing::warn!("dead letters are larger than their topic takes, and are cut: {detail}");
            } else if self.settings.dead_letters == DeadLetters::DropAndCount {
                self.drop_dead_letters(&mut epoch, detail);
            } else {
                break;
            }
            deadline = self.deadline();
            attempt = self.attempt(&epoch, &sealed, &deadline);
        }
        let attempt = match attempt {
            Err(Failure::Producer { undecided, detail }) => {
                // The brokers end a transaction that has taken too long, and its producer.
                let late = deadline.passed() && !undecided;
                self.recover(&epoch, undecided, &detail).map_err(|failure| match failure {
                    Failure::Abort(AbortReason::Kafka, _) if late => Failure::TimedOut,
                    failure => failure,
                })
            }
            other => other,
        };
        match attempt {
            Ok(delivered) => {
                failpoint::hit("commit.after_kafka");
                self.count_cut_letters(&epoch);
                self.publish(&mut epoch, sealed, &delivered);
                self.settings.lease.renew(began);
                let took = self.settings.clock.boot_time().since(began.boot);
                self.settings.metrics.committed(took);
                failpoint::hit("commit.published");
                Outcome::Committed { epoch, took }
            }
            Err(Failure::Abort(reason, detail)) => {
                self.settings.metrics.aborted(reason.as_str());
                Outcome::Aborted { epoch, reason, detail }
            }
            Err(Failure::TimedOut) => {
                let reason = AbortReason::TimedOut;
                self.settings.metrics.aborted(reason.as_str());
                let timeout = self.settings.settings.kafka().transaction_timeout;
                let detail = format!(
                    "{} entries ({} KiB) could not be written within kafka.transaction_timeout ({timeout:?}): is there a producer quota, a slow link, or a broker that does not answer? Less is committed at a time from now on",
                    epoch.entries(),
                    epoch.bytes.div_ceil(1024)
                );
                Outcome::Aborted { epoch, reason, detail }
            }
            Err(Failure::DeadLetters { detail, .. }) => Outcome::Failed(format!(
                "a dead letter cannot be written: {detail}; make the dead-letter topic and let this user write to it, or set kafka.dead_letters: drop_and_count"
            )),
            Err(Failure::Producer { detail, .. } | Failure::Stop(detail) | Failure::Refused { detail, .. }) => {
                Outcome::Failed(detail)
            }
        }
    }

    fn seal(&self, epoch: &Epoch) -> Result<Vec<Sealed>, String> {
        let now = self.settings.clock.unix_millis();
        let CommitterSettings { settings, identity, guarantee, entry_limit, .. } = &self.settings;
        let writer = if guarantee.is_transactional() { settings.transactional_id(identity) } else { String::new() };
        epoch.tasks.iter().map(|task| seal(&task.task.view.read(), task, now, *entry_limit, &writer)).collect()
    }

    fn attempt(&self, epoch: &Epoch, sealed: &[Sealed], deadline: &Deadline) -> Result<Delivered, Failure> {
        self.producer.begin().map_err(|error| match error {
            TxnError::Fatal { message, .. } => Failure::Producer { undecided: false, detail: message },
            error => Failure::kafka(error),
        })?;
        failpoint::hit("commit.begun");
        let result = self.transact(epoch, sealed, deadline);
        let why = match &result {
            Err(Failure::Abort(_, why) | Failure::DeadLetters { detail: why, .. }) => why,
            Err(Failure::Refused { detail: why, .. }) => why,
            Err(Failure::TimedOut) => "timed out",
            Ok(_) | Err(Failure::Producer { .. } | Failure::Stop(_)) => return result,
        };
        self.abort().map_err(|error| Failure::Producer {
            undecided: false,
            detail: format!("{why}; then the abort failed: {error}"),
        })?;
        result
    }

    /// After a fatal error: a new producer with the same id ends what the old one left open; then the group's committed
    /// offsets tell whether the epoch made it.
    fn recover(&mut self, epoch: &Epoch, undecided: bool, detail: &str) -> Result<Delivered, Failure> {
        tracing::warn!("the transactional producer failed and is being recreated: {detail}");
        self.settings.metrics.producer_rebuilt();
        let CommitterSettings { settings, identity, guarantee, .. } = &self.settings;
        let (mut wait, mut made) = (Duration::from_millis(100), None);
        self.producer = loop {
            self.check_abandoned()?;
            if self.settings.consumer.fatal_error().is_some() {
                return Err(Failure::Abort(AbortReason::Fenced, detail.to_owned()));
            }
            let next = made.take().map_or_else(
                || {
                    std::thread::sleep(wait);
                    wait = (wait * 2).min(CALL_TIMEOUT);
                    TransactionalProducer::create(settings, identity, *guarantee).map_err(TxnError::from)
                },
                Ok,
            );
            match next.and_then(|producer| match producer.init(CALL_TIMEOUT) {
                // The same call goes on where this one stopped.
                Err(TxnError::Retriable(detail)) => {
                    tracing::warn!("no transactional producer yet, asking again: {detail}");
                    made = Some(producer);
                    Ok(None)
                }
                ready => ready.map(|()| Some(producer)),
            }) {
                Ok(Some(producer)) => break producer,
                Ok(None) => {}
                Err(error) => tracing::warn!("no transactional producer yet, trying again: {error}"),
            }
        };
        if undecided && self.was_committed(epoch)? {
            return Ok(Delivered::default());
        }
        Err(Failure::Abort(AbortReason::Kafka, detail.to_owned()))
    }

    /// Whether the group's offsets show the epoch's transaction. Only tasks whose offset moved can tell; a commit that
    /// moved none is taken for aborted, and writing it again does no harm.
    ///
    /// # Errors
    /// Offsets beyond the epoch's are of somebody who has taken over since: then nothing held here counts.
    fn was_committed(&self, epoch: &Epoch) -> Result<bool, Failure> {
        let moved = epoch.tasks.iter().filter(|task| task.next_offset > task.task.view.read().record().next_offset);
        let moved: HashMap<TopicPartition, i64> = moved.map(|task| (task.task.id.clone(), task.next_offset)).collect();
        if moved.is_empty() {
            return Ok(false);
        }
        let partitions: Vec<_> = moved.keys().cloned().collect();
        loop {
            match self.settings.consumer.committed(&partitions, CALL_TIMEOUT) {
                Ok(offsets) => {
                    return outcome(&moved, &offsets)
                        .ok_or_else(|| Failure::Abort(AbortReason::Fenced, "others have committed since".to_owned()));
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
            let changelog = changelog_topic(self.settings.settings.group(), &id.topic);
            let next = delivered.get(&TopicPartition::new(changelog, id.partition)).map(|offset| offset + 1);
            let removed: Vec<_> = sealed.removed.iter().map(|(entry, _)| entry.clone()).collect();
            let mut entries = Vec::with_capacity(sealed.entries.len());
            let mut written = Vec::with_capacity(sealed.entries.len() + removed.len());
            for SealedEntry { entry, cell, hash, key, value } in sealed.entries {
                entries.push((entry, Committed { cell, hash }));
                written.push((key, Some(value)));
            }
            written.extend(sealed.removed.into_iter().map(|(_, key)| (key, None)));
            // The view first: an empty state file is written from it, as of what the checkpointer was told.
            task.task.view.write().apply(entries, &removed, sealed.record.clone(), now);
            self.settings.checkpointer.committed(id, written, &sealed.record, next);
            task.task.committed();
        }
    }
}

/// Whether a transaction that was to move the group's offsets to `moved` was committed, by what they are now; `None` if
/// nothing held here can be trusted. All of it was committed or none: another owner of one partition may have come to the
/// very same offset, so each has to be there.
fn outcome(moved: &HashMap<TopicPartition, i64>, offsets: &HashMap<TopicPartition, Option<i64>>) -> Option<bool> {
    let now = |partition| offsets.get(partition).copied().flatten().unwrap_or(-1);
    if moved.iter().any(|(partition, offset)| now(partition) < *offset) {
        return Some(false);
    }
    moved.iter().all(|(partition, offset)| now(partition) == *offset).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::{Guarantee, Kafka};
    use crate::kafka::{GroupConsumer, Identity, Settings};
    use crate::state::{Checkpointer, Lease};
    use crate::telemetry::Metrics;
    use rdkafka::mocking::MockCluster;
    use std::sync::Arc;

    #[test]
    fn an_undecided_commit_is_what_all_of_its_offsets_say() {
        let partition = |p: i32| TopicPartition::new("t", p);
        let moved = HashMap::from([(partition(0), 5), (partition(1), 7)]);
        let outcome = |now: [Option<i64>; 2]| {
            super::outcome(&moved, &HashMap::from([(partition(0), now[0]), (partition(1), now[1])]))
        };
        assert_eq!(outcome([Some(5), Some(7)]), Some(true));
        assert_eq!(outcome([Some(4), Some(6)]), Some(false));
        assert_eq!(outcome([None, None]), Some(false));
        // Another took partition 0 over and read the same input; partition 1 shows that nothing was committed.
        assert_eq!(outcome([Some(5), Some(6)]), Some(false));
        assert_eq!(outcome([Some(9), Some(6)]), Some(false));
        assert_eq!(outcome([Some(5), Some(8)]), None);
    }

    #[test]
    fn a_producer_made_anew_is_what_the_old_one_was() {
        let cluster = MockCluster::new(1).unwrap();
        let kafka = Kafka::reaching(&cluster.bootstrap_servers(), Default::default());
        let settings = Settings::new(kafka, "test".into());
        let identity = Identity { instance: "a".into(), worker: 0 };
        let (clock, metrics) = (Clock::default(), Arc::new(Metrics::new()));
        let consumer = Arc::new(GroupConsumer::join(&settings, &identity, &["t"]).unwrap());
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            let producer = TransactionalProducer::create(&settings, &identity, guarantee).unwrap();
            let settings = CommitterSettings {
                settings: settings.clone(),
                identity: identity.clone(),
                guarantee,
                entry_limit: 1,
                dead_letters: DeadLetters::Stop,
                consumer: consumer.clone(),
                assignment: Arc::default(),
                lease: Arc::new(Lease::new(clock.clone(), Duration::from_secs(1))),
                checkpointer: Checkpointer::start(clock.clone(), metrics.clone()).unwrap(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                abandoned: Stop::new(),
            };
            let mut work = Work { settings, producer, letters: LetterLimits::default() };
            let epoch = Epoch { number: 1, assignment: 0, given_to: "member".into(), tasks: Vec::new(), bytes: 0 };
            let result = work.recover(&epoch, false, "a test");
            assert!(matches!(result, Err(Failure::Abort(AbortReason::Kafka, _))));
            assert_eq!(work.producer.is_transactional(), guarantee.is_transactional());
        }
    }
}
