//! What the front door has done so far: for its metrics and its health page.

use super::breaker::State;
use crate::telemetry::{Durations, Metrics, ToLabel, TopicLabel};
use hdrhistogram::Histogram;
use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::counter::Counter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Why an event is not accepted.
pub const INVALID: &str = "invalid";
pub const TOO_LARGE: &str = "too_large";
pub const FULL: &str = "full";
pub const NO_TOPIC: &str = "no_topic";
pub const FAILED: &str = "failed";
/// Trouble with the spool.
pub const SPOOL_FULL: &str = "full";
pub const WRITE: &str = "write";
pub const READ: &str = "read";
pub const DAMAGED: &str = "damaged";

pub struct Stats {
    pub metrics: Arc<Metrics>,
    topics: BTreeMap<String, OfTopic>,
    state: Mutex<State>,
    /// Neither the spool nor the memory behind it takes any more.
    full: AtomicBool,
    /// Topics that take nothing: they are not there, or may not be written to.
    absent: RwLock<BTreeSet<String>>,
}

/// The metrics of a topic, looked up once.
struct OfTopic {
    accepted: Counter,
    delivered: Counter,
    failed: Counter,
    resent: Counter,
    took: Durations,
    /// The same in microseconds, finer; of topics of the config.
    times: Option<Mutex<Histogram<u64>>>,
}

/// How the front door is, for `GetStatus`.
#[derive(Clone, Debug)]
pub struct Status {
    pub circuit: &'static str,
    pub queued: u64,
    pub processing: u64,
    pub buffer_bytes: u64,
    pub spooled: u64,
    pub spool_bytes: u64,
    pub spool_age: Duration,
    pub topics: Vec<TopicStatus>,
}

#[derive(Clone, Debug)]
pub struct TopicStatus {
    pub topic: String,
    pub accepted: u64,
    pub completed: u64,
    pub failed: u64,
    /// Average and 99 % of the times from acceptance to acknowledgement.
    pub times: Option<(Duration, Duration)>,
}

impl OfTopic {
    fn of(metrics: &Metrics, topic: &str) -> OfTopic {
        let (label, metrics) = (TopicLabel { topic: topic.to_owned() }, metrics);
        OfTopic {
            accepted: metrics.ingest_accepted.get_or_create_owned(&label),
            delivered: metrics.ingest_delivered.get_or_create_owned(&label),
            failed: metrics.ingest_failed.get_or_create_owned(&label),
            resent: metrics.ingest_resent.get_or_create_owned(&label),
            took: metrics.ingest_delivery_duration.get_or_create_owned(&label),
            times: None,
        }
    }
}

impl Stats {
    /// # Errors
    /// If there is no memory for histograms.
    pub fn new(metrics: Arc<Metrics>, topics: &[&str]) -> Result<Stats, String> {
        metrics.ingest_may_happen(&[INVALID, TOO_LARGE, FULL, NO_TOPIC, FAILED], &[SPOOL_FULL, WRITE, READ, DAMAGED]);
        let mut known = BTreeMap::new();
        for topic in topics {
            // From a microsecond to a day, to two digits.
            let times = Histogram::new_with_bounds(1, 86_400_000_000, 2).map_err(|error| error.to_string())?;
            let of = OfTopic { times: Some(Mutex::new(times)), ..OfTopic::of(&metrics, topic) };
            known.insert((*topic).to_owned(), of);
        }
        Ok(Stats {
            metrics,
            topics: known,
            state: Mutex::new(State::Closed),
            full: AtomicBool::new(false),
            absent: RwLock::default(),
        })
    }

    fn of<T>(&self, topic: &str, count: impl FnOnce(&OfTopic) -> T) -> T {
        match self.topics.get(topic) {
            Some(of) => count(of),
            // The spool may hold events for a topic that the config no longer has.
            None => count(&OfTopic::of(&self.metrics, topic)),
        }
    }

    pub fn accepted(&self, topic: &str, events: u64) {
        self.of(topic, |of| of.accepted.inc_by(events));
    }

    /// The brokers have acknowledged an event, so long after it was accepted.
    pub fn delivered(&self, topic: &str, took: Duration) {
        self.of(topic, |of| {
            of.delivered.inc();
            of.took.observe(took.as_secs_f64());
            of.times.iter().for_each(|times| times.lock().saturating_record(took.as_micros() as u64));
        });
    }

    /// The brokers will never take an event.
    pub fn failed(&self, topic: &str) {
        self.of(topic, |of| of.failed.inc());
    }

    /// An event is to be sent once more.
    pub fn resent(&self, topic: &str) {
        self.of(topic, |of| of.resent.inc());
    }

    pub fn circuit(&self, state: State) {
        *self.state.lock() = state;
        self.metrics.ingest_circuit_state.set(state.number());
        self.metrics.ingest_circuit_transitions.get_or_create(&ToLabel { to: state.name() }).inc();
    }

    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Whether this topic takes nothing at the moment.
    pub fn is_absent(&self, topic: &str) -> bool {
        self.absent.read().contains(topic)
    }

    pub fn set_absent(&self, topic: &str, absent: bool) {
        let mut all = self.absent.write();
        match absent {
            true => drop(all.insert(topic.to_owned())),
            false => drop(all.remove(topic)),
        }
    }

    /// Those that take nothing.
    pub fn absent(&self) -> Vec<String> {
        self.absent.read().iter().cloned().collect()
    }

    /// Events sent and failed, and what one took on average, milliseconds.
    pub fn totals(&self) -> (u64, u64, f64) {
        let (mut sent, mut failed, mut took) = (0, 0, 0.0);
        for of in self.topics.values() {
            sent += of.delivered.get();
            failed += of.failed.get();
            took +=
                of.times.iter().map(|times| times.lock()).map(|times| times.mean() * times.len() as f64).sum::<f64>();
        }
        let average = if sent == 0 { 0.0 } else { took / sent as f64 / 1e3 };
        (sent, failed, (average * 1e3).round() / 1e3)
    }

    pub fn status(&self) -> Status {
        let metrics = &self.metrics;
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        let topics = self.topics.iter().map(|(topic, of)| {
            let shown = |micros: f64| Duration::from_secs_f64(micros / 1e6);
            let times = of.times.as_ref().map(|times| times.lock()).filter(|times| !times.is_empty());
            TopicStatus {
                topic: topic.clone(),
                accepted: of.accepted.get(),
                completed: of.delivered.get(),
                failed: of.failed.get(),
                times: times.map(|times| (shown(times.mean()), shown(times.value_at_quantile(0.99) as f64))),
            }
        });
        Status {
            circuit: self.state.lock().name(),
            queued: number(metrics.ingest_queued_events.get()),
            processing: number(metrics.ingest_processing_events.get()),
            buffer_bytes: number(metrics.ingest_buffer_bytes.get()),
            spooled: number(metrics.ingest_spool_events.get()),
            spool_bytes: number(metrics.ingest_spool_bytes.get()),
            spool_age: Duration::from_secs_f64(metrics.ingest_spool_age.get().max(0.0)),
            topics: topics.collect(),
        }
    }
}
