//! From an event to its answer: room in the buffer, a place in the queue, and the wait for the brokers or the disk.

use super::budget::Budget;
use super::event::{Arrival, Event, Rejected};
use super::inbox::{Content, Entry, Inbox, Outcome, size};
use super::rate::Rate;
use super::repeats::Repeats;
use super::routes::Routes;
use super::stats::{FAILED, FULL, INVALID, NO_TOPIC, Stats, Status, TOO_LARGE};
use crate::clock::{BootTime, Clock};
use crate::config::{Durability, Ingest as Config};
use crate::telemetry::{EndpointLabel, RequestLabels};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What an answer may take beyond the brokers' time.
const BEYOND: Duration = Duration::from_secs(10);

/// Bodies that are being read, all together, in bodies of the largest size.
const BODIES: usize = 8;

/// The headers that an event takes to Kafka.
pub type Headers = Arc<[(&'static str, String)]>;

/// Why an event was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Rejected(Rejected),
    /// It may be sent again later.
    Later(String),
    /// The same, once its topic is there.
    NoTopic(String),
    /// The brokers will never take it.
    Never(String),
}

impl Refusal {
    pub fn reason(&self) -> &str {
        match self {
            Refusal::Rejected(rejected) => rejected.reason(),
            Refusal::Later(reason) | Refusal::NoTopic(reason) | Refusal::Never(reason) => reason,
        }
    }

    /// Whether the same event may be accepted later.
    pub fn may_come_again(&self) -> bool {
        matches!(self, Refusal::Later(_) | Refusal::NoTopic(_))
    }

    fn metric(&self) -> &'static str {
        match self {
            Refusal::Rejected(Rejected::Invalid(_)) => INVALID,
            Refusal::Rejected(Rejected::TooLarge(_)) => TOO_LARGE,
            Refusal::Later(_) => FULL,
            Refusal::NoTopic(_) => NO_TOPIC,
            Refusal::Never(_) => FAILED,
        }
    }
}

/// What the door's handlers share, over HTTP and gRPC.
pub struct Acceptor {
    pub config: Config,
    pub clock: Clock,
    pub(super) stats: Arc<Stats>,
    /// How often one address may hand in one event …
    pub singles: Rate,
    /// … and many.
    pub batches: Rate,
    /// Of log events that no path decides about; `None`: none are taken.
    logs: Option<Arc<Routes>>,
    /// What requests may take that are being read, all together.
    pub bodies: Budget,
    pub(super) repeats: Repeats,
    inbox: Arc<Inbox>,
}

/// The way in for log events.
#[derive(Clone)]
pub struct Logs {
    pub door: Arc<Acceptor>,
    pub routes: Arc<Routes>,
}

impl Logs {
    /// What comes with every event now.
    pub fn arrival(&self) -> Arrival<'_> {
        self.door.arrival(&self.routes)
    }
}

/// Events that are in the queue, or are not accepted, before all is decided.
pub struct Pending {
    answers: Vec<Result<Taken, Refusal>>,
    waits: Vec<(usize, oneshot::Receiver<Outcome>)>,
}

/// An event's id, and its topic.
type Taken = (String, Arc<str>);

impl Acceptor {
    pub fn new(config: Config, clock: Clock, stats: Arc<Stats>, inbox: Arc<Inbox>) -> Acceptor {
        Acceptor {
            logs: config.logs.as_ref().map(|logs| Arc::new(Routes::of(logs))),
            singles: Rate::new(config.requests_per_second),
            batches: Rate::new(config.batches_per_second),
            bodies: Budget::new(BODIES * config.body_bytes),
            repeats: Repeats::default(),
            config,
            clock,
            stats,
            inbox,
        }
    }

    /// Whether an event of the largest size would find room.
    pub fn has_room(&self) -> bool {
        !self.stats.is_full() && self.inbox.budget.take(self.config.event_bytes).is_some()
    }

    /// What has become of events so far.
    pub fn status(&self) -> Status {
        self.stats.status()
    }

    /// The way in for log events, if any are taken.
    pub fn logs(self: &Arc<Self>) -> Option<Logs> {
        Some(Logs { door: self.clone(), routes: self.logs.clone()? })
    }

