//! The topics of a group's own, created with as many of the settings that they would like to have as the brokers allow.

use crate::kafka::{AdminError, CallError, NewTopic, TopicAdmin};
use rdkafka::error::RDKafkaErrorCode;

/// A topic that is to be created, and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnTopic {
    name: String,
    /// Nothing works without these.
    needed: Vec<(&'static str, &'static str)>,
    /// It works without these, only not as well.
    liked: Vec<(&'static str, &'static str)>,
}

/// Why they cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum NotCreated {
    #[error("the brokers do not let this user create topic {topic}: {reason}; create it with: {}", .commands.join(" ; "))]
    Refused { topic: String, reason: String, commands: Vec<String> },
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl OwnTopic {
    /// Small segments, compacted early, keep a restart without a state directory short.
    pub fn changelog(name: &str) -> OwnTopic {
        let liked = vec![("segment.bytes", "67108864"), ("min.cleanable.dirty.ratio", "0.1")];
        OwnTopic { name: name.to_owned(), needed: vec![("cleanup.policy", "compact")], liked }
    }

    /// Room for the largest record and its headers; without it, those that are larger are cut.
    pub fn dead_letters(name: String) -> OwnTopic {
        OwnTopic { name, needed: Vec::new(), liked: vec![("max.message.bytes", "16777216")] }
    }

    /// Kafka's own tool makes it so.
    fn command(&self, partitions: i32) -> String {
        let needed = self.needed.iter().map(|(key, value)| format!(" --config {key}={value}"));
        format!(
            "kafka-topics.sh --create --topic {} --partitions {partitions}{}",
            self.name,
            needed.collect::<String>()
        )
    }

    /// What of the settings is to be left out next, if a broker said this about them: the one that it names, or else the last.
    fn leave_out(&mut self, reason: &str) -> Option<&'static str> {
        let named = self.liked.iter().position(|(key, _)| reason.contains(key));
        let at = named.or(self.liked.len().checked_sub(1))?;
        Some(self.liked.remove(at).0)
    }
}

/// Creates them; one that exists already is fine. Managed clusters have policies that refuse some settings: those that a
/// topic can be without are left out, one after the other.
///
/// # Errors
/// If one of them cannot be created; the commands for all of them are in it.
pub fn create(
    admin: &TopicAdmin,
    topics: &[OwnTopic],
    partitions: i32,
    replication: Option<i32>,
) -> Result<(), NotCreated> {
    for topic in topics {
        let mut topic = topic.clone();
        loop {
            let settings = topic.needed.iter().chain(&topic.liked);
            let new = NewTopic {
                name: topic.name.clone(),
                partitions: Some(partitions),
                replication,
                configs: settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            };
            let reason = match admin.make_topic(&new, false) {
                Ok(()) | Err(CallError::Refused { code: RDKafkaErrorCode::TopicAlreadyExists, .. }) => break,
                Err(CallError::Refused {
                    code: RDKafkaErrorCode::PolicyViolation | RDKafkaErrorCode::InvalidConfig,
                    reason,
                }) => reason,
                Err(error) => return Err(AdminError::of_creation(&topic.name, error).into()),
            };
            match topic.leave_out(&reason) {
                Some(setting) => {
                    tracing::warn!(
                        topic = topic.name,
                        setting,
                        "the brokers refuse a setting, trying without it: {reason}"
                    );
                }
                None => {
                    let commands = topics.iter().map(|topic| topic.command(partitions)).collect();
                    return Err(NotCreated::Refused { topic: topic.name, reason, commands });
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_names_is_left_out_first_and_what_is_needed_never() {
        let mut topic = OwnTopic::changelog("c");
        assert_eq!(topic.leave_out("'segment.bytes' may not be set"), Some("segment.bytes"));
        assert_eq!(topic.leave_out("no"), Some("min.cleanable.dirty.ratio"));
        assert_eq!(topic.leave_out("cleanup.policy"), None);
        assert_eq!(
            topic.command(3),
            "kafka-topics.sh --create --topic c --partitions 3 --config cleanup.policy=compact"
        );
    }
}
