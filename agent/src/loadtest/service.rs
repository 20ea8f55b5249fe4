//! One test at a time: started, watched, cancelled, and counted.

use super::report::{Snapshot, State};
use super::run::{self, Outcome, RunContext};
use super::spec::Spec;
use super::verify::Before;
use crate::config::{Config, LoadTests as Limits, TopicSelector};
use crate::env::Environment;
use crate::kafka::TopicPartition;
use crate::kafka::load_producer::{LoadOptions, LoadProducer};
use crate::topics::{Kind, TopicError, Topics};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Events under way at most: enough for the highest rates, and waiting in it does not hide what Kafka does.
const IN_FLIGHT: usize = 30_000;
/// How long the producer waits for the topic before the test begins.
const PREPARE: Duration = Duration::from_secs(10);

/// The topics an agent reads.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<TopicSelector>);

impl Sources {
    pub fn of(config: &Config) -> Sources {
        Sources(config.sources.iter().flat_map(|source| &source.topics).cloned().collect())
    }

    fn reads(&self, topic: &str) -> bool {
        self.0.iter().any(|selector| selector.matches(topic))
    }
}

/// Over all tests since the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Unix milliseconds.
    pub since: i64,
    pub tests: u64,
    pub sent: u64,
    pub acknowledged: u64,
    pub failed: u64,
}

/// A test that runs or has ended.
pub struct Test {
    pub id: String,
    pub spec: Spec,
    /// Unix milliseconds.
    pub started: i64,
    stop: AtomicU8,
    state: watch::Sender<Snapshot>,
}

impl Test {
    pub fn snapshot(&self) -> Snapshot {
        self.state.borrow().clone()
    }

    /// Tells of changes.
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.state.subscribe()
    }

    /// Stops sending; a second time: also stops waiting for reports.
    pub fn cancel(&self) {
        let _ = self.stop.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |stop| Some(stop.saturating_add(1)));
    }
}

/// The load tests of one process.
pub struct LoadTests {
    env: Environment,
    topics: Topics,
    limits: Limits,
    sources: Sources,
    last: Mutex<Option<Arc<Test>>>,
    totals: Arc<Mutex<Totals>>,
    started: AtomicU64,
}

impl LoadTests {
    pub fn new(env: Environment, topics: Topics, limits: Limits, sources: Sources) -> LoadTests {
        let totals = Arc::new(Mutex::new(Totals { since: env.clock.unix_millis(), ..Totals::default() }));
        LoadTests { env, topics, limits, sources, last: Mutex::default(), totals, started: AtomicU64::new(0) }
    }

    /// Starts a test; blocks until its topic is known. `validate_only`: only says whether it could start.
    ///
    /// # Errors
    /// If tests are not allowed, the test asks for too much or for the wrong topic, or another one runs.
    pub fn start(&self, spec: Spec, validate_only: bool) -> Result<Option<Arc<Test>>, TopicError> {
        self.allows(&spec)?;
        // Held until the test stands: of two that are started at once, one is refused.
        let mut last = self.last.lock();
        if let Some(test) = last.as_ref().filter(|test| !test.snapshot().state.has_ended()) {
            let message = format!("load test {} runs; wait for its end, or cancel it", test.id);
            return Err(TopicError::new(Kind::Precondition, message));
        }
        let topic = self.topics.look(&spec.topic)?;
        if let Some(dead) = topic.partitions.iter().find(|partition| partition.leader.is_none()) {
            let message = format!(
                "partition {} of topic {} has no leader; try again when its brokers are up",
                dead.id, topic.name
            );
            return Err(TopicError::new(Kind::Unavailable, message));
        }
        if validate_only {
            return Ok(None);
        }
        let name: Arc<str> = spec.topic.as_str().into();
        let partitions =
            topic.partitions.iter().map(|partition| TopicPartition::new(name.clone(), partition.id)).collect();
        let test = Arc::new(Test {
            id: self.new_id(),
            started: self.env.clock.unix_millis(),
            stop: AtomicU8::new(0),
            state: watch::Sender::new(Snapshot::new(spec.event_bytes)),
            spec,
        });
        self.spawn(test.clone(), partitions)?;
        *last = Some(test.clone());
        Ok(Some(test))
    }

    fn allows(&self, spec: &Spec) -> Result<(), TopicError> {
        if !self.limits.allow {
            let message = "this agent runs no load tests; set cluster.load_tests.allow in its config if it should";
            return Err(TopicError::new(Kind::Denied, message));
        }
        spec.check(&self.limits)?;
        if let Some(why) = self.topics.policy().protects(&spec.topic) {
            let message = format!("topic {} is protected: {why}; choose another topic", spec.topic);
            return Err(TopicError::new(Kind::Denied, message));
        }
        if self.sources.reads(&spec.topic) && !spec.allow_source_topic {
            let message = format!(
                "this agent counts the events of topic {}; choose another topic, or set allow_source_topic",
                spec.topic
            );
            return Err(TopicError::new(Kind::Precondition, message));
        }
        Ok(())
    }

