//! The worker's loop, from joining the group to leaving it.

use super::assignment::cancel;
use super::context::{Agent, WorkerError, WorkerStatus};
use super::fenced::wait_until_free;
use super::fold::{Index, LiveTask, SourceWork};
use super::growth;
use super::pressure::Pressure;
use super::tally;
use super::topics::{Prepared, TopicError, prepare};
use crate::aggregate::TaskState;
use crate::clock::BootTime;
use crate::commit::{AssignmentNumber, Committer, CommitterSettings, GenerationFence};
use crate::config::OnShutdown;
use crate::kafka::{Batch, GroupConsumer, Identity, TopicPartition, TransactionalProducer, TxnError};
use crate::replica::{Readers, RestoreError, Restored};
use crate::sources::{Plans, changelog_topic};
use crate::state::{Lease, TaskId};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A batch call waits this long for the batch to fill while something is to happen soon: a restore or a first commit.
const BATCH_WAIT: Duration = Duration::from_millis(5);
/// It waits no longer than this: the group is served, and its rebalances answered, only in between.
const LONGEST_BATCH_WAIT: Duration = Duration::from_millis(50);
const BATCH: usize = 2048;
/// Dead letters that wait for a commit may hold this much; beyond it nothing more is read until they are written.
const DEAD_LETTER_BYTES: usize = 32 << 20;
const WATERMARKS_EVERY: Duration = Duration::from_secs(1);
/// How often a worker without partitions looks whether its topics are there.
const TOPICS_EVERY: Duration = Duration::from_secs(1);
const TOPICS_TIMEOUT: Duration = Duration::from_secs(2);
/// A source topic that so many looks have not found does not exist.
const TOPIC_LOOKS: u32 = 3;
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(20);

/// A task whose state is being restored.
pub(super) struct Restoring {
    /// Which restore it is: results of older ones are dropped.
    pub tag: u64,
    /// Position of its source.
    pub source: usize,
}

pub(super) enum RestoreReport {
    Done { tag: u64, restored: Box<Restored>, backfilled: Option<Box<TaskState>> },
    Failed(WorkerError),
}

