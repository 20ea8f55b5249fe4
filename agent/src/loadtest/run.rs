//! The loop: what is due is handed over, reports are taken while nothing is due, and every event's latency counts from
//! the moment it was due: whatever holds the loop up is in the latency of all that had to wait.

use super::ledger::Ledger;
use super::payload::Payloads;
use super::report::{Latency, Snapshot, State};
use super::spec::Spec;
use super::tag;
use crate::clock::{BootTime, Clock};
use crate::generate::{Pace, Rate};
use crate::kafka::load_producer::{LoadBatch, LoadProducer, Report};
use crate::kafka::why_unwritten;
use crate::telemetry::Metrics;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Events handed over at once: a fraction of a millisecond's work, so that reports are taken in time.
const BATCH: usize = 256;
/// A signal to stop is seen within it.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// How often the test's state is told.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Latencies from 1 µs to 18 minutes with three digits.
const LARGEST_LATENCY: u64 = 1 << 30;

/// What the loop needs from outside.
pub struct RunContext<'a> {
    pub clock: &'a Clock,
    pub metrics: &'a Metrics,
    /// 1: stop sending; 2: stop waiting for reports, too.
    pub stop: &'a AtomicU8,
    pub tell: &'a watch::Sender<Snapshot>,
    /// Never faster than this.
    pub max_rate: u64,
}

/// What the test came to, before anything is verified.
pub struct Outcome {
    pub snapshot: Snapshot,
    pub ledger: Option<Ledger>,
}

pub fn run(spec: &Spec, id: &str, producer: &mut LoadProducer, context: &RunContext<'_>) -> Result<Outcome, String> {
    let histogram = Histogram::new_with_bounds(1, LARGEST_LATENCY, 3).map_err(|error| error.to_string())?;
    let mut line = Line {
        spec,
        context,
        producer,
        payloads: Payloads::new(id, spec.event_bytes),
        pace: Rate::steady(spec.rate.unwrap_or(context.max_rate)),
        due: spec.rate.map(Rate::steady),
        start: context.clock.boot_time(),
        batch: LoadBatch::default(),
        key: Vec::new(),
        count: Count::new(histogram, spec.verify),
        sent: 0,
        told: Duration::ZERO,
    };
    let sending = line.send();
    line.wait();
    let mut snapshot = line.snapshot();
    snapshot.elapsed = line.count.last;
    if context.stop.load(Ordering::Relaxed) > 0 {
        snapshot.state = State::Cancelled;
    }
    if let Err(error) = sending {
        snapshot.state = State::Failed;
        snapshot.error = Some(error);
    }
    Ok(Outcome { snapshot, ledger: line.count.ledger })
}

struct Line<'a> {
    spec: &'a Spec,
    context: &'a RunContext<'a>,
    producer: &'a mut LoadProducer,
    payloads: Payloads,
    /// When to send.
    pace: Rate,
    /// From when latency counts; `None`: from when an event is handed over.
    due: Option<Rate>,
    start: BootTime,
    batch: LoadBatch,
    key: Vec<u8>,
    count: Count,
    sent: u64,
    told: Duration,
}

/// What the reports said.
struct Count {
    acknowledged: u64,
    failed: u64,
    error: Option<String>,
    /// When the last one came.
    last: Duration,
    histogram: Histogram<u64>,
    ledger: Option<Ledger>,
}

