//! What is in memory goes to the disk.

use super::super::breaker::State;
use super::super::inbox::{Entry, Outcome};
use super::super::record;
use super::super::stats::{SPOOL_FULL, WRITE};
use super::{Delivery, Sent};
use crate::clock::BootTime;
use crate::spool::{AppendError, Record};
use std::collections::BTreeMap;
use std::time::Duration;

/// Pause after the disk has failed.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// Bytes and events that are written and synced at once.
const GROUP_BYTES: usize = 8 << 20;
const GROUP_EVENTS: usize = 10_000;

impl Delivery {
    /// Moves to the spool what has to be there.
    pub(super) fn store(&mut self, now: BootTime) {
        // What was sent before may fail, and has to stand before what came later.
        let must = self.is_spooling() || self.is_behind() || !self.failed.is_empty();
        if self.out_of_memory > 0 || now < self.disk_at {
            return;
        }
        if !must || (self.waiting.is_empty() && self.failed.is_empty()) {
            return self.parts.stats.set_full(must && self.parts.spool.room() < self.parts.config.event_bytes as u64);
        }
        self.failed_first();
        while !self.waiting.is_empty() {
            match self.store_group(false) {
                Ok(()) => self.parts.stats.set_full(false),
                Err(error) => return self.not_stored(&error, now),
            }
        }
    }

    fn failed_first(&mut self) {
        for entry in std::mem::take(&mut self.failed).into_values().rev() {
            self.parts.stats.resent(&entry.content.topic);
            self.waiting.push_front(entry);
        }
    }

    /// Writes a group of what waits, and tells those who wait for the disk.
    fn store_group(&mut self, anyway: bool) -> Result<(), AppendError> {
        let room = if anyway { usize::MAX } else { usize::try_from(self.parts.spool.room()).unwrap_or(usize::MAX) };
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += record::bound(&entry.content);
            bytes <= room.min(GROUP_BYTES) || (bytes <= room && bytes == record::bound(&entry.content))
        };
        let group = self.waiting.iter().take(GROUP_EVENTS).take_while(fits).count();
        if group == 0 {
            return Err(AppendError::Full);
        }
        let of = |entry: &Entry| (entry.arrived.unix_millis, record::encode(&entry.content));
        let encoded: Vec<_> = self.waiting.iter().take(group).map(of).collect();
        let records: Vec<_> = encoded.iter().map(|(time, bytes)| Record { time: *time, bytes }).collect();
        let spool = &mut self.parts.spool;
        let first = if anyway { spool.append_anyway(&records) } else { spool.append(&records) }?;
        for (number, mut entry) in (first..).zip(self.waiting.drain(..group)) {
            match entry.told.take() {
                Some(told) if entry.urgent && !entry.failed && self.shown == State::Closed => {
                    self.told.insert(number, told);
                }
                Some(told) => drop(told.send(Outcome::Spooled)),
                None => {}
            }
        }
        Ok(())
    }

    /// Those who wait for the disk are told so; what was acknowledged already stays in memory.
    fn not_stored(&mut self, error: &AppendError, now: BootTime) {
        let reason = match error {
            AppendError::Full => SPOOL_FULL,
            AppendError::Io(_) => {
                self.disk_at = now.after(DISK_PAUSE);
                WRITE
            }
        };
        self.parts.stats.set_full(true);
        self.parts.stats.metrics.ingest_spool_error(reason, 1);
        self.say(|| error.to_string());
        let outcome = Outcome::NoRoom(format!("{error}; send it again later"));
        self.waiting.retain_mut(|entry| {
            let acknowledged = entry.told.is_none();
            entry.tell(outcome.clone());
            acknowledged
        });
    }

    /// The last of it: what is in memory goes to the disk, whatever its limit is.
    pub(super) fn end(&mut self) {
        self.parts.inbox.wakes(None);
        let left = self.out.drain().collect::<BTreeMap<_, _>>();
        for (tag, sent) in left {
            if let Sent::Memory(entry) = sent {
                self.failed.insert(tag, entry);
            }
        }
        self.failed_first();
        while !self.waiting.is_empty() {
            if let Err(error) = self.store_group(true) {
                let lost = self.waiting.iter().filter(|entry| entry.told.is_none()).count();
                tracing::error!("ingest: {lost} accepted events are lost, because {error}");
                break;
            }
        }
        self.told.drain().for_each(|(_, told)| drop(told.send(Outcome::Spooled)));
        self.out_of_memory = 0;
        self.tick(self.now());
    }
}
