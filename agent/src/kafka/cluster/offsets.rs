//! Ends and beginnings of many logs: one request for each leader, whatever the number of partitions.

use super::call::{Call, Operation, elements, partitions};
use super::{CallError, ClusterClient};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Duration;

/// The high watermark: the offset of the next record.
pub const LATEST: i64 = -1;
/// The first offset that is still there.
pub const EARLIEST: i64 = -2;

/// What was found in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOffset {
    pub topic: Arc<str>,
    pub partition: i32,
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
        of: &[(Arc<str>, i32)],
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
    pub fn log_offsets_at(
        &self,
        of: &[((Arc<str>, i32), i64)],
        timeout: Duration,
    ) -> Result<Vec<LogOffset>, CallError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = Call::new(self, "list offsets", timeout);
        let operation = Operation::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        // SAFETY: everything is valid; the list is copied by the call and destroyed here.
        call.ask(operation, 0, None, |client, options, queue| unsafe {
            let list = sys::rd_kafka_topic_partition_list_new(of.len() as i32);
            for ((topic, partition), time) in of {
                let Ok(name) = CString::new(topic.as_bytes()) else { continue };
                let element = sys::rd_kafka_topic_partition_list_add(list, name.as_ptr(), *partition);
                (*element).offset = *time;
            }
            sys::rd_kafka_ListOffsets(client, list, options, queue);
            sys::rd_kafka_topic_partition_list_destroy(list);
        });
        let event = call.next_good()?;
        let mut names = Names::default();
        // SAFETY: the result and what it points to belong to the event, which lives to the end of this block.
        unsafe {
            let result = sys::rd_kafka_event_ListOffsets_result(event.raw());
            let mut count = 0;
            let array = match result.is_null() {
                true => std::ptr::null_mut(),
                false => sys::rd_kafka_ListOffsets_result_infos(result, &mut count),
            };
            let found = elements(array, count).iter().filter_map(|info| {
                let element = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info).as_ref()?;
                let fine = RDKafkaErrorCode::from(element.err) == RDKafkaErrorCode::NoError && element.offset >= 0;
                let topic = names.of(CStr::from_ptr(element.topic));
                Some(LogOffset { topic, partition: element.partition, offset: fine.then_some(element.offset) })
            });
            Ok(found.collect())
        }
    }
}

/// Copies a topic's name once for all its partitions that stand together.
#[derive(Default)]
pub struct Names(Option<Arc<str>>);

impl Names {
    pub fn of(&mut self, name: &CStr) -> Arc<str> {
        let name = name.to_string_lossy();
        match &self.0 {
            Some(known) if **known == *name => known.clone(),
            _ => {
                let new: Arc<str> = name.into();
                self.0 = Some(new.clone());
                new
            }
        }
    }
}

/// Names and numbers of a list of partitions.
///
/// # Safety
/// `list` is null or valid.
pub unsafe fn listed(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<(Arc<str>, i32)> {
    let mut names = Names::default();
    // SAFETY: as the caller promises; names are valid texts.
    unsafe { partitions(list).iter().map(|e| (names.of(CStr::from_ptr(e.topic)), e.partition)).collect() }
}
