//! The thread that brings accepted events to Kafka. Three places hold them: memory, the disk, and Kafka's client.
//!
//! While all is well, and `durability: buffered`, events go from memory to the client. When an attempt fails or the breaker
//! opens, what is in memory goes to the spool, and so does all that comes until the spool is empty again: what a source sent
//! first stays first. With `durability: spooled` all events go through the spool at all times.

mod absent;
mod store;

use super::breaker::{Breaker, State, TRIALS};
use super::inbox::{Content, Entry, Inbox, Outcome, SOON, size};
use super::record;
use super::stats::{DAMAGED, READ, Stats, WRITE};
use crate::clock::{BootTime, Clock};
use crate::config::{Durability, Ingest};
use crate::kafka::Settings;
use crate::kafka::load_producer::Report;
use crate::kafka::sender::{Handed, Outbound, Sender, is_hopeless, is_of_topic};
use crate::spool::{Spool, Stored};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often metrics and the spool's cursor follow, and the longest sleep while there is something to do.
const TICK: Duration = Duration::from_millis(100);
/// The longest sleep while there is nothing to do: whoever brings something ends it.
const IDLE: Duration = Duration::from_secs(1);
/// Pause before what the spool holds is sent again after a failure: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often the same trouble is logged.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What the thread needs.
pub struct Parts {
    pub config: Ingest,
    pub settings: Settings,
    pub clock: Clock,
    pub stats: Arc<Stats>,
    pub inbox: Arc<Inbox>,
    pub sender: Sender,
    pub spool: Spool,
}

/// An event that the client has, by where it stays until the brokers have acknowledged it.
enum Sent {
    Memory(Entry),
    Spool(FromSpool),
}

/// An event whose record stays in the spool.
struct FromSpool {
    number: u64,
    /// Unix milliseconds.
    arrived: i64,
    content: Content,
    /// It was refused in a batch, and is tried by itself before it is given up.
    suspect: bool,
}

impl Sent {
    fn content(&self) -> &Content {
        match self {
            Sent::Memory(entry) => &entry.content,
            Sent::Spool(from) => &from.content,
        }
    }
}

/// A client for events of this door.
pub fn create_sender(settings: &Settings, config: &Ingest) -> KafkaResult<Sender> {
    Sender::create(settings, config.delivery_timeout, config.event_bytes)
}

/// The thread's state.
pub struct Delivery {
    parts: Parts,
    breaker: Breaker,
    /// The state that metrics have.
    shown: State,
    /// In memory and not sent.
    waiting: VecDeque<Entry>,
    out: FxHashMap<u64, Sent>,
    out_bytes: usize,
    /// Of `out`, those that stay in memory.
    out_of_memory: usize,
    /// The one that was sent while nothing else was under way, if nothing was sent since.
    alone: Option<u64>,
    /// It is a suspect: nothing is sent until it is reported.
    suspect_out: bool,
    next_tag: u64,
    /// This client has brought something to the brokers. One that has not (they are just starting, say) is given a few events
    /// at a time: a crowd of them that fails in the same moment says no more than one, and would open the breaker.
    proven: bool,
    /// From memory, and failed; in the order in which they were sent.
    failed: BTreeMap<u64, Entry>,
    /// From the spool, and failed; by their numbers.
    again: BTreeMap<u64, FromSpool>,
    /// From the spool, and waiting for their topics; by their numbers.
    parked: BTreeMap<u64, FromSpool>,
    parked_bytes: usize,
    probe_at: BootTime,
    /// Who waits for the brokers to acknowledge a record of the spool.
    told: HashMap<u64, oneshot::Sender<Outcome>>,
    pause: Duration,
    again_at: BootTime,
    disk_at: BootTime,
    ticked: BootTime,
    said: Option<BootTime>,
}

impl Delivery {
    pub fn new(parts: Parts) -> Delivery {
        let now = parts.clock.boot_time();
        Delivery {
            breaker: Breaker::new(parts.config.circuit_open),
            shown: State::Closed,
            waiting: VecDeque::new(),
            out: FxHashMap::default(),
            out_bytes: 0,
            out_of_memory: 0,
            alone: None,
            suspect_out: false,
            next_tag: 0,
            proven: false,
            failed: BTreeMap::new(),
            again: BTreeMap::new(),
            parked: BTreeMap::new(),
            parked_bytes: 0,
            probe_at: now,
            told: HashMap::new(),
            pause: FIRST_PAUSE,
            again_at: now,
            disk_at: now,
            ticked: now,
            said: None,
            parts,
        }
    }

