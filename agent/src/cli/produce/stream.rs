//! The sending loop: paced, patient when the queue is full, and done only when every event has its report.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::KeyBy;
use super::report::{Progress, Sent};
use crate::clock::Clock;
use crate::generate::{Event, EventTime, Generator, Pace, Rate};
use crate::kafka::event_producer::{EventProducer, ProduceError};

/// The longest sleep: a signal is answered within it.
const MAX_SLEEP: Duration = Duration::from_millis(100);

/// What to send, and when to stop.
pub(super) struct Plan {
    pub topic: String,
    pub key: KeyBy,
    pub rate: Rate,
    /// The producer's time at which event 0 is due.
    pub start: Duration,
    /// Stop after this many events.
    pub count: Option<u64>,
    /// Stop after this time.
    pub until: Option<Duration>,
    pub generator: Generator,
    pub event_time: EventTime,
    /// Date events by the clock when they are sent, not by schedule.
    pub by_clock: bool,
}

impl Plan {
    fn event(&self, n: u64, clock: &Clock) -> Event {
        let time = match self.by_clock {
            true => self.event_time.dated_back(n, clock.unix_millis()),
            false => self.event_time.at(n),
        };
        self.generator.event(n, time)
    }

    fn is_over(&self, sent: u64, elapsed: Duration) -> bool {
        self.count.is_some_and(|count| sent >= count) || self.until.is_some_and(|until| elapsed >= until)
    }
}

/// Sends the plan's events and waits for their reports. One signal stops the sending, a second one the waiting.
pub(super) fn send(
    plan: &Plan,
    producer: &EventProducer,
    clock: &Clock,
    signals: &AtomicU8,
    progress: &mut Progress,
) -> Sent {
    let mut line = Line { plan, producer, clock, signals, sent: 0, key: Vec::new(), value: Vec::with_capacity(256) };
    let error = line.run(progress).err();
    while producer.outstanding() > 0 && signals.load(Ordering::Relaxed) < 2 {
        progress.show(line.sent, line.elapsed(), producer);
        std::thread::sleep(Duration::from_millis(2));
    }
    Sent { events: line.sent, started: plan.start, error }
}

/// Hands events to the producer, through buffers that are used again.
struct Line<'a> {
    plan: &'a Plan,
    producer: &'a EventProducer,
    clock: &'a Clock,
    signals: &'a AtomicU8,
    sent: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Line<'_> {
    /// Sends until the plan is fulfilled or a signal comes.
    fn run(&mut self, progress: &mut Progress) -> Result<(), ProduceError> {
        loop {
            let elapsed = self.elapsed();
            progress.show(self.sent, elapsed, self.producer);
            if self.is_stopped() || self.plan.is_over(self.sent, elapsed) {
                return Ok(());
            }
            match self.plan.rate.pace(self.sent, elapsed) {
                Pace::Send(due) => self.burst(due.min(self.plan.count.map_or(u64::MAX, |count| count - self.sent)))?,
                Pace::Sleep(time) => std::thread::sleep(time.min(MAX_SLEEP)),
            }
        }
    }

    /// Sends the next `count` events, or fewer if a signal comes while the queue is full.
    fn burst(&mut self, count: u64) -> Result<(), ProduceError> {
        for _ in 0..count {
            let event = self.plan.event(self.sent, self.clock);
            if !self.push(&event)? {
                break;
            }
            self.sent += 1;
        }
        Ok(())
    }

    /// Sends the next event, waiting while the queue is full. `false`: a signal came while it waited.
    fn push(&mut self, event: &Event) -> Result<bool, ProduceError> {
        event.write_json(&mut self.value);
        let key = match self.plan.key {
            KeyBy::Endpoint => Some(event.endpoint.as_bytes()),
            KeyBy::User => {
                event.write_user(&mut self.key);
                Some(&self.key[..])
            }
            KeyBy::None => None,
        };
        // From when it was due: what waits behind a stall has waited, although nobody had called send yet.
        let from = match self.plan.rate.due(self.sent) {
            Some(due) => self.plan.start.saturating_add(due),
            None => self.producer.elapsed(),
        };
        while !self.producer.send(&self.plan.topic, key, &self.value, from)? {
            if self.is_stopped() {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// Time since the plan's start.
    fn elapsed(&self) -> Duration {
        self.producer.elapsed().saturating_sub(self.plan.start)
    }

    fn is_stopped(&self) -> bool {
        self.signals.load(Ordering::Relaxed) > 0
    }
}
