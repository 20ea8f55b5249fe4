//! The worker's consumer: membership of the group, and batches of records over one queue of our own.
//!
//! Records are taken with librdkafka's batch call from a queue to which each assigned partition's queue is forwarded.
//! Called on the consumer's own queue, the batch call would swallow rebalance events.

use super::batch::{Batch, Record};
use super::login::{self, LoggedIn};
use super::rebalance::Rebalance;
use super::{Context, Identity, Settings, TopicPartition, Watermarks};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, TopicPartitionList};
use rdkafka_sys as sys;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::time::Duration;

/// How long a seek may take to be taken note of: the worker stands still meanwhile.
const SEEK_MILLIS: i32 = 1_000;

/// What a poll of the group's consumer came to.
#[derive(Debug)]
pub enum Polled {
    /// Nothing, or something that was noted for [`GroupConsumer::take_rebalance`].
    Served,
    /// A record that came past the worker's queue, and is gone: librdkafka will go on after it. Its partition has to be
    /// taken over again from what has been committed.
    Stray(TopicPartition),
    Error(KafkaError),
}

/// How long a consumer that is dropped waits for the group to let it go: so many polls.
const CLOSE_POLLS: u32 = 100;
const CLOSE_POLL: Duration = Duration::from_millis(100);

/// The group's consumer of one worker. Shared with the committer, which asks it for the group's metadata.
pub struct GroupConsumer {
    consumer: LoggedIn<BaseConsumer<Context>>,
    queue: NonNull<sys::rd_kafka_queue_t>,
}

// SAFETY: librdkafka's handles may be used from any thread; the queue is only destroyed with the consumer.
unsafe impl Send for GroupConsumer {}
// SAFETY: as above; all calls on a shared handle are thread-safe in librdkafka.
unsafe impl Sync for GroupConsumer {}

impl GroupConsumer {
    /// Joins the group with a subscription to topics by name; without any, it waits for [`GroupConsumer::subscribe`].
    pub fn join(settings: &Settings, identity: &Identity, topics: &[&str]) -> KafkaResult<Self> {
        let config = settings.consumer(identity);
        let context = Context::shown(&config, settings.clients().client("consumer"));
        GroupConsumer::with(&config, context, topics)
    }

    fn with(config: &ClientConfig, context: Context, topics: &[&str]) -> KafkaResult<Self> {
        let consumer: LoggedIn<BaseConsumer<Context>> = login::client(config, context)?;
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

    /// Serves the group: heartbeats, rebalances, errors.
    pub fn poll(&self) -> Polled {
        match self.consumer.poll(Duration::ZERO) {
            None => Polled::Served,
            Some(Ok(message)) => {
                use rdkafka::Message;
                Polled::Stray(TopicPartition::new(message.topic(), message.partition()))
            }
            Some(Err(error)) => Polled::Error(error),
        }
    }

    /// Whether every rebalance and error that librdkafka had for us by now has been polled.
    pub fn is_drained(&self) -> bool {
        // SAFETY: valid handle; the queue's reference is given back right away.
        unsafe {
            let queue = sys::rd_kafka_queue_get_consumer(self.native());
            if queue.is_null() {
                return true;
            }
            let length = sys::rd_kafka_queue_length(queue);
            sys::rd_kafka_queue_destroy(queue);
            length == 0
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
    /// record's place, see [`Record::is_truncation`]. False if it could not be asked, because it is away, say: then the
    /// partition is assigned and paused, and [`GroupConsumer::check`] is to ask again.
    pub fn assign(&self, at: &TopicPartition, offset: i64, leader_epoch: Option<i32>) -> KafkaResult<bool> {
        let TopicPartition { topic, partition } = at;
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
            return self.consumer.resume(&list).map(|()| true);
        };
        // Paused, so that nothing is read before the question is put; only a seek makes librdkafka put it.
        self.consumer.pause(&list)?;
        self.consumer.incremental_assign(&list)?;
        self.check(at, offset, leader_epoch)
    }

    /// Begins to read a partition that is assigned and paused, if the broker can be asked about the leader epoch.
    pub fn check(&self, at: &TopicPartition, offset: i64, leader_epoch: i32) -> KafkaResult<bool> {
        let TopicPartition { topic, partition } = at;
        match self.seek_checked(&CString::new(topic.as_bytes())?, *partition, offset, leader_epoch) {
            RDKafkaErrorCode::NoError => self.resume(std::slice::from_ref(at)).map(|()| true),
            code => {
                tracing::debug!(%topic, partition, "the leader epoch cannot be asked about yet: {code}");
                Ok(false)
            }
        }
    }

    /// Moves an assigned partition's position, and has the broker asked about the epoch before it fetches.
    fn seek_checked(&self, topic: &CStr, partition: i32, offset: i64, leader_epoch: i32) -> RDKafkaErrorCode {
        let mut last = RDKafkaErrorCode::State;
        // The fetcher may not have started yet, which librdkafka answers with a state error.
        for wait in [0, 1, 2, 5, 10, 20, 50, 100, 200] {
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
            last = code;
            if code != RDKafkaErrorCode::State {
                break;
            }
        }
        last
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
                Ok((TopicPartition::new(e.topic(), e.partition()), offset))
            })
            .collect()
    }

    /// Commits without a transaction and without waiting (at-least-once).
    pub fn commit_async(&self, offsets: &[(TopicPartition, i64)]) -> KafkaResult<()> {
        self.consumer.commit(&list_with_offsets(offsets)?, CommitMode::Async)
    }

