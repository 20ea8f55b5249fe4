//! Which partition of which topic: the one type for it in the whole house.

use std::fmt;
use std::sync::Arc;

/// One partition of a topic. Shown as `topic/partition`, in lists too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    /// All partitions of a topic that has `count` of them.
    pub fn all_of(topic: &Arc<str>, count: i32) -> impl Iterator<Item = TopicPartition> + use<> {
        let topic = topic.clone();
        (0..count).map(move |partition| TopicPartition { topic: topic.clone(), partition })
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}
