//! Why single events cannot be shown.

/// A line for people.
#[derive(Debug, thiserror::Error)]
pub enum RecentError {
    #[error("no source has `recent_events` in the config: nobody sees single events")]
    NoneShown,
    #[error("source `{name}` has no `recent_events` in the config: nobody sees its single events")]
    NotShown { name: String },
    #[error("there is no source `{name}`; those with recent events are: {}", .shown.join(", "))]
    NoSuchSource { name: String, shown: Vec<String> },
    #[error("say which source: {}", .shown.join(", "))]
    WhichSource { shown: Vec<String> },
    #[error("there is no field `{field}`; those that are shown are: {}", .shown.join(", "))]
    NoSuchField { field: String, shown: Vec<String> },
    #[error("{0}")]
    Wrong(String),
    #[error("others are reading recent events; ask again in a moment")]
    Busy,
    #[error("{most} tails are open; end one of them, or ask for the newest events instead")]
    TooManyTails { most: usize },
    #[error("Kafka does not give the events: {0}")]
    Kafka(String),
    #[error("the agent is stopping")]
    Stopping,
}