    pub fn watermarks(&self) -> HashMap<TopicPartition, Watermarks> {
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
        let answer = self.consumer.offsets_for_times(list_at(partitions, rdkafka::Offset::End)?, timeout)?;
        let found = answer.elements();
        let known =
            found.iter().filter_map(|e| Some((TopicPartition::new(e.topic(), e.partition()), e.offset().to_raw()?)));
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

impl GroupConsumer {
    /// Closes a consumer that nobody has closed: a worker that failed as it started. A rebalance that came meanwhile is
    /// answered by nobody, and rdkafka's own drop would wait for the answer without end.
    fn let_go(&self) {
        if self.consumer.closed() || self.consumer.close_queue().is_err() {
            return;
        }
        for _ in 0..CLOSE_POLLS {
            // Whatever it is answered with counts as this while it closes.
            let _ = self.consumer.unassign();
            let _ = self.consumer.poll(CLOSE_POLL);
            if self.consumer.closed() {
                break;
            }
        }
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.let_go();
        // SAFETY: ours, and destroyed before the consumer it belongs to.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

pub(super) fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

pub(super) fn list_at(partitions: &[TopicPartition], at: rdkafka::Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = list_of(partitions);
    list.set_all_offsets(at)?;
    Ok(list)
}

pub(super) fn list_with_offsets(offsets: &[(TopicPartition, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (TopicPartition { topic, partition }, offset) in offsets {
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

    /// The id that the group knows this member by; empty while it knows none.
    pub fn member(&self) -> &str {
        // SAFETY: ours and valid, and so is its id, which lives as long as it does.
        let id = unsafe {
            let id = sys::rd_kafka_consumer_group_metadata_member_id(self.0.as_ptr());
            if id.is_null() { c"" } else { CStr::from_ptr(id) }
        };
        // Brokers make ids of a client's name and a UUID; one that is no text could not be told from another.
        id.to_str().unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

    #[test]
    fn a_consumer_that_is_dropped_before_anybody_answers_its_rebalance_lets_go() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "g");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        let consumer = GroupConsumer::with(&config, Context::of(&config), &["t"]).unwrap();
        let comes = (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            !consumer.is_drained()
        });
        assert!(comes, "the group assigns its partition");
        let (done, is_done) = crossbeam_channel::bounded(1);
        let dropping = std::thread::spawn(move || {
            drop(consumer);
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(20)).expect("it is dropped");
        dropping.join().unwrap();
    }

    /// The member of a group that has been given the one partition of `t`, in which there is a record, and reads nothing yet.
    struct Member {
        consumer: GroupConsumer,
        partition: TopicPartition,
        _cluster: MockCluster<'static, DefaultProducerContext>,
    }

    impl Drop for Member {
        /// A consumer closes when its revocation has been answered, and its handle waits for that.
        fn drop(&mut self) {
            self.consumer.begin_close().unwrap();
            for _ in 0..3_000 {
                self.consumer.poll();
                if self.consumer.take_rebalance().is_some() {
                    let assigned = self.consumer.consumer.assignment().unwrap();
                    self.consumer.consumer.incremental_unassign(&assigned).unwrap();
                }
                if self.consumer.closed() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn member() -> Member {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let producer: BaseProducer = config.create().unwrap();
        producer.send(BaseRecord::<[u8], str>::to("t").payload("x")).map_err(|(error, _)| error).unwrap();
        producer.flush(Duration::from_secs(30)).unwrap();
        config.set("group.id", "g").set("partition.assignment.strategy", "cooperative-sticky");
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config.set("reconnect.backoff.max.ms", "100");
        let consumer = GroupConsumer::with(&config, Context::default(), &["t"]).unwrap();
        let partition = TopicPartition::new("t", 0);
        for _ in 0..3_000 {
            consumer.poll();
            if let Some(rebalance) = consumer.take_rebalance() {
                assert_eq!(rebalance, Rebalance::Assigned(vec![partition.clone()]));
                consumer.acknowledge().unwrap();
                return Member { consumer, partition, _cluster: cluster };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no assignment");
    }

    #[test]
    fn a_record_that_comes_past_the_queue_names_its_partition() {
        let member = member();
        let consumer = &member.consumer;
        // As if the forward had been cleared: assigned without one.
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("t", 0, rdkafka::Offset::Beginning).unwrap();
        consumer.consumer.incremental_assign(&list).unwrap();
        let stray = (0..3_000).find_map(|_| match consumer.poll() {
            Polled::Stray(stray) => Some(stray),
            _ => {
                std::thread::sleep(Duration::from_millis(10));
                None
            }
        });
        assert_eq!(stray.as_ref(), Some(&member.partition));
        assert!(consumer.is_drained());
    }

    #[test]
    fn a_member_has_one_id_for_as_long_as_it_is_in_the_group() {
        let member = member();
        let id =
            || member.consumer.group_metadata().map(|metadata| (metadata.member().to_owned(), metadata.generation()));
        let first = id().unwrap();
        assert!(!first.0.is_empty() && first.1 >= 0, "{first:?}");
        member.consumer.poll();
        assert_eq!(id(), Some(first));
    }

    #[test]
    fn a_partition_that_cannot_be_moved_yet_ends_nothing_and_is_read_once_it_can() {
        let member = member();
        let Member { consumer, partition, .. } = &member;
        assert!(!consumer.check(partition, 0, 0).unwrap(), "nobody fetches it");
        assert!(!consumer.check(&TopicPartition::new("t", 7), 0, 0).unwrap(), "there is none");
        assert!(consumer.assign(partition, 0, Some(0)).unwrap());
        let mut batch = Batch::default();
        let records = (0..600).map(|_| {
            batch.clear();
            let records = consumer.consume_batch(Duration::from_millis(50), 10, &mut batch);
            records.filter(|record| record.error().is_none()).count()
        });
        assert!(records.into_iter().any(|records| records == 1));
    }
}
