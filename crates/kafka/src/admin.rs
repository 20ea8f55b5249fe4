//! Topics the agent needs: made with the right settings, or refused with the reason.

mod ask;
mod configs;
mod describe;
mod topics;

pub use ask::{CallError, TopicAdmin};
pub use configs::Setting;
pub use topics::NewTopic;

use super::cause::missing_acl_of;
use super::login::{self, LoggedIn};
use super::{Context, Settings};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use std::collections::HashMap;
use std::time::Duration;

/// A topic as it is.
#[derive(Clone, Debug)]
pub struct TopicInfo {
    pub partitions: i32,
}

/// A topic as this user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicSeen {
    Partitions(i32),
    Missing,
    /// It may or may not be there.
    Denied,
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("cannot {what}: {acl}")]
    Denied { what: String, acl: String },
    #[error("{what}: {error}")]
    Failed { what: String, error: String },
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

pub struct Admin {
    client: LoggedIn<AdminClient<Context>>,
    timeout: Duration,
}

impl Admin {
    /// `timeout` bounds each call.
    pub fn create(settings: &Settings, timeout: Duration) -> Result<Self, AdminError> {
        let config = settings.plain();
        Ok(Admin { client: login::client(&config, Context::of(&config))?, timeout })
    }

    fn metadata(&self, topic: Option<&str>) -> KafkaResult<Metadata> {
        let client = self.client.inner();
        client.context().complaints.metadata(client, topic, self.timeout, || {})
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().operation_timeout(Some(self.timeout)).request_timeout(Some(self.timeout))
    }

    /// All topics of the cluster with their partition counts.
    pub fn topics(&self) -> Result<HashMap<String, TopicInfo>, AdminError> {
        let metadata = self.metadata(None)?;
        let fine = metadata.topics().iter().filter(|topic| topic.error().is_none());
        Ok(fine.map(|t| (t.name().to_owned(), TopicInfo { partitions: t.partitions().len() as i32 })).collect())
    }

    /// One topic, asked for by its name: tells one that is missing from one that this user may not see.
    pub fn look(&self, topic: &str) -> Result<TopicSeen, AdminError> {
        let metadata = self.metadata(Some(topic))?;
        let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else { return Ok(TopicSeen::Missing) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(TopicSeen::Partitions(found.partitions().len() as i32)),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(TopicSeen::Missing),
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Ok(TopicSeen::Denied),
            Some(code) => Err(refusal(format!("look at topic {topic}"), "Describe", topic, code)),
        }
    }

    /// Grows a topic to `partitions`; one that has as many already is fine.
    pub async fn grow_topic(&self, name: &str, partitions: i32) -> Result<(), AdminError> {
        let request = rdkafka::admin::NewPartitions::new(name, partitions as usize);
        for result in self.client.create_partitions([&request], &self.options()).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::InvalidPartitions)) => {}
                Err((name, code)) => {
                    return Err(refusal(format!("add partitions to topic {name}"), "Alter", &name, code));
                }
            }
        }
        Ok(())
    }

    /// Deletes topics; one that is not there is fine.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<(), AdminError> {
        for result in self.client.delete_topics(names, &self.options()).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, code)) => {
                    return Err(refusal(format!("delete topic {name}"), "Delete", &name, code));
                }
            }
        }
        Ok(())
    }

    /// A topic's settings by name.
    pub async fn topic_settings(&self, name: &str) -> Result<HashMap<String, String>, AdminError> {
        let resource = ResourceSpecifier::Topic(name);
        let mut settings = HashMap::new();
        for result in self.client.describe_configs([&resource], &self.options()).await? {
            let denied = |code| refusal(format!("read the settings of topic {name}"), "DescribeConfigs", name, code);
            let config = result.map_err(denied)?;
            settings.extend(config.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(settings)
    }
}

/// `operation` is what it takes to do `what` to the topic or group `name`.
fn refusal(what: String, operation: &str, name: &str, code: RDKafkaErrorCode) -> AdminError {
    match missing_acl_of(code, operation, name) {
        Some(acl) => AdminError::Denied { what, acl },
        None => AdminError::Failed { what, error: code.to_string() },
    }
}

impl AdminError {
    /// Of a call that keeps the broker's own words.
    pub fn of(what: &str, error: CallError) -> AdminError {
        AdminError::Failed { what: what.to_owned(), error: error.to_string() }
    }

    /// The same of a call to create a topic.
    pub fn of_creation(topic: &str, error: CallError) -> AdminError {
        let what = format!("create topic {topic}");
        match error {
            CallError::Refused { code, reason } => match refusal(what, "Create", topic, code) {
                AdminError::Failed { what, .. } => AdminError::Failed { what, error: reason },
                denied => denied,
            },
            error => AdminError::of(&what, error),
        }
    }
}
