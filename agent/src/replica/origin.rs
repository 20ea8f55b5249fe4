//! What a changelog is of, and how the group began with its topic. Every offset record says it, so that it outlives any
//! process: partitions that were added since are read from their first record, whatever the source's `start` says, and
//! nobody goes on with the state of another group's topic whose changelog has the same name.

use super::last_record::last_record;
use super::replay::ReplayError;
use crate::config::Start;
use crate::kafka::{Isolation, PartitionReader, Settings, TopicPartition};
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
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

    /// Where a partition without state begins under `start: latest`, if the group has begun with others already: at what
    /// came since then. Whoever was given it first may have lost it before its first commit, and looked ready. `None`: the
    /// group begins now, or nothing came.
    ///
    /// # Errors
    /// If the brokers do not tell.
    pub fn offset_since(
        &self,
        reader: &PartitionReader,
        input: &TopicPartition,
        origin: &Origin,
    ) -> KafkaResult<Option<i64>> {
        if *origin == self.now || origin.began_at_ms <= 0 {
            return Ok(None);
        }
        let found = reader.first_since(std::slice::from_ref(input), origin.began_at_ms, CALL_TIMEOUT)?;
        Ok(found.get(input).copied().flatten())
    }

    /// The last record of the first partition that has one: all say the same. That there is none is certain only where
    /// nothing is undecided: the marker of the first commit of all may be late.
    fn look(&self) -> KafkaResult<Option<OffsetRecord>> {
        let all = PartitionReader::create(&self.settings, Isolation::ReadUncommitted)?;
        let mut stable = PartitionReader::create(&self.settings, Isolation::ReadCommitted)?;
        let count = stable.partition_count(&self.changelog, CALL_TIMEOUT)?.unwrap_or(0);
        let partitions: Vec<TopicPartition> = TopicPartition::all_of(&self.changelog, count).collect();
        // In this order: what was written before the first question is decided by the second one, or not.
        let marks = all.ends_each(&partitions, CALL_TIMEOUT);
        let ends = stable.ends_each(&partitions, CALL_TIMEOUT);
        // One that cannot be read now tells nothing; another may tell it.
        let mut unknown = None;
        for partition in &partitions {
            let end = match settled(marks.get(partition), ends.get(partition)) {
                Ok(end) => end,
                Err(error) => {
                    unknown = Some(error);
                    // What is committed may be read all the same.
                    match ends.get(partition) {
                        Some(Ok(end)) => *end,
                        _ => continue,
                    }
                }
            };
            if let Some(record) = last_record(&mut stable, partition, end)? {
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

/// Pure: where a partition ends, if nothing on it is undecided, by its high watermark and then its last stable offset.
/// Otherwise an error that passes.
fn settled(mark: Option<&KafkaResult<i64>>, end: Option<&KafkaResult<i64>>) -> KafkaResult<i64> {
    let known = |answer: Option<&KafkaResult<i64>>| {
        answer.cloned().unwrap_or(Err(KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable)))
    };
    let (mark, end) = (known(mark)?, known(end)?);
    if end < mark { Err(KafkaError::OffsetFetch(RDKafkaErrorCode::OffsetNotAvailable)) } else { Ok(end) }
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
    use crate::kafka::is_passing;

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
    fn a_partition_on_which_something_is_undecided_does_not_tell_that_the_group_has_not_begun() {
        assert_eq!(settled(Some(&Ok(7)), Some(&Ok(7))), Ok(7));
        assert_eq!(settled(Some(&Ok(7)), Some(&Ok(9))), Ok(9), "the second question was asked later");
        let down = || Err(KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable));
        for (mark, end) in [(Ok(7), Ok(5)), (down(), Ok(5)), (Ok(5), down())] {
            let error = settled(Some(&mark), Some(&end)).unwrap_err();
            assert!(is_passing(&error), "it is asked again: {error}");
        }
        assert!(settled(None, None).is_err_and(|error| is_passing(&error)));
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
