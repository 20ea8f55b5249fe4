//! The worker's loop, from joining the group to leaving it.

use super::backlog::Backlog;
use super::commits::Commits;
use super::context::{Agent, WorkerStatus};
use super::error::WorkerError;
use super::fenced::wait_until_free;
use super::fold::{Fetching, LiveTask, SourceWork};
use super::growth;
use super::looks::Looks;
use super::membership::Membership;
use super::pauses::Pauses;
use super::restores::Restores;
use super::tally;
use super::tasks::Tasks;
use super::topics::why_unseen;
use super::unwritable::Unwritable;
use crate::commit::{Committer, CommitterSettings, Pace};
use crate::config::OnShutdown;
use crate::kafka::{
    self, Batch, GroupConsumer, Identity, Polled, TopicPartition, TransactionalProducer, TxnError, missing_acl,
};
use crate::sources::Plans;
use crate::state::Lease;
use crate::stop::Stop;
use rdkafka::error::RDKafkaErrorCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A batch call waits this long for the batch to fill while something is to happen soon: a restore or a first commit.
const BATCH_WAIT: Duration = Duration::from_millis(5);
/// It waits no longer than this: the group is served, and its rebalances answered, only in between.
const LONGEST_BATCH_WAIT: Duration = Duration::from_millis(50);
const BATCH: usize = 2048;
/// Dead letters that wait for a commit may hold this much; beyond it nothing more is read until they are written.
const DEAD_LETTER_BYTES: usize = 32 << 20;
const TOPICS_TIMEOUT: Duration = Duration::from_secs(2);
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(20);
/// How long the end of a worker waits for the outcome of its last commit, when the group is done with it.
const LAST_COMMIT: Duration = Duration::from_secs(5);

pub(super) struct Worker<'a> {
    pub agent: &'a Arc<Agent>,
    pub identity: Identity,
    pub status: Arc<WorkerStatus>,
    pub consumer: Arc<GroupConsumer>,
    pub commits: Commits,
    pub membership: Membership,
    pub lease: Arc<Lease>,
    pub tasks: Tasks,
    pub restores: Restores,
    pub closing: bool,
    pub backlog: Backlog,
    /// What is folded by. A reload's are taken over between two epochs.
    pub plans: Arc<Plans>,
    /// What the group has been told that is read here.
    pub subscribed: Vec<Arc<str>>,
    /// In the order of the plans' sources; behind them those that a reload has removed, until their tasks are gone.
    pub sources: Vec<SourceWork>,
    looks: Looks,
    pub pauses: Pauses,
    pub unwritable: Unwritable,
    /// A topic that this user may not read, as of its last record.
    pub denied: Option<Arc<str>>,
}

/// Runs one worker until the agent stops or something ends it. One that the group has put out by its own name joins again.
pub fn run(agent: &Arc<Agent>, number: usize, status: Arc<WorkerStatus>) -> Result<(), WorkerError> {
    let watch = if number == 0 { Some(growth::watch(agent.clone())?) } else { None };
    let result = run_until_stopped(agent, number, &status);
    if let Some(watch) = watch {
        watch.end();
    }
    result
}

fn run_until_stopped(agent: &Arc<Agent>, number: usize, status: &Arc<WorkerStatus>) -> Result<(), WorkerError> {
    loop {
        let mut worker = Worker::start(agent, number, status.clone())?;
        let result = worker.work();
        let fenced = worker.is_fenced();
        let closed = worker.close();
        worker.release_partitions();
        let identity = worker.identity.clone();
        worker.commits.end(LAST_COMMIT);
        if !fenced || agent.is_stopping() {
            return result.and(closed);
        }
        wait_until_free(agent, &identity, status)?;
        if agent.is_stopping() {
            return Ok(());
        }
    }
}

