//! Schemas that are kept, and the thread that asks for those that are not.

use super::client::{Client, ClientError};
use super::read::{Asked, schema};
use crate::clock::{BootTime, Clock};
use crate::config::SchemaRegistry;
use crate::decode::{FoundSchema, Schema, Schemas};
use crate::telemetry::Metrics;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A registry that is there is waited for so long, so that nothing has to be paused for it.
const PATIENCE: Duration = Duration::from_millis(100);
/// That there is no such schema is believed for so long.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Between two questions to a registry that is away.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// No more ids are asked for at the same time.
const MOST_ASKED: usize = 1_000;

/// Keeps schemas by their ids. Its thread ends with it.
pub struct SchemaKeeper {
    shared: Arc<Shared>,
    questions: Sender<u32>,
    patience: Duration,
}

struct Shared {
    schemas: Mutex<Kept>,
    changed: Condvar,
    clock: Clock,
    most: usize,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<u32, Entry>,
    /// What is wrong with the registry, as long as it is.
    trouble: Option<Arc<str>>,
    /// Grows with each use.
    uses: u64,
}

enum Entry {
    Known { schema: Arc<Schema>, used: u64 },
    Unknown { why: Arc<str>, since: BootTime },
    Asked,
}

impl SchemaKeeper {
    /// For who has other things to do while the registry is away.
    ///
    /// # Errors
    /// If there can be no client.
    pub fn start(config: &SchemaRegistry, clock: Clock, metrics: Arc<Metrics>) -> Result<SchemaKeeper, ClientError> {
        SchemaKeeper::with(config, clock, metrics, PATIENCE)
    }

    /// For who waits for an answer, or that there is none.
    ///
    /// # Errors
    /// As above.
    pub fn patient(config: &SchemaRegistry) -> Result<SchemaKeeper, ClientError> {
        let patience = config.timeout.saturating_add(Duration::from_secs(1));
        SchemaKeeper::with(config, Clock::default(), Arc::new(Metrics::new()), patience)
    }

    fn with(
        config: &SchemaRegistry,
        clock: Clock,
        metrics: Arc<Metrics>,
        patience: Duration,
    ) -> Result<SchemaKeeper, ClientError> {
        let client = Client::new(config)?;
        let (questions, asked) = crossbeam_channel::bounded(MOST_ASKED);
        let shared =
            Shared { schemas: Mutex::default(), changed: Condvar::new(), clock, most: config.schemas, metrics };
        let shared = Arc::new(shared);
        let of_thread = shared.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ClientError::Thread)?;
        std::thread::Builder::new()
            .name("schemas".into())
            .spawn(move || answer(&runtime, &client, &of_thread, &asked))
            .map_err(ClientError::Thread)?;
        Ok(SchemaKeeper { shared, questions, patience })
    }

    /// Whether the registry has been asked for a schema, and has not answered yet.
    pub fn is_awaited(&self, id: u32) -> bool {
        matches!(self.shared.schemas.lock().by_id.get(&id), Some(Entry::Asked))
    }

    /// What is wrong with the registry; `None` if it answers.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.shared.schemas.lock().trouble.clone()
    }
}

impl fmt::Debug for SchemaKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaKeeper").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Schemas for SchemaKeeper {
    fn find(&self, id: u32) -> FoundSchema {
        let mut kept = self.shared.schemas.lock();
        if let Some(found) = kept.find(id, self.shared.clock.boot_time()) {
            return found;
        }
        if !matches!(kept.by_id.get(&id), Some(Entry::Asked)) {
            // With too many open questions it is asked when some have been answered: who wants it comes again.
            if self.questions.try_send(id).is_ok() {
                kept.by_id.insert(id, Entry::Asked);
            }
        }
        if kept.trouble.is_none() {
            let began = self.shared.clock.boot_time();
            let mut left = self.patience;
            while kept.trouble.is_none() && !self.shared.changed.wait_for(&mut kept, left).timed_out() {
                let now = self.shared.clock.boot_time();
                if let Some(found) = kept.find(id, now) {
                    return found;
                }
                left = self.patience.saturating_sub(now.since(began));
            }
        }
        let asked = || "the schema registry has been asked for it".into();
        FoundSchema::NotYet(kept.trouble.clone().unwrap_or_else(asked))
    }
}

impl Kept {
    /// What is known of a schema now.
    fn find(&mut self, id: u32, now: BootTime) -> Option<FoundSchema> {
        self.uses += 1;
        let uses = self.uses;
        match self.by_id.get_mut(&id)? {
            Entry::Known { schema, used } => {
                *used = uses;
                Some(FoundSchema::Known(schema.clone()))
            }
            Entry::Unknown { why, since } if now.since(*since) < UNKNOWN_FOR => Some(FoundSchema::Unknown(why.clone())),
            Entry::Unknown { .. } | Entry::Asked => None,
        }
    }

    /// Takes what an answer says, and lets go of the longest unused if there are too many.
    fn put(&mut self, id: u32, entry: Entry, most: usize) {
        self.by_id.insert(id, entry);
        let answered = self.by_id.values().filter(|entry| !matches!(entry, Entry::Asked)).count();
        if answered > most {
            let age = |entry: &Entry| match entry {
                Entry::Known { used, .. } => Some(*used),
                Entry::Unknown { .. } => Some(0),
                Entry::Asked => None,
            };
            let others = self.by_id.iter().filter(|(other, _)| **other != id);
            let oldest = others.filter_map(|(id, entry)| Some((age(entry)?, *id))).min();
            if let Some((_, oldest)) = oldest {
                self.by_id.remove(&oldest);
            }
        }
    }
}

/// Answers the questions until nobody can ask any more.
fn answer(runtime: &tokio::runtime::Runtime, client: &Client, shared: &Shared, questions: &Receiver<u32>) {
    let mut open: Vec<u32> = Vec::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let asked = match open.is_empty() {
            true => questions.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => questions.recv_timeout(pause),
        };
        match asked {
            Ok(id) => open.push(id),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        open.extend(questions.try_iter());
        let mut trouble = None;
        open.retain(|&id| {
            if trouble.is_some() {
                return true;
            }
            let asked = runtime.block_on(schema(client, id));
            let outcome = match &asked {
                Asked::Found(_) => "found",
                Asked::None { .. } => "unknown",
                Asked::Later { .. } => "failed",
            };
            shared.metrics.schema_request(outcome);
            let entry = match asked {
                Asked::Found(schema) => Entry::Known { schema: Arc::new(schema), used: shared.schemas.lock().uses },
                Asked::None { why } => {
                    tracing::warn!(id, "the schema registry knows no such schema: {why}");
                    Entry::Unknown { why: why.into(), since: shared.clock.boot_time() }
                }
                Asked::Later { why } => {
                    trouble = Some(why);
                    return true;
                }
            };
            let mut kept = shared.schemas.lock();
            kept.put(id, entry, shared.most);
            shared.changed.notify_all();
            false
        });
        pause = match &trouble {
            None => FIRST_PAUSE,
            Some(_) => (pause * 2).min(LONGEST_PAUSE),
        };
        let mut kept = shared.schemas.lock();
        if let Some(why) = &trouble
            && kept.trouble.is_none()
        {
            tracing::warn!("the schema registry does not answer, what needs it waits: {why}");
        }
        if trouble.is_none() && kept.trouble.is_some() {
            tracing::info!("the schema registry answers again");
        }
        kept.trouble = trouble.map(Into::into);
        shared.changed.notify_all();
        // One schema that fails must not keep the others waiting.
        if !open.is_empty() {
            open.rotate_left(1);
        }
    }
}
