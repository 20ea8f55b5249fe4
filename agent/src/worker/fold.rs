//! From a batch of records to folded events and dead letters.

use super::context::Agent;
use crate::aggregate::{Event, TaskState, Value};
use crate::clock::BootTime;
use crate::commit::DeadLetter;
use crate::config::{self, LetterPayload, RecordField, SourceDeadLetters};
use crate::decode::{self, DecodeError, Decoder, Found, Outcome, Part, check_not_too_far_ahead, reach};
use crate::kafka::Record;
use crate::sources::Source;
use crate::state::Task;
use crate::telemetry::Metrics;
use std::sync::Arc;

/// How far librdkafka is with reading a task's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetching {
    /// Not assigned: a new task's start has to be committed first.
    NotYet,
    /// Assigned and paused: the broker could not be asked yet whether its log still has the last record that was folded.
    Unchecked,
    Reads,
    /// Paused: what is folded could not be committed.
    Held,
    /// Paused: the schema of its next record is not known yet.
    Awaits,
}

/// A running task as its worker holds it.
pub struct LiveTask {
    pub task: Arc<Task>,
    /// Position of its source in the worker's list.
    pub source: usize,
    pub state: TaskState,
    /// The next input offset to fold.
    pub next_offset: i64,
    /// Leader epoch of the last folded record, where known.
    pub leader_epoch: Option<i32>,
    pub owner_epoch: u64,
    /// When something of it was last put into an epoch.
    pub frozen_at: BootTime,
    /// Waiting for the next epoch.
    pub dead_letters: Vec<DeadLetter>,
    /// Something happened since the last freeze.
    pub changed: bool,
    /// Number of the epoch that it was last part of.
    pub frozen_in: u64,
    /// Folded and fetched up to here at the last look around.
    pub seen: (i64, i64),
    pub fetching: Fetching,
    /// Since when its changelog partition is known to take no writes: it is left out of epochs.
    pub held: Option<BootTime>,
    /// The schema that its next record waits for: what comes after that record is left for later.
    pub awaits: Option<Awaited>,
    /// Late and overflow events already counted in the metrics, by aggregate.
    pub counted: Vec<crate::aggregate::Counters>,
    /// What was skipped is in the metrics, at least as zero.
    pub tallied: bool,
}

/// A schema that a record waits for.
#[derive(Clone, Debug)]
pub struct Awaited {
    pub id: u32,
    /// For people.
    pub why: String,
    /// Since when its partition is paused for it.
    pub since: Option<BootTime>,
}

/// What a worker needs to fold the records of one source.
pub struct SourceWork {
    pub plan: Arc<Source>,
    decoder: Decoder,
    events: u64,
    redelivered: u64,
    /// Events that were dated further ahead than they may move stream time.
    early: u64,
    tombstones: u64,
    unwanted: u64,
    /// Records that hold no event.
    without_events: u64,
    /// Lines that are none.
    comments: u64,
    /// Events that the source's `remap` did not want.
    aborted: u64,
    /// Why events became dead letters.
    undecodable: Vec<&'static str>,
}

impl SourceWork {
    pub fn new(plan: &Arc<Source>, agent: &Agent) -> Self {
        let mut decoder = Decoder::of(&plan.plan.fields, &plan.config, agent.config.limits.event_bytes);
        if let Some(schemas) = &agent.schemas {
            decoder = decoder.with_schemas(schemas.clone());
        }
        SourceWork {
            plan: plan.clone(),
            decoder,
            events: 0,
            redelivered: 0,
            early: 0,
            tombstones: 0,
            unwanted: 0,
            without_events: 0,
            comments: 0,
            aborted: 0,
            undecodable: Vec::new(),
        }
    }

    /// Hands what was counted since the last call to the metrics.
    pub fn count(&mut self, metrics: &Metrics) {
        let (events, redelivered) = (std::mem::take(&mut self.events), std::mem::take(&mut self.redelivered));
        if events + redelivered > 0 {
            metrics.folded(&self.plan.name, events, redelivered);
        }
        let early = std::mem::take(&mut self.early);
        if early > 0 {
            metrics.early(&self.plan.name, early);
        }
        let passed_by = [
            ("tombstone", &mut self.tombstones),
            ("where", &mut self.unwanted),
            ("no_events", &mut self.without_events),
            ("comment", &mut self.comments),
            ("abort", &mut self.aborted),
        ];
        for (reason, records) in passed_by {
            match std::mem::take(records) {
                0 => {}
                records => metrics.passed_by(&self.plan.name, reason, records),
            }
        }
        for (path, texts) in self.decoder.unparsed().filter(|(_, texts)| *texts > 0) {
            metrics.unparsed(&self.plan.name, &path.to_string(), texts);
        }
        self.undecodable.drain(..).for_each(|reason| metrics.undecodable(&self.plan.name, reason));
    }
}

