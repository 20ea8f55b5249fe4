//! Single events of a source, for people: the newest ones, and those that come. They are read from Kafka when somebody asks,
//! outside the group; nothing is kept, and no fold or commit knows of it.
//!
//! [`condition`], [`cut`], [`disclosure`] and [`token`] are pure; [`reading`] and [`tail`] read.

#![forbid(unsafe_code)]

mod condition;
mod cut;
mod disclosure;
mod error;
mod reading;
mod showing;
mod tail;
mod token;

#[cfg(test)]
mod tests;

pub use crate::aggregate::Judged;
pub use condition::{Comparison, Condition};
pub use error::RecentError;
pub use showing::{Counts, Event};
pub use tail::{Heard, Tail, TailRequest};

use crate::env::Environment;
use crate::kafka::{Isolation, PartitionReader};
use crate::schemas::SchemaKeeper;
use crate::sources::{Source, Sources};
use crate::state::Registry;
use crate::stop::Stop;
use condition::Conditions;
use disclosure::Disclosure;
use reading::{ends_of, newest};
use showing::Showing;
use std::sync::Arc;
use std::time::Duration;
use token::Token;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Readers of pages at a time; each is a client of Kafka.
const PAGES_AT_A_TIME: usize = 2;
/// How long a page waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// Tails at a time; each is a client of Kafka that reads all of a source.
const TAILS: usize = 8;
/// Messages that a tail's reader may leave waiting, a tenth of a second each: events wait for being counted, too.
const WAITING: usize = 40;

/// What single events are read with.
pub struct Recent {
    env: Environment,
    sources: Arc<Sources>,
    registry: Arc<Registry>,
    schemas: Option<Arc<SchemaKeeper>>,
    /// Of hashes, where the config gives none.
    hash_key: [u8; 32],
    event_bytes: usize,
    stop: Stop,
    pages: Arc<Semaphore>,
    tails: Arc<Semaphore>,
}

/// The newest events that were asked for.
#[derive(Debug, Default)]
pub struct Page {
    /// The newest first.
    pub events: Vec<Event>,
    pub read: Counts,
    /// Empty: there is nothing older.
    pub next_page_token: String,
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// Empty: the only source that shows some.
    pub source: String,
    pub conditions: Vec<Condition>,
    pub page_size: usize,
    pub page_token: String,
}

/// What single events are read of, and where it is.
pub struct Parts {
    pub sources: Arc<Sources>,
    pub registry: Arc<Registry>,
    pub schemas: Option<Arc<SchemaKeeper>>,
    /// Larger records are none of the source's events.
    pub event_bytes: usize,
    pub stop: Stop,
}

impl Recent {
    pub fn new(env: Environment, parts: Parts) -> Recent {
        let Parts { sources, registry, schemas, event_bytes, stop } = parts;
        let hash_key = rand::random();
        let (pages, tails) = (Arc::new(Semaphore::new(PAGES_AT_A_TIME)), Arc::new(Semaphore::new(TAILS)));
        Recent { env, sources, registry, schemas, hash_key, event_bytes, stop, pages, tails }
    }

    /// Names of the sources whose events may be seen.
    pub fn names(&self) -> Vec<String> {
        let sources = self.sources.now();
        let shown = sources.sources.iter().filter(|source| source.config.recent_events.is_some());
        shown.map(|source| source.config.name.clone()).collect()
    }

    /// A page of the newest events.
    ///
    /// # Errors
    /// If the source shows none, the request makes no sense, or Kafka does not answer.
    pub async fn page(&self, request: PageRequest) -> Result<Page, RecentError> {
        let turn = tokio::time::timeout(TURN, self.pages.clone().acquire_owned()).await;
        let Ok(Ok(_turn)) = turn else { return Err(RecentError::Busy) };
        let source = self.source(&request.source)?;
        let showing = self.showing(&source, &request.conditions)?;
        let token = Token::read(&request.page_token, &source.name, &request.conditions)?;
        let (reader, env) = (self.reader(&source), self.env.clone());
        let page_size = request.page_size;
        let page = tokio::task::spawn_blocking(move || {
            let (mut reader, places) = reader?;
            let mut showing = showing;
            let ends = match token.places {
                Some(ends) => ends,
                None => ends_of(&mut reader, &places)?,
            };
            let found = newest(&mut reader, &env.clock, &mut showing, ends, page_size)?;
            env.metrics.recent_records_read(showing.counts.records);
            let next_page_token = Token { query: token.query, places: Some(found.left) }.text();
            Ok(Page { events: found.events, read: showing.counts, next_page_token })
        });
        page.await.unwrap_or(Err(RecentError::Stopping))
    }

