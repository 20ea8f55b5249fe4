//! What rules and panels are about: an aggregate with its labels and with what its measures mean to a reader.

use crate::config::{Aggregate, Config, Family, Measure, MeasureKind, Source};

/// Labels that hold a status code by their name.
const STATUS_LABELS: [&str; 5] = ["status", "status_code", "code", "http_status", "response_code"];

/// Words in a measure's name that say that it counts what went wrong.
const ERROR_WORDS: [&str; 4] = ["error", "fail", "reject", "exception"];

/// Totals carry where they were counted; nobody who looks at them cares.
pub const WITHOUT: &str = "topic, partition, instance";

pub struct Subject<'a> {
    pub aggregate: &'a Aggregate,
}

/// The aggregates of a source.
pub fn of_source<'a>(config: &'a Config, source: &Source) -> Vec<Subject<'a>> {
    let of = config.aggregates.iter().filter(|aggregate| aggregate.source == source.name);
    of.map(|aggregate| Subject { aggregate }).collect()
}

impl<'a> Subject<'a> {
    pub fn labels(&self) -> Vec<&'a str> {
        self.aggregate.by.iter().map(|by| by.label.as_str()).collect()
    }

    /// The first word of a recorded series' name: the labels that it is left with.
    pub fn level(&self) -> String {
        level(&self.labels())
    }

    pub fn family(&self, measure: &Measure) -> Family {
        self.aggregate.total_family(measure)
    }

    /// The measure that counts every event.
    pub fn count(&self) -> Option<&'a Measure> {
        self.aggregate.measures.iter().find(|m| m.kind == MeasureKind::Count && m.filter.is_empty())
    }

    /// Measures that count some of the events.
    pub fn shares(&self) -> impl Iterator<Item = &'a Measure> {
        self.aggregate.measures.iter().filter(|m| m.kind == MeasureKind::Count && !m.filter.is_empty())
    }

    /// The share that counts what went wrong.
    pub fn errors(&self) -> Option<&'a Measure> {
        self.shares().find(|measure| ERROR_WORDS.iter().any(|word| measure.name.contains(word)))
    }

    pub fn sums(&self) -> impl Iterator<Item = &'a Measure> {
        self.aggregate.measures.iter().filter(|m| m.kind == MeasureKind::Sum && !m.signed)
    }

    pub fn averages(&self) -> impl Iterator<Item = &'a Measure> {
        self.aggregate.measures.iter().filter(|m| m.kind == MeasureKind::Avg)
    }

    pub fn extremes(&self) -> impl Iterator<Item = &'a Measure> {
        self.aggregate.measures.iter().filter(|m| matches!(m.kind, MeasureKind::Min | MeasureKind::Max))
    }

    pub fn histograms(&self) -> impl Iterator<Item = &'a Measure> {
        let is = |m: &&Measure| matches!(m.kind, MeasureKind::Histogram | MeasureKind::Buckets(_));
        self.aggregate.measures.iter().filter(is)
    }

    /// The label that holds a status code.
    pub fn status_label(&self) -> Option<&'a str> {
        self.labels().into_iter().find(|label| STATUS_LABELS.contains(label))
    }
}

pub fn level(labels: &[&str]) -> String {
    if labels.is_empty() { "all".into() } else { labels.join("_") }
}

/// The rate of a counter over `range`, wherever it was counted.
pub fn rate(selector: &str, range: &str) -> String {
    format!("sum without ({WITHOUT}) (rate({selector}[{range}]))")
}
