//! What aggregates have skipped goes to the metrics.

use crate::aggregate::{AggregatePlan, ByReason, Reason, Tally};
use crate::telemetry::Metrics;

/// Counts what became of the events that an aggregate was shown. `first`: what has not happened yet is shown as zero, so
/// that a rate sees the first time.
pub(super) fn count(metrics: &Metrics, plan: &AggregatePlan, tally: &Tally, first: bool) {
    let config = &plan.config;
    let each = |counts: &ByReason, reasons: &[Reason], count: &dyn Fn(&'static str, u64)| {
        let counts = reasons.iter().map(|&reason| (reason.as_str(), counts.of(reason)));
        counts.filter(|&(_, events)| first || events > 0).for_each(|(reason, events)| count(reason, events));
    };
    if first || tally.taken > 0 {
        metrics.aggregated(&config.name, tally.taken);
    }
    each(&tally.events, &Reason::EVENTS, &|reason, events| metrics.skipped_events(&config.name, reason, events));
    for (by, counts) in config.by.iter().zip(&tally.labels) {
        each(counts, &Reason::LABELS, &|reason, events| {
            metrics.adjusted_labels(&config.name, &by.label, reason, events);
        });
    }
    for (measure, counts) in config.measures.iter().zip(&tally.values).filter(|(measure, _)| measure.field.is_some()) {
        each(counts, &Reason::VALUES, &|reason, events| {
            metrics.skipped_values(&config.name, &measure.name, reason, events);
        });
    }
}
