//! What becomes of events that cannot be used, as the config says it of a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::own_topics::dead_letter_topic;

/// What becomes of a source's dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDeadLetters {
    /// Otherwise they are only counted.
    pub enabled: bool,
    /// `None`: each topic's own.
    pub topic: Option<String>,
    pub payload: LetterPayload,
}

impl Default for SourceDeadLetters {
    fn default() -> Self {
        SourceDeadLetters { enabled: true, topic: None, payload: LetterPayload::Full }
    }
}

impl SourceDeadLetters {
    /// Where the dead letters of one of the source's topics go, if anywhere.
    pub fn topic_of(&self, topic: &str) -> Option<String> {
        self.enabled.then(|| self.topic.clone().unwrap_or_else(|| dead_letter_topic(topic)))
    }
}

/// What of an event is kept in its dead letter.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterPayload {
    #[default]
    Full,
    Truncated,
    None,
}