impl<'a> Worker<'a> {
    fn start(agent: &'a Arc<Agent>, number: usize, status: Arc<WorkerStatus>) -> Result<Worker<'a>, WorkerError> {
        let identity = Identity { instance: agent.state_dir.instance().to_owned(), worker: number };
        let plans = agent.plans();
        let subscribed = plans.subscription(&agent.registry).unwrap_or_default();
        status.set_plans(plans.number);
        let producer = TransactionalProducer::create(&agent.settings, &identity, agent.guarantee())?;
        // Joining goes on in librdkafka's threads while the producer ends what a killed process left open.
        let consumer = Arc::new(GroupConsumer::join(&agent.settings, &identity, &names(&subscribed))?);
        let restores = Restores::connect_ahead(agent.clone())?;
        initialise(agent, &producer, &status)?;
        let lease = Arc::new(Lease::new(agent.clock.clone(), agent.settings.lease()));
        let membership = Membership::default();
        let abandoned = Stop::new();
        let committer = Committer::start(
            CommitterSettings {
                settings: agent.settings.clone(),
                identity: identity.clone(),
                guarantee: agent.guarantee(),
                entry_limit: agent.config.limits.entry_bytes,
                dead_letters: agent.config.kafka.dead_letters,
                consumer: consumer.clone(),
                assignment: membership.assignment.clone(),
                lease: lease.clone(),
                checkpointer: agent.checkpointer.clone(),
                clock: agent.clock.clone(),
                metrics: agent.metrics.clone(),
                abandoned: abandoned.clone(),
            },
            producer,
        )?;
        let now = agent.clock.boot_time();
        let pace = Pace::new(agent.config.kafka.transaction_timeout.min(agent.config.kafka.session_timeout));
        Ok(Worker {
            agent,
            identity,
            status,
            consumer,
            commits: Commits::new(committer, abandoned, pace, now),
            membership,
            lease,
            tasks: Tasks::default(),
            restores,
            closing: false,
            backlog: Backlog::default(),
            sources: plans.sources.iter().map(|s| SourceWork::new(s, agent)).collect(),
            plans,
            subscribed,
            looks: Looks::new(now),
            pauses: Pauses::default(),
            unwritable: Unwritable::default(),
            denied: None,
        })
    }

    /// Whether another member has this worker's identity, as far as the group says.
    fn is_fenced(&self) -> bool {
        self.consumer.fatal_error().is_some_and(|(code, _)| code == RDKafkaErrorCode::FencedInstanceId)
    }

    fn work(&mut self) -> Result<(), WorkerError> {
        let mut batch = Batch::default();
        while !self.agent.is_stopping() {
            self.apply_backpressure()?;
            self.consume(&mut batch)?;
            self.serve()?;
            self.finish_restores()?;
            self.poll_outcome(Duration::ZERO)?;
            self.take_over_plans()?;
            self.look_for_unwritable()?;
            self.look_for_schemas()?;
            self.freeze_when_due()?;
        }
        Ok(())
    }

    /// Takes a batch and folds it. With too many dead letters, or more than one epoch may carry, waiting for a commit, it
    /// only waits.
    fn consume(&mut self, batch: &mut Batch) -> Result<(), WorkerError> {
        let waiting = self.waiting_bytes();
        if self.dead_letter_bytes() > DEAD_LETTER_BYTES || waiting >= self.commits.pace.limit() {
            return if self.commits.is_under_way() {
                self.poll_outcome(LONGEST_BATCH_WAIT)
            } else {
                std::thread::sleep(BATCH_WAIT);
                Ok(())
            };
        }
        let most = self.commits.pace.batch(BATCH, waiting);
        let mut misplaced = Vec::new();
        let mut records = 0;
        let asked = self.agent.clock.boot_time();
        let taken = self.consumer.consume_batch(self.batch_wait(), most, batch);
        let took = self.agent.clock.boot_time().since(asked);
        for record in taken {
            records += 1;
            let Some(live) = self.tasks.of_record(&record) else { continue };
            match record.error() {
                None => {
                    if self.denied.as_ref() == Some(&live.task.id.topic) {
                        self.denied = None;
                        self.status.set_trouble(None);
                    }
                    live.take(&record, &mut self.sources[live.source]);
                }
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    // What was folded since the last commit may be what is gone, so only the committed offset decides.
                    let next = live.next_offset;
                    if record.is_truncation() && live.task.view.read().record().next_offset == next {
                        return Err(WorkerError::Truncated { task: live.task.id.to_string(), next });
                    }
                    tracing::error!(task = %live.task.id, "input offset out of range: {}", record.error_text());
                    misplaced.push(live.task.id.clone());
                }
                Some(code) => {
                    tracing::warn!(task = %live.task.id, "fetching: {code}");
                    if code == RDKafkaErrorCode::TopicAuthorizationFailed {
                        let topic = &live.task.id.topic;
                        let acl = missing_acl("Read", &format!("--topic {topic}"));
                        self.status.set_trouble(Some(format!("topic {topic} cannot be read: {acl}")));
                        self.denied = Some(topic.clone());
                    }
                    if matches!(
                        code,
                        RDKafkaErrorCode::UnknownTopicOrPartition
                            | RDKafkaErrorCode::UnknownTopic
                            | RDKafkaErrorCode::UnknownPartition
                    ) {
                        self.agent.look_soon.store(true, Ordering::Release);
                    }
                    // The batch call has moved librdkafka's position past this offset; it has to be read all the same.
                    if record.offset() >= 0 {
                        misplaced.push(live.task.id.clone());
                    }
                }
            }
        }
        batch.clear();
        self.backlog.batch(records == most, took);
        for source in &mut self.sources {
            source.count(&self.agent.metrics);
        }
        self.read_again(&misplaced)
    }

