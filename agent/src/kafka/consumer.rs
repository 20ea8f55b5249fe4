//! The worker's consumer: membership of the group, and batches of records over one queue of our own.
//!
//! Records are taken with librdkafka's batch call from a queue to which each assigned partition's queue is forwarded.
//! Called on the consumer's own queue, the batch call would swallow rebalance events.

use super::batch::{Batch, Record};
use super::{Context, Identity, Settings, TopicPartition, Watermarks};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka_sys as sys;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// How long a seek may take to be taken note of.
const SEEK_MILLIS: i32 = 5_000;

/// A change of this member's partitions, to be answered with `assign…` or `unassign…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    Assigned(Vec<TopicPartition>),
    /// In order: what was read may be committed before the answer.
    Revoked(Vec<TopicPartition>),
    /// Others may own these already: nothing may be committed for them.
    Lost(Vec<TopicPartition>),
}

/// The group's consumer of one worker. Shared with the committer, which asks it for the group's metadata.
pub struct GroupConsumer {
    consumer: BaseConsumer<Context>,
    queue: NonNull<sys::rd_kafka_queue_t>,
}

// SAFETY: librdkafka's handles may be used from any thread; the queue is only destroyed with the consumer.
unsafe impl Send for GroupConsumer {}
// SAFETY: as above; all calls on a shared handle are thread-safe in librdkafka.
unsafe impl Sync for GroupConsumer {}

