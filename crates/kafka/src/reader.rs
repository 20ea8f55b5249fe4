//! Reading partitions outside the group: a changelog to be replayed, or the ends of a log.

use super::batch::{Batch, Record};
use super::cause::{is_silence, why_unread};
use super::consumer::{list_at, list_of};
use super::login::{self, LoggedIn};
use super::{Context, Settings, TopicPartition, Watermarks};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Message, Offset, TopicPartitionList};
use rdkafka_sys as sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// How long after a call has failed the client may take to say why.
const HEARING: Duration = Duration::from_millis(100);
const MOST_HEARD: usize = 10;

/// Which records a reader sees, and what it takes for a log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Committed records only; the end is the last stable offset.
    ReadCommitted,
    /// Everything; the end is the high watermark.
    ReadUncommitted,
}

/// Something that came from a partition.
pub enum Reading<'a> {
    Record(ReadRecord<'a>),
    /// Everything before this partition's end was read.
    End {
        partition: TopicPartition,
    },
    /// Nothing came in time.
    Nothing,
    Error(KafkaError),
}

pub struct ReadRecord<'a>(BorrowedMessage<'a>);

impl<'a> ReadRecord<'a> {
    pub(super) fn of(message: BorrowedMessage<'a>) -> Self {
        ReadRecord(message)
    }
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }
    pub fn payload(&self) -> Option<&[u8]> {
        self.0.payload()
    }
    /// Names and values; a header without a value is empty.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        let each = self.0.headers().into_iter().flat_map(Headers::iter);
        each.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
    }
    /// The record's Kafka timestamp, Unix milliseconds.
    pub fn timestamp(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }
}

pub struct PartitionReader {
    consumer: LoggedIn<BaseConsumer<Context>>,
    /// The topic's name for each partition assigned: an end of partition is reported without it.
    assigned: Vec<TopicPartition>,
}

impl PartitionReader {
    pub fn create(settings: &Settings, isolation: Isolation) -> KafkaResult<Self> {
        let config = settings.reader(isolation == Isolation::ReadCommitted);
        let consumer = login::client(&config, Context::of(&config))?;
        Ok(PartitionReader { consumer, assigned: Vec::new() })
    }

    /// The same, which also keeps an eye on the ends of what it reads: see [`PartitionReader::watermarks`].
    pub fn create_watching(settings: &Settings, isolation: Isolation) -> KafkaResult<Self> {
        let mut config = settings.reader(isolation == Isolation::ReadCommitted);
        config.set("statistics.interval.ms", "500");
        let consumer = login::client(&config, Context::of(&config))?;
        Ok(PartitionReader { consumer, assigned: Vec::new() })
    }

    /// One of committed records that is to take as little as the brokers give of each partition.
    pub(super) fn create_peeking(settings: &Settings) -> KafkaResult<Self> {
        let config = settings.peeking_reader();
        let consumer = login::client(&config, Context::of(&config))?;
        Ok(PartitionReader { consumer, assigned: Vec::new() })
    }

    /// Ends of the partitions that are read, from the client's last statistics.
    pub fn watermarks(&self) -> HashMap<TopicPartition, Watermarks> {
        self.consumer.context().watermarks()
    }

