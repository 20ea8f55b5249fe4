//! Topics that take nothing, because they are not there or may not be written to: their events wait on disk, and hold up no
//! others.

use super::super::inbox::{Outcome, size};
use super::{Delivery, FromSpool, Sent};
use crate::clock::BootTime;
use crate::kafka::sender::Sender;
use std::time::Duration;

/// How often an event of each of them is tried.
const EVERY: Duration = Duration::from_secs(5);

impl Delivery {
    /// Has an event wait for its topic. If there are too many that do, it is tried again like any other.
    pub(super) fn park(&mut self, from: FromSpool, tag: u64, now: BootTime) {
        let bytes = size(&from.content);
        if self.parked_bytes + bytes > Sender::room().1 {
            return self.try_again(Sent::Spool(from), tag, now);
        }
        self.told.remove(&from.number).into_iter().for_each(|told| drop(told.send(Outcome::Spooled)));
        self.parked_bytes += bytes;
        self.parked.insert(from.number, from);
    }

    /// Tries one event of each such topic, now and then.
    pub(super) fn probe(&mut self, now: BootTime) {
        if now < self.probe_at {
            return;
        }
        self.probe_at = now.after(EVERY);
        for topic in self.parts.stats.absent() {
            let first = self.parked.iter().find(|(_, from)| *from.content.topic == *topic).map(|(number, _)| *number);
            match first {
                Some(number) => self.unpark(number),
                // Nothing would be tried: the next one that is handed in is.
                None => self.parts.stats.set_absent(&topic, false),
            }
        }
    }

    /// The topic takes events: those that waited for it are sent.
    pub(super) fn is_back(&mut self, topic: &str) {
        self.parts.stats.set_absent(topic, false);
        tracing::info!("ingest: topic {topic} takes events");
        let its = self.parked.iter().filter(|(_, from)| *from.content.topic == *topic);
        let its: Vec<_> = its.map(|(number, _)| *number).collect();
        its.into_iter().for_each(|number| self.unpark(number));
    }

    fn unpark(&mut self, number: u64) {
        if let Some(from) = self.parked.remove(&number) {
            self.parked_bytes -= size(&from.content);
            self.again.insert(number, from);
        }
    }

    /// Whether something that is on disk has to be sent before what comes now.
    pub(super) fn is_behind(&self) -> bool {
        self.parts.spool.records() > self.parked.len() as u64
    }
}
