//! What people see of the events in a record: it goes the way of the counted ones, and ends in texts.

use super::condition::Conditions;
use super::disclosure::Disclosure;
use crate::aggregate::Judged;
use crate::config::RecordField;
use crate::decode::{self, Decoder, Outcome, Part, check_not_too_far_ahead};
use crate::kafka::Record;
use crate::schemas::SchemaKeeper;
use crate::sources::Source;
use crate::value::Value;
use std::sync::Arc;

/// One event, as far as people may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub topic: Arc<str>,
    pub partition: i32,
    /// Of its record.
    pub offset: i64,
    /// Event time, Unix milliseconds.
    pub time: i64,
    /// When its record was written, Unix milliseconds, if the record says.
    pub written_at: Option<i64>,
    /// Those that it has, in the config's order.
    pub fields: Vec<(Arc<str>, String)>,
    /// What of it is judged where it is counted. Not for people: it may not be among the fields that they see.
    pub judged: Vec<Judged>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    /// Those that the source counts, whether or not the conditions hold for them.
    pub events: u64,
    /// Tombstones, comments, and what the source's `where` does not ask for.
    pub passed_by: u64,
    /// They cannot be decoded, or have no usable time: where the source has dead letters, they are some.
    pub unusable: u64,
}

/// Makes of records what people may see.
pub struct Showing {
    source: Arc<Source>,
    decoder: Decoder,
    disclosure: Disclosure,
    conditions: Conditions,
    pub counts: Counts,
}

impl Showing {
    pub fn new(
        source: Arc<Source>,
        disclosure: Disclosure,
        conditions: Conditions,
        schemas: Option<Arc<SchemaKeeper>>,
        event_bytes: usize,
    ) -> Showing {
        // The source's own first: its `where` is laid out for them.
        let shown = source.config.recent_events.iter().flat_map(|recent| &recent.fields);
        let fields: Vec<_> = source.plan.fields.iter().chain(shown.map(|field| &field.path)).cloned().collect();
        let mut decoder = Decoder::of(&fields, &source.config, event_bytes);
        if let Some(schemas) = schemas {
            decoder = decoder.with_schemas(schemas);
        }
        Showing { source, decoder, disclosure, conditions, counts: Counts::default() }
    }

    /// Gives the events of a record for which the conditions hold.
    pub fn record(&mut self, record: &Record<'_>, mut take: impl FnMut(Event)) {
        let Showing { source, decoder, disclosure, conditions, counts } = self;
        counts.records += 1;
        let Some(payload) = record.payload() else {
            counts.passed_by += 1;
            return;
        };
        let bytes_of = |field: &RecordField| match field {
            RecordField::Topic => Some(record.topic().as_bytes()),
            RecordField::Key => record.key(),
            RecordField::Header(name) => record.header(name),
            RecordField::Partition | RecordField::Timestamp => None,
        };
        let written_at = record.timestamp();
        let around = decode::Record { time: written_at, bytes_of: &bytes_of, partition: record.partition() };
        let counted = source.plan.fields.len();
        let keep = |values: &[Value<'_>]| source.plan.filter.holds(values);
        let mut topic: Option<Arc<str>> = None;
        let found = decoder.events(payload, around, keep, |_: &Part<'_>, outcome: Outcome<'_>| match outcome {
            Ok(Some(event)) if check_not_too_far_ahead(event.time, written_at, source.config.max_future).is_ok() => {
                counts.events += 1;
                let values = event.values.iter().skip(counted).enumerate();
                let shown: Vec<Option<String>> =
                    values.map(|(at, value)| value.text().map(|text| disclosure.shown(at, &text))).collect();
                if !conditions.hold(&shown) {
                    return;
                }
                let named = shown.into_iter().enumerate();
                let fields = named.filter_map(|(at, value)| Some((disclosure.name(at)?.clone(), value?)));
                take(Event {
                    topic: topic.get_or_insert_with(|| record.topic().into()).clone(),
                    partition: record.partition(),
                    offset: record.offset(),
                    time: event.time,
                    written_at,
                    fields: fields.collect(),
                    judged: source.plan.judged(event.values),
                });
            }
            Ok(None) => counts.passed_by += 1,
            Err(error) if error.passes_by() => counts.passed_by += 1,
            Ok(Some(_)) | Err(_) => counts.unusable += 1,
        });
        if found == 0 {
            counts.passed_by += 1;
        }
    }
}