    /// Reads one partition more, of the same topic, from this offset on.
    pub fn add(&mut self, partition: &TopicPartition, from: i64) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(1);
        let from = if from <= 0 { Offset::Beginning } else { Offset::Offset(from) };
        list.add_partition_offset(&partition.topic, partition.partition, from)?;
        self.assigned.push(partition.clone());
        self.consumer.incremental_assign(&list)
    }

    /// Reads these partitions, of one topic, from these offsets on.
    pub fn assign(&mut self, from: &[(TopicPartition, i64)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(from.len());
        for (TopicPartition { topic, partition }, offset) in from {
            let offset = if *offset <= 0 { Offset::Beginning } else { Offset::Offset(*offset) };
            list.add_partition_offset(topic, *partition, offset)?;
        }
        self.assigned = from.iter().map(|(partition, _)| partition.clone()).collect();
        self.consumer.assign(&list)
    }

    /// Stops reading one partition.
    pub fn finish(&mut self, partition: &TopicPartition) -> KafkaResult<()> {
        self.assigned.retain(|assigned| assigned != partition);
        self.consumer.incremental_unassign(&list_of(std::slice::from_ref(partition)))
    }

    pub fn read(&self, wait: Duration) -> Reading<'_> {
        match self.consumer.poll(wait) {
            None => Reading::Nothing,
            Some(Ok(message)) => Reading::Record(ReadRecord(message)),
            Some(Err(KafkaError::PartitionEOF(id))) => {
                match self.assigned.iter().find(|assigned| assigned.partition == id) {
                    Some(partition) => Reading::End { partition: partition.clone() },
                    None => Reading::Nothing,
                }
            }
            Some(Err(error)) => Reading::Error(error),
        }
    }

    /// Takes up to `most` messages that are there; waits up to `wait` for one. Ends of partitions and errors come among
    /// them, as [`Record::error`]. Faster than [`PartitionReader::read`], but the client's own events are not seen meanwhile:
    /// not for a reader that is [watching](PartitionReader::create_watching).
    pub fn read_batch<'a>(
        &self,
        wait: Duration,
        most: usize,
        batch: &'a mut Batch,
    ) -> impl Iterator<Item = Record<'a>> + use<'a> {
        // SAFETY: valid consumer handle; the reference is given back below.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_get_consumer(self.consumer.client().native_ptr()) });
        if let Some(queue) = queue {
            // Waiting for a full batch would keep the last ones waiting.
            let is_empty = batch.take(queue, Duration::ZERO, most).next().is_none();
            if is_empty {
                let _ = batch.take(queue, wait, 1);
            }
            // SAFETY: ours, given back once.
            unsafe { sys::rd_kafka_queue_destroy(queue.as_ptr()) }
        }
        batch.iter()
    }

    /// The ends of these partitions' logs under this reader's isolation: one request a broker for all of them.
    pub fn ends(&self, partitions: &[TopicPartition], timeout: Duration) -> KafkaResult<HashMap<TopicPartition, i64>> {
        self.offsets(partitions, Offset::End, timeout)
    }

    /// The first offsets these partitions still have.
    pub fn beginnings(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> KafkaResult<HashMap<TopicPartition, i64>> {
        self.offsets(partitions, Offset::Beginning, timeout)
    }

    /// The ends of these partitions' logs, each for itself: what is wrong with one keeps no other from being known.
    pub fn ends_each(&self, partitions: &[TopicPartition], timeout: Duration) -> Answers {
        self.offsets_each(partitions, Offset::End, timeout)
    }

    /// The first offsets these partitions still have, each for itself.
    pub fn beginnings_each(&self, partitions: &[TopicPartition], timeout: Duration) -> Answers {
        self.offsets_each(partitions, Offset::Beginning, timeout)
    }

    /// The first offset whose record is not older than `millis` (Unix milliseconds); `None` where there is none.
    pub fn first_since(
        &self,
        partitions: &[TopicPartition],
        millis: i64,
        timeout: Duration,
    ) -> KafkaResult<HashMap<TopicPartition, Option<i64>>> {
        self.offsets_at(partitions, Offset::Offset(millis.max(0)), timeout)
    }

    /// An end that is not there: the log is empty.
    fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: Offset,
        timeout: Duration,
    ) -> KafkaResult<HashMap<TopicPartition, i64>> {
        let found = self.offsets_at(partitions, at, timeout)?;
        Ok(found.into_iter().map(|(partition, offset)| (partition, offset.unwrap_or(0))).collect())
    }

    /// What ListOffsets says of these partitions; it takes a timestamp, or -1 and -2 in the place of one for the end and
    /// the beginning. `None` where there is no such offset.
    fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        at: Offset,
        timeout: Duration,
    ) -> KafkaResult<HashMap<TopicPartition, Option<i64>>> {
        let answer = self.consumer.offsets_for_times(list_at(partitions, at)?, timeout)?;
        answer
            .elements()
            .iter()
            .map(|e| {
                e.error()?;
                let offset = match e.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                Ok((TopicPartition::new(e.topic(), e.partition()), offset))
            })
            .collect()
    }

    /// One request a broker for all of them. librdkafka gives up on all if one broker does not answer; then each leader
    /// is asked for its own.
    fn offsets_each(&self, partitions: &[TopicPartition], at: Offset, timeout: Duration) -> Answers {
        let error = match self.ask_each(partitions, at, timeout) {
            Ok(answers) => {
                if let Some(TopicPartition { topic, .. }) =
                    partitions.first().filter(|_| answers.values().any(Result::is_err))
                {
                    // A partition without a leader stays so for librdkafka until it looks again.
                    let _ = self.consumer.fetch_metadata(Some(topic), timeout);
                }
                return answers;
            }
            Err(error) => error,
        };
        let Ok(by_leader) = self.by_leader(partitions, timeout) else {
            return partitions.iter().map(|place| (place.clone(), Err(error.clone()))).collect();
        };
        let is_alone = by_leader.len() == 1;
        let mut answers = Answers::new();
        for (leader, led) in by_leader {
            let asked = match leader {
                Some(_) if is_alone => Err(error.clone()),
                Some(_) => self.ask_each(&led, at, timeout),
                None => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable)),
            };
            match asked {
                Ok(found) => answers.extend(found),
                Err(error) => answers.extend(led.into_iter().map(|place| (place, Err(error.clone())))),
            }
        }
        answers
    }

    fn ask_each(&self, partitions: &[TopicPartition], at: Offset, timeout: Duration) -> KafkaResult<Answers> {
        let answer = self.consumer.offsets_for_times(list_at(partitions, at)?, timeout)?;
        let answers = answer.elements();
        let offset = |e: &TopicPartitionListElem<'_>| {
            e.error()?;
            let unanswered = KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable);
            e.offset().to_raw().filter(|offset| *offset >= 0).ok_or(unanswered)
        };
        Ok(answers.iter().map(|e| (TopicPartition::new(e.topic(), e.partition()), offset(e))).collect())
    }

    /// These partitions, all of one topic, by the broker that leads them now; `None`: nobody does.
    fn by_leader(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<Option<i32>, Vec<TopicPartition>>> {
        let Some(TopicPartition { topic, .. }) = partitions.first() else { return Ok(BTreeMap::new()) };
        let metadata = self.consumer.fetch_metadata(Some(topic), timeout)?;
        let known = metadata.topics().iter().filter(|t| t.name() == &**topic).flat_map(|t| t.partitions());
        let leaders: HashMap<i32, i32> = known.map(|p| (p.id(), p.leader())).collect();
        let mut by_leader: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for place in partitions {
            let leader = leaders.get(&place.partition).copied().filter(|leader| *leader >= 0);
            by_leader.entry(leader).or_default().push(place.clone());
        }
        Ok(by_leader)
    }

    pub fn cluster_id(&self, timeout: Duration) -> Option<String> {
        self.consumer.client().fetch_cluster_id(timeout)
    }

    /// Partition count of a topic; `None` if there is no such topic. An error if this user may not see it.
    pub fn partition_count(&self, topic: &str, timeout: Duration) -> KafkaResult<Option<i32>> {
        let (context, client) = (self.consumer.context(), self.consumer.client());
        let metadata = context.complaints.metadata(client, Some(topic), timeout, || {})?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        match found.and_then(|t| t.error()).map(RDKafkaErrorCode::from) {
            Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => Err(KafkaError::MetadataFetch(code)),
            error => Ok(found.filter(|_| error.is_none()).map(|t| t.partitions().len() as i32)),
        }
    }

    /// How many replicas each of a topic's partitions has, and how many of them are in sync.
    pub fn replicas(&self, topic: &str, timeout: Duration) -> KafkaResult<BTreeMap<i32, (usize, usize)>> {
        let metadata = self.consumer.fetch_metadata(Some(topic), timeout)?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        let partitions = found.into_iter().flat_map(|t| t.partitions());
        Ok(partitions.map(|partition| (partition.id(), (partition.replicas().len(), partition.isr().len()))).collect())
    }

    /// Members that the group has now, those included whose session has not ended yet.
    pub fn group_members(&self, group: &str, timeout: Duration) -> KafkaResult<usize> {
        let groups = self.consumer.fetch_group_list(Some(group), timeout)?;
        Ok(groups.groups().iter().filter(|found| found.name() == group).map(|found| found.members().len()).sum())
    }

    /// Who has what in the group; `None` while it rebalances or there is none.
    pub fn assigned(&self, group: &str, timeout: Duration) -> KafkaResult<Option<BTreeSet<TopicPartition>>> {
        let groups = self.consumer.fetch_group_list(Some(group), timeout)?;
        let found = groups.groups().iter().find(|found| found.name() == group && found.state() == "Stable");
        Ok(found.map(|found| {
            let members = found.members().iter().filter_map(|member| member.assignment());
            members.filter_map(parse_assignment).flatten().collect()
        }))
    }

    /// Asks for the group's offsets of these partitions, and tells only whether that is allowed.
    pub fn check_group(&self, partitions: &[TopicPartition], timeout: Duration) -> KafkaResult<()> {
        let answer = self.consumer.committed_offsets(list_of(partitions), timeout)?;
        answer.elements().iter().try_for_each(|element| element.error())
    }

    /// Why a call about `topic` failed: where no broker can be reached, what the client says of its connections.
    pub fn why(&self, error: &KafkaError, topic: &str) -> String {
        self.hear();
        let is_silent = error.rdkafka_error_code().is_some_and(is_silence);
        self.consumer.context().unreachable().filter(|_| is_silent).unwrap_or_else(|| why_unread(error, topic))
    }

    /// Lets the client tell what it has noticed: it does so when it is polled, which must not take a record.
    fn hear(&self) {
        if self.assigned.is_empty() {
            // One event a poll; while nobody can be reached they do not end. The context hears of all but this.
            for error in (0..MOST_HEARD).map_while(|_| self.consumer.poll(HEARING)).filter_map(Result::err) {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
                    self.consumer.context().complaints.error(&error, &error.to_string());
                }
            }
        }
    }

    /// The latest trouble the client reported by itself.
    pub fn last_error(&self) -> Option<String> {
        self.consumer.context().last_error()
    }
}

