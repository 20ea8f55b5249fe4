//! How much a topic holds: the first and the next offset of its partitions. (Bytes on disk are not in librdkafka's reach.)

use crate::kafka::{Isolation, PartitionReader, Settings, TopicDescription, TopicPartition};
use std::collections::HashMap;
use std::time::Duration;

/// The first offset that is still there, and the next one to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub oldest: i64,
    pub current: i64,
}

/// The ends of every partition whose leader answers in time; none at all if this user may not read the topic.
pub fn ends(settings: &Settings, topic: &TopicDescription, timeout: Duration) -> HashMap<i32, Ends> {
    let led: Vec<TopicPartition> = topic
        .partitions
        .iter()
        .filter(|partition| partition.leader.is_some())
        .map(|partition| TopicPartition::new(topic.name.clone(), partition.id))
        .collect();
    let Ok(reader) = PartitionReader::create(settings, Isolation::ReadUncommitted) else { return HashMap::new() };
    let Ok(oldest) = reader.beginnings(&led, timeout) else { return HashMap::new() };
    let Ok(current) = reader.ends(&led, timeout) else { return HashMap::new() };
    let both = |(of, &oldest): (&TopicPartition, &i64)| {
        let current = *current.get(of)?;
        Some((of.partition, Ends { oldest, current }))
    };
    oldest.iter().filter_map(both).collect()
}