impl GroupConsumer {
    /// Joins the group with a subscription to topics by name; without any, it waits for [`GroupConsumer::subscribe`].
    pub fn join(settings: &Settings, identity: &Identity, topics: &[&str]) -> KafkaResult<Self> {
        let context = Context::shown(settings.clients().client("consumer"));
        let consumer: BaseConsumer<Context> = settings.consumer(identity).create_with_context(context)?;
        // SAFETY: the handle is valid as long as `consumer`, which outlives the queue (see Drop).
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) })
            .ok_or_else(|| KafkaError::ClientCreation("no queue".into()))?;
        let consumer = GroupConsumer { consumer, queue };
        if !topics.is_empty() {
            consumer.consumer.subscribe(topics)?;
        }
        Ok(consumer)
    }

    fn native(&self) -> *mut sys::rd_kafka_t {
        self.consumer.client().native_ptr()
    }

    pub fn context(&self) -> &Context {
        self.consumer.client().context()
    }

    /// Takes what has been fetched, up to `most` records; waits up to `wait` for the batch to fill.
    pub fn consume_batch<'a>(
        &self,
        wait: Duration,
        most: usize,
        batch: &'a mut Batch,
    ) -> impl Iterator<Item = Record<'a>> {
        batch.take(self.queue, wait, most)
    }

    /// Serves the group: heartbeats, rebalances, errors. Returns what went wrong, if something did.
    pub fn poll(&self) -> Option<KafkaError> {
        match self.consumer.poll(Duration::ZERO)? {
            Ok(message) => {
                use rdkafka::Message;
                // Every partition's queue is forwarded before it is assigned, so this cannot be a record we wait for.
                tracing::warn!(topic = message.topic(), partition = message.partition(), "record outside the queue");
                Some(KafkaError::MessageConsumption(RDKafkaErrorCode::State))
            }
            Err(error) => Some(error),
        }
    }

    /// The oldest rebalance that has not been answered yet.
    pub fn take_rebalance(&self) -> Option<Rebalance> {
        self.context().take_rebalance()
    }

    /// Acknowledges an assignment without reading from it yet.
    pub fn acknowledge(&self) -> KafkaResult<()> {
        self.consumer.incremental_assign(&TopicPartitionList::new())
    }

    /// Starts reading one partition at `offset`. Its queue is forwarded first: a stop of fetching clears the forward, and
    /// without a new one records would wait in a queue that nobody reads. With the leader epoch of the record before
    /// `offset`, the broker is asked first whether its log still holds that record; if not, there comes an error in a
    /// record's place, see [`Record::is_truncation`].
    pub fn assign(
        &self,
        (topic, partition): &TopicPartition,
        offset: i64,
        leader_epoch: Option<i32>,
    ) -> KafkaResult<()> {
        let name = CString::new(topic.as_bytes())?;
        // SAFETY: valid handle and name; the partition queue's reference is given back right away.
        unsafe {
            let queue = sys::rd_kafka_queue_get_partition(self.native(), name.as_ptr(), *partition);
            if queue.is_null() {
                return Err(KafkaError::Subscription(format!("no queue for {topic}/{partition}")));
            }
            sys::rd_kafka_queue_forward(queue, self.queue.as_ptr());
            sys::rd_kafka_queue_destroy(queue);
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, *partition, rdkafka::Offset::Offset(offset))?;
        let Some(leader_epoch) = leader_epoch else {
            self.consumer.incremental_assign(&list)?;
            // A pause survives unassign and assign.
            return self.consumer.resume(&list);
        };
        // Paused, so that nothing is read before the question is put; only a seek makes librdkafka put it.
        self.consumer.pause(&list)?;
        self.consumer.incremental_assign(&list)?;
        self.seek_checked(&name, *partition, offset, leader_epoch)?;
        self.consumer.resume(&list)
    }

    /// Moves an assigned partition's position, and has the broker asked about the epoch before it fetches.
    fn seek_checked(&self, topic: &CStr, partition: i32, offset: i64, leader_epoch: i32) -> KafkaResult<()> {
        // The fetcher may not have started yet, which librdkafka answers with a state error.
        for wait in [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000] {
            std::thread::sleep(Duration::from_millis(wait));
            // SAFETY: a list of one element, ours until it is destroyed; the name is valid and copied.
            let code = unsafe {
                let list = sys::rd_kafka_topic_partition_list_new(1);
                let element = sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition);
                (*element).offset = offset;
                sys::rd_kafka_topic_partition_set_leader_epoch(element, leader_epoch);
                let error = sys::rd_kafka_seek_partitions(self.native(), list, SEEK_MILLIS);
                let code = if error.is_null() { (*element).err } else { sys::rd_kafka_error_code(error) };
                if !error.is_null() {
                    sys::rd_kafka_error_destroy(error);
                }
                sys::rd_kafka_topic_partition_list_destroy(list);
                RDKafkaErrorCode::from(code)
            };
            match code {
                RDKafkaErrorCode::NoError => return Ok(()),
                RDKafkaErrorCode::State => {}
                code => return Err(KafkaError::Seek(code.to_string())),
            }
        }
        Err(KafkaError::Seek(format!("{}/{partition} is not being read", topic.to_string_lossy())))
    }

    /// Stops reading `partitions`, all of which must have been assigned, and gives them back to the group. With none it
    /// only answers the rebalance.
    pub fn unassign(&self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.consumer.incremental_unassign(&list_of(partitions))
    }

    pub fn pause(&self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.consumer.pause(&list_of(partitions))
    }

    pub fn resume(&self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.consumer.resume(&list_of(partitions))
    }

    /// The group's view of this member right now; `None` while it has none.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        // SAFETY: valid consumer handle; the result is ours.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(self.native()) }).map(GroupMetadata)
    }

    /// The group's committed offsets; `None` where there is none. With `read_committed`, as here, it waits while a
    /// transaction that carries offsets of these partitions is open.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> KafkaResult<HashMap<TopicPartition, Option<i64>>> {
        let answer = self.consumer.committed_offsets(list_of(partitions), timeout)?;
        let elements = answer.elements();
        elements
            .iter()
            .map(|e| {
                e.error()?;
                let offset = e.offset().to_raw().filter(|&offset| offset >= 0);
                Ok(((Arc::from(e.topic()), e.partition()), offset))
            })
            .collect()
    }

    /// Commits without a transaction and without waiting (at-least-once).
    pub fn commit_async(&self, offsets: &[(TopicPartition, i64)]) -> KafkaResult<()> {
        self.consumer.commit(&list_with_offsets(offsets)?, CommitMode::Async)
    }

    pub fn watermarks(&self) -> HashMap<(String, i32), Watermarks> {
        self.context().watermarks()
    }

    /// Partitions of each topic that the cluster has and `matches` wants.
    pub fn partitions(&self, matches: impl Fn(&str) -> bool, timeout: Duration) -> KafkaResult<Vec<(String, i32)>> {
        let metadata = self.consumer.fetch_metadata(None, timeout)?;
        let wanted = metadata.topics().iter().filter(|topic| topic.error().is_none() && matches(topic.name()));
        Ok(wanted.map(|topic| (topic.name().to_owned(), topic.partitions().len() as i32)).collect())
    }

    /// The last stable offsets of these partitions, asked of the brokers.
    pub fn ends(&self, partitions: &[TopicPartition], timeout: Duration) -> KafkaResult<HashMap<TopicPartition, i64>> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition_offset(topic, *partition, rdkafka::Offset::End)?;
        }
        let answer = self.consumer.offsets_for_times(list, timeout)?;
        let found = answer.elements();
        let known = found.iter().filter_map(|e| Some(((Arc::from(e.topic()), e.partition()), e.offset().to_raw()?)));
        Ok(known.filter(|(_, offset)| *offset >= 0).collect())
    }

    /// Subscribes again, after [`GroupConsumer::unsubscribe`] or to other topics.
    pub fn subscribe(&self, topics: &[&str]) -> KafkaResult<()> {
        self.consumer.subscribe(topics)
    }

    /// Leaves the group for good: the partitions are given to others at once.
    pub fn unsubscribe(&self) {
        self.consumer.unsubscribe();
    }

    /// Begins closing; go on polling and answering rebalances until [`GroupConsumer::closed`].
    pub fn begin_close(&self) -> KafkaResult<()> {
        self.consumer.close_queue()
    }

    pub fn closed(&self) -> bool {
        self.consumer.closed()
    }

    /// The error after which this consumer is of no use (another process has this identity, say).
    pub fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.consumer.client().fatal_error()
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        // SAFETY: ours, and destroyed before the consumer it belongs to.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

pub(super) fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

pub(super) fn list_with_offsets(offsets: &[(TopicPartition, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for ((topic, partition), offset) in offsets {
        list.add_partition_offset(topic, *partition, rdkafka::Offset::Offset(*offset))?;
    }
    Ok(list)
}

/// Member and generation, to be sent along with a transaction's offsets.
pub struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: a plain value in librdkafka: made, read and destroyed, never changed.
unsafe impl Send for GroupMetadata {}
// SAFETY: as above.
unsafe impl Sync for GroupMetadata {}

impl GroupMetadata {
    /// The group's generation as this member knows it; negative while it is in none.
    pub fn generation(&self) -> i32 {
        // SAFETY: ours and valid.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr()) }
    }

    #[cfg(test)]
    pub(super) fn of(group: &CStr) -> Option<GroupMetadata> {
        // SAFETY: a valid name, which is copied; the result is ours.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata_new(group.as_ptr()) }).map(GroupMetadata)
    }

    pub(super) fn ptr(&self) -> *const sys::rd_kafka_consumer_group_metadata_t {
        self.0.as_ptr()
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}