    /// What comes with every event now that goes by these routes.
    pub fn arrival<'a>(&self, routes: &'a Routes) -> Arrival<'a> {
        Arrival { time: self.clock.unix_millis(), most_bytes: self.config.event_bytes, routes }
    }

    /// Accepts events, each by itself: its id, or why not. Ends when all that have to be waited for are decided.
    pub async fn accept(
        &self,
        events: Vec<Result<Event, Rejected>>,
        headers: &Headers,
    ) -> Vec<Result<String, Refusal>> {
        self.decided(self.submit(events, headers)).await
    }

    /// Puts events into the queue, in their order.
    pub fn submit(&self, events: Vec<Result<Event, Rejected>>, headers: &Headers) -> Pending {
        let (mut answers, mut entries, mut waits) = (Vec::with_capacity(events.len()), Vec::new(), Vec::new());
        let arrived = self.clock.now();
        for event in events {
            let event = match event {
                Ok(event) => event,
                Err(rejected) => {
                    answers.push(Err(Refusal::Rejected(rejected)));
                    continue;
                }
            };
            if self.stats.is_absent(&event.topic) {
                let reason =
                    format!("topic {} is not there, or may not be written to; send it again later", event.topic);
                answers.push(Err(Refusal::NoTopic(reason)));
                continue;
            }
            let content = Content {
                topic: event.topic.clone(),
                // Those that are urgent are found in one place.
                partition: event.urgent.then_some(0),
                key: event.key,
                value: event.value,
                headers: headers.clone(),
            };
            let Some(share) = self.inbox.budget.take(size(&content)) else {
                answers.push(Err(Refusal::Later("the buffer is full; send it again later".into())));
                continue;
            };
            let waits_for = event.urgent || self.config.durability == Durability::Spooled;
            let told = waits_for.then(|| {
                let (told, hears) = oneshot::channel();
                waits.push((answers.len(), hears));
                told
            });
            answers.push(Ok((event.id, event.topic)));
            entries.push(Entry { content, arrived, told, urgent: event.urgent, failed: false, _share: share });
        }
        if !self.inbox.put(entries) {
            let refused = |answer: &mut Result<Taken, Refusal>| {
                if answer.is_ok() {
                    *answer = Err(Refusal::Later("the agent is stopping; send it again later".into()));
                }
            };
            answers.iter_mut().for_each(refused);
            waits.clear();
        }
        Pending { answers, waits }
    }

    /// Waits for the brokers or the disk, where one has to.
    pub async fn decided(&self, pending: Pending) -> Vec<Result<String, Refusal>> {
        let Pending { mut answers, mut waits } = pending;
        let (is_waited_for, mut heard_of) = (!waits.is_empty(), 0);
        let all = async {
            for (place, hears) in &mut waits {
                if let Err(refusal) = heard(hears.await.ok()) {
                    answers[*place] = Err(refusal);
                }
                heard_of += 1;
            }
        };
        // A timer is not free, and most events are waited for by nobody.
        let in_time = !is_waited_for || tokio::time::timeout(self.config.delivery_timeout + BEYOND, all).await.is_ok();
        for (place, mut hears) in waits.into_iter().skip(heard_of).filter(|_| !in_time) {
            if let Err(refusal) = heard(hears.try_recv().ok()) {
                answers[place] = Err(refusal);
            }
        }
        self.count(&answers);
        answers.into_iter().map(|answer| answer.map(|(id, _)| id)).collect()
    }

    /// Counts a request by how it was answered: an HTTP status, or the one that is like gRPC's.
    pub fn answered(&self, endpoint: &'static str, began: BootTime, code: u16) {
        let metrics = &self.stats.metrics;
        metrics.ingest_requests.get_or_create(&RequestLabels { endpoint, code }).inc();
        let took = self.clock.boot_time().since(began);
        metrics.ingest_request_duration.get_or_create(&EndpointLabel { endpoint }).observe(took.as_secs_f64());
    }

    fn count(&self, answers: &[Result<Taken, Refusal>]) {
        let topics = answers.iter().filter_map(|answer| answer.as_ref().ok().map(|(_, topic)| topic));
        let topics: Vec<_> = topics.collect();
        for same in topics.chunk_by(|one, other| one == other) {
            self.stats.accepted(same[0], same.len() as u64);
        }
        for refusal in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.stats.metrics.ingest_rejected(refusal.metric(), 1);
        }
    }
}

fn heard(outcome: Option<Outcome>) -> Result<(), Refusal> {
    match outcome {
        Some(Outcome::Delivered | Outcome::Spooled) => Ok(()),
        Some(Outcome::NoRoom(reason)) => Err(Refusal::Later(reason)),
        Some(Outcome::Refused(reason)) => Err(Refusal::Never(reason)),
        None => Err(Refusal::Later("the brokers have not acknowledged it in time; they may still get it".into())),
    }
}