pub(super) struct Worker<'a> {
    pub agent: &'a Arc<Agent>,
    pub identity: Identity,
    pub status: Arc<WorkerStatus>,
    pub consumer: Arc<GroupConsumer>,
    pub committer: Committer,
    pub assignment: Arc<AssignmentNumber>,
    pub generation: Arc<GenerationFence>,
    pub lease: Arc<Lease>,
    pub tasks: Vec<LiveTask>,
    pub index: Index,
    /// What the group has given us and not taken back, restoring or running.
    pub owned: BTreeSet<TopicPartition>,
    pub restoring: HashMap<TaskId, Restoring>,
    pub restores: Vec<JoinHandle<()>>,
    pub reports: (Sender<RestoreReport>, Receiver<RestoreReport>),
    /// Topics whose changelog has been looked at.
    pub prepared: Arc<Mutex<HashMap<Arc<str>, Prepared>>>,
    /// Clients for the first restore, made while the transactional producer was waited for.
    pub readers_ahead: Option<JoinHandle<Result<Readers, RestoreError>>>,
    pub cancelled: Arc<AtomicBool>,
    pub tag: u64,
    pub epochs: u64,
    pub epoch_under_way: bool,
    pub last_freeze: BootTime,
    /// Aborts in a row.
    pub aborts: u32,
    /// How often something was lost; tells a settling revoke that there is nothing to wait for.
    pub losses: u64,
    /// The broker doubts our membership: no commit until the group says something new. Holds the generation then.
    pub suspended_at: Option<Option<i32>>,
    /// A rebalance is being answered.
    pub answering: bool,
    /// Everything was lost while a rebalance was being answered.
    pub lost_meanwhile: bool,
    pub closing: bool,
    /// The last batch was full: there is more to be had.
    pub catching_up: bool,
    /// Tells the committer that nobody waits any more.
    abandoned: Arc<AtomicBool>,
    /// What is folded by. A reload's are taken over between two epochs.
    pub plans: Arc<Plans>,
    /// In the order of the plans' sources; behind them those that a reload has removed, until their tasks are gone.
    pub sources: Vec<SourceWork>,
    last_watermarks: BootTime,
    last_topic_look: BootTime,
    /// Looks in a row that have missed a source topic.
    missed_topics: u32,
    pub pressure: Pressure,
    /// Has left the group, to join it again.
    rejoining: bool,
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
        worker.let_go();
        let identity = worker.identity.clone();
        worker.committer.join();
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
        let topics = plans.topics();
        status.set_plans(plans.number);
        let producer = TransactionalProducer::create(&agent.settings, &identity, agent.transactional())?;
        // Joining goes on in librdkafka's threads while the producer ends what a killed process left open.
        let consumer = Arc::new(GroupConsumer::join(&agent.settings, &identity, &topics)?);
        let prepared: Arc<Mutex<HashMap<Arc<str>, Prepared>>> = Arc::default();
        let readers_ahead = connect_ahead(agent.clone(), prepared.clone())?;
        initialise(agent, &producer, &status)?;
        let session = agent.config.kafka.session_timeout;
        let lease = Arc::new(Lease::new(agent.clock.clone(), session * 2 / 3));
        let (assignment, generation) = (Arc::<AssignmentNumber>::default(), Arc::<GenerationFence>::default());
        let abandoned = Arc::<AtomicBool>::default();
        let committer = Committer::start(
            CommitterSettings {
                settings: agent.settings.clone(),
                identity: identity.clone(),
                transactional: agent.transactional(),
                entry_limit: agent.config.limits.entry_bytes,
                dead_letters: agent.config.kafka.dead_letters,
                consumer: consumer.clone(),
                assignment: assignment.clone(),
                generation: generation.clone(),
                lease: lease.clone(),
                checkpointer: agent.checkpointer.clone(),
                clock: agent.clock.clone(),
                metrics: agent.metrics.clone(),
                abandoned: abandoned.clone(),
            },
            producer,
        )?;
        let now = agent.clock.boot_time();
        Ok(Worker {
            agent,
            identity,
            status,
            consumer,
            committer,
            assignment,
            generation,
            lease,
            tasks: Vec::new(),
            index: Index::default(),
            owned: BTreeSet::new(),
            restoring: HashMap::new(),
            restores: Vec::new(),
            reports: bounded(64),
            prepared,
            readers_ahead: Some(readers_ahead),
            cancelled: Arc::default(),
            tag: 0,
            epochs: 0,
            epoch_under_way: false,
            last_freeze: now,
            aborts: 0,
            losses: 0,
            suspended_at: None,
            answering: false,
            lost_meanwhile: false,
            closing: false,
            catching_up: false,
            abandoned,
            sources: plans.sources.iter().map(|s| SourceWork::new(s, agent.config.limits.event_bytes)).collect(),
            plans,
            last_watermarks: now,
            last_topic_look: now,
            missed_topics: 0,
            pressure: Pressure::default(),
            rejoining: false,
        })
    }

    /// Whether another member has this worker's identity, as far as the group says.
    fn is_fenced(&self) -> bool {
        self.consumer.fatal_error().is_some_and(|(code, _)| code == RDKafkaErrorCode::FencedInstanceId)
    }

    fn work(&mut self) -> Result<(), WorkerError> {
        let mut batch = Batch::default();
        while !self.agent.is_stopping() {
            self.mind_memory()?;
            self.consume(&mut batch)?;
            self.serve()?;
            self.finish_restores()?;
            self.reap(Duration::ZERO)?;
            self.take_over_plans()?;
            self.freeze_when_due()?;
        }
        Ok(())
    }

    /// Takes a batch and folds it. With too many dead letters waiting for a commit, it only waits.
    fn consume(&mut self, batch: &mut Batch) -> Result<(), WorkerError> {
        if self.dead_letter_bytes() > DEAD_LETTER_BYTES {
            std::thread::sleep(BATCH_WAIT);
            return Ok(());
        }
        let mut misplaced = Vec::new();
        let mut records = 0;
        for record in self.consumer.consume_batch(self.batch_wait(), BATCH, batch) {
            records += 1;
            let Some(at) = self.index.find(&record, &self.tasks) else { continue };
            let live = &mut self.tasks[at];
            match record.error() {
                None => live.take(&record, &mut self.sources[live.source]),
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    // What was folded since the last commit may be what is gone, so only the committed offset decides.
                    let next = live.next_offset;
                    if record.is_truncation() && live.task.view.read().record().next_offset == next {
                        return Err(WorkerError::Truncated { task: live.task.id.to_string(), next });
                    }
                    tracing::error!(task = %live.task.id, "input offset out of range: {}", record.error_text());
                    misplaced.push((live.task.id.topic.clone(), live.task.id.partition));
                }
                Some(code) => {
                    tracing::warn!(task = %live.task.id, "fetching: {code}");
                    // The batch call has moved librdkafka's position past this offset; it has to be read all the same.
                    if record.offset() >= 0 {
                        misplaced.push((live.task.id.topic.clone(), live.task.id.partition));
                    }
                }
            }
        }
        batch.clear();
        self.catching_up = records == BATCH;
        for source in &mut self.sources {
            source.count(&self.agent.metrics);
        }
        if !misplaced.is_empty() {
            // The restore finds out what Kafka no longer has, counts it, and goes on from what is there.
            self.settle(SHUTDOWN_DEADLINE)?;
            self.retake(&misplaced)?;
        }
        Ok(())
    }

    /// How long the next batch may take to fill: until the next epoch is due, because nothing is shown before that.
    fn batch_wait(&self) -> Duration {
        let expecting = self.owned.len() != self.tasks.len() || self.tasks.iter().any(|live| !live.assigned);
        if expecting || !self.status.is_assigned() { BATCH_WAIT } else { batch_wait(self.until_freeze()) }
    }

    /// Serves the group and answers its rebalances; only after the whole batch has been folded.
    fn serve(&mut self) -> Result<(), WorkerError> {
        if let Some(error) = self.consumer.poll() {
            tracing::debug!(worker = self.identity.worker, "consumer: {error}");
        }
        self.answer_rebalances()?;
        self.rejoin_if_asked()?;
        let now = self.agent.clock.boot_time();
        if now.since(self.last_watermarks) >= WATERMARKS_EVERY {
            self.last_watermarks = now;
            self.look_around()?;
        }
        Ok(())
    }

    /// Leaves the group in order and joins it again, so that it assigns what was nobody's.
    fn rejoin_if_asked(&mut self) -> Result<(), WorkerError> {
        if self.identity.worker == 0 && self.agent.rejoin.swap(false, Ordering::AcqRel) {
            self.consumer.unsubscribe();
            self.rejoining = true;
        }
        if self.rejoining && self.owned.is_empty() {
            self.rejoining = false;
            self.consumer.subscribe(&self.plans.topics())?;
        }
        Ok(())
    }

    /// What is worth a look every second: fatal errors, a doubt about our membership, the logs' ends, counters.
    fn look_around(&mut self) -> Result<(), WorkerError> {
        let now = self.agent.clock.boot_time();
        if self.is_fenced() {
            return Err(WorkerError::SecondProcess(self.identity.instance.clone()));
        }
        if let Some((_, reason)) = self.consumer.fatal_error() {
            return Err(WorkerError::Commit(format!("the consumer failed: {reason}")));
        }
        if self.owned.is_empty() && now.since(self.last_topic_look) >= TOPICS_EVERY {
            self.last_topic_look = now;
            self.look_for_topics()?;
        }
        if self.suspended_at.is_some_and(|at| at != self.generation_now()) {
            self.suspended_at = None;
        }
        let watermarks = self.consumer.watermarks();
        for live in &mut self.tasks {
            let id = &live.task.id;
            if let Some(ends) = watermarks.get(&(id.topic.to_string(), id.partition)) {
                live.task.set_watermarks(ends.high, ends.last_stable);
                let seen = (live.next_offset, ends.fetched);
                // Fetched to the end, and for a whole second nothing came of it: only markers and aborted records.
                if ends.fetched == ends.last_stable && live.seen == seen {
                    live.task.set_nothing_between(seen.0, seen.1);
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
                *counted = now;
            }
            let first = !std::mem::replace(&mut live.tallied, true);
            live.state.take_tallies(|plan, tally| tally::count(&self.agent.metrics, plan, tally, first));
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
                let trouble = format!("no answer from Kafka at {servers}: {}", last_error.unwrap_or(error.to_string()));
                tracing::warn!("{trouble}");
                self.status.set_trouble(Some(trouble));
                return Ok(());
            }
        };
        match self.plans.named().find(|topic| !found.iter().any(|(name, _)| *name == ***topic)) {
            Some(topic) if self.missed_topics >= TOPIC_LOOKS => {
                return Err(TopicError::NoSource(topic.to_string()).into());
            }
            Some(_) => self.missed_topics += 1,
            None => {
                self.missed_topics = 0;
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
        cancel(&self.cancelled);
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
        self.restoring.clear();
        while self.restores.iter().any(|thread| !thread.is_finished()) && !late(self) {
            // A restore that is done before it sees the flag may wait for room to report.
            let _ = self.reports.1.recv_timeout(BATCH_WAIT);
        }
        while self.reports.1.try_recv().is_ok() {}
        self.abandoned.store(late(self), Ordering::Release);
        if late(self) {
            Err(WorkerError::Commit("the group did not let this worker go in time".into()))
        } else {
            Ok(())
        }
    }

    /// Drops what is held still: a consumer that has failed revokes nothing, and whoever is next opens the same files.
    fn let_go(&mut self) {
        self.assignment.bump();
        let held: Vec<_> = std::mem::take(&mut self.owned).into_iter().collect();
        self.drop_tasks(&held);
    }

    fn serve_closing(&mut self) -> Result<(), WorkerError> {
        let _ = self.consumer.poll();
        self.answer_rebalances()?;
        self.reap(BATCH_WAIT)?;
        if !self.epoch_under_way {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Pure: how long a batch may take to fill with so much time until the next epoch.
fn batch_wait(until_freeze: Duration) -> Duration {
    until_freeze.clamp(BATCH_WAIT, LONGEST_BATCH_WAIT)
}

/// Does what a restore needs and may be done before the producer is ready: looks at the topics, and connects.
fn connect_ahead(
    agent: Arc<Agent>,
    prepared: Arc<Mutex<HashMap<Arc<str>, Prepared>>>,
) -> std::io::Result<JoinHandle<Result<Readers, RestoreError>>> {
    std::thread::Builder::new().name("connect".into()).spawn(move || {
        let plans = agent.plans();
        let mut changelog = String::new();
        for topic in plans.named() {
            changelog = changelog_topic(&agent.config.kafka.group_id, topic);
            // What is wrong with a topic is told by the restore that needs it.
            if let Ok(now) = prepare(&agent, topic) {
                agent.registry.set_partitions(topic.clone(), now.partitions);
                prepared.lock().insert(topic.clone(), now);
            }
        }
        Readers::connect(&agent.settings, &changelog)
    })
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
                let trouble = format!(
                    "no answer from Kafka at {servers} yet ({}); is it running, and is kafka.bootstrap_servers right?",
                    producer.last_error().unwrap_or(detail)
                );
                tracing::warn!("{trouble}");
                status.set_trouble(Some(trouble));
            }
            Err(error) => return Err(WorkerError::Commit(format!("transactions cannot be used: {error}"))),
        }
    }
    Ok(())
}
