//! Consumer groups: which there are, who is in them, what they have committed.

use super::call::{Call, Operation, code, elements, partitions, text};
use super::offsets::{Names, listed};
use super::{CallError, ClusterClient};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;
use std::time::Duration;

/// Groups whose offsets are asked for at a time: bounds what is in memory at once.
const AT_ONCE: usize = 16;

/// The groups of the brokers that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsListed {
    pub names: Vec<String>,
    /// Brokers did not answer: there may be more groups.
    pub incomplete: bool,
}

/// A group as its coordinator describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSeen {
    pub name: String,
    /// Kafka's word: `Stable`, `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Dead`, `Unknown`.
    pub state: String,
    /// How partitions are shared out; empty if it has no members.
    pub assignor: String,
    pub coordinator: Option<i32>,
    pub members: Vec<GroupMember>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMember {
    pub id: String,
    pub client_id: String,
    /// `group.instance.id`; empty if it is not static.
    pub instance_id: String,
    pub host: String,
    pub partitions: Vec<(Arc<str>, i32)>,
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
        let mut call = Call::new(self, "list consumer groups", timeout);
        let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS;
        // SAFETY: all three are valid.
        call.ask(operation, 0, None, |client, options, queue| unsafe {
            sys::rd_kafka_ListConsumerGroups(client, options, queue);
        });
        let event = call.next_good()?;
        // SAFETY: the result and what it points to belong to the event, which lives to the end of this block.
        unsafe {
            let result = sys::rd_kafka_event_ListConsumerGroups_result(event.raw());
            if result.is_null() {
                return Err(CallError::new("list consumer groups", RDKafkaErrorCode::Fail));
            }
            let (mut count, mut errors) = (0, 0);
            let array = sys::rd_kafka_ListConsumerGroups_result_valid(result, &mut count);
            let mut names: Vec<String> =
                elements(array, count).iter().map(|g| text(sys::rd_kafka_ConsumerGroupListing_group_id(*g))).collect();
            let refused = elements(sys::rd_kafka_ListConsumerGroups_result_errors(result, &mut errors), errors);
            if let (Some(error), true) = (refused.first(), names.is_empty()) {
                return Err(CallError::new("list consumer groups", code(*error)));
            }
            names.sort();
            names.dedup();
            Ok(GroupsListed { names, incomplete: !refused.is_empty() })
        }
    }

    /// Describes these groups; one whose coordinator does not answer is left out. `assignments`: also who has which
    /// partitions.
    ///
    /// # Errors
    /// If there is no answer at all within `timeout`.
    pub fn describe_groups(
        &self,
        groups: &[String],
        assignments: bool,
        timeout: Duration,
    ) -> Result<Vec<GroupSeen>, CallError> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = Call::new(self, "describe consumer groups", timeout);
        let names: Vec<CString> = groups.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        // Each by itself: together they would wait for the slowest coordinator.
        for name in &names {
            // SAFETY: everything is valid; the name is copied by the call.
            call.ask(operation, 0, None, |client, options, queue| unsafe {
                let mut one: *const c_char = name.as_ptr();
                sys::rd_kafka_DescribeConsumerGroups(client, &mut one, 1, options, queue);
            });
        }
        let (mut answers, mut seen) = (0, Vec::with_capacity(names.len()));
        for _ in &names {
            let event = match call.next() {
                Ok(event) => event,
                Err(_) if answers > 0 => break,
                Err(error) => return Err(error),
            };
            answers += 1;
            // SAFETY: the result and what it points to belong to the event, which lives to the end of this block.
            unsafe {
                let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.raw());
                let mut count = 0;
                let array = match result.is_null() {
                    true => std::ptr::null_mut(),
                    false => sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count),
                };
                seen.extend(elements(array, count).iter().filter_map(|group| described(*group, assignments)));
            }
        }
        Ok(seen)
    }

    /// What each of these groups has committed, handed to `each` with the group's place in `groups`. A group whose
    /// coordinator does not answer is an error of its own.
    pub fn committed(
        &self,
        groups: &[String],
        timeout: Duration,
        mut each: impl FnMut(usize, Result<Vec<Committed>, CallError>),
    ) {
        let mut call = Call::new(self, "list a group's offsets", timeout);
        let (mut asked, mut answered) = (0, vec![false; groups.len()]);
        while asked < groups.len().min(AT_ONCE) {
            ask_committed(&mut call, asked, &groups[asked]);
            asked += 1;
        }
        for _ in groups {
            let Ok(event) = call.next() else { break };
            let at = event.tag();
            if let Some(answered) = answered.get_mut(at) {
                *answered = true;
                each(at, committed_in(&event));
            }
            drop(event);
            if asked < groups.len() {
                ask_committed(&mut call, asked, &groups[asked]);
                asked += 1;
            }
        }
        for (at, _) in answered.iter().enumerate().filter(|(_, answered)| !**answered) {
            each(at, Err(CallError::new("list a group's offsets", RDKafkaErrorCode::OperationTimedOut)));
        }
    }
}