    /// Runs until the inbox is closed and nothing is in memory any more, or the time for that is over.
    pub fn run(mut self) {
        self.parts.inbox.wakes(Some(self.parts.sender.waker()));
        self.tick(self.now());
        loop {
            let (came, ends) = self.parts.inbox.take();
            let longest = if came.is_empty() { IDLE } else { SOON };
            self.waiting.extend(came);
            let now = self.now();
            self.store(now);
            self.feed(now);
            if ends.is_some_and(|ends| self.in_memory() == 0 || now >= ends || self.shown != State::Closed) {
                break;
            }
            self.take_reports(self.wait().min(longest));
            let now = self.now();
            if self.parts.sender.fatal().is_some() {
                self.replace_sender(now);
            }
            if now.since(self.ticked) >= TICK {
                self.tick(now);
            }
        }
        self.end();
    }

    fn now(&self) -> BootTime {
        self.parts.clock.boot_time()
    }

    /// Events that would be gone with the process.
    fn in_memory(&self) -> usize {
        self.waiting.len() + self.out_of_memory + self.failed.len()
    }

    fn wait(&self) -> Duration {
        let idle = self.in_memory() == 0 && self.out.is_empty() && self.parts.spool.is_empty();
        if idle { IDLE } else { TICK }
    }

    fn take_reports(&mut self, wait: Duration) {
        let mut reports = Vec::new();
        self.parts.sender.poll(wait, |report| reports.push(report));
        let now = self.now();
        reports.into_iter().for_each(|report| self.reported(report, now));
    }

    /// Hands over what may be sent now.
    fn feed(&mut self, now: BootTime) {
        let (most, most_bytes) = Sender::room();
        let mut permits = self.breaker.permits(now);
        if !self.proven {
            permits = permits.min(TRIALS.saturating_sub(self.out.len()));
        }
        self.show_breaker(now);
        self.probe(now);
        if self.suspect_out || !self.again.is_empty() && now < self.again_at {
            return;
        }
        while permits > 0 && self.out.len() < most && self.out_bytes < most_bytes {
            let Some(next) = self.next() else { return };
            let suspect = matches!(&next, Sent::Spool(FromSpool { suspect: true, .. }));
            if suspect && !self.out.is_empty() {
                return self.put_back(next);
            }
            let (tag, bytes) = (self.next_tag, size(next.content()));
            self.next_tag += 1;
            match self.hand_over(&next, tag) {
                Handed::Taken => {
                    self.breaker.began();
                    self.out_bytes += bytes;
                    self.out_of_memory += usize::from(matches!(next, Sent::Memory(_)));
                    self.alone = self.out.is_empty().then_some(tag);
                    self.out.insert(tag, next);
                    self.suspect_out = suspect;
                    if suspect {
                        return;
                    }
                }
                Handed::Full => return self.put_back(next),
                Handed::Refused(code) => {
                    self.breaker.began();
                    // The client has looked at this one by itself.
                    self.settle(next, tag, Err(code), true, now);
                    if !self.again.is_empty() || !self.failed.is_empty() {
                        return;
                    }
                }
            }
            permits -= 1;
        }
    }

    /// The event whose turn it is.
    fn next(&mut self) -> Option<Sent> {
        if let Some((_, first)) = self.again.pop_first() {
            self.parts.stats.resent(&first.content.topic);
            return Some(Sent::Spool(first));
        }
        loop {
            let mut damaged = 0;
            let read = self.parts.spool.read(&mut damaged);
            if damaged > 0 {
                self.parts.stats.metrics.ingest_spool_error(DAMAGED, damaged);
                tracing::error!("ingest: {damaged} events in the spool are damaged and lost");
            }
            match read {
                Ok(Some(Stored { number, time: arrived, bytes })) => match record::decode(&bytes) {
                    Some(content) => {
                        return Some(Sent::Spool(FromSpool { number, arrived, content, suspect: false }));
                    }
                    None => {
                        self.parts.stats.metrics.ingest_spool_error(DAMAGED, 1);
                        self.parts.spool.done(number);
                    }
                },
                Ok(None) => break,
                Err(error) => {
                    self.parts.stats.metrics.ingest_spool_error(READ, 1);
                    self.say(|| format!("the spool cannot be read: {error}"));
                    return None;
                }
            }
        }
        // Behind what is on disk or has failed, all others go to the disk.
        let direct = !self.is_behind() && self.failed.is_empty() && !self.is_spooling();
        if direct { self.waiting.pop_front().map(Sent::Memory) } else { None }
    }

