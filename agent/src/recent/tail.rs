//! Events as they are written: a reader of its own for each that listens.

use super::condition::Condition;
use super::error::RecentError;
use super::reading::{ends_of, kafka, newest, passes, unread};
use super::showing::{Event, Showing};
use crate::clock::BootTime;
use crate::env::Environment;
use crate::kafka::{Batch, PartitionReader, TopicPartition};
use crate::stop::Stop;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two messages, at least; a reader waits no longer for the next record.
const PACE: Duration = Duration::from_millis(100);
/// Without events, a word that all is well this often.
const HEARTBEAT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
const BATCH: usize = 1_000;

/// Which events.
#[derive(Clone, Debug)]
pub struct TailRequest {
    /// Empty: the only source that shows some.
    pub source: String,
    pub conditions: Vec<Condition>,
    /// This share of the events for which the conditions hold, above 0 and up to 1.
    pub sample: f64,
    /// At most this many a second.
    pub per_second: u64,
    /// Begin with the newest events that are there, this many.
    pub last: usize,
}

/// What is told at a time; without events, that all is well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Oldest first.
    pub events: Vec<Event>,
    /// Events that are not here although the conditions hold for them: more came than were asked for, or than were taken.
    pub skipped: u64,
}

/// Reads on and tells.
pub struct Tail {
    reader: PartitionReader,
    showing: Showing,
    env: Environment,
    stop: Stop,
    sender: mpsc::Sender<Result<Heard, RecentError>>,
    sample: f64,
    per_second: u64,
    waiting: Heard,
    told_at: BootTime,
    /// Told in the second that began then.
    this_second: (BootTime, u64),
}

impl Tail {
    /// Tells the newest events first.
    ///
    /// # Errors
    /// If Kafka does not answer.
    pub fn begin(
        mut reader: PartitionReader,
        places: &[TopicPartition],
        mut showing: Showing,
        request: &TailRequest,
        (env, stop): (Environment, Stop),
        sender: mpsc::Sender<Result<Heard, RecentError>>,
    ) -> Result<Tail, RecentError> {
        let ends = ends_of(&mut reader, places)?;
        let mut waiting = Heard::default();
        if request.last > 0 {
            let mut page = newest(&mut reader, &env.clock, &mut showing, ends.clone(), request.last)?;
            page.events.truncate(request.last);
            page.events.reverse();
            waiting.events = page.events;
        }
        reader.assign(&ends).map_err(|error| kafka(&reader, &error, &[]))?;
        let now = env.clock.boot_time();
        // Whoever listens learns at once that they do.
        let _ = sender.blocking_send(Ok(std::mem::take(&mut waiting)));
        let (sample, per_second) = (request.sample, request.per_second);
        Ok(Tail {
            reader,
            showing,
            env,
            stop,
            sender,
            sample,
            per_second,
            waiting,
            told_at: now,
            this_second: (now, 0),
        })
    }

    /// Runs until nobody listens, or the agent stops.
    ///
    /// # Errors
    /// If the records cannot be read any more.
    pub fn run(mut self) -> Result<(), RecentError> {
        let mut batch = Batch::default();
        let mut read = 0;
        while !self.sender.is_closed() {
            if self.stop.is_requested() {
                return Err(RecentError::Stopping);
            }
            self.read(&mut batch)?;
            let records = self.showing.counts.records;
            self.env.metrics.recent_records_read(records - std::mem::replace(&mut read, records));
            self.tell();
        }
        Ok(())
    }

    fn read(&mut self, batch: &mut Batch) -> Result<(), RecentError> {
        let Tail { reader, showing, env, waiting, this_second, .. } = self;
        let (sample, per_second) = (self.sample, self.per_second);
        let now = env.clock.boot_time();
        if now.since(this_second.0) >= SECOND {
            *this_second = (now, 0);
        }
        for record in reader.read_batch(PACE, BATCH, batch) {
            match record.error() {
                None => {}
                Some(code) if passes(code) => continue,
                Some(code) => return Err(unread(code, record.topic())),
            }
            let mut index = 0;
            showing.record(&record, |event| {
                index += 1;
                if !is_in_sample(&event, index, sample) {
                    return;
                }
                if this_second.1 < per_second {
                    this_second.1 += 1;
                    waiting.events.push(event);
                } else {
                    waiting.skipped += 1;
                }
            });
        }
        Ok(())
    }

    fn tell(&mut self) {
        let now = self.env.clock.boot_time();
        let quiet = now.since(self.told_at);
        let is_news = self.waiting != Heard::default();
        if quiet < PACE || (!is_news && quiet < HEARTBEAT) {
            return;
        }
        self.told_at = now;
        let heard = std::mem::take(&mut self.waiting);
        if let Err(mpsc::error::TrySendError::Full(Ok(untaken))) = self.sender.try_send(Ok(heard)) {
            // Whoever reads slowly gets what comes then, and is told what came in between.
            self.waiting.skipped = untaken.skipped + untaken.events.len() as u64;
        }
    }
}

/// The same events for everybody who asks for the same share, at any agent.
fn is_in_sample(event: &Event, index: u64, share: f64) -> bool {
    if share >= 1.0 {
        return true;
    }
    let mut place = event.topic.as_bytes().to_vec();
    place.extend(event.partition.to_le_bytes());
    place.extend(event.offset.to_le_bytes());
    place.extend(index.to_le_bytes());
    (xxhash_rust::xxh3::xxh3_64(&place) as f64) < share * u64::MAX as f64
}