    /// Begins to tell of events as they are written.
    ///
    /// # Errors
    /// If the source shows none, the request makes no sense, there are too many tails, or Kafka does not answer.
    pub async fn tail(&self, request: TailRequest) -> Result<mpsc::Receiver<Result<Heard, RecentError>>, RecentError> {
        let source = self.source(&request.source)?;
        let showing = self.showing(&source, &request.conditions)?;
        let Ok(place) = self.tails.clone().try_acquire_owned() else {
            return Err(RecentError::TooManyTails { most: TAILS });
        };
        let reader = self.reader(&source);
        let (sender, receiver) = mpsc::channel(WAITING);
        let place = Place::new(&self.env, place);
        let (env, stop) = (self.env.clone(), self.stop.child());
        let started = std::thread::Builder::new().name("tail".to_owned()).spawn(move || {
            let _place = place;
            let tail = reader.and_then(|(reader, places)| {
                Tail::begin(reader, &places, showing, &request, (env, stop), sender.clone())
            });
            if let Err(error) = tail.and_then(Tail::run) {
                // Nobody to tell is no failure.
                let _ = sender.blocking_send(Err(error));
            }
        });
        started.map_err(|error| RecentError::Kafka(format!("no thread for a tail: {error}")))?;
        Ok(receiver)
    }

    fn source(&self, name: &str) -> Result<Arc<Source>, RecentError> {
        let sources = self.sources.now();
        let mut shown = sources.sources.iter().filter(|source| source.config.recent_events.is_some());
        if name.is_empty() {
            return match (shown.next(), shown.next()) {
                (Some(only), None) => Ok(only.clone()),
                (None, _) => Err(RecentError::NoneShown),
                _ => Err(RecentError::WhichSource { shown: self.names() }),
            };
        }
        match shown.find(|source| *source.name == *name) {
            Some(source) => Ok(source.clone()),
            None if sources.sources.iter().any(|source| *source.name == *name) => {
                Err(RecentError::NotShown { name: name.to_owned() })
            }
            None => Err(RecentError::NoSuchSource { name: name.to_owned(), shown: self.names() }),
        }
    }

    fn showing(&self, source: &Arc<Source>, conditions: &[Condition]) -> Result<Showing, RecentError> {
        let Some(config) = &source.config.recent_events else { return Err(RecentError::NoneShown) };
        let disclosure = Disclosure::new(config, &self.hash_key);
        let conditions = Conditions::new(conditions, config)?;
        Ok(Showing::new(source.clone(), disclosure, conditions, self.schemas.clone(), self.event_bytes))
    }

    /// A reader, and the partitions that the source has now.
    fn reader(&self, source: &Source) -> Result<(PartitionReader, Vec<crate::kafka::TopicPartition>), RecentError> {
        let known = self.registry.topics();
        let partitions = |topic: &Arc<str>| known.by_name.get(topic).map_or(0, |topic| topic.partitions);
        let topics = source.topics(&self.registry);
        let places =
            topics.iter().flat_map(|topic| crate::kafka::TopicPartition::all_of(topic, partitions(topic))).collect();
        let reader = PartitionReader::create(&self.env.kafka, Isolation::ReadCommitted);
        Ok((reader.map_err(|error| RecentError::Kafka(error.to_string()))?, places))
    }
}

/// A tail's place; counted as long as it is held.
struct Place {
    env: Environment,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn new(env: &Environment, permit: OwnedSemaphorePermit) -> Place {
        env.metrics.tails.inc();
        Place { env: env.clone(), _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.env.metrics.tails.dec();
    }
}

#[cfg(test)]
impl Recent {
    /// Of an agent without sources, and without a Kafka.
    pub fn of_nothing() -> Arc<Recent> {
        let kafka = crate::config::Kafka::reaching("127.0.0.1:1", Default::default());
        let kafka = crate::kafka::Settings::new(kafka, "test".into());
        let env = Environment { clock: Default::default(), metrics: Arc::default(), kafka };
        let (sources, registry) = (Arc::default(), Arc::default());
        Arc::new(Recent::new(env, Parts { sources, registry, schemas: None, event_bytes: 1 << 20, stop: Stop::new() }))
    }
}
