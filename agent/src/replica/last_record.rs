//! The last whole commit of a changelog partition, without reading all of it.

use crate::commit::OFFSET_RECORD_KEY;
use crate::kafka::{PartitionReader, Reading, TopicPartition, is_passing};
use prost::Message;
use rdkafka::error::KafkaResult;
use std::time::Duration;
use streamgauge_proto::storage::v1::OffsetRecord;

const READ_WAIT: Duration = Duration::from_millis(100);
const SILENCES: u32 = 100;
/// A task's offset record is the last of each commit: it is looked for in so many records before the end, then in more.
const STRETCHES: [i64; 3] = [500, 50_000, i64::MAX];

/// The last offset record before `end`; `None` if nothing has been committed.
///
/// # Errors
/// If the partition may not be read.
pub fn last_record(
    reader: &mut PartitionReader,
    partition: &TopicPartition,
    end: i64,
) -> KafkaResult<Option<OffsetRecord>> {
    for stretch in STRETCHES.into_iter().filter(|_| end > 0) {
        if let Some(record) = last_from(reader, partition, end.saturating_sub(stretch).max(0))? {
            return Ok(Some(record));
        }
        if stretch >= end {
            break;
        }
    }
    Ok(None)
}

fn last_from(reader: &mut PartitionReader, partition: &TopicPartition, from: i64) -> KafkaResult<Option<OffsetRecord>> {
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