/// What is known of each partition of several.
pub type Answers = HashMap<TopicPartition, KafkaResult<i64>>;

/// A member's assignment in the consumer protocol: version, then topics with their partitions, all big endian; what
/// follows is the assignor's own.
fn parse_assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    let mut rest = bytes.get(2..)?;
    let mut take = |count: usize| {
        let (head, tail) = rest.split_at_checked(count)?;
        rest = tail;
        Some(head)
    };
    let number = |bytes: &[u8]| Some(i32::from_be_bytes(bytes.try_into().ok()?));
    let mut partitions = Vec::new();
    for _ in 0..number(take(4)?)? {
        let length = u16::from_be_bytes(take(2)?.try_into().ok()?);
        let topic: Arc<str> = std::str::from_utf8(take(usize::from(length))?).ok()?.into();
        for _ in 0..number(take(4)?)? {
            partitions.push(TopicPartition::new(topic.clone(), number(take(4)?)?));
        }
    }
    Some(partitions)
}

/// Whether asking again can help: leaders move, and a fresh topic takes a moment to be known.
pub fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::OffsetNotAvailable
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    const PARTITIONS: i32 = 3;

    fn produce(cluster: &MockCluster<'_, impl rdkafka::producer::ProducerContext>, values: std::ops::Range<i64>) {
        let mut config = ClientConfig::new();
        let producer: BaseProducer = config.set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
        for value in values {
            for partition in 0..PARTITIONS {
                let payload = value.to_string();
                let record = BaseRecord::<[u8], str>::to("t").partition(partition).payload(&payload);
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// Takes batches until each partition has `count` values and has then said that it ends there.
    fn take_to_ends(reader: &PartitionReader, found: &mut [Vec<i64>], count: usize) {
        let mut batch = Batch::default();
        let mut ended = BTreeSet::new();
        for _ in 0..3_000 {
            for record in reader.read_batch(Duration::from_millis(10), 100, &mut batch) {
                let of = &mut found[record.partition() as usize];
                match record.error() {
                    None => of.push(std::str::from_utf8(record.payload().unwrap()).unwrap().parse().unwrap()),
                    Some(RDKafkaErrorCode::PartitionEOF) if of.len() >= count => {
                        ended.insert(record.partition());
                    }
                    Some(_) => {}
                }
            }
            if ended.len() == PARTITIONS as usize {
                return;
            }
        }
        panic!("{:?} of {count} values, {ended:?} ended", found.iter().map(Vec::len).collect::<Vec<_>>());
    }

    /// The batch call moves positions past the ends it reports. Nothing is lost by that unless a position is gone on from,
    /// and what is read later and from another leader does not.
    #[test]
    fn batches_lose_nothing_at_ends_of_partitions_and_when_leaders_move() {
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic("t", PARTITIONS, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "g");
        config.set("enable.partition.eof", "true").set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false").set("fetch.wait.max.ms", "20");
        let consumer = login::client(&config, Context::default()).unwrap();
        let mut reader = PartitionReader { consumer, assigned: Vec::new() };
        let from: Vec<_> = (0..PARTITIONS).map(|partition| (TopicPartition::new("t", partition), 0)).collect();
        reader.assign(&from).unwrap();
        let mut found = vec![Vec::new(); PARTITIONS as usize];
        for round in 0..6 {
            for partition in 0..PARTITIONS {
                cluster.partition_leader("t", partition, Some(1 + (round + partition) % 2)).unwrap();
            }
            let (from, to) = (i64::from(round) * 1_000, i64::from(round + 1) * 1_000);
            produce(&cluster, from..to);
            take_to_ends(&reader, &mut found, to as usize);
            assert!(found.iter().all(|of| of.iter().copied().eq(0..to)), "round {round}");
        }
    }

    #[test]
    fn an_assignment_is_read_as_members_write_it_and_a_cut_one_is_none() {
        let bytes =
            [&[0, 3, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2][..], &[0, 0, 0, 0, 0, 0, 0, 7], &[0, 0, 0, 0]].concat();
        assert_eq!(parse_assignment(&bytes), Some(vec![TopicPartition::new("t", 0), TopicPartition::new("t", 7)]));
        for cut in 0..bytes.len() - 4 {
            assert_eq!(parse_assignment(&bytes[..cut]), None, "{cut}");
        }
    }
}
