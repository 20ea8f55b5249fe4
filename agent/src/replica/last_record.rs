//! The last whole commit of a changelog partition, without reading all of it.

use crate::commit::OFFSET_RECORD_KEY;
use crate::kafka::{Batch, PartitionReader, TopicPartition, is_passing};
use prost::Message;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use std::time::Duration;
use streamgauge_proto::storage::v1::OffsetRecord;

const READ_WAIT: Duration = Duration::from_millis(100);
const READ_BATCH: usize = 1_000;
/// After so many waits without a record it has failed: silence does not tell that there is none.
const SILENCES: u32 = 100;
/// A task's offset record is the last of each commit: it is looked for in so many records before the end, then in more.
const STRETCHES: [i64; 3] = [500, 50_000, i64::MAX];

/// The last offset record before `end`; `None` if nothing has been committed.
///
/// # Errors
/// If the partition may not be read, or does not answer.
pub fn last_record(
    reader: &mut PartitionReader,
    partition: &TopicPartition,
    end: i64,
) -> KafkaResult<Option<OffsetRecord>> {
    for stretch in STRETCHES.into_iter().filter(|_| end > 0) {
        if let Some(record) = last_from(reader, partition, end.saturating_sub(stretch).max(0), end)? {
            return Ok(Some(record));
        }
        if stretch >= end {
            break;
        }
    }
    Ok(None)
}

fn last_from(
    reader: &mut PartitionReader,
    partition: &TopicPartition,
    from: i64,
    end: i64,
) -> KafkaResult<Option<OffsetRecord>> {
    reader.assign(&[(partition.clone(), from)])?;
    let (mut last, mut silent, mut batch, mut through) = (None, 0, Batch::default(), false);
    while !through {
        silent += 1;
        if silent > SILENCES {
            reader.finish(partition)?;
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
        for record in reader.read_batch(READ_WAIT, READ_BATCH, &mut batch) {
            match record.error() {
                None => {
                    silent = 0;
                    let value = record.key().filter(|key| *key == OFFSET_RECORD_KEY).and_then(|_| record.payload());
                    last = value.and_then(|value| OffsetRecord::decode(value).ok()).or(last);
                    through |= is_through(record.offset(), false, end);
                }
                Some(RDKafkaErrorCode::PartitionEOF) => through |= is_through(record.offset(), true, end),
                Some(code) => {
                    let error = KafkaError::MessageConsumption(code);
                    if !is_passing(&error) {
                        return Err(error);
                    }
                }
            }
        }
    }
    reader.finish(partition)?;
    Ok(last)
}

/// Pure: whether a partition has been read up to `end` with a record at `offset`, or with an end that the client says is
/// there. An end before that is none: right after a change of the leader, the new one may not know yet how far its log is
/// agreed on. The last offsets may be markers, which are never delivered; then the end comes, or a later record.
pub(super) fn is_through(offset: i64, is_end: bool, end: i64) -> bool {
    offset >= end || (!is_end && offset + 1 == end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_comes_too_early_is_none() {
        assert_eq!([8, 9, 10, 12].map(|offset| is_through(offset, false, 10)), [false, true, true, true]);
        assert_eq!([0, 9, 10, 11].map(|offset| is_through(offset, true, 10)), [false, false, true, true]);
    }
}