fn ask_committed(call: &mut Call<'_>, at: usize, group: &str) {
    // Kafka allows no zero byte in a group's name.
    let name = CString::new(group).unwrap_or_default();
    let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
    // SAFETY: everything is valid; the request is copied by the call and destroyed here. No list means all partitions.
    call.ask(operation, at, None, |client, options, queue| unsafe {
        let mut request = sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), std::ptr::null());
        sys::rd_kafka_ListConsumerGroupOffsets(client, &mut request, 1, options, queue);
        sys::rd_kafka_ListConsumerGroupOffsets_destroy(request);
    });
}

fn committed_in(event: &super::call::Event) -> Result<Vec<Committed>, CallError> {
    let failed = |code| CallError::new("list a group's offsets", code);
    match event.error() {
        RDKafkaErrorCode::NoError => {}
        code => return Err(failed(code)),
    }
    let mut names = Names::default();
    // SAFETY: the result and what it points to belong to the event, which outlives this call.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.raw());
        let mut count = 0;
        let array = match result.is_null() {
            true => std::ptr::null_mut(),
            false => sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count),
        };
        let Some(group) = elements(array, count).first() else { return Err(failed(RDKafkaErrorCode::Fail)) };
        match code(sys::rd_kafka_group_result_error(*group)) {
            RDKafkaErrorCode::NoError => {}
            code => return Err(failed(code)),
        }
        let fine = |e: &&sys::rd_kafka_topic_partition_t| {
            e.offset >= 0 && RDKafkaErrorCode::from(e.err) == RDKafkaErrorCode::NoError
        };
        let all = partitions(sys::rd_kafka_group_result_partitions(*group)).iter().filter(fine);
        let committed = all.map(|e| Committed {
            topic: names.of(CStr::from_ptr(e.topic)),
            partition: e.partition,
            offset: e.offset,
        });
        Ok(committed.collect())
    }
}

/// # Safety
/// `group` is valid.
unsafe fn described(group: *const sys::rd_kafka_ConsumerGroupDescription_t, assignments: bool) -> Option<GroupSeen> {
    // SAFETY: as the caller promises; what it points to is its own.
    unsafe {
        if code(sys::rd_kafka_ConsumerGroupDescription_error(group)) != RDKafkaErrorCode::NoError {
            return None;
        }
        let state = sys::rd_kafka_ConsumerGroupDescription_state(group);
        let coordinator = sys::rd_kafka_ConsumerGroupDescription_coordinator(group);
        let count = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        let member = |at| member(sys::rd_kafka_ConsumerGroupDescription_member(group, at), assignments);
        Some(GroupSeen {
            name: text(sys::rd_kafka_ConsumerGroupDescription_group_id(group)),
            state: text(sys::rd_kafka_consumer_group_state_name(state)),
            assignor: text(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(group)),
            coordinator: (!coordinator.is_null()).then(|| sys::rd_kafka_Node_id(coordinator)),
            members: (0..count).map(member).collect(),
        })
    }
}

/// # Safety
/// `member` is valid.
unsafe fn member(member: *const sys::rd_kafka_MemberDescription_t, assignments: bool) -> GroupMember {
    // SAFETY: as the caller promises; what it points to is its own.
    unsafe {
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let partitions = match assignments && !assignment.is_null() {
            true => listed(sys::rd_kafka_MemberAssignment_partitions(assignment)),
            false => Vec::new(),
        };
        GroupMember {
            id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
            client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
            instance_id: text(sys::rd_kafka_MemberDescription_group_instance_id(member)),
            host: text(sys::rd_kafka_MemberDescription_host(member)),
            partitions,
        }
    }
}
