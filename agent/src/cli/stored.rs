//! What a group's changelogs say it has counted so far, against what a config wants: the plan of a change, before it is
//! made.

use crate::aggregate::{AggregateId, Plan};
use crate::config::{Config, Source, format_duration};
use crate::kafka::{Isolation, PartitionReader, Settings, TopicPartition};
use crate::replica::last_record;
use crate::worker::{Change, changes};
use rdkafka::error::KafkaError;
use std::collections::BTreeSet;
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Names and ids of the aggregates that the last commits of a changelog list.
pub fn listed(settings: &Settings, changelog: &str, partitions: i32) -> Result<BTreeSet<(String, u64)>, KafkaError> {
    let mut reader = PartitionReader::create(settings, Isolation::ReadCommitted)?;
    let all: Vec<TopicPartition> = TopicPartition::all_of(&changelog.into(), partitions).collect();
    let ends = reader.ends(&all, CALL_TIMEOUT)?;
    let mut found = BTreeSet::new();
    for partition in all {
        let end = ends.get(&partition).copied().unwrap_or(0);
        let record = last_record(&mut reader, &partition, end)?.unwrap_or_default();
        found.extend(record.aggregates.into_iter().map(|progress| (progress.name, progress.id)));
    }
    Ok(found)
}

/// What would become of each aggregate of a source: one line each.
pub fn plan(config: &Config, source: &Source, stored: &BTreeSet<(String, u64)>) -> Vec<String> {
    let wanted = Plan::new(source, &config.sources, &config.aggregates);
    let before = stored.iter().map(|(name, id)| (name.as_str(), AggregateId(*id)));
    let after = wanted.aggregates.iter().map(|plan| (plan.config.name.as_str(), plan.id));
    let keep = format_duration(config.state.keep_removed);
    let describe = |change| match change {
        Change::Unchanged => "unchanged, its state goes on".to_owned(),
        Change::Added => "added, starts empty at the current offsets".to_owned(),
        Change::Changed => "changed, starts empty; what was counted under its old definition is deleted".to_owned(),
        Change::Removed => format!("removed, its state is deleted (by a restart: after {keep})"),
    };
    let lines = changes(before, after).into_iter();
    lines.map(|(name, change)| format!("aggregate {name}: {}", describe(change))).collect()
}
