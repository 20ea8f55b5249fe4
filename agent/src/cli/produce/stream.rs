//! The sending loop: paced, patient when there is no room, and done only when every event has its report.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::lines::Next;
use super::outlet::Outlet;
use super::report::{Progress, Sent};
use super::source::{Record, Source};
use crate::clock::Clock;
use crate::generate::{Pace, Rate};

/// The longest sleep: a signal is answered within it.
const MAX_SLEEP: Duration = Duration::from_millis(100);

/// When to send, and when to stop.
pub(super) struct Plan {
    pub rate: Rate,
    /// The outlet's time at which event 0 is due.
    pub start: Duration,
    /// Stop after this many events.
    pub count: Option<u64>,
    /// Stop after this time.
    pub until: Option<Duration>,
}

impl Plan {
    fn is_over(&self, sent: u64, elapsed: Duration) -> bool {
        self.count.is_some_and(|count| sent >= count) || self.until.is_some_and(|until| elapsed >= until)
    }
}

/// Sends what the source has, as the plan says, and waits for the reports. One signal stops the sending, a second one the
/// waiting.
pub(super) fn send(
    plan: &Plan,
    source: &mut Source,
    outlet: &mut Outlet,
    clock: &Clock,
    signals: &AtomicU8,
    progress: &mut Progress,
) -> Sent {
    let mut line = Line { plan, source, outlet, clock, signals, sent: 0, record: Record::default() };
    let mut error = line.run(progress).err();
    while signals.load(Ordering::Relaxed) < 2 {
        match line.outlet.flush(true) {
            Ok(true) if line.outlet.outstanding() == 0 => break,
            Ok(_) => {}
            Err(broken) => {
                error.get_or_insert(broken);
                break;
            }
        }
        progress.show(line.sent, line.elapsed(), line.outlet.counts());
        std::thread::sleep(Duration::from_millis(2));
    }
    Sent { events: line.sent, started: plan.start, error }
}

/// Hands events to the outlet, through buffers that are used again.
struct Line<'a> {
    plan: &'a Plan,
    source: &'a mut Source,
    outlet: &'a mut Outlet,
    clock: &'a Clock,
    signals: &'a AtomicU8,
    sent: u64,
    record: Record,
}

impl Line<'_> {
    /// Sends until the plan is fulfilled, the source has no more, or a signal comes.
    fn run(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        loop {
            let elapsed = self.elapsed();
            progress.show(self.sent, elapsed, self.outlet.counts());
            if self.is_stopped() || self.plan.is_over(self.sent, elapsed) {
                return Ok(());
            }
            match self.plan.rate.pace(self.sent, elapsed) {
                Pace::Send(due) => {
                    match self.burst(due.min(self.plan.count.map_or(u64::MAX, |count| count - self.sent)))? {
                        Next::Event => {}
                        Next::NotYet => self.rest(MAX_SLEEP)?,
                        Next::End => return Ok(()),
                    }
                }
                Pace::Sleep(time) => self.rest(time.min(MAX_SLEEP))?,
            }
        }
    }

    /// Nothing is to be sent for a while: what waits for company goes without it.
    fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        self.outlet.flush(false)?;
        std::thread::sleep(time);
        Ok(())
    }

    /// Sends the next `count` events, or fewer if there are not as many, or a signal comes while there is no room.
    fn burst(&mut self, count: u64) -> anyhow::Result<Next> {
        for _ in 0..count {
            match self.source.next(self.sent, self.clock, &mut self.record)? {
                Next::Event => {}
                other => return Ok(other),
            }
            if !self.push()? {
                break;
            }
            self.sent += 1;
        }
        Ok(Next::Event)
    }

    /// Sends the event, waiting while there is no room. `false`: a signal came while it waited.
    fn push(&mut self) -> anyhow::Result<bool> {
        // From when it was due: what waits behind a stall has waited, although nobody had called send yet.
        let from = match self.plan.rate.due(self.sent) {
            Some(due) => self.plan.start.saturating_add(due),
            None => self.outlet.elapsed(),
        };
        while !self.outlet.send(self.record.key(), &self.record.value, from)? {
            if self.is_stopped() {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// Time since the plan's start.
    fn elapsed(&self) -> Duration {
        self.outlet.elapsed().saturating_sub(self.plan.start)
    }

    fn is_stopped(&self) -> bool {
        self.signals.load(Ordering::Relaxed) > 0
    }
}
