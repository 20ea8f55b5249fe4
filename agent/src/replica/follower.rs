//! The changelog of one source topic, as far as this agent follows it.

use super::error::RestoreError;
use super::identity::TopicIds;
use crate::kafka::{Isolation, PartitionReader, Reading, Settings, TopicPartition, Watermarks};
use crate::state::TaskId;
use rdkafka::error::KafkaError;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// One changelog topic's readers.
pub struct ChangelogFollower {
    pub topic: Arc<str>,
    pub changelog: Arc<str>,
    pub ids: TopicIds,
    pub cluster_id: String,
    /// Committed records, which is what is followed.
    reader: PartitionReader,
    /// For the ends of what is not committed yet, too.
    all: PartitionReader,
    followed: BTreeSet<i32>,
    /// Ends of the partitions followed, as of the last look.
    seen: HashMap<i32, Watermarks>,
}

impl ChangelogFollower {
    pub fn new(
        settings: &Settings,
        topic: Arc<str>,
        changelog: Arc<str>,
        ids: TopicIds,
    ) -> Result<ChangelogFollower, RestoreError> {
        let failed = |error| RestoreError::Kafka { what: "changelog reader", error };
        let reader = PartitionReader::create_watching(settings, Isolation::ReadCommitted).map_err(failed)?;
        let all = PartitionReader::create(settings, Isolation::ReadUncommitted).map_err(failed)?;
        let cluster_id = all.cluster_id(CALL_TIMEOUT).unwrap_or_default();
        let (followed, seen) = (BTreeSet::new(), HashMap::new());
        Ok(ChangelogFollower { topic, changelog, ids, cluster_id, reader, all, followed, seen })
    }

    fn partition(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.changelog.clone(), partition)
    }

    /// The high watermark of a changelog partition; `None` if there is no such partition yet.
    pub fn end_of(&self, partition: i32) -> Result<Option<i64>, RestoreError> {
        let failed = |error: KafkaError| RestoreError::Kafka { what: "changelog ends", error };
        let count = self.all.partition_count(&self.changelog, CALL_TIMEOUT).map_err(failed)?;
        if count.is_none_or(|count| count <= partition) {
            return Ok(None);
        }
        let partition = self.partition(partition);
        let ends = self.all.ends(std::slice::from_ref(&partition), CALL_TIMEOUT).map_err(failed)?;
        Ok(ends.get(&partition).copied())
    }

    /// The high watermarks of all of its partitions, by the task they are of.
    pub fn ends(&self) -> Result<Vec<(TaskId, i64)>, KafkaError> {
        let count = self.all.partition_count(&self.changelog, CALL_TIMEOUT)?.unwrap_or(0);
        let partitions: Vec<_> = (0..count).map(|partition| self.partition(partition)).collect();
        let ends = self.all.ends(&partitions, CALL_TIMEOUT)?;
        let task = |partition| TaskId { topic: self.topic.clone(), partition };
        Ok(ends.into_iter().map(|(of, end)| (task(of.partition), end)).collect())
    }

    /// Reads a partition from this offset on.
    pub fn follow(&mut self, id: &TaskId, from: i64) -> Result<(), RestoreError> {
        let partition = self.partition(id.partition);
        if self.followed.contains(&id.partition) {
            let _ = self.reader.finish(&partition);
        }
        self.reader.add(&partition, from).map_err(|error| RestoreError::Kafka { what: "assign changelog", error })?;
        self.followed.insert(id.partition);
        self.seen.remove(&id.partition);
        Ok(())
    }

    /// Stops reading partitions whose replicas are gone.
    pub fn keep(&mut self, is_held: impl Fn(&TaskId) -> bool) {
        let gone: Vec<i32> = self
            .followed
            .iter()
            .copied()
            .filter(|&partition| !is_held(&TaskId { topic: self.topic.clone(), partition }))
            .collect();
        for partition in gone {
            self.followed.remove(&partition);
            self.seen.remove(&partition);
            if let Err(error) = self.reader.finish(&self.partition(partition)) {
                tracing::debug!(topic = %self.changelog, partition, "unassign: {error}");
            }
        }
    }

    /// The next record, without waiting.
    pub fn read(&self) -> Reading<'_> {
        self.reader.read(Duration::ZERO)
    }

    /// Takes the ends that the client has last heard of.
    pub fn look(&mut self) {
        let watermarks = self.reader.watermarks();
        let of_this = watermarks.into_iter().filter(|(of, _)| of.topic == self.changelog);
        let followed = &self.followed;
        self.seen = of_this.map(|(of, ends)| (of.partition, ends)).filter(|(p, _)| followed.contains(p)).collect();
    }

    /// Ends of the partitions followed, as of the last look.
    pub fn seen(&self) -> impl Iterator<Item = (&i32, &Watermarks)> {
        self.seen.iter()
    }
}
