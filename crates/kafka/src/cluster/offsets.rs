//! Ends and beginnings of many logs: one request for each leader, whatever the number of partitions.

use super::super::TopicPartition;
use super::super::call::{Aim, Names, Operation};
use super::{CallError, ClusterClient, answer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::CString;
use std::time::Duration;

/// The high watermark: the offset of the next record.
pub const LATEST: i64 = -1;
/// The first offset that is still there.
pub const EARLIEST: i64 = -2;

/// What was found in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOffset {
    pub of: TopicPartition,
    /// `None`: its leader did not answer, or there is no such offset.
    pub offset: Option<i64>,
}

impl ClusterClient {
    /// For each partition the offset at `time`: [`LATEST`], [`EARLIEST`], or the first record not older than Unix
    /// milliseconds. Partitions of the same topic should stand together.
    ///
    /// # Errors
    /// If there is no answer at all within `timeout`.
    pub fn log_offsets(
        &self,
        of: &[TopicPartition],
        time: i64,
        timeout: Duration,
    ) -> Result<Vec<LogOffset>, CallError> {
        let of: Vec<_> = of.iter().map(|place| (place.clone(), time)).collect();
        self.log_offsets_at(&of, timeout)
    }

    /// The same, for each partition at a time of its own.
    ///
    /// # Errors
    /// If there is no answer at all within `timeout`.
    pub fn log_offsets_at(&self, of: &[(TopicPartition, i64)], timeout: Duration) -> Result<Vec<LogOffset>, CallError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = self.call(timeout);
        let operation = Operation::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        // SAFETY: everything is valid; the list is copied by the call and destroyed here.
        call.ask(operation, Aim::default(), |client, options, queue| unsafe {
            let list = sys::rd_kafka_topic_partition_list_new(of.len() as i32);
            for (TopicPartition { topic, partition }, time) in of {
                let Ok(name) = CString::new(topic.as_bytes()) else { continue };
                let element = sys::rd_kafka_topic_partition_list_add(list, name.as_ptr(), *partition);
                (*element).offset = *time;
            }
            sys::rd_kafka_ListOffsets(client, list, options, queue);
            sys::rd_kafka_topic_partition_list_destroy(list);
        });
        let event = answer(&call, "list offsets")?;
        let mut names = Names::default();
        // SAFETY: the result and what it points to belong to the event, which lives to the end of this block.
        unsafe {
            let of = sys::rd_kafka_event_ListOffsets_result;
            let found = event.list(of, sys::rd_kafka_ListOffsets_result_infos).iter().filter_map(|info| {
                let element = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info).as_ref()?;
                let fine = RDKafkaErrorCode::from(element.err) == RDKafkaErrorCode::NoError && element.offset >= 0;
                Some(LogOffset { of: names.place(element), offset: fine.then_some(element.offset) })
            });
            Ok(found.collect())
        }
    }
}