    fn is_spooling(&self) -> bool {
        self.parts.config.durability == Durability::Spooled || self.shown != State::Closed
    }

    fn put_back(&mut self, next: Sent) {
        match next {
            Sent::Memory(entry) => self.waiting.push_front(entry),
            Sent::Spool(from) => drop(self.again.insert(from.number, from)),
        }
    }

    fn hand_over(&self, next: &Sent, tag: u64) -> Handed {
        let content = next.content();
        let time = match next {
            Sent::Memory(entry) => entry.arrived.unix_millis,
            Sent::Spool(from) => from.arrived,
        };
        let headers: Vec<_> = content.headers.iter().map(|(key, value)| (*key, value.as_str())).collect();
        self.parts.sender.send(&Outbound {
            topic: &content.topic,
            partition: content.partition,
            key: &content.key,
            value: &content.value,
            headers: &headers,
            time,
            tag,
        })
    }

    fn reported(&mut self, report: Report, now: BootTime) {
        let Some(sent) = self.out.remove(&report.tag) else { return };
        self.out_bytes -= size(sent.content());
        self.out_of_memory -= usize::from(matches!(sent, Sent::Memory(_)));
        let alone = self.alone == Some(report.tag);
        self.suspect_out = false;
        self.settle(sent, report.tag, report.result, alone, now);
    }

    /// What becomes of an event that was tried.
    fn settle(&mut self, sent: Sent, tag: u64, result: Result<(), RDKafkaErrorCode>, alone: bool, now: BootTime) {
        match result {
            Ok(()) => {
                self.breaker.ended(false, now);
                self.proven = true;
                self.pause = FIRST_PAUSE;
                self.delivered(sent);
            }
            Err(code) if is_hopeless(code) => {
                self.breaker.given_up();
                match sent {
                    sent if alone => self.refused(sent, code),
                    // Another one in its batch may be to blame.
                    Sent::Spool(from) => drop(self.again.insert(from.number, FromSpool { suspect: true, ..from })),
                    memory => self.try_again(memory, tag, now),
                }
            }
            Err(code) if is_of_topic(code) => {
                self.breaker.given_up();
                let topic = sent.content().topic.clone();
                self.parts.stats.set_absent(&topic, true);
                self.say(|| {
                    format!(
                        "topic {topic} is not there, or may not be written to ({code}); its events wait in the spool"
                    )
                });
                match sent {
                    Sent::Spool(from) => self.park(from, tag, now),
                    memory => self.try_again(memory, tag, now),
                }
            }
            Err(code) => {
                self.breaker.ended(true, now);
                let last = self.parts.sender.last_error();
                self.say(|| {
                    let why = last.map(|last| format!(": {last}")).unwrap_or_default();
                    format!("events are not acknowledged ({code}){why}; they go to the spool")
                });
                self.try_again(sent, tag, now);
            }
        }
        self.show_breaker(now);
    }

    fn delivered(&mut self, sent: Sent) {
        let topic = &sent.content().topic;
        if self.parts.stats.is_absent(topic) {
            self.is_back(&topic.clone());
        }
        match sent {
            Sent::Memory(mut entry) => {
                let took = self.parts.clock.boot_time().since(entry.arrived.boot);
                self.parts.stats.delivered(&entry.content.topic, took);
                entry.tell(Outcome::Delivered);
            }
            Sent::Spool(from) => {
                let took = self.parts.clock.unix_millis().saturating_sub(from.arrived).max(0);
                self.parts.stats.delivered(&from.content.topic, Duration::from_millis(took as u64));
                self.parts.spool.done(from.number);
                self.told.remove(&from.number).into_iter().for_each(|told| drop(told.send(Outcome::Delivered)));
            }
        }
    }