impl LiveTask {
    /// Folds the events of one record, or makes dead letters of them; skips a record that was folded before.
    pub fn take(&mut self, record: &Record<'_>, source: &mut SourceWork) {
        let offset = record.offset();
        if offset < self.next_offset {
            // A rebalance delivers again what had been fetched of partitions that stay.
            source.redelivered += 1;
            return;
        }
        if self.awaits.is_some() {
            // It is read again once the schema is there.
            return;
        }
        let LiveTask { state, dead_letters, .. } = self;
        let plan = source.plan.clone();
        self.awaits = fold(state, record, source, |part, reason, detail| {
            dead_letters.extend(dead_letter(record, part, &plan.config.dead_letters, reason, detail));
        });
        if self.awaits.is_none() {
            self.next_offset = offset + 1;
            self.leader_epoch = record.leader_epoch();
            self.changed = true;
        }
    }
}

/// The dead letter of a record's event, as its source wants it, if it wants any.
#[cold]
fn dead_letter(
    record: &Record<'_>,
    part: &Part<'_>,
    wanted: &SourceDeadLetters,
    reason: &'static str,
    detail: String,
) -> Option<DeadLetter> {
    if !wanted.enabled {
        return None;
    }
    let alone = part.alone();
    let payload = alone.as_deref().or(record.payload());
    let kept = match wanted.payload {
        LetterPayload::Full => payload,
        LetterPayload::Truncated => payload.map(|payload| &payload[..payload.len().min(TRUNCATED)]),
        LetterPayload::None => None,
    };
    Some(DeadLetter {
        topic: wanted.topic.as_deref().map(Into::into),
        key: record.key().map(<[u8]>::to_vec),
        bytes: payload.map_or(0, <[u8]>::len),
        payload: kept.map(<[u8]>::to_vec),
        offset: record.offset(),
        event: part.index,
        timestamp: record.timestamp(),
        reason,
        detail,
    })
}

/// Bytes of a truncated payload that are kept.
const TRUNCATED: usize = 1024;

/// Folds the events of one record. `letter` is told of each that cannot be, and why: as a word and for people. A record whose
/// schema is not known yet is left as it is; what it waits for is returned.
#[inline]
pub(super) fn fold(
    state: &mut TaskState,
    record: &Record<'_>,
    source: &mut SourceWork,
    mut letter: impl FnMut(&Part<'_>, &'static str, String),
) -> Option<Awaited> {
    let Some(payload) = record.payload() else {
        source.tombstones += 1;
        return None;
    };
    let SourceWork { plan, decoder, events, early, unwanted, without_events, comments, aborted, undecodable, .. } =
        source;
    let timestamp = record.timestamp();
    let bytes_of = |field: &RecordField| match field {
        RecordField::Topic => Some(record.topic().as_bytes()),
        RecordField::Key => record.key(),
        RecordField::Header(name) => record.header(name),
        RecordField::Partition | RecordField::Timestamp => None,
    };
    let around = decode::Record { time: timestamp, bytes_of: &bytes_of, partition: record.partition() };
    let wanted = |values: &[Value<'_>]| plan.plan.filter.holds(values);
    let mut awaits = None;
    let take = |part: &Part<'_>, outcome: Outcome<'_>| match outcome {
        Ok(Some(event)) => match fold_event(state, event, timestamp, &plan.config) {
            Ok(ahead) => {
                *events += 1;
                *early += u64::from(ahead);
            }
            Err((reason, detail)) => {
                undecodable.push(reason);
                letter(part, reason, detail);
            }
        },
        Ok(None) => *unwanted += 1,
        Err(DecodeError::Comment) => *comments += 1,
        Err(DecodeError::Aborted) => *aborted += 1,
        Err(DecodeError::SchemaNotYet { id, why }) => {
            awaits = Some(Awaited { id, why: format!("schema {id}: {why}"), since: None });
        }
        Err(error) => {
            undecodable.push(error.reason());
            letter(part, error.reason(), error.to_string());
        }
    };
    if decoder.events(payload, around, wanted, take) == 0 {
        *without_events += 1;
    }
    awaits
}

/// Folds one event; `true` if it was dated further ahead than it may move stream time. Or why it cannot be folded.
#[inline]
fn fold_event(
    state: &mut TaskState,
    found: Found<'_>,
    timestamp: Option<i64>,
    source: &config::Source,
) -> Result<bool, (&'static str, String)> {
    check_not_too_far_ahead(found.time, timestamp, source.max_future)?;
    let time = found.time;
    // A record without a timestamp has nothing to be ahead of.
    let reach = timestamp.map_or(time, |written| reach(time, written, source.max_lead));
    let event = Event { time, reach, values: found.values };
    state.fold(&event).map_err(|rejection| (rejection.reason.as_str(), rejection.to_string()))?;
    Ok(reach < time)
}
