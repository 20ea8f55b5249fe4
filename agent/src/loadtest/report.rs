//! How a test stands, and what it has measured.

use super::ledger::Verification;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Running,
    /// Reading back.
    Verifying,
    Done,
    Cancelled,
    Failed,
}

impl State {
    pub fn has_ended(self) -> bool {
        !matches!(self, State::Running | State::Verifying)
    }
}

/// From when an event was due to its acknowledgement. Seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub mean: f64,
}

impl Latency {
    /// Of a histogram of microseconds; `None` for an empty one.
    pub fn of(histogram: &Histogram<u64>) -> Option<Latency> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
        Some(Latency {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e6,
            mean: histogram.mean() / 1e6,
        })
    }
}

/// A test at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub state: State,
    pub sent: u64,
    pub acknowledged: u64,
    pub failed: u64,
    /// Until now, or until the last report.
    pub elapsed: Duration,
    pub event_bytes: usize,
    pub latency: Option<Latency>,
    pub verification: Option<Verification>,
    /// Why the first event failed, or why the test did.
    pub error: Option<String>,
}

impl Snapshot {
    pub fn new(event_bytes: usize) -> Snapshot {
        Snapshot {
            state: State::Running,
            sent: 0,
            acknowledged: 0,
            failed: 0,
            elapsed: Duration::ZERO,
            event_bytes,
            latency: None,
            verification: None,
            error: None,
        }
    }

    /// Acknowledged events per second.
    pub fn rate(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.acknowledged as f64 / self.elapsed.as_secs_f64() }
    }

    /// Every event was acknowledged, and what was asked to be verified holds.
    pub fn is_good(&self) -> bool {
        self.state == State::Done && self.failed == 0 && self.verification.is_none_or(|found| found.holds())
    }
}
