//! Groups: which there are and of which kind, who is in them, what they have committed.

use super::super::TopicPartition;
use super::super::call::{Aim, Call, Event, Names, Operation, code, elements, partitions, words};
use super::super::described::{GroupDescription, groups_in};
use super::{CallError, ClusterClient, answer, checked};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer;
use rdkafka_sys as sys;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Duration;

/// The kind of a group of a protocol that librdkafka does not know.
const OTHER: &str = "other";
/// Groups that are asked about at a time: bounds what is in memory at once.
const AT_ONCE: usize = 16;

const DESCRIBE: &str = "describe consumer groups";
const LIST: &str = "list consumer groups";
const OFFSETS: &str = "list a group's offsets";

/// The groups of the brokers that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsListed {
    /// By name.
    pub groups: Vec<GroupListed>,
    /// Brokers did not answer: there may be more groups.
    pub incomplete: bool,
}

/// A group as the brokers list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListed {
    pub name: String,
    /// `classic` or `consumer`, as Kafka calls the two protocols of consumers; `unknown` from brokers that do not tell them
    /// apart; another protocol, such as `connect`; or `other`: a share group or a streams group, which librdkafka does not
    /// tell apart.
    pub kind: Arc<str>,
    /// Kafka's word; `Unknown` where it is not told.
    pub state: String,
}

impl GroupListed {
    /// Whether it is one of consumers, which librdkafka can describe.
    pub fn is_of_consumers(&self) -> bool {
        matches!(&*self.kind, "classic" | "consumer" | "unknown")
    }

    /// Whether it may have committed offsets: a streams group has.
    pub fn may_have_offsets(&self) -> bool {
        self.is_of_consumers() || &*self.kind == OTHER
    }
}

/// Where a group goes on in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
}

impl ClusterClient {
    /// The consumer groups of the cluster, by name.
    ///
    /// # Errors
    /// If no broker answers within `timeout`.
    pub fn groups(&self, timeout: Duration) -> Result<GroupsListed, CallError> {
        let mut call = self.call(timeout);
        let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS;
        // SAFETY: all three are valid.
        call.ask(operation, Aim::default(), |client, options, queue| unsafe {
            sys::rd_kafka_ListConsumerGroups(client, options, queue);
        });
        let event = answer(&call, LIST)?;
        let mut errors = 0;
        // SAFETY: the result and what it points to belong to the event, which lives to the end of this block.
        unsafe {
            let of = sys::rd_kafka_event_ListConsumerGroups_result;
            let found = event.list(of, sys::rd_kafka_ListConsumerGroups_result_valid).iter();
            let mut groups: Vec<_> = found
                .map(|group| GroupListed {
                    name: words(sys::rd_kafka_ConsumerGroupListing_group_id(*group)),
                    kind: kind(sys::rd_kafka_ConsumerGroupListing_type(*group)).into(),
                    state: words(sys::rd_kafka_consumer_group_state_name(sys::rd_kafka_ConsumerGroupListing_state(
                        *group,
                    ))),
                })
                .collect();
            let result = of(event.raw());
            if result.is_null() {
                return Err(CallError::new(LIST, RDKafkaErrorCode::Fail));
            }
            let refused = elements(sys::rd_kafka_ListConsumerGroups_result_errors(result, &mut errors), errors);
            if let (Some(error), true) = (refused.first(), groups.is_empty()) {
                return Err(CallError::new(LIST, code(*error)));
            }
            groups.sort_by(|a, b| a.name.cmp(&b.name));
            groups.dedup_by(|a, b| a.name == b.name);
            Ok(GroupsListed { groups, incomplete: !refused.is_empty() })
        }
    }

