//! What the front door has done so far: for its metrics and its health page.

use super::breaker::State;
use crate::telemetry::{Durations, Metrics, ToLabel, TopicLabel};
use prometheus_client::metrics::counter::Counter;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Why an event is not accepted.
pub const INVALID: &str = "invalid";
pub const TOO_LARGE: &str = "too_large";
pub const FULL: &str = "full";
pub const FAILED: &str = "failed";
/// Trouble with the spool.
pub const SPOOL_FULL: &str = "full";
pub const WRITE: &str = "write";
pub const READ: &str = "read";
pub const DAMAGED: &str = "damaged";

pub struct Stats {
    pub metrics: Arc<Metrics>,
    topics: HashMap<String, OfTopic>,
    sent: AtomicU64,
    failed: AtomicU64,
    /// Of all that were sent, microseconds.
    took: AtomicU64,
    /// Neither the spool nor the memory behind it takes any more.
    full: AtomicBool,
}

/// The metrics of a topic, looked up once.
#[derive(Clone)]
struct OfTopic {
    accepted: Counter,
    delivered: Counter,
    failed: Counter,
    resent: Counter,
    took: Durations,
}

impl OfTopic {
    fn of(metrics: &Metrics, topic: &str) -> OfTopic {
        let (label, metrics) = (TopicLabel { topic: topic.to_owned() }, &metrics.ingest);
        OfTopic {
            accepted: metrics.accepted.get_or_create_owned(&label),
            delivered: metrics.delivered.get_or_create_owned(&label),
            failed: metrics.failed.get_or_create_owned(&label),
            resent: metrics.resent.get_or_create_owned(&label),
            took: metrics.delivery_duration.get_or_create_owned(&label),
        }
    }
}

impl Stats {
    pub fn new(metrics: Arc<Metrics>, topics: &[&str]) -> Stats {
        metrics.ingest.may_happen(&[INVALID, TOO_LARGE, FULL, FAILED], &[SPOOL_FULL, WRITE, READ, DAMAGED]);
        Stats {
            topics: topics.iter().map(|topic| ((*topic).to_owned(), OfTopic::of(&metrics, topic))).collect(),
            metrics,
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            took: AtomicU64::new(0),
            full: AtomicBool::new(false),
        }
    }

    fn of(&self, topic: &str) -> OfTopic {
        // The spool may hold events for a topic that the config no longer has.
        self.topics.get(topic).cloned().unwrap_or_else(|| OfTopic::of(&self.metrics, topic))
    }

    pub fn accepted(&self, topic: &str, events: u64) {
        self.of(topic).accepted.inc_by(events);
    }

    /// The brokers have acknowledged an event, so long after it was accepted.
    pub fn delivered(&self, topic: &str, took: Duration) {
        let of = self.of(topic);
        of.delivered.inc();
        of.took.observe(took.as_secs_f64());
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.took.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    /// The brokers will never take an event.
    pub fn failed(&self, topic: &str) {
        self.of(topic).failed.inc();
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// An event is to be sent once more.
    pub fn resent(&self, topic: &str) {
        self.of(topic).resent.inc();
    }

    pub fn circuit(&self, state: State) {
        self.metrics.ingest.circuit_state.set(state.number());
        self.metrics.ingest.circuit_transitions.get_or_create(&ToLabel { to: state.name() }).inc();
    }

    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Events sent and failed, and what one took on average, milliseconds.
    pub fn totals(&self) -> (u64, u64, f64) {
        let (sent, took) = (self.sent.load(Ordering::Relaxed), self.took.load(Ordering::Relaxed));
        let average = if sent == 0 { 0.0 } else { took as f64 / sent as f64 / 1e3 };
        (sent, self.failed.load(Ordering::Relaxed), (average * 1e3).round() / 1e3)
    }
}
