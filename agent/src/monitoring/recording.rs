//! Recording rules of a source's aggregates: what dashboards and people ask for most, computed once.
//!
//! Names follow `level:metric:operation`; the level is the labels that are left.

use super::rule::{Group, Rule};
use super::subject::{Subject, WITHOUT, rate};
use crate::config::{Measure, Stat};

/// Range of all rates that are recorded.
pub const RANGE: &str = "5m";

/// One group for each aggregate.
pub fn groups(source: &str, subjects: &[Subject]) -> Vec<Group> {
    let group = |subject: &Subject| Group {
        name: format!("{source}-{}", subject.aggregate.name),
        rules: rules(subject).into_iter().map(|(name, expr)| Rule::Record { name, expr }).collect(),
    };
    subjects.iter().map(group).collect()
}

/// Name and expression of everything recorded of an aggregate.
fn rules(subject: &Subject) -> Vec<(String, String)> {
    let name = |measure: &Measure, operation: &str| {
        format!("{}:{}:{operation}", subject.level(), subject.family(measure).name)
    };
    let counter = |measure: &Measure| rate(&format!("{}_total", subject.family(measure).name), RANGE);
    let mut rules = Vec::new();
    for measure in subject.count().into_iter().chain(subject.shares()).chain(subject.sums()) {
        rules.push((name(measure, &format!("rate{RANGE}")), counter(measure)));
    }
    if let Some(count) = subject.count() {
        for share in subject.shares() {
            rules.push((
                name(share, &format!("ratio_rate{RANGE}")),
                format!("{}\n/\n{}", counter(share), counter(count)),
            ));
        }
    }
    for measure in subject.histograms().chain(subject.averages()) {
        let family = subject.family(measure).name;
        let mean = [format!("{family}_sum"), format!("{family}_count")].map(|counter| rate(&counter, RANGE));
        rules.push((name(measure, &format!("mean_rate{RANGE}")), mean.join("\n/\n")));
    }
    for measure in subject.histograms() {
        let buckets = rate(&format!("{}_bucket", subject.family(measure).name), RANGE);
        for &quantile in measure.quantiles() {
            let word = Stat::Quantile(quantile).word();
            rules.push((
                name(measure, &format!("{word}_rate{RANGE}")),
                format!("histogram_quantile({quantile}, {buckets})"),
            ));
        }
    }
    for (measure, function) in subject.gauges() {
        let (word, family) = (measure.kind.word(), subject.family(measure).name);
        rules.push((name(measure, word), format!("{function} without ({WITHOUT}) ({family})")));
    }
    rules
}