    /// Eight hexadecimal digits that no earlier test of any agent is likely to have.
    fn new_id(&self) -> String {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let text = format!("{} {} {number}", self.env.clock.unix_millis(), std::process::id());
        format!("{:08x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()) as u32)
    }

    fn spawn(&self, test: Arc<Test>, partitions: Vec<TopicPartition>) -> Result<(), TopicError> {
        let work = Work {
            env: self.env.clone(),
            max_rate: self.limits.max_rate,
            max_duration: self.limits.max_duration,
            max_events: self.limits.max_events,
            totals: self.totals.clone(),
            partitions,
        };
        let thread = std::thread::Builder::new().name("load-test".into());
        let spawned = thread.spawn(move || {
            let run = AssertUnwindSafe(|| work.run(&test));
            let end = catch_unwind(run).unwrap_or_else(|_| Err("the load test panicked; the log says where".into()));
            let end =
                end.unwrap_or_else(|error| Snapshot { state: State::Failed, error: Some(error), ..test.snapshot() });
            work.count(&end);
            test.state.send_replace(end);
        });
        spawned.map(drop).map_err(|error| TopicError::new(Kind::Failed, format!("no thread for the test: {error}")))
    }

    /// The test of this id, or the last one; `None` if there was none.
    pub fn get(&self, id: &str) -> Result<Option<Arc<Test>>, TopicError> {
        let last = self.last.lock().clone();
        match last {
            Some(test) if id.is_empty() || test.id == id => Ok(Some(test)),
            None if id.is_empty() => Ok(None),
            _ => {
                let message = format!("there is no load test {id}; only the last one is kept");
                Err(TopicError::new(Kind::Missing, message))
            }
        }
    }

    pub fn totals(&self) -> Totals {
        *self.totals.lock()
    }

    pub fn reset(&self) -> Totals {
        let mut totals = self.totals.lock();
        *totals = Totals { since: self.env.clock.unix_millis(), ..Totals::default() };
        *totals
    }
}

/// What the test's thread needs.
struct Work {
    env: Environment,
    max_rate: u64,
    max_duration: Duration,
    max_events: u64,
    totals: Arc<Mutex<Totals>>,
    partitions: Vec<TopicPartition>,
}

impl Work {
    fn run(&self, test: &Test) -> Result<Snapshot, String> {
        let spec = self.bounded(&test.spec);
        let options = LoadOptions {
            acks: spec.acks.value(),
            compression: spec.compression.value(),
            linger: spec.linger,
            batch_bytes: spec.batch_bytes,
            in_flight: IN_FLIGHT,
        };
        let before = match spec.verify {
            true => Some(Before::look(&self.env.kafka, self.partitions.clone())?),
            false => None,
        };
        let mut producer = LoadProducer::create(&self.env.kafka, &spec.topic, &options).map_err(|e| e.to_string())?;
        producer.prepare(&spec.topic, PREPARE).map_err(|error| {
            format!("no broker tells of the topic: {}", producer.last_error().unwrap_or_else(|| error.to_string()))
        })?;
        let context = RunContext {
            clock: &self.env.clock,
            metrics: &self.env.metrics,
            stop: &test.stop,
            tell: &test.state,
            max_rate: self.max_rate,
        };
        let Outcome { mut snapshot, ledger } = run::run(&spec, &test.id, &mut producer, &context)?;
        drop(producer);
        if snapshot.state == State::Running {
            snapshot.state = State::Done;
        }
        if let (Some(before), Some(ledger)) = (before, ledger) {
            test.state.send_replace(Snapshot { state: State::Verifying, ..snapshot.clone() });
            let found = before.verify(&self.env.kafka, &test.id, ledger, &self.env.clock, &test.stop);
            match found {
                Ok(found) => snapshot.verification = Some(found),
                Err(error) => (snapshot.state, snapshot.error) = (State::Failed, Some(error)),
            }
        }
        Ok(snapshot)
    }

    /// The test with an end on both sides: as fast as it can must not be longer than allowed.
    fn bounded(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        spec.duration = Some(spec.duration.unwrap_or(self.max_duration).min(self.max_duration));
        spec.events = Some(spec.events.unwrap_or(self.max_events).min(self.max_events));
        spec
    }

    fn count(&self, end: &Snapshot) {
        let mut totals = self.totals.lock();
        totals.tests += 1;
        totals.sent += end.sent;
        totals.acknowledged += end.acknowledged;
        totals.failed += end.failed;
    }
}
