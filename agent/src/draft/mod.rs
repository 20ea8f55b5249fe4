//! A config drafted from sample records: their format, where the event time is, and what is worth counting.
//!
//! It writes no parser of its own. Candidates are tried by what the agent reads records with ([`crate::decode::Decoder`],
//! [`crate::sample::Rehearsal`]), so that what the draft says of them was measured. Pure.

#![forbid(unsafe_code)]

mod error;
mod fields;
mod labels;
mod layout;
mod measures;
mod names;
mod patterns;
mod records;
mod times;
mod trial;
mod ways;
mod write;
mod yaml;

use crate::config;
use crate::sample::{Record, Rehearsal, Summary};
pub use error::NoDraft;
use fields::Table;
use layout::Layout;
use trial::Trial;
pub use write::Subject;

/// Records that are looked at; more say little more.
pub const MOST_RECORDS: usize = 10_000;

/// A config, and what it makes of the records that it was drafted from.
#[derive(Debug)]
pub struct Draft {
    pub text: String,
    pub summary: Summary,
}

/// Drafts a config that counts these records.
///
/// # Errors
/// [`NoDraft`], if there is nothing to count or no format that they are written in.
pub fn draft(records: &[Record], subject: &Subject) -> Result<Draft, NoDraft> {
    let records = &records[..records.len().min(MOST_RECORDS)];
    let layout = Layout::of(records)?;
    let table = Table::read(&layout, records)?;
    let time = times::find(&layout, &table, records)?;
    let labels = labels::candidates(&table, &time);
    let measures = measures::candidates(&table, &time);
    let by: Vec<String> = labels.iter().map(|label| format!("{}: {}", label.name, label.made_of())).collect();
    let measured: Vec<String> =
        measures.iter().map(|measure| format!("{}: {}", measure.name, measure.body())).collect();
    let trial = Trial::new(&layout.source_keys(&time.keys()), &by, &measured)?;
    let tried = trial.rehearse(records);
    let labels = labels::choose(labels, &tried);
    let measures = measures::choose(measures, &tried);
    let errors = measures::errors(&table);
    let text =
        write::config(subject, &write::Found { layout, time, labels, measures, errors, summary: &tried.summary });
    let config = config::parse(&text, &subject.file, &|_| None)?;
    let mut rehearsal = Rehearsal::new(&config, &config.sources[0]);
    records.iter().for_each(|record| drop(rehearsal.record(record)));
    Ok(Draft { text, summary: rehearsal.finish() })
}

#[cfg(test)]
mod tests;
