//! What has been counted since the agent started, for parts that say what it comes to.

use super::labels::{AggregateLabel, Counters, DecodeErrorLabels, SkippedLabels, SourceLabel, ValueLabels};
use super::names::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use std::hash::Hash;

/// Events, by why they are not counted.
pub type ByReason = Vec<(&'static str, u64)>;

impl Metrics {
    /// Events of a source that went into the state.
    pub fn events_of(&self, source: &str) -> u64 {
        value(&self.events, &SourceLabel { source: source.to_owned() })
    }

    /// Events of a source that could not be used.
    pub fn undecodable_by_reason(&self, source: &str, reasons: &[&'static str]) -> ByReason {
        let labels = |reason| DecodeErrorLabels { source: source.to_owned(), reason };
        reasons.iter().map(|&reason| (reason, value(&self.decode_errors, &labels(reason)))).collect()
    }

    /// Events that an aggregate has counted.
    pub fn aggregated_by(&self, aggregate: &str) -> u64 {
        value(&self.aggregated_events, &AggregateLabel { aggregate: aggregate.to_owned() })
    }

    /// Events that are not in an aggregate.
    pub fn skipped_by(&self, aggregate: &str, reasons: &[&'static str]) -> ByReason {
        let labels = |reason| SkippedLabels { aggregate: aggregate.to_owned(), reason };
        reasons.iter().map(|&reason| (reason, value(&self.skipped_events, &labels(reason)))).collect()
    }

    /// Events of an aggregate that a measure has no usable value of.
    pub fn unmeasured_by(&self, aggregate: &str, measure: &str, reasons: &[&'static str]) -> ByReason {
        let labels = |reason| ValueLabels { aggregate: aggregate.to_owned(), measure: measure.to_owned(), reason };
        reasons.iter().map(|&reason| (reason, value(&self.skipped_values, &labels(reason)))).collect()
    }
}

/// A counter that has not counted has no series, and gets none by being asked.
fn value<L: Clone + Eq + Hash + EncodeLabelSet>(counters: &Counters<L>, labels: &L) -> u64 {
    counters.get(labels).map_or(0, |counter| counter.get())
}