impl Line<'_> {
    /// Sends until the end of the test or a signal.
    fn send(&mut self) -> Result<(), String> {
        let planned = self.spec.planned().unwrap_or(u64::MAX);
        loop {
            let now = self.elapsed();
            self.tell(now);
            let over = self.spec.rate.is_none() && self.spec.duration.is_some_and(|duration| now >= duration);
            if self.sent >= planned || over || self.context.stop.load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
            match (self.pace.pace(self.sent, now), self.producer.room()) {
                (Pace::Send(_), 0) => self.poll(Duration::from_millis(1)),
                (Pace::Send(due), room) => {
                    let count = due.min(planned - self.sent).min(BATCH.min(room) as u64);
                    self.fill(count, now);
                    self.hand_over()?;
                    self.poll(Duration::ZERO);
                }
                (Pace::Sleep(time), _) => self.poll(time.min(LONGEST_WAIT)),
            }
        }
    }

    /// Makes the next events.
    fn fill(&mut self, count: u64, now: Duration) {
        self.batch.clear();
        let millis = self.context.clock.unix_millis();
        for number in self.sent..self.sent + count {
            let from = self.due.and_then(|due| due.due(number)).unwrap_or(now);
            if self.spec.keys > 0 {
                write_key(number, self.spec.keys, &mut self.key);
            }
            let payloads = &self.payloads;
            self.batch.push(tag::pack(number, from), &self.key, |out| payloads.write(number, millis, out));
        }
    }

    /// Gives them to the producer, all of them, however long its queue is full.
    fn hand_over(&mut self) -> Result<(), String> {
        let mut taken = 0;
        loop {
            taken += self.producer.send(&mut self.batch, taken).map_err(|error| error.to_string())?;
            if taken == self.batch.len() {
                break;
            }
            self.poll(Duration::from_millis(1));
            if self.context.stop.load(Ordering::Relaxed) > 0 {
                break;
            }
        }
        self.sent += taken as u64;
        Ok(())
    }

    /// Takes what reports there are.
    fn poll(&mut self, wait: Duration) {
        let (count, clock, start, metrics) = (&mut self.count, self.context.clock, self.start, self.context.metrics);
        let topic = &self.spec.topic;
        let mut now = None;
        self.producer.poll(wait, |report| {
            // One look at the clock for all that came at once.
            let now = *now.get_or_insert_with(|| clock.boot_time().since(start));
            count.take(report, topic, now, metrics);
        });
    }

    /// Waits for the reports that are still out.
    fn wait(&mut self) {
        let mut gave_up = false;
        while self.producer.in_flight() > 0 {
            self.poll(LONGEST_WAIT);
            self.tell(self.elapsed());
            if !gave_up && self.context.stop.load(Ordering::Relaxed) > 1 {
                self.producer.give_up();
                gave_up = true;
            }
        }
    }

    fn elapsed(&self) -> Duration {
        self.context.clock.boot_time().since(self.start)
    }

    fn tell(&mut self, now: Duration) {
        if now >= self.told + TELL_EVERY {
            self.told = now;
            self.context.tell.send_replace(Snapshot { elapsed: now, ..self.snapshot() });
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: State::Running,
            sent: self.sent,
            acknowledged: self.count.acknowledged,
            failed: self.count.failed,
            latency: Latency::of(&self.count.histogram),
            error: self.count.error.clone(),
            ..Snapshot::new(self.spec.event_bytes)
        }
    }
}

impl Count {
    fn new(histogram: Histogram<u64>, verify: bool) -> Count {
        let ledger = verify.then(Ledger::default);
        Count { acknowledged: 0, failed: 0, error: None, last: Duration::ZERO, histogram, ledger }
    }

    fn take(&mut self, report: Report, topic: &str, now: Duration, metrics: &Metrics) {
        self.last = now;
        if let Err(code) = report.result {
            self.failed += 1;
            self.error.get_or_insert_with(|| why_unwritten(code, topic));
            metrics.not_produced();
            return;
        }
        self.acknowledged += 1;
        let micros = tag::micros_until(report.tag, now);
        self.histogram.saturating_record(micros.max(1));
        metrics.produced(Duration::from_micros(micros));
        if let Some(ledger) = &mut self.ledger {
            ledger.acknowledged(tag::number(report.tag));
        }
    }
}

/// `key-0000000017`: numbers spread over the keys without a pattern.
fn write_key(number: u64, keys: u32, out: &mut Vec<u8>) {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let mut key = (spread * u64::from(keys)) >> 32;
    out.clear();
    out.extend_from_slice(b"key-0000000000");
    for digit in out[4..].iter_mut().rev() {
        *digit = b'0' + (key % 10) as u8;
        key /= 10;
    }
}
