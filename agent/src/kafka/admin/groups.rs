//! Consumer groups: which there are, and who is in one with which partitions. rdkafka does not wrap these calls.

use super::call::{Event, words as text};
use super::{Admin, AdminError, failed, refusal};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::{CString, c_char};

/// A group as its coordinator describes it. One that does not exist is described as [`GroupState::Dead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub group_id: String,
    pub state: GroupState,
    /// Name of the partition assignor, such as `cooperative-sticky`; empty if there is none.
    pub assignor: String,
    pub coordinator: Option<Coordinator>,
    pub members: Vec<GroupMember>,
}

/// The broker that looks after a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordinator {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: String,
    /// Of a static member.
    pub instance_id: Option<String>,
    pub client_id: String,
    /// Where it connects from, as the broker sees it: `/10.0.0.7`.
    pub host: String,
    /// Topics and partitions it was given; empty while the group rebalances.
    pub assignment: Vec<(String, i32)>,
}

/// A group in the list of all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub group_id: String,
    pub state: GroupState,
    /// It only stores offsets: nobody subscribes under it.
    pub is_simple: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    Unknown,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    /// There is no such group.
    Dead,
    /// It has offsets and no member.
    Empty,
}

impl GroupState {
    fn of(state: sys::rd_kafka_consumer_group_state_t) -> GroupState {
        use sys::rd_kafka_consumer_group_state_t as State;
        match state {
            State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE => GroupState::PreparingRebalance,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => GroupState::CompletingRebalance,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => GroupState::Stable,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => GroupState::Dead,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => GroupState::Empty,
            _ => GroupState::Unknown,
        }
    }
}

impl Admin {
    /// Describes one group. Blocks up to the timeout.
    ///
    /// # Errors
    /// If its coordinator does not answer in time, or this user may not describe it.
    pub fn describe_group(&self, group: &str) -> Result<GroupDescription, AdminError> {
        let what = format!("describe group {group}");
        let none = || AdminError::Failed { what: what.clone(), error: "an answer without the group".to_owned() };
        self.describe_groups(&[group])?.pop().ok_or_else(none)?
    }

    /// Describes groups, each with an error of its own. The order is the answer's. Blocks up to the timeout.
    ///
    /// # Errors
    /// If nothing is answered in time.
    pub fn describe_groups(&self, groups: &[&str]) -> Result<Vec<Result<GroupDescription, AdminError>>, AdminError> {
        let what = "describe groups";
        let names: Result<Vec<CString>, _> = groups.iter().map(|name| CString::new(*name)).collect();
        let names = names.map_err(|error| AdminError::Failed { what: what.to_owned(), error: error.to_string() })?;
        let pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        // SAFETY: the handles and names are valid during the call, which copies the names.
        let event = self.ask(operation, false, &|client, options, queue| unsafe {
            sys::rd_kafka_DescribeConsumerGroups(client, pointers.as_ptr().cast_mut(), pointers.len(), options, queue);
        });
        let event = event.map_err(|error| failed(what, error))?;
        Ok(descriptions(&event))
    }

    /// All groups this user may see, and how many brokers did not answer. Blocks up to the timeout.
    ///
    /// # Errors
    /// If nothing is answered in time.
    pub fn list_groups(&self) -> Result<(Vec<GroupListing>, usize), AdminError> {
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS;
        // SAFETY: the handles are valid during the call.
        let event = self.ask(operation, false, &|client, options, queue| unsafe {
            sys::rd_kafka_ListConsumerGroups(client, options, queue);
        });
        let event = event.map_err(|error| failed("list groups", error))?;
        Ok(listings(&event))
    }
}

fn descriptions(event: &Event) -> Vec<Result<GroupDescription, AdminError>> {
    let mut count = 0;
    // SAFETY: the event is valid; of another type it gives a null result. What the result points to belongs to the event
    // and is copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
        if result.is_null() {
            return Vec::new();
        }
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        (0..count).map(|at| description(*groups.add(at))).collect()
    }
}

/// # Safety
/// `group` is valid.
unsafe fn description(group: *const sys::rd_kafka_ConsumerGroupDescription_t) -> Result<GroupDescription, AdminError> {
    // SAFETY: all of it belongs to the valid description.
    unsafe {
        let group_id = text(sys::rd_kafka_ConsumerGroupDescription_group_id(group));
        let code: RDKafkaErrorCode =
            sys::rd_kafka_error_code(sys::rd_kafka_ConsumerGroupDescription_error(group)).into();
        if code != RDKafkaErrorCode::NoError {
            return Err(refusal(format!("describe group {group_id}"), code));
        }
        let node = sys::rd_kafka_ConsumerGroupDescription_coordinator(group);
        let coordinator = (!node.is_null()).then(|| Coordinator {
            id: sys::rd_kafka_Node_id(node),
            host: text(sys::rd_kafka_Node_host(node)),
            port: sys::rd_kafka_Node_port(node),
        });
        let members = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        Ok(GroupDescription {
            group_id,
            state: GroupState::of(sys::rd_kafka_ConsumerGroupDescription_state(group)),
            assignor: text(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(group)),
            coordinator,
            members: (0..members).map(|at| member(sys::rd_kafka_ConsumerGroupDescription_member(group, at))).collect(),
        })
    }
}

/// # Safety
/// `member` is valid.
unsafe fn member(member: *const sys::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: all of it belongs to the valid description.
    unsafe {
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let list = (!assignment.is_null()).then(|| sys::rd_kafka_MemberAssignment_partitions(assignment));
        let assignment = list.filter(|list| !list.is_null()).map_or_else(Vec::new, |list| {
            let elements = (0..(*list).cnt.max(0) as usize).map(|at| &*(*list).elems.add(at));
            elements.map(|element| (text(element.topic), element.partition)).collect()
        });
        GroupMember {
            member_id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
            instance_id: Some(text(sys::rd_kafka_MemberDescription_group_instance_id(member)))
                .filter(|id| !id.is_empty()),
            client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
            host: text(sys::rd_kafka_MemberDescription_host(member)),
            assignment,
        }
    }
}

fn listings(event: &Event) -> (Vec<GroupListing>, usize) {
    let (mut count, mut errors) = (0, 0);
    // SAFETY: as in `descriptions`.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroups_result(event.ptr());
        if result.is_null() {
            return (Vec::new(), 0);
        }
        let groups = sys::rd_kafka_ListConsumerGroups_result_valid(result, &mut count);
        sys::rd_kafka_ListConsumerGroups_result_errors(result, &mut errors);
        let listing = |at| {
            let group = *groups.add(at);
            GroupListing {
                group_id: text(sys::rd_kafka_ConsumerGroupListing_group_id(group)),
                state: GroupState::of(sys::rd_kafka_ConsumerGroupListing_state(group)),
                is_simple: sys::rd_kafka_ConsumerGroupListing_is_simple_consumer_group(group) != 0,
            }
        };
        ((0..count).map(listing).collect(), errors)
    }
}
