//! The topics that a worker is subscribed to: by name, as the config's patterns select them of what the cluster has. The
//! group's client never sees a pattern, whose dialect of regular expressions is another.

use super::WorkerError;
use super::run::{Worker, names};

impl Worker<'_> {
    /// Subscribes anew if topics have come or gone since the last time.
    pub(super) fn follow_topics(&mut self) -> Result<(), WorkerError> {
        let wanted = self.plans.subscription(&self.agent.registry).unwrap_or_default();
        // With nothing left to read there is no other subscription: the group takes what is gone all the same.
        if wanted.is_empty() || wanted == self.subscribed {
            return Ok(());
        }
        tracing::debug!(worker = self.identity.worker, topics = wanted.len(), "subscribing");
        self.consumer.subscribe(&names(&wanted))?;
        self.subscribed = wanted;
        Ok(())
    }

    /// Whether the cluster no longer has a topic: nothing of it can be committed any more.
    pub(super) fn is_gone(&self, topic: &str) -> bool {
        self.agent.registry.topics().lacks(topic)
    }
}