    /// The groups that [`ClusterClient::groups`] leaves out: share groups, streams groups, Connect's workers. librdkafka
    /// lists them by its old call alone, which also has every classic group described: not for each collection. Those of
    /// `consumers`, by name, are left out.
    ///
    /// # Errors
    /// If not all brokers answer within `timeout`.
    pub fn other_groups(&self, consumers: &[GroupListed], timeout: Duration) -> Result<Vec<GroupListed>, CallError> {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let mut list: *const sys::rd_kafka_group_list = std::ptr::null();
        // SAFETY: the client is valid, and there is a place for the answer, which is copied and destroyed here.
        unsafe {
            let code =
                sys::rd_kafka_list_groups(self.producer.client().native_ptr(), std::ptr::null(), &raw mut list, millis);
            let code = RDKafkaErrorCode::from(code);
            if list.is_null() {
                return Err(CallError::new(LIST, code));
            }
            let count = usize::try_from((*list).group_cnt).unwrap_or(0);
            let found = if count == 0 { &[] } else { std::slice::from_raw_parts((*list).groups, count) };
            let groups = found.iter().map(|group| (words(group.protocol_type), words(group.group), words(group.state)));
            // A group that the question for its description does not know comes without a protocol, and as a dead one.
            let mut groups: Vec<_> = groups
                .filter(|(protocol, ..)| protocol != "consumer")
                .map(|(protocol, name, state)| GroupListed {
                    name,
                    kind: if protocol.is_empty() { OTHER.into() } else { protocol.into() },
                    state: if matches!(state.as_str(), "Dead" | "") { "Unknown".to_owned() } else { state },
                })
                .filter(|group| consumers.binary_search_by(|known| known.name.cmp(&group.name)).is_err())
                .collect();
            sys::rd_kafka_group_list_destroy(list);
            groups.sort_by(|a, b| a.name.cmp(&b.name));
            match code {
                RDKafkaErrorCode::NoError => Ok(groups),
                code => Err(CallError::new(LIST, code)),
            }
        }
    }

    /// Describes these groups; one whose coordinator does not answer is left out. `assignments`: also who has which
    /// partitions.
    ///
    /// # Errors
    /// If there is no answer at all within `timeout`, which is also how long it waits for each further one.
    pub fn describe_groups(
        &self,
        groups: &[String],
        assignments: bool,
        timeout: Duration,
    ) -> Result<Vec<GroupDescription>, CallError> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        // Kafka allows no zero byte in a group's name.
        let names: Vec<CString> = groups.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
        let mut found = self.describe_once(&names, assignments, timeout)?;
        // All are looked at: each may tell that a coordinator is to be forgotten.
        if found.iter().filter_map(|group| group.as_ref().err()).filter(|e| self.coordinators.learn(**e)).count() > 0 {
            found = self.describe_once(&names, assignments, timeout)?;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The same without a second try.
    fn describe_once(
        &self,
        names: &[CString],
        assignments: bool,
        timeout: Duration,
    ) -> Result<Vec<Result<GroupDescription, RDKafkaErrorCode>>, CallError> {
        let client = self.coordinators.client(DESCRIBE)?;
        let mut call = Call::new(client.client(), timeout);
        // Each by itself: together they would wait for the slowest coordinator.
        let mut next = names.iter();
        next.by_ref().take(AT_ONCE).for_each(|name| ask_description(&mut call, name));
        let mut found = Vec::with_capacity(names.len());
        for answered in 0..names.len() {
            // However many there are, it is over when no answer comes.
            match checked(call.next_within(timeout), DESCRIBE) {
                Ok(event) => found.extend(groups_in(&event, assignments)),
                Err(error) if error.is_deadline() => {
                    self.coordinators.learn(error.code);
                    if answered == 0 {
                        return Err(error);
                    }
                    break;
                }
                Err(error) => found.push(Err(error.code)),
            }
            next.by_ref().take(1).for_each(|name| ask_description(&mut call, name));
        }
        Ok(found)
    }

    /// What each of these groups has committed, handed to `each` with the group's place in `groups`. It goes on while answers
    /// come, each within `timeout`. A group whose coordinator does not answer is an error of its own.
    pub fn committed(
        &self,
        groups: &[String],
        timeout: Duration,
        mut each: impl FnMut(usize, Result<Vec<Committed>, CallError>),
    ) {
        let mut moved = Vec::new();
        let all: Vec<_> = (0..groups.len()).collect();
        self.committed_once(groups, &all, timeout, &mut |at, answer| match answer {
            Err(error) if self.coordinators.learn(error.code) => moved.push(at),
            answer => each(at, answer),
        });
        self.committed_once(groups, &moved, timeout, &mut each);
    }

    /// The same for some of them, without a second try.
    fn committed_once(
        &self,
        groups: &[String],
        wanted: &[usize],
        timeout: Duration,
        each: &mut dyn FnMut(usize, Result<Vec<Committed>, CallError>),
    ) {
        if wanted.is_empty() {
            return;
        }
        let client = match self.coordinators.client(OFFSETS) {
            Ok(client) => client,
            Err(error) => return wanted.iter().for_each(|at| each(*at, Err(error.clone()))),
        };
        let mut call = Call::new(client.client(), timeout);
        let mut left: BTreeSet<usize> = wanted.iter().copied().collect();
        let mut next = wanted.iter();
        next.by_ref().take(AT_ONCE).for_each(|at| ask_committed(&mut call, *at, &groups[*at]));
        while !left.is_empty() {
            let Some(event) = call.next_within(timeout) else { break };
            if left.remove(&event.tag()) {
                each(event.tag(), committed_in(&event).map_err(|error| error.about(&*groups[event.tag()])));
            }
            drop(event);
            next.by_ref().take(1).for_each(|at| ask_committed(&mut call, *at, &groups[*at]));
        }
        for at in left {
            each(at, Err(CallError::new(OFFSETS, RDKafkaErrorCode::OperationTimedOut)));
        }
    }
}

/// Kafka's word for how the members of a group of consumers share out its partitions.
fn kind(kind: sys::rd_kafka_consumer_group_type_t) -> &'static str {
    use sys::rd_kafka_consumer_group_type_t as Kind;
    match kind {
        Kind::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => "consumer",
        Kind::RD_KAFKA_CONSUMER_GROUP_TYPE_CLASSIC => "classic",
        _ => "unknown",
    }
}

