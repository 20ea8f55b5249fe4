//! What rules and panels are about: an aggregate with its labels and with what its measures mean to a reader.

use crate::config::{Aggregate, Config, Family, Measure, Source};
use crate::measure::{Form, Rules, Takes};

/// Labels that hold a status code by their name.
const STATUS_LABELS: [&str; 5] = ["status", "status_code", "code", "http_status", "response_code"];

/// Words in a measure's name that say that it counts what went wrong.
const ERROR_WORDS: [&str; 4] = ["error", "fail", "reject", "exception"];

/// Totals carry where they were counted; nobody who looks at them cares.
pub const WITHOUT: &str = "topic, partition, instance";

pub struct Subject<'a> {
    pub aggregate: &'a Aggregate,
}

/// The aggregates of a source; what counts in several is told with the first of them.
pub fn of_source<'a>(config: &'a Config, source: &Source) -> Vec<Subject<'a>> {
    let of = config.aggregates.iter().filter(|aggregate| aggregate.sources.first() == Some(&source.name));
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
        self.counts().find(|measure| measure.filter.is_empty())
    }

    /// Measures that count some of the events.
    pub fn shares(&self) -> impl Iterator<Item = &'a Measure> {
        self.counts().filter(|measure| !measure.filter.is_empty())
    }

    /// The share that counts what went wrong.
    pub fn errors(&self) -> Option<&'a Measure> {
        self.shares().find(|measure| ERROR_WORDS.iter().any(|word| measure.name.contains(word)))
    }

    fn counts(&self) -> impl Iterator<Item = &'a Measure> {
        self.of(|rules| rules.form == Form::Sum && rules.takes == Takes::Nothing)
    }

    pub fn sums(&self) -> impl Iterator<Item = &'a Measure> {
        self.of(|rules| rules.form == Form::Sum && rules.takes == Takes::Number).filter(|measure| !measure.signed)
    }

    pub fn averages(&self) -> impl Iterator<Item = &'a Measure> {
        self.of(|rules| rules.form == Form::Summary)
    }

    /// Gauges, and PromQL's function that merges them.
    pub fn gauges(&self) -> impl Iterator<Item = (&'a Measure, &'static str)> {
        self.aggregate.measures.iter().filter_map(|measure| match measure.kind.rules().form {
            Form::Gauge(function) => Some((measure, function?)),
            Form::Sum
            | Form::Counters
            | Form::Estimate
            | Form::Ranking
            | Form::Summary
            | Form::Exponential
            | Form::Explicit => None,
        })
    }

    /// Gauges that no function merges: those of partitions, and of keys, stand side by side.
    pub fn unmerged(&self) -> impl Iterator<Item = &'a Measure> {
        self.of(|rules| matches!(rules.form, Form::Gauge(None) | Form::Estimate))
    }

    /// Measures that count what is unusual.
    pub fn anomalies(&self) -> impl Iterator<Item = &'a Measure> {
        self.of(|rules| rules.form == Form::Counters && rules.takes == Takes::Number)
    }

    /// What session windows give.
    pub fn sessions(&self) -> impl Iterator<Item = &'a Measure> {
        self.of(|rules| rules.form == Form::Counters && rules.takes == Takes::Time)
    }

    /// How many different items there were.
    pub fn estimates(&self) -> impl Iterator<Item = &'a Measure> {
        self.of(|rules| rules.form == Form::Estimate)
    }

    /// Measures of items, which closed windows show.
    pub fn rankings(&self) -> impl Iterator<Item = &'a Measure> {
        self.of(|rules| rules.form == Form::Ranking)
    }

    pub fn histograms(&self) -> impl Iterator<Item = &'a Measure> {
        self.of(|rules| rules.form.is_distribution())
    }

    fn of(&self, is_meant: impl Fn(&Rules) -> bool) -> impl Iterator<Item = &'a Measure> {
        self.aggregate.measures.iter().filter(move |measure| is_meant(measure.kind.rules()))
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
