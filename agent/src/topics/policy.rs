//! Which changes are answered, and which topics never change.

use super::{Kind, TopicError};
use crate::config::{Config, TopicChange, TopicSelector, letters_of, sanitized};
use crate::kafka::is_internal;
use regex::Regex;
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// `None`: whatever Kafka allows this user.
    allow: Option<BTreeSet<TopicChange>>,
    /// Patterns for whole names, with why they are there.
    protected: Vec<(Regex, String)>,
    /// The agent's source topics, beside which it writes dead letters.
    sources: Vec<TopicSelector>,
}

impl Policy {
    /// An agent's: what its config allows.
    pub fn of(config: &Config) -> Policy {
        let mut protected = Vec::new();
        let mut protect = |pattern: &str, why: String| {
            // Checked with the config; a name from elsewhere is escaped.
            protected.extend(Regex::new(&format!("^(?:{pattern})$")).ok().map(|regex| (regex, why)));
        };
        for pattern in &config.cluster.topics.protected {
            protect(pattern, format!("`{pattern}` in cluster.topics.protected"));
        }
        let group = regex::escape(&sanitized(&config.kafka.group_id));
        protect(&format!("streamgauge-{group}-.*-changelog"), "this agent keeps its state in it".into());
        let sources = config.sources.iter().flat_map(|source| &source.topics).cloned().collect();
        Policy { allow: Some(config.cluster.topics.allow.clone()), protected, sources }
    }

    /// Everything but Kafka's own topics: for people at the command line, whom Kafka's ACLs bound.
    pub fn open() -> Policy {
        Policy::default()
    }

    /// Why no changing call touches this topic.
    pub fn protects(&self, name: &str) -> Option<String> {
        if is_internal(name) || name.starts_with("__") {
            return Some("Kafka keeps its own state in it".to_owned());
        }
        if letters_of(name).is_some_and(|topic| self.sources.iter().any(|selector| selector.matches(topic))) {
            return Some("this agent writes its dead letters to it".to_owned());
        }
        self.protected.iter().find(|(pattern, _)| pattern.is_match(name)).map(|(_, why)| why.clone())
    }

    /// # Errors
    /// If the config does not allow this change, or the topic is protected.
    pub fn allows(&self, change: TopicChange, name: &str) -> Result<(), TopicError> {
        let denied = |message: String| Err(TopicError::new(Kind::Denied, message));
        let word = change.word();
        if self.allow.as_ref().is_some_and(|allow| !allow.contains(&change)) {
            return denied(format!(
                "this agent does not {word} topics; put `{word}` into cluster.topics.allow of its config if it should"
            ));
        }
        match self.protects(name) {
            Some(why) => denied(format!("topic {name} is protected: {why}; choose another topic")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn policy(cluster: &str) -> Policy {
        let text = include_str!("../../../examples/minimal.yaml");
        Policy::of(&config::parse(&format!("{text}\n{cluster}\n"), "c.yaml", &|_| None).unwrap())
    }

    #[test]
    fn nothing_is_allowed_unless_the_config_says_so() {
        let closed = policy("");
        for change in TopicChange::ALL {
            let error = closed.allows(change, "t").unwrap_err();
            assert!(error.kind == Kind::Denied && error.message.contains("cluster.topics.allow"), "{error}");
        }
        let open = policy("cluster: { topics: { allow: [create] } }");
        assert_eq!(open.allows(TopicChange::Create, "t"), Ok(()));
        assert!(open.allows(TopicChange::Delete, "t").is_err());
    }

    #[test]
    fn protected_topics_never_change() {
        let policy =
            policy("cluster: { topics: { allow: [create, update, grow, delete], protected: [\"pay|bill-.*\"] } }");
        for name in
            ["pay", "bill-1", "__consumer_offsets", "streamgauge-streamgauge-log-events-changelog", "log-events-dlq"]
        {
            for change in TopicChange::ALL {
                let error = policy.allows(change, name).expect_err(name);
                assert!(error.message.contains("is protected"), "{error}");
            }
        }
        for name in ["pays", "my-bill-1", "streamgauge-other-log-events-changelog", "log-events", "other-dlq"] {
            assert_eq!(policy.allows(TopicChange::Delete, name), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_command_line_is_bounded_by_kafka_alone_but_for_kafkas_own_topics() {
        assert_eq!(Policy::open().allows(TopicChange::Delete, "t"), Ok(()));
        assert!(Policy::open().allows(TopicChange::Delete, "__transaction_state").is_err());
    }
}
