//! A group's members, and topic ids: what tells a topic from an earlier one of the same name.

use super::super::call::{Operation, pointers, texts};
use super::super::described::{GroupDescription, groups_in, topics_in};
use super::ask::Asks;
use super::topics::ask_topics;
use super::{Admin, AdminError, refusal};
use rdkafka_sys as sys;
use std::collections::HashMap;

impl Admin {
    /// The ids of `topics` by name, in base64. A topic that the asked broker does not know (yet), or
    /// that has no id because the brokers are older than 2.8, is left out.
    ///
    /// # Errors
    /// If no broker answers within the timeout, or none knows this call.
    pub fn topic_ids(&self, topics: &[&str]) -> Result<HashMap<String, String>, AdminError> {
        let event = ask_topics(self, topics).map_err(|error| AdminError::of("describe topics", error))?;
        let known = topics_in(&event).into_iter().flatten().filter(|topic| !topic.id.is_empty());
        Ok(known.map(|topic| (topic.name.to_string(), topic.id)).collect())
    }

    /// Describes one group. Blocks up to the timeout.
    ///
    /// # Errors
    /// If its coordinator does not answer in time, or this user may not describe it.
    pub fn describe_group(&self, group: &str) -> Result<GroupDescription, AdminError> {
        let what = format!("describe group {group}");
        let names = texts(&[group]).map_err(|error| AdminError::of(&what, error.into()))?;
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        // SAFETY: the handles and the name are valid during the call, which copies the name.
        let event = self.ask(operation, false, |client, options, queue| unsafe {
            sys::rd_kafka_DescribeConsumerGroups(client, pointers(&names).as_mut_ptr(), names.len(), options, queue);
        });
        let event = event.map_err(|error| AdminError::of(&what, error))?;
        match groups_in(&event, true).pop() {
            Some(found) => found.map_err(|code| refusal(what, "Describe", group, code)),
            None => Err(AdminError::Failed { what, error: "an answer without the group".to_owned() }),
        }
    }
}