    /// Takes partitions over again whose records were missed, when all else is committed. The restore finds out what Kafka
    /// no longer has, counts it, and goes on from what is there.
    fn read_again(&mut self, partitions: &[TopicPartition]) -> Result<(), WorkerError> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.commit_all(SHUTDOWN_DEADLINE)?;
        self.drop_and_restore(partitions)
    }

    /// How long the next batch may take to fill: until the next epoch is due, because nothing is shown before that.
    fn batch_wait(&self) -> Duration {
        let is_read = |live: &LiveTask| matches!(live.fetching, Fetching::Reads | Fetching::Held | Fetching::Awaits);
        let expecting = self.membership.owns() != self.tasks.len() || !self.tasks.iter().all(is_read);
        if expecting || !self.status.is_assigned() { BATCH_WAIT } else { batch_wait(self.until_freeze()) }
    }

    /// Serves the group and answers its rebalances; only after the whole batch has been folded.
    fn serve(&mut self) -> Result<(), WorkerError> {
        let polled = self.consumer.poll();
        let is_drained = self.consumer.is_drained();
        self.answer_rebalances()?;
        if is_drained {
            self.membership.drained();
        }
        match polled {
            Polled::Served => {}
            Polled::Error(error) => tracing::debug!(worker = self.identity.worker, "consumer: {error}"),
            Polled::Stray(stray) => {
                tracing::warn!(partition = %stray, "a record came past the worker's queue; reading it again");
                if self.tasks.iter().any(|live| live.task.id == stray) {
                    self.read_again(&[stray])?;
                }
            }
        }
        self.rejoin_if_asked()?;
        let now = self.agent.clock.boot_time();
        let is_due = self.looks.is_due(now);
        if (is_due || self.subscribed.is_empty()) && !self.membership.is_leaving() {
            self.follow_topics()?;
        }
        if is_due {
            self.looks.done(now);
            self.tick()?;
        }
        Ok(())
    }

    /// Leaves the group in order and joins it again, so that it assigns what was nobody's.
    fn rejoin_if_asked(&mut self) -> Result<(), WorkerError> {
        if self.identity.worker == 0 && self.agent.rejoin.swap(false, Ordering::AcqRel) {
            self.leave_and_join_again();
        }
        if self.membership.has_left() {
            self.subscribed.clear();
        }
        Ok(())
    }

    /// What is worth a look every second: fatal errors, a doubt about our membership, the logs' ends, counters.
    fn tick(&mut self) -> Result<(), WorkerError> {
        let now = self.agent.clock.boot_time();
        if self.is_fenced() {
            return Err(WorkerError::SecondProcess(self.identity.instance.clone()));
        }
        if let Some((_, reason)) = self.consumer.fatal_error() {
            return Err(WorkerError::Commit(format!("the consumer failed: {reason}")));
        }
        if self.membership.owns_nothing() && self.looks.takes_topics(now) {
            self.look_for_topics()?;
        }
        if self.membership.is_suspended() {
            let member = self.member_now();
            self.membership.resume_when_over(now, member.as_ref(), self.agent.config.kafka.session_timeout);
        }
        self.check_again()?;
        let watermarks = self.consumer.watermarks();
        for live in &mut self.tasks {
            let id = &live.task.id;
            if let Some(ends) = watermarks.get(id) {
                live.task.input.set(ends.high, ends.last_stable);
                // What it has to read is not read: silence would say that there is nothing.
                if ends.is_fresh && live.held.is_none() && live.awaits.is_none() {
                    live.task.life.hear(now);
                }
                let seen = (live.next_offset, ends.fetched);
                // Fetched to the end, and for a whole second nothing came of it: only markers and aborted records.
                if ends.fetched == ends.last_stable && live.seen == seen && live.awaits.is_none() {
                    live.task.input.set_nothing_between(seen.0, seen.1);
                }
                live.seen = seen;
            }
            let file = self.agent.state_dir.task_file(&id.topic, id.partition);
            if let Ok(file) = std::fs::metadata(file) {
                self.agent.metrics.state_bytes(&id.topic, id.partition, file.len());
            }
            for ((aggregate, now), counted) in live.state.counters().zip(&mut live.counted) {
                self.agent.metrics.late(&aggregate.config.name, now.late_events - counted.late_events);
                self.agent.metrics.overflowed(&aggregate.config.name, now.overflow_events - counted.overflow_events);
                self.agent.metrics.replaced(&aggregate.config.name, now.replaced_keys - counted.replaced_keys);
                *counted = now;
            }
            let first = !std::mem::replace(&mut live.tallied, true);
            live.state.take_tallies(|plan, tally| tally::count(&self.agent.metrics, plan, tally, first));
            for hint in live.state.plan().take_hints() {
                tracing::info!("{hint}");
            }
        }
        Ok(())
    }

    /// With nothing assigned, finds out why. A group with a topic that does not exist has nothing to assign and would wait
    /// in silence; one that is just being made is given a few looks.
    fn look_for_topics(&mut self) -> Result<(), WorkerError> {
        let servers = &self.agent.config.kafka.bootstrap_servers;
        let last_error = self.consumer.context().last_error();
        let found = match self.consumer.partitions(|topic| self.plans.source_of(topic).is_some(), TOPICS_TIMEOUT) {
            Ok(found) => found,
            Err(error) => {
                let trouble = format!("Kafka at {servers} cannot be used: {}", last_error.unwrap_or(error.to_string()));
                tracing::warn!("{trouble}");
                self.status.set_trouble(Some(trouble));
                return Ok(());
            }
        };
        // One that is missing beside others is told by the readiness; with none at all there is nothing to wait for.
        match self.plans.named().next().filter(|_| found.is_empty()) {
            Some(topic) => {
                if self.looks.missed_topics() {
                    return Err(why_unseen(self.agent, topic).into());
                }
            }
            None => {
                self.looks.found_topics();
                // A member that the group gave no partitions is fine; one that has not heard of the group says what it
                // has heard instead.
                let waiting = !self.status.is_assigned();
                let trouble = last_error.filter(|_| waiting).map(|error| format!("no partitions yet: {error}"));
                self.status.set_trouble(trouble);
            }
        }
        Ok(())
    }

    /// Ends folding, commits what was folded, and gives the partitions back or keeps them for this identity's return.
    fn close(&mut self) -> Result<(), WorkerError> {
        self.closing = true;
        self.restores.stop();
        let began = self.agent.clock.boot_time();
        let late = |worker: &Self| worker.agent.clock.boot_time().since(began) > SHUTDOWN_DEADLINE;
        if self.agent.config.kafka.on_shutdown == OnShutdown::Leave {
            self.consumer.unsubscribe();
            while !self.tasks.is_empty() && !late(self) {
                self.serve_closing()?;
            }
        }
        self.consumer.begin_close()?;
        while !self.consumer.closed() && !late(self) {
            self.serve_closing()?;
        }
        while !self.restores.ended(BATCH_WAIT) && !late(self) {}
        if late(self) {
            self.commits.abandon();
            Err(WorkerError::Commit("the group did not let this worker go in time".into()))
        } else {
            Ok(())
        }
    }

    /// Drops what is held still: a consumer that has failed revokes nothing, and whoever is next opens the same files.
    fn release_partitions(&mut self) {
        self.membership.lose();
        let held = self.membership.owned();
        self.membership.take(&held);
        self.drop_tasks(&held);
    }

    fn serve_closing(&mut self) -> Result<(), WorkerError> {
        let _ = self.consumer.poll();
        self.answer_rebalances()?;
        self.poll_outcome(BATCH_WAIT)?;
        if !self.commits.is_under_way() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Pure: how long a batch may take to fill with so much time until the next epoch.
fn batch_wait(until_freeze: Duration) -> Duration {
    until_freeze.clamp(BATCH_WAIT, LONGEST_BATCH_WAIT)
}

pub(super) fn names(topics: &[Arc<str>]) -> Vec<&str> {
    topics.iter().map(|topic| &**topic).collect()
}

/// Tries until the coordinator answers; says why it waits.
fn initialise(agent: &Agent, producer: &TransactionalProducer, status: &WorkerStatus) -> Result<(), WorkerError> {
    while !agent.is_stopping() {
        match producer.init(Duration::from_secs(5)) {
            Ok(()) => {
                status.set_trouble(None);
                return Ok(());
            }
            Err(TxnError::Retriable(detail)) => {
                let servers = &agent.config.kafka.bootstrap_servers;
                let trouble =
                    format!("Kafka at {servers} cannot be used yet: {}", producer.last_error().unwrap_or(detail));
                if let Some(told) = kafka::once_a_minute(&trouble) {
                    tracing::warn!("{told}");
                }
                status.set_trouble(Some(trouble));
            }
            Err(TxnError::Abortable { code, message } | TxnError::Fatal { code, message })
                if code == RDKafkaErrorCode::TransactionalIdAuthorizationFailed =>
            {
                let resource =
                    format!("--transactional-id {}- --resource-pattern-type prefixed", agent.settings.group());
                let acl = missing_acl("Write and Describe", &resource);
                return Err(WorkerError::Commit(format!("transactions cannot be used: {message}; {acl}")));
            }
            Err(error) => return Err(WorkerError::Commit(format!("transactions cannot be used: {error}"))),
        }
    }
    Ok(())
}