fn ask_description(call: &mut Call<'_>, name: &CStr) {
    let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: everything is valid; the name is copied by the call.
    call.ask(operation, Aim::default(), |client, options, queue| unsafe {
        sys::rd_kafka_DescribeConsumerGroups(client, &mut name.as_ptr(), 1, options, queue);
    });
}

fn ask_committed(call: &mut Call<'_>, at: usize, group: &str) {
    // Kafka allows no zero byte in a group's name.
    let name = CString::new(group).unwrap_or_default();
    let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
    // SAFETY: everything is valid; the request is copied by the call and destroyed here. No list means all partitions.
    call.ask(operation, Aim { tag: at, ..Aim::default() }, |client, options, queue| unsafe {
        let mut request = sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), std::ptr::null());
        sys::rd_kafka_ListConsumerGroupOffsets(client, &mut request, 1, options, queue);
        sys::rd_kafka_ListConsumerGroupOffsets_destroy(request);
    });
}

fn committed_in(event: &Event) -> Result<Vec<Committed>, CallError> {
    let failed = |code| CallError::new(OFFSETS, code);
    match event.error() {
        RDKafkaErrorCode::NoError => {}
        code => return Err(failed(code)),
    }
    let mut names = Names::default();
    // SAFETY: the result and what it points to belong to the event, which outlives this call.
    unsafe {
        let of = sys::rd_kafka_event_ListConsumerGroupOffsets_result;
        let groups = event.list(of, sys::rd_kafka_ListConsumerGroupOffsets_result_groups);
        let Some(group) = groups.first() else { return Err(failed(RDKafkaErrorCode::Fail)) };
        match code(sys::rd_kafka_group_result_error(*group)) {
            RDKafkaErrorCode::NoError => {}
            code => return Err(failed(code)),
        }
        let fine = |e: &&sys::rd_kafka_topic_partition_t| {
            e.offset >= 0 && RDKafkaErrorCode::from(e.err) == RDKafkaErrorCode::NoError
        };
        let all = partitions(sys::rd_kafka_group_result_partitions(*group)).iter().filter(fine);
        let committed = all.map(|e| {
            let TopicPartition { topic, partition } = names.place(e);
            Committed { topic, partition, offset: e.offset }
        });
        Ok(committed.collect())
    }
}
