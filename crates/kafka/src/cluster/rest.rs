//! Whether anything is left to read in a partition: offsets alone do not tell, because a transaction's marker has one, too.

use super::super::reader::PartitionReader;
use super::super::{Batch, TopicPartition};
use super::{CallError, ClusterClient};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use streamgauge_runtime::clock::Clock;

const READ: &str = "read the ends of partitions";
const AT_ONCE: usize = 64;
const WAIT: Duration = Duration::from_millis(50);

/// What a partition has from some offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The first committed record is at this offset.
    Record(i64),
    /// None before this offset, which is the log's end, or where a transaction is open.
    NothingBefore(i64),
}

impl ClusterClient {
    /// Reads each partition from its offset on, up to the first committed record. Partitions that have not answered within
    /// `timeout`, or not without an error, are left out.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn rests(
        &self,
        from: &[(TopicPartition, i64)],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Rest>, CallError> {
        let failed =
            |error: KafkaError| CallError::new(READ, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
        let mut found = BTreeMap::new();
        if from.is_empty() {
            return Ok(found);
        }
        let mut reader = PartitionReader::create_peeking(&self.settings).map_err(failed)?;
        reader.assign(from).map_err(failed)?;
        let mut wanted: BTreeSet<TopicPartition> = from.iter().map(|(place, _)| place.clone()).collect();
        let (began, mut batch) = (Clock::System.boot_time(), Batch::default());
        while !wanted.is_empty() && Clock::System.boot_time().since(began) < timeout {
            for record in reader.read_batch(WAIT, AT_ONCE, &mut batch) {
                let place = TopicPartition::new(record.topic(), record.partition());
                let rest = match record.error() {
                    None => Some(Rest::Record(record.offset())),
                    Some(RDKafkaErrorCode::PartitionEOF) => Some(Rest::NothingBefore(record.offset())),
                    Some(_) => None,
                };
                if wanted.remove(&place)
                    && let Some(rest) = rest
                {
                    found.insert(place, rest);
                }
            }
        }
        Ok(found)
    }
}
