//! What a changelog is of, and how the group began with its topic. Every offset record says it, so that it outlives any
//! process: partitions that were added since are read from their first record, whatever the source's `start` says, and
//! nobody goes on with the state of another group's topic whose changelog has the same name.

use super::last_record::last_record;
use super::replay::ReplayError;
use crate::config::Start;
use crate::kafka::{Isolation, PartitionReader, Settings, TopicPartition};
use parking_lot::Mutex;
use rdkafka::error::KafkaResult;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::storage::v1::{OffsetRecord, Origin};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How the group began with a topic: looked up once, when a task turns out to have no state of its own.
#[derive(Debug)]
pub struct Beginning {
    settings: Settings,
    changelog: Arc<str>,
    /// What it is if nothing has ever been committed.
    now: Origin,
    found: Mutex<Option<Origin>>,
}

impl Beginning {
    /// `partitions`: how many the topic has now; `now`: Unix milliseconds.
    pub fn new(settings: &Settings, topic: &str, changelog: Arc<str>, partitions: i32, now: i64) -> Beginning {
        let (group_id, topic) = (settings.group().to_owned(), topic.to_owned());
        let now = Origin { group_id, topic, partitions, began_at_ms: now };
        Beginning { settings: settings.clone(), changelog, now, found: Mutex::default() }
    }

    /// What a task's records are to say: what `record`, its last one, says, if it has one.
    ///
    /// # Errors
    /// If the changelog cannot be read.
    pub fn origin_of(&self, record: Option<&OffsetRecord>) -> KafkaResult<Origin> {
        if let Some(record) = record {
            return Ok(self.of_record(record));
        }
        let mut found = self.found.lock();
        if let Some(found) = &*found {
            return Ok(found.clone());
        }
        let origin = self.look()?.map_or_else(|| self.now.clone(), |record| self.of_record(&record));
        Ok(found.insert(origin).clone())
    }

    /// A record without an origin is an earlier version's, which did not write down how it began.
    fn of_record(&self, record: &OffsetRecord) -> Origin {
        let unknown = || Origin { partitions: 0, began_at_ms: 0, ..self.now.clone() };
        record.origin.clone().unwrap_or_else(unknown)
    }

    /// The last record of the first partition that has one: all say the same.
    fn look(&self) -> KafkaResult<Option<OffsetRecord>> {
        let mut reader = PartitionReader::create(&self.settings, Isolation::ReadCommitted)?;
        let count = reader.partition_count(&self.changelog, CALL_TIMEOUT)?.unwrap_or(0);
        let all: Vec<TopicPartition> = (0..count).map(|partition| (self.changelog.clone(), partition)).collect();
        let ends = reader.ends_each(&all, CALL_TIMEOUT);
        // One that cannot be read now tells nothing; another may tell it.
        let mut unknown = None;
        for partition in &all {
            let end = match ends.get(partition) {
                Some(Ok(end)) => *end,
                Some(Err(error)) => {
                    unknown = Some(error.clone());
                    continue;
                }
                None => 0,
            };
            if let Some(record) = last_record(&mut reader, partition, end)? {
                return Ok(Some(record));
            }
        }
        unknown.map_or(Ok(None), Err)
    }

    /// Whether a record is another group's, or of another topic.
    ///
    /// # Errors
    /// Says whose it is.
    pub fn check(&self, origin: Option<&Origin>) -> Result<(), ReplayError> {
        check_origin(origin, &self.now.group_id, &self.now.topic)
    }
}

/// Whether what a record says of its origin is this group's and this topic's. Records of earlier versions say nothing.
///
/// # Errors
/// Says whose it is.
pub fn check_origin(origin: Option<&Origin>, group: &str, topic: &str) -> Result<(), ReplayError> {
    match origin {
        Some(origin) if (origin.group_id.as_str(), origin.topic.as_str()) != (group, topic) => {
            Err(ReplayError::Foreign { group: origin.group_id.clone(), topic: origin.topic.clone() })
        }
        _ => Ok(()),
    }
}

/// Pure: where a partition that was never read begins. One that was added since the group began is read from its first
/// record: `start` says where the group begins, and it has begun. Where that is not known, the other partitions have state
/// all the same, so that one without any was most likely added.
pub fn start_of(partition: i32, origin: &Origin, start: Start) -> Start {
    if partition >= origin.partitions { Start::Earliest } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(partitions: i32) -> Origin {
        Origin { group_id: "g".into(), topic: "t".into(), partitions, began_at_ms: 1 }
    }

    #[test]
    fn added_partitions_begin_at_their_first_record_and_the_others_where_the_source_says() {
        for start in [Start::Earliest, Start::Latest] {
            assert_eq!(
                start_of(1, &origin(2), start),
                start,
                "the group began with it, and died before it had committed"
            );
            assert_eq!(start_of(2, &origin(2), start), Start::Earliest);
            assert_eq!(start_of(0, &origin(0), start), Start::Earliest, "the others have state of an earlier version");
        }
    }

    #[test]
    fn what_another_groups_topic_wrote_is_refused_and_what_says_nothing_is_not() {
        assert_eq!(check_origin(None, "g", "t"), Ok(()));
        assert_eq!(check_origin(Some(&origin(2)), "g", "t"), Ok(()));
        for (group, topic) in [("g-t", "t"), ("g", "u")] {
            let error = check_origin(Some(&origin(2)), group, topic).unwrap_err().to_string();
            assert!(error.contains("topic t of group g") && error.contains("kafka.group_id"), "{error}");
        }
    }
}