    /// The brokers will never take this one.
    fn refused(&mut self, sent: Sent, code: RDKafkaErrorCode) {
        let topic = sent.content().topic.clone();
        self.parts.stats.failed(&topic);
        let bytes = size(sent.content());
        self.say(|| format!("the brokers refuse an event of {bytes} bytes for {topic} for good: {code}"));
        let outcome = Outcome::Refused(format!("the brokers refuse it: {code}"));
        match sent {
            Sent::Memory(mut entry) => entry.tell(outcome),
            Sent::Spool(from) => {
                self.parts.spool.done(from.number);
                self.told.remove(&from.number).into_iter().for_each(|told| drop(told.send(outcome.clone())));
            }
        }
    }

    fn try_again(&mut self, sent: Sent, tag: u64, now: BootTime) {
        match sent {
            Sent::Memory(mut entry) => {
                entry.failed = true;
                self.failed.insert(tag, entry);
            }
            Sent::Spool(from) => {
                // It is on disk, and that is as much as can be said for now.
                self.told.remove(&from.number).into_iter().for_each(|told| drop(told.send(Outcome::Spooled)));
                self.again.insert(from.number, from);
                if now >= self.again_at {
                    // Some of it by chance: many agents do not come back at one moment.
                    self.again_at = now.after(self.pause.mul_f64(0.5 + rand::random::<f64>() / 2.0));
                    self.pause = (2 * self.pause).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Has metrics follow the breaker; when it has opened, nothing is waited for any more.
    fn show_breaker(&mut self, now: BootTime) {
        let state = self.breaker.state();
        if state == self.shown {
            return;
        }
        self.shown = state;
        self.parts.stats.circuit(state);
        match state {
            State::Open => {
                let seconds = self.parts.config.circuit_open.as_secs_f64();
                tracing::warn!("ingest: the circuit breaker is open: events go to the spool for {seconds} s");
                self.told.drain().for_each(|(_, told)| drop(told.send(Outcome::Spooled)));
                self.replace_sender(now);
            }
            State::HalfOpen => tracing::info!("ingest: the circuit breaker is half open: a few events are tried"),
            State::Closed => tracing::info!("ingest: the circuit breaker is closed"),
        }
    }

    /// Begins with a new client; what the old one had not heard of is to be sent again.
    fn replace_sender(&mut self, now: BootTime) {
        match create_sender(&self.parts.settings, &self.parts.config) {
            Ok(sender) => {
                self.parts.inbox.wakes(Some(sender.waker()));
                let old = std::mem::replace(&mut self.parts.sender, sender);
                self.proven = false;
                let mut reports = Vec::new();
                old.poll(Duration::ZERO, |report| reports.push(report));
                // Those that failed are like those without a report.
                reports
                    .into_iter()
                    .filter(|report| report.result.is_ok())
                    .for_each(|report| self.reported(report, now));
            }
            // The same properties have made one before.
            Err(error) => return self.say(|| format!("no new producer: {error}")),
        }
        let mut left: Vec<_> = self.out.drain().collect();
        left.sort_unstable_by_key(|(tag, _)| *tag);
        (self.out_bytes, self.out_of_memory, self.suspect_out) = (0, 0, false);
        for (tag, sent) in left {
            self.breaker.given_up();
            self.try_again(sent, tag, now);
        }
    }

    fn tick(&mut self, now: BootTime) {
        self.ticked = now;
        let spool = &mut self.parts.spool;
        let metrics = &self.parts.stats.metrics;
        if let Err(error) = spool.save() {
            metrics.ingest_spool_error(WRITE, 1);
            tracing::debug!("the spool's cursor cannot be written: {error}");
        }
        let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let large = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let oldest = spool.oldest().map_or(0, |time| self.parts.clock.unix_millis().saturating_sub(time).max(0));
        metrics.ingest_spool_age.set(oldest as f64 / 1e3);
        metrics.ingest_spool_events.set(large(spool.records()));
        metrics.ingest_spool_bytes.set(large(spool.bytes()));
        metrics.ingest_buffer_bytes.set(number(self.parts.inbox.budget.taken()));
        metrics.ingest_queued_events.set(number(self.waiting.len() + self.failed.len() + self.parts.inbox.len()));
        metrics.ingest_processing_events.set(number(self.out.len()));
    }

    /// Logs trouble, but not each time.
    fn say(&mut self, what: impl FnOnce() -> String) {
        let now = self.now();
        if self.said.is_none_or(|said| now.since(said) >= SAY_EVERY) {
            self.said = Some(now);
            tracing::warn!("ingest: {}", what());
        }
    }
}
