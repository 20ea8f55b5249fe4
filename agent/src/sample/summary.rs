//! What all sample records together came to.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::aggregate::{Account, Concerns, Plan};

/// Different values of a label, or label sets, that are remembered; beyond it the count says "at least".
const REMEMBERED: usize = 100_000;

/// Of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub source: String,
    pub records: u64,
    pub events: u64,
    /// Records that are none of the source's events, by reason.
    pub passed_by: BTreeMap<String, u64>,
    /// By reason.
    pub dead_letters: BTreeMap<String, u64>,
    pub aggregates: Vec<AggregateSummary>,
    /// Conditions that have held for no event, though some had their field: a sentence each.
    pub never_held: Vec<String>,
    /// What is probably meant otherwise than it is written.
    pub hints: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AggregateSummary {
    pub aggregate: String,
    /// Events that it counts.
    pub taken: u64,
    /// Events that it does not, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Different label sets; at least so many, if it is [`REMEMBERED`].
    pub series: usize,
    pub labels: Vec<LabelSummary>,
    pub measures: Vec<MeasureSummary>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LabelSummary {
    pub label: String,
    /// Different values; at least so many, if it is [`REMEMBERED`].
    pub values: usize,
    /// Events in which it is empty.
    pub empty: u64,
    /// Events in which it is not what the field has, by reason.
    pub adjusted: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MeasureSummary {
    pub measure: String,
    /// Events that it measures.
    pub measured: u64,
    /// Events that it has no usable value of, by reason.
    pub skipped: BTreeMap<String, u64>,
}

/// A [`Summary`] while it is made.
pub(super) struct Counts {
    summary: Summary,
    /// Per aggregate.
    seen: Vec<Seen>,
}

/// What an aggregate's labels have been.
#[derive(Clone, Default)]
struct Seen {
    series: HashSet<Vec<String>>,
    /// Of each label.
    values: Vec<HashSet<String>>,
}

impl Counts {
    pub fn new(plan: &Plan) -> Counts {
        let aggregates = plan.aggregates.iter().map(|plan| &plan.config);
        let summary = |aggregate: &crate::config::Aggregate| AggregateSummary {
            aggregate: aggregate.name.clone(),
            labels: aggregate
                .by
                .iter()
                .map(|by| LabelSummary { label: by.label.clone(), ..LabelSummary::default() })
                .collect(),
            measures: aggregate
                .measures
                .iter()
                .map(|measure| MeasureSummary { measure: measure.name.clone(), ..MeasureSummary::default() })
                .collect(),
            ..AggregateSummary::default()
        };
        Counts {
            seen: aggregates
                .clone()
                .map(|aggregate| Seen { series: HashSet::new(), values: vec![HashSet::new(); aggregate.by.len()] })
                .collect(),
            summary: Summary { aggregates: aggregates.map(summary).collect(), ..Summary::default() },
        }
    }

    pub fn passed_by(&mut self, reason: &str) {
        *self.summary.passed_by.entry(reason.to_owned()).or_default() += 1;
    }

    pub fn dead_letter(&mut self, reason: &str) {
        *self.summary.dead_letters.entry(reason.to_owned()).or_default() += 1;
    }

    pub fn event(&mut self, accounts: &[Account]) {
        self.summary.events += 1;
        let aggregates = self.summary.aggregates.iter_mut().zip(&mut self.seen);
        for ((summary, Seen { series, values }), account) in aggregates.zip(accounts) {
            summary.add(account);
            for (seen, value) in values.iter_mut().zip(&account.labels) {
                if seen.len() < REMEMBERED && !seen.contains(value) {
                    seen.insert(value.clone());
                }
            }
            if account.taken && series.len() < REMEMBERED && !series.contains(&account.labels) {
                series.insert(account.labels.clone());
            }
        }
    }

    pub fn finish(mut self, source: &str, records: u64) -> Summary {
        self.summary.source = source.to_owned();
        self.summary.records = records;
        for (summary, Seen { series, values }) in self.summary.aggregates.iter_mut().zip(&self.seen) {
            summary.series = series.len();
            summary.labels.iter_mut().zip(values).for_each(|(label, seen)| label.values = seen.len());
        }
        self.summary
    }
}

impl AggregateSummary {
    fn add(&mut self, account: &Account) {
        self.taken += u64::from(account.taken);
        for (label, value) in self.labels.iter_mut().zip(&account.labels) {
            label.empty += u64::from(value.is_empty());
        }
        for (measure, sample) in self.measures.iter_mut().zip(&account.samples) {
            measure.measured += u64::from(sample.is_some());
        }
        for remark in &account.remarks {
            let reasons = match remark.concerns {
                Concerns::Event => Some(&mut self.skipped),
                Concerns::Label(at) => self.labels.get_mut(at).map(|label| &mut label.adjusted),
                Concerns::Measure(at) => self.measures.get_mut(at).map(|measure| &mut measure.skipped),
            };
            if let Some(reasons) = reasons {
                *reasons.entry(remark.why.reason.as_str().to_owned()).or_default() += 1;
            }
        }
    }
}

impl Summary {
    /// Whether every record is an event or passes by, and each aggregate counts something.
    pub fn is_good(&self) -> bool {
        self.dead_letters.is_empty() && self.aggregates.iter().all(|aggregate| aggregate.taken > 0)
    }
}
