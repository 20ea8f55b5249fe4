//! Candidates, tried on the records.

use std::collections::BTreeMap;

use super::yaml::flow;
use crate::config::{self, Config, ConfigError};
use crate::sample::{Became, Record, Rehearsal, Summary};

/// A config with all candidates.
pub(super) struct Trial(Config);

/// What became of the records.
pub(super) struct Tried {
    /// Of each event the labels, by name.
    pub labels: Vec<BTreeMap<String, String>>,
    pub summary: Summary,
}

impl Trial {
    /// `source` has the keys of the source, the others are labels and measures as the config has them.
    pub fn new(source: &str, by: &[String], measures: &[String]) -> Result<Trial, ConfigError> {
        let text = format!(
            "kafka: {{ bootstrap_servers: \"127.0.0.1:9\", group_id: g }}\nsources:\n  s:\n    topics: [t]\n{source}\
             aggregates:\n  a:\n    source: s\n    by: {}\n    measures: {}\n",
            flow(by.iter().cloned()),
            flow(std::iter::once("events: count".to_owned()).chain(measures.iter().cloned())),
        );
        config::parse(&text, "draft", &|_| None).map(Trial)
    }

    pub fn rehearse(&self, records: &[Record]) -> Tried {
        let mut rehearsal = Rehearsal::new(&self.0, &self.0.sources[0]);
        let mut labels = Vec::new();
        for record in records {
            for line in rehearsal.record(record) {
                if let Became::Event { aggregates, .. } = line.became {
                    labels.extend(aggregates.into_iter().map(|taken| taken.labels));
                }
            }
        }
        Tried { labels, summary: rehearsal.finish() }
    }
}
