//! The source topics that the cluster has, as this agent last saw them. What exists is what the cluster has, not what was
//! ever seen.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A source topic of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceTopic {
    pub partitions: i32,
    /// When the group began with it, Unix milliseconds; `None` while it has committed nothing of it, or that is not known.
    pub began_at: Option<i64>,
}

/// All source topics of the cluster.
#[derive(Clone, Debug, Default)]
pub struct SourceTopics {
    pub by_name: BTreeMap<Arc<str>, SourceTopic>,
    /// The whole cluster was looked at: what is not here is not there.
    pub is_whole: bool,
}

impl SourceTopics {
    /// Whether the cluster is known not to have this topic.
    pub fn lacks(&self, topic: &str) -> bool {
        self.is_whole && !self.by_name.contains_key(topic)
    }
}
