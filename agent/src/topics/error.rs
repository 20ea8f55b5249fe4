//! Why a call for a topic failed: its kind, which decides the status, and one line that says what to do.

use crate::kafka::{CallError, missing_acl_of};
use rdkafka::error::RDKafkaErrorCode as Code;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Exists,
    Missing,
    Invalid,
    Denied,
    /// No broker can be reached, or too few are up.
    Unavailable,
    /// A broker did not answer in time; what was asked may still be done.
    Deadline,
    /// Not as things are.
    Precondition,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicError {
    pub kind: Kind,
    pub message: String,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TopicError {}

/// What is asked of the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    List,
    Describe,
    Settings,
    Create,
    Change,
    Grow,
    Delete,
}

impl Ask {
    fn words(self) -> &'static str {
        match self {
            Ask::List => "list topics",
            Ask::Describe => "describe topic",
            Ask::Settings => "describe the settings of topic",
            Ask::Create => "create topic",
            Ask::Change => "change settings of topic",
            Ask::Grow => "add partitions to topic",
            Ask::Delete => "delete topic",
        }
    }

    /// The right it takes, as Kafka calls the operation.
    fn right(self) -> &'static str {
        match self {
            Ask::List | Ask::Describe => "Describe",
            Ask::Settings => "DescribeConfigs",
            Ask::Create => "Create",
            Ask::Change => "AlterConfigs",
            Ask::Grow => "Alter",
            Ask::Delete => "Delete",
        }
    }

    /// Whether asking again does no harm.
    fn only_looks(self) -> bool {
        matches!(self, Ask::List | Ask::Describe | Ask::Settings)
    }
}

impl TopicError {
    pub fn new(kind: Kind, message: impl Into<String>) -> TopicError {
        TopicError { kind, message: message.into() }
    }

    /// What a call came to, with what to do about it.
    pub(super) fn of(ask: Ask, topic: &str, error: CallError) -> TopicError {
        let what = format!("{} {topic}", ask.words());
        let what = what.trim_end();
        match error {
            CallError::Refused { code, reason } => match missing_acl_of(code, ask.right(), topic) {
                Some(acl) => TopicError::new(Kind::Denied, format!("cannot {what}: {acl}")),
                None => refused(what, topic, code, &one_line(&reason)),
            },
            CallError::Unreachable(reason) => TopicError::new(
                Kind::Unavailable,
                format!("cannot {what}: Kafka cannot be used: {}", one_line(&reason)),
            ),
            CallError::Silent(timeout) => {
                let tell = if ask.only_looks() { "" } else { "tell whether to " };
                let seconds = timeout.as_secs();
                TopicError::new(
                    Kind::Deadline,
                    format!("cannot {tell}{what}: no broker answered within {seconds} s; look before you try it again"),
                )
            }
            CallError::Text(_) => TopicError::new(Kind::Invalid, format!("cannot {what}: {error}; leave it out")),
        }
    }
}

fn refused(what: &str, topic: &str, code: Code, reason: &str) -> TopicError {
    let (kind, message) = match code {
        Code::TopicAlreadyExists => {
            (Kind::Exists, format!("topic {topic} already exists; update it, or choose another name"))
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic => {
            (Kind::Missing, format!("there is no topic {topic}; ListTopics (`streamgauge topics list`) has all names"))
        }
        Code::InvalidReplicationFactor => {
            let advice = "ask for at most as many replicas as there are brokers";
            (Kind::Invalid, format!("cannot {what}: {reason}; {advice}"))
        }
        Code::InvalidTopic => {
            let advice =
                "use 1 to 249 letters, digits, `.`, `_` and `-`, and not a name that differs in `.` and `_` alone";
            (Kind::Invalid, format!("cannot {what}: {reason}; {advice}"))
        }
        Code::InvalidConfig => {
            (Kind::Invalid, format!("cannot {what}: {reason}; Kafka's documentation lists the topic settings"))
        }
        Code::InvalidPartitions => (Kind::Invalid, format!("cannot {what}: {reason}; a topic can only grow")),
        Code::InvalidRequest | Code::InvalidArgument | Code::InvalidReplicaAssignment => {
            (Kind::Invalid, format!("cannot {what}: {reason}; correct the request"))
        }
        Code::PolicyViolation => {
            (Kind::Precondition, format!("cannot {what}: the brokers' policy forbids it ({reason}); ask who runs them"))
        }
        Code::SaslAuthenticationFailed => {
            (Kind::Denied, format!("cannot {what}: the brokers do not let this user in ({reason})"))
        }
        Code::RequestTimedOut | Code::OperationTimedOut => (
            Kind::Deadline,
            format!("cannot {what}: the brokers took too long ({reason}); look before you try it again"),
        ),
        Code::NotController
        | Code::LeaderNotAvailable
        | Code::BrokerNotAvailable
        | Code::NotEnoughReplicas
        | Code::CoordinatorNotAvailable
        | Code::BrokerTransportFailure => {
            (Kind::Unavailable, format!("cannot {what} now: {reason}; try again when the brokers are up"))
        }
        _ => (Kind::Failed, format!("cannot {what}: {reason}; the brokers' logs say more")),
    };
    TopicError::new(kind, message)
}

/// Brokers send whole paragraphs at times.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches('.');
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[track_caller]
    fn check(error: CallError, kind: Kind, says: &str) {
        let error = TopicError::of(Ask::Create, "t", error);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(says) && !error.message.contains('\n'), "{error}");
    }

    fn answer(code: Code, reason: &str) -> CallError {
        CallError::Refused { code, reason: reason.into() }
    }

    #[test]
    fn each_answer_has_its_kind_and_says_what_to_do() {
        check(answer(Code::TopicAlreadyExists, "x"), Kind::Exists, "choose another name");
        check(answer(Code::UnknownTopicOrPartition, "x"), Kind::Missing, "topics list");
        check(answer(Code::InvalidReplicationFactor, "3 of 1.\n"), Kind::Invalid, "3 of 1; ask for at most");
        check(answer(Code::InvalidConfig, "Unknown topic config name: a"), Kind::Invalid, "name: a;");
        check(answer(Code::TopicAuthorizationFailed, "x"), Kind::Denied, "needs the ACL Create on --topic t ");
        check(answer(Code::ClusterAuthorizationFailed, "x"), Kind::Denied, "needs the ACL Create on --cluster ");
        check(answer(Code::NotController, "x"), Kind::Unavailable, "try again");
        check(CallError::Unreachable("refused".into()), Kind::Unavailable, "cannot be used: refused");
        check(CallError::Silent(Duration::from_secs(4)), Kind::Deadline, "within 4 s; look before you try it again");
    }

    #[test]
    fn a_paragraph_becomes_a_line_with_an_end() {
        let line = one_line(&"é word\n".repeat(200));
        assert!(line.chars().count() == 301 && line.ends_with('…'), "{line}");
    }
}
