//! What a config makes of sample records: each line's account, and a summary. Pure; nothing is counted anywhere.
//!
//! It goes the way of the agent itself ([`Decoder`], [`Plan::accounts`]), so that what it says is what would be counted.

#![forbid(unsafe_code)]

mod hints;
mod summary;
mod text;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::aggregate::{Account, Concerns, Plan, Value};
use crate::config::{Config, RecordField, Source};
use crate::decode::{self, Decoder, Found, Outcome, Part, Schemas, check_not_too_far_ahead};
use hints::Hints;
use summary::Counts;
pub use summary::{AggregateSummary, LabelSummary, MeasureSummary, Summary};

/// One record as it is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// `None`: a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Its Kafka timestamp, Unix milliseconds, if it has one.
    pub timestamp: Option<i64>,
    /// When it was read, Unix milliseconds: what stands for its timestamp where it has none, but for how far ahead of that an
    /// event may be dated.
    pub read_at: Option<i64>,
    pub topic: String,
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn bytes_of(&self, field: &RecordField) -> Option<&[u8]> {
        match field {
            RecordField::Topic => Some(self.topic.as_bytes()),
            RecordField::Key => self.key.as_deref(),
            RecordField::Header(name) => {
                let mut named = self.headers.iter().filter(|(header, _)| header == name);
                named.next_back().map(|(_, value)| value.as_slice())
            }
            RecordField::Partition | RecordField::Timestamp => None,
        }
    }
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// From 1.
    pub record: u64,
    /// Which of the record's events it is, from 0, if the record may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<usize>,
    #[serde(flatten)]
    pub became: Became,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "became", rename_all = "snake_case")]
pub enum Became {
    /// It is one of the source's events.
    Event {
        /// Event time, RFC 3339.
        time: String,
        aggregates: Vec<Taken>,
    },
    /// It is none of the source's events, by the word that the metric has.
    PassedBy { reason: &'static str },
    /// It cannot be counted at all.
    DeadLetter { reason: &'static str, detail: String },
}

/// What one aggregate makes of an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Taken {
    pub aggregate: String,
    pub taken: bool,
    pub labels: BTreeMap<String, String>,
    /// What each measure records, in the exposed unit; `null` where it records nothing.
    pub measures: BTreeMap<String, Option<f64>>,
    /// What could not be used as it was, a sentence each.
    pub remarks: Vec<String>,
}

/// One source of a config, and what it has made of the records so far.
pub struct Rehearsal<'a> {
    source: &'a Source,
    plan: Plan,
    decoder: Decoder,
    records: u64,
    counts: Counts,
    hints: Hints,
}

impl<'a> Rehearsal<'a> {
    pub fn new(config: &Config, source: &'a Source) -> Rehearsal<'a> {
        let plan = Plan::new(source, &config.sources, &config.aggregates).with_label_bytes(config.limits.label_bytes);
        Rehearsal {
            source,
            decoder: Decoder::of(&plan.fields, source, config.limits.event_bytes),
            records: 0,
            counts: Counts::new(&plan),
            hints: Hints::new(&plan, source),
            plan,
        }
    }

    /// The same with somebody who knows the schemas of records that have one.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<dyn Schemas>) -> Rehearsal<'a> {
        self.decoder = self.decoder.with_schemas(schemas);
        self
    }

    /// What becomes of one record: of each of its events, if it may have several.
    pub fn record(&mut self, record: &Record) -> Vec<Line> {
        self.records += 1;
        let mut lines = Vec::new();
        let number = self.records;
        let mut say = |event, became| lines.push(Line { record: number, event, became });
        match record.payload.as_deref() {
            None => say(None, Became::PassedBy { reason: "tombstone" }),
            Some(payload) => self.payload(record, payload, &mut say),
        }
        for line in &lines {
            match &line.became {
                Became::PassedBy { reason } => self.counts.passed_by(reason),
                Became::DeadLetter { reason, .. } => self.counts.dead_letter(reason),
                Became::Event { .. } => {}
            }
        }
        lines
    }

    fn payload(&mut self, record: &Record, payload: &[u8], say: &mut dyn FnMut(Option<usize>, Became)) {
        let Rehearsal { source, plan, decoder, counts, hints, .. } = self;
        let bytes_of = |field: &RecordField| record.bytes_of(field);
        let around = decode::Record {
            time: record.timestamp.or(record.read_at),
            bytes_of: &bytes_of,
            partition: record.partition,
        };
        let hints = RefCell::new(hints);
        let keep = |values: &[Value<'_>]| {
            hints.borrow_mut().look(payload, values);
            plan.filter.holds(values)
        };
        let mut take = |part: &Part<'_>, outcome: Outcome<'_>| {
            let became = match outcome {
                Ok(Some(event)) => event_of(source, plan, counts, event, record.timestamp),
                Ok(None) => Became::PassedBy { reason: "where" },
                Err(error) if error.passes_by() => Became::PassedBy { reason: error.reason() },
                Err(error) => Became::DeadLetter { reason: error.reason(), detail: error.to_string() },
            };
            say(part.index, became);
        };
        if decoder.events(payload, around, keep, &mut take) == 0 {
            say(None, Became::PassedBy { reason: "no_events" });
        }
    }

    /// What all records together came to.
    pub fn finish(self) -> Summary {
        let mut summary = self.counts.finish(&self.source.name, self.records);
        summary.never_held = self.plan.never_held().iter().map(ToString::to_string).collect();
        summary.hints = self.hints.finish();
        summary
    }
}

fn event_of(source: &Source, plan: &Plan, counts: &mut Counts, event: Found<'_>, timestamp: Option<i64>) -> Became {
    if let Err((reason, detail)) = check_not_too_far_ahead(event.time, timestamp, source.max_future) {
        return Became::DeadLetter { reason, detail };
    }
    match plan.accounts(event.values) {
        Err(why) => Became::DeadLetter { reason: why.reason.as_str(), detail: why.to_string() },
        Ok(accounts) => {
            counts.event(&accounts);
            let named = plan.aggregates.iter().zip(&accounts);
            let aggregates = named.map(|(aggregate, account)| taken(&aggregate.config, account)).collect();
            Became::Event { time: rfc3339(event.time), aggregates }
        }
    }
}

fn taken(aggregate: &crate::config::Aggregate, account: &Account) -> Taken {
    let labels = aggregate.by.iter().zip(&account.labels);
    let measures = aggregate.measures.iter().zip(&account.samples);
    let about = |concerns| match concerns {
        Concerns::Event => "not taken".to_owned(),
        Concerns::Label(at) => aggregate.by.get(at).map(|by| format!("label {}", by.label)).unwrap_or_default(),
        Concerns::Measure(at) => aggregate.measures.get(at).map(|m| format!("measure {}", m.name)).unwrap_or_default(),
    };
    let remark = |remark: &crate::aggregate::Remark| match remark.why.reason {
        crate::aggregate::Reason::Where => "not taken: its `where` does not hold".to_owned(),
        _ => format!("{}: {}", about(remark.concerns), remark.why),
    };
    Taken {
        aggregate: aggregate.name.clone(),
        taken: account.taken,
        labels: labels.map(|(by, value)| (by.label.clone(), value.clone())).collect(),
        measures: measures.map(|(measure, sample)| (measure.name.clone(), *sample)).collect(),
        remarks: account.remarks.iter().map(remark).collect(),
    }
}

fn rfc3339(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests;
