//! What follows from the registry about this agent itself: lag, stream time, keys, leases, restores.

use super::page::{Labels, Page};
use super::point::{Number, Point};
use crate::config::{Family, FamilyType, Publish};
use crate::publish::Publisher;
use crate::query::{Reader, aggregates};
use crate::state::{Phase, Task};
use crate::telemetry::Name;
use std::sync::Arc;

pub fn write(page: &mut Page<'_>, publisher: &Publisher) {
    let reader = publisher.reader();
    let tasks = reader.registry.tasks();
    let now = reader.clock.unix_millis();
    let labelled: Vec<(Labels, &Task)> = tasks.iter().map(|task| (labels(page, task), task.as_ref())).collect();
    let mut gauge = |name: Name, value: &dyn Fn(&Task) -> Option<Number>| {
        page.family(family(name));
        for (labels, task) in &labelled {
            if let Some(value) = value(task) {
                page.point(&labels.bytes, None, &Point::Value(value));
            }
        }
    };
    gauge(Name::Lag, &|task| task.lag().map(Number::Int));
    gauge(Name::StableLag, &|task| task.stable_lag().map(Number::Int));
    gauge(Name::LagSeconds, &|task| lag_seconds(task.lag(), task.view.read().record().stream_time, now));
    gauge(Name::StreamTime, &|task| task.view.read().record().stream_time.map(seconds));
    gauge(Name::LeaseHeld, &|task| Some(Number::Int(u64::from(task.is_published()))));
    gauge(Name::RestoreDone, &|task| restoring(task).map(|(done, _)| Number::Int(done)));
    gauge(Name::RestoreTarget, &|task| restoring(task).map(|(_, of)| Number::Int(of)));
    let waiting = |task: &Task| task.ownership.held_up().map(|held_up| seconds(held_up.waited.as_millis() as i64));
    let runs = |task: &Task| matches!(task.phase(), Phase::Running);
    gauge(Name::RestoreWaiting, &|task| waiting(task).filter(|_| !runs(task)));
    gauge(Name::CommitWaiting, &|task| waiting(task).filter(|_| runs(task)));
    let awaits = |task: &Task| task.ownership.awaits_schema().map(|awaits| seconds(awaits.waited.as_millis() as i64));
    gauge(Name::SchemaWaiting, &awaits);
    write_replicas(page, reader);
    write_missing_topics(page, reader);
    write_stalled(page, publisher);
    write_sizes(page, reader, &tasks);
}

/// Topics that the config wants and the cluster lacks.
fn write_missing_topics(page: &mut Page<'_>, reader: &Reader) {
    let plans = reader.sources.now();
    page.family(family(Name::TopicMissing));
    for (source, selector) in plans.absent(&reader.registry) {
        let labels = Labels::of(page.style.format, &[("source", &source.name), ("topic", selector.as_str())]);
        page.point(&labels.bytes, None, &Point::Value(Number::Int(1)));
    }
}

/// How far the replicas that are kept here are behind.
fn write_replicas(page: &mut Page<'_>, reader: &Reader) {
    page.family(family(Name::ReplicaLag));
    for replica in reader.registry.replicas() {
        if let Phase::Replica { behind: Some(behind) } = replica.phase() {
            let labels = labels(page, &replica);
            page.point(&labels.bytes, None, &Point::Value(Number::Int(behind)));
        }
    }
}

/// Whether merged totals that are this agent's to publish cannot be shown.
fn write_stalled(page: &mut Page<'_>, publisher: &Publisher) {
    let sources = publisher.reader().sources.now();
    let merged = aggregates(&sources).filter(|(_, plan)| plan.config.publish == Publish::Merged);
    page.family(family(Name::MergedStalled));
    for (inputs, plan) in merged {
        let Some(stalled) = publisher.merged_stalled(inputs) else { continue };
        let labels = Labels::of(page.style.format, &[("aggregate", &plan.config.name)]);
        page.point(&labels.bytes, None, &Point::Value(Number::Int(u64::from(stalled))));
    }
}

/// Keys and entries of each aggregate in each task.
fn write_sizes(page: &mut Page<'_>, reader: &Reader, tasks: &[Arc<Task>]) {
    let mut sizes = Vec::new();
    for (inputs, plan) in aggregates(&reader.sources.now()) {
        for task in tasks.iter().filter(|task| inputs.has(task)) {
            let mut text = Labels::of(page.style.format, &[("aggregate", &plan.config.name)]);
            text.append(&labels(page, task));
            let view = task.view.read();
            let size = view.aggregate(plan.id).map_or((0, 0), |view| (view.keys() as u64, view.entries()));
            sizes.push((text, size));
        }
    }
    page.family(family(Name::Keys));
    sizes.iter().for_each(|(text, (keys, _))| page.point(&text.bytes, None, &Point::Value(Number::Int(*keys))));
    page.family(family(Name::Entries));
    sizes.iter().for_each(|(text, (_, entries))| page.point(&text.bytes, None, &Point::Value(Number::Int(*entries))));
}

/// 0 when caught up, never negative, absent when unknown.
fn lag_seconds(lag: Option<u64>, stream_time: Option<i64>, now: i64) -> Option<Number> {
    match (lag?, stream_time) {
        (0, _) => Some(Number::Int(0)),
        (_, stream_time) => Some(seconds(now.saturating_sub(stream_time?).max(0))),
    }
}

pub(super) fn seconds(millis: i64) -> Number {
    Number::Nanos(i128::from(millis) * 1_000_000)
}

fn restoring(task: &Task) -> Option<(u64, u64)> {
    match task.phase() {
        Phase::Restoring { done, of } => Some((done, of)),
        Phase::Running | Phase::Replica { .. } => None,
    }
}

fn labels(page: &Page<'_>, task: &Task) -> Labels {
    Labels::of(page.style.format, &[("topic", &task.id.topic), ("partition", &task.id.partition.to_string())])
}

pub(super) fn family(name: Name) -> Family {
    Family {
        name: name.family().to_owned(),
        kind: FamilyType::Gauge,
        unit: name.unit(),
        help: format!("{}.", name.help()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_in_seconds_is_zero_when_caught_up_never_negative_and_absent_when_unknown() {
        assert_eq!(lag_seconds(Some(0), Some(1_000), 9_000), Some(Number::Int(0)));
        assert_eq!(lag_seconds(Some(5), Some(1_000), 9_500), Some(Number::Nanos(8_500_000_000)));
        assert_eq!(lag_seconds(Some(5), Some(9_000), 1_000), Some(Number::Nanos(0)));
        assert_eq!(lag_seconds(Some(5), None, 1_000), None);
        assert_eq!(lag_seconds(None, Some(1_000), 9_000), None);
    }
}
