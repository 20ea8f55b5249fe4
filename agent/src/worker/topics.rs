//! The topics a task needs before its first fold: its changelog partition and the dead-letter topic.

use super::Agent;
use super::new_topic::{NotCreated, OwnTopic, create};
use crate::kafka::{Admin, AdminError, TopicAdmin, TopicSeen, missing_acl};
use crate::replica::TopicIds;
use crate::sources::{changelog_topic, dead_letter_topic};
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error("topic {0} does not exist, or this user may not see it; create it, or correct the topics of its source")]
    NoSource(String),
    #[error("topic {topic} cannot be seen: {acl}")]
    Denied { topic: String, acl: String },
    #[error(
        "changelog topic {topic} is missing and kafka.create_topics is false; make it with: kafka-topics.sh --create --topic {topic} --partitions {partitions} --config cleanup.policy=compact"
    )]
    Missing { topic: String, partitions: i32 },
    #[error(
        "changelog topic {topic} has cleanup.policy={policy}; it must be compact alone, or state would be deleted by age: kafka-configs.sh --alter --topic {topic} --add-config cleanup.policy=compact"
    )]
    NotCompacted { topic: String, policy: String },
    #[error(
        "changelog topic {topic} has {found} partitions, its source topic {wanted}; it must have as many: kafka-topics.sh --alter --topic {topic} --partitions {wanted}"
    )]
    TooFewPartitions { topic: String, found: i32, wanted: i32 },
    #[error(transparent)]
    NotCreated(#[from] NotCreated),
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// A source topic whose changelog and dead-letter topics are as they should be.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub partitions: i32,
    pub ids: TopicIds,
}

/// Why a source's topic is not among those that can be seen.
pub fn why_unseen(agent: &Agent, topic: &str) -> TopicError {
    let seen = Admin::create(&agent.settings, CALL_TIMEOUT).and_then(|admin| admin.look(topic));
    match seen {
        Ok(TopicSeen::Denied) => {
            let acl = missing_acl("Describe and Read", &format!("--topic {topic}"));
            TopicError::Denied { topic: topic.to_owned(), acl }
        }
        _ => TopicError::NoSource(topic.to_owned()),
    }
}

/// Makes sure that the topics behind `topic` exist with the right settings.
pub fn prepare(agent: &Agent, topic: &str) -> Result<Prepared, TopicError> {
    let admin = Admin::create(&agent.settings, CALL_TIMEOUT)?;
    let topics = admin.topics()?;
    let partitions = topics.get(topic).ok_or_else(|| TopicError::NoSource(topic.to_owned()))?.partitions;
    if agent.topics_given {
        return Ok(Prepared { partitions, ids: TopicIds::default() });
    }
    let kafka = &agent.config.kafka;
    let changelog = changelog_topic(&kafka.group_id, topic);
    let before = topics.get(&changelog).map(|info| info.partitions);
    let mut own = Vec::new();
    match before {
        None if !kafka.create_topics => return Err(TopicError::Missing { topic: changelog, partitions }),
        None => {
            tracing::info!(topic = changelog, partitions, "making the changelog topic");
            own.push(OwnTopic::changelog(&changelog));
        }
        Some(found) => {
            let found_settings = agent.runtime.block_on(admin.topic_settings(&changelog))?;
            if let Some(policy) = found_settings.get("cleanup.policy").filter(|policy| *policy != "compact") {
                return Err(TopicError::NotCompacted { topic: changelog, policy: policy.clone() });
            }
            if found < partitions {
                if !kafka.create_topics {
                    return Err(TopicError::TooFewPartitions { topic: changelog, found, wanted: partitions });
                }
                agent.runtime.block_on(admin.grow_topic(&changelog, partitions))?;
            }
        }
    }
    let source = agent.sources.of_topic(topic);
    let dead_letters = match &source {
        Some(source) => source.config.dead_letters.topic_of(topic),
        None => Some(dead_letter_topic(topic)),
    };
    if let Some(dead_letters) = dead_letters
        && kafka.create_topics
        && !topics.contains_key(&dead_letters)
    {
        own.push(OwnTopic::dead_letters(dead_letters));
    }
    if !own.is_empty() {
        let topics = TopicAdmin::create(&agent.settings, CALL_TIMEOUT);
        let topics = topics.map_err(|error| AdminError::Failed { what: "create topics".to_owned(), error })?;
        create(&topics, &own, partitions, kafka.replication_factor)?;
    }
    Ok(Prepared { partitions, ids: ids(&admin, topic, &changelog) })
}

/// Without ids the agent works as well; it only cannot tell a topic from an earlier one of the same name.
fn ids(admin: &Admin, topic: &str, changelog: &str) -> TopicIds {
    let mut found = admin.topic_ids(&[topic, changelog]).unwrap_or_else(|error| {
        tracing::warn!(topic, "no topic ids, so a topic that was made again may go unnoticed: {error}");
        Default::default()
    });
    let mut id = |name| found.remove(name).unwrap_or_default().into();
    TopicIds { source: id(topic), changelog: id(changelog) }
}
