//! What a group's changelogs say it has counted so far, against what a config wants: the plan of a change, before it is
//! made.

use crate::aggregate::{AggregateId, Plan};
use crate::commit::OFFSET_RECORD_KEY;
use crate::config::{Config, Source, format_duration};
use crate::kafka::{Isolation, PartitionReader, Reading, Settings, TopicPartition, is_passing};
use crate::worker::{Change, changes};
use prost::Message;
use rdkafka::error::KafkaError;
use std::collections::BTreeSet;
use std::time::Duration;
use streamgauge_proto::storage::v1::OffsetRecord;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const READ_WAIT: Duration = Duration::from_millis(100);
const SILENCES: u32 = 100;
/// A task's offset record is the last of each commit: it is looked for in so many records before the end, then in more.
const STRETCHES: [i64; 3] = [500, 50_000, i64::MAX];

/// Names and ids of the aggregates that the last commits of a changelog list.
pub fn listed(settings: &Settings, changelog: &str, partitions: i32) -> Result<BTreeSet<(String, u64)>, KafkaError> {
    let mut reader = PartitionReader::create(settings, Isolation::ReadCommitted)?;
    let all: Vec<TopicPartition> = (0..partitions).map(|partition| (changelog.into(), partition)).collect();
    let ends = reader.ends(&all, CALL_TIMEOUT)?;
    let mut found = BTreeSet::new();
    for partition in all {
        let end = ends.get(&partition).copied().unwrap_or(0);
        for stretch in STRETCHES {
            if end == 0 {
                break;
            }
            let from = end.saturating_sub(stretch).max(0);
            if let Some(record) = last_record(&mut reader, &partition, from)? {
                found.extend(record.aggregates.into_iter().map(|progress| (progress.name, progress.id)));
                break;
            }
        }
    }
    Ok(found)
}

fn last_record(
    reader: &mut PartitionReader,
    partition: &TopicPartition,
    from: i64,
) -> Result<Option<OffsetRecord>, KafkaError> {
    reader.assign(&[(partition.clone(), from)])?;
    let (mut last, mut silent) = (None, 0);
    while silent < SILENCES {
        silent += 1;
        match reader.read(READ_WAIT) {
            Reading::Record(record) => {
                silent = 0;
                let value = record.key().filter(|key| *key == OFFSET_RECORD_KEY).and_then(|_| record.payload());
                last = value.and_then(|value| OffsetRecord::decode(value).ok()).or(last);
            }
            Reading::End { .. } => break,
            Reading::Error(error) if !is_passing(&error) => return Err(error),
            Reading::Error(_) | Reading::Nothing => {}
        }
    }
    reader.finish(partition)?;
    Ok(last)
}

/// What would become of each aggregate of a source: one line each.
pub fn plan(config: &Config, source: &Source, stored: &BTreeSet<(String, u64)>) -> Vec<String> {
    let wanted = Plan::new(source, &config.aggregates);
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
