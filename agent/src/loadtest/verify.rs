//! Reading back what a test wrote: every record between the ends before and after it.

use super::ledger::{Ledger, Verification};
use super::payload::Payloads;
use crate::clock::Clock;
use crate::kafka::{Isolation, PartitionReader, Reading, Settings, TopicPartition, is_passing, why_unread};
use rdkafka::error::KafkaError;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(100);
/// Without a record for this long the read fails.
const PATIENCE: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the partitions ended before the test.
pub struct Before {
    partitions: Vec<TopicPartition>,
    ends: HashMap<TopicPartition, i64>,
}

impl Before {
    pub fn look(settings: &Settings, partitions: Vec<TopicPartition>) -> Result<Before, String> {
        let reader = reader(settings)?;
        let before = Before { partitions, ends: HashMap::new() };
        let ends = reader.ends(&before.partitions, TIMEOUT).map_err(|error| said(&reader, &before.why(&error)))?;
        Ok(Before { ends, ..before })
    }

    /// Reads from there to the present ends, and compares with what was acknowledged.
    pub fn verify(
        self,
        settings: &Settings,
        id: &str,
        mut ledger: Ledger,
        clock: &Clock,
        stop: &AtomicU8,
    ) -> Result<Verification, String> {
        let mut reader = reader(settings)?;
        let ends = reader.ends(&self.partitions, TIMEOUT).map_err(|error| said(&reader, &self.why(&error)))?;
        let mut open: HashMap<i32, i64> = HashMap::new();
        let mut from = Vec::new();
        for partition in &self.partitions {
            let (begin, end) = (self.ends.get(partition).copied(), ends.get(partition).copied());
            if let (Some(begin), Some(end)) = (begin, end)
                && end > begin
            {
                open.insert(partition.partition, end);
                from.push((partition.clone(), begin));
            }
        }
        reader.assign(&from).map_err(|error| error.to_string())?;
        let mut last = clock.boot_time();
        while !open.is_empty() {
            if stop.load(Ordering::Relaxed) > 1 {
                return Err("the verification was cancelled".into());
            }
            match reader.read(WAIT) {
                Reading::Record(record) => {
                    last = clock.boot_time();
                    let (partition, next) = (record.partition(), record.offset() + 1);
                    if let Some(number) = record.payload().and_then(|event| Payloads::number_of(id, event)) {
                        ledger.found(partition, number);
                    }
                    if open.get(&partition).is_some_and(|end| next >= *end) {
                        open.remove(&partition);
                    }
                }
                // The last offsets may be those of a transaction's marker.
                Reading::End { partition } => drop(open.remove(&partition.partition)),
                Reading::Error(error) if !is_passing(&error) => return Err(said(&reader, &self.why(&error))),
                Reading::Error(_) | Reading::Nothing => {}
            }
            if clock.boot_time().since(last) > PATIENCE {
                return Err(said(&reader, &format!("no record came for {} s", PATIENCE.as_secs())));
            }
        }
        Ok(ledger.verification())
    }
}

impl Before {
    fn why(&self, error: &KafkaError) -> String {
        why_unread(error, self.partitions.first().map_or("", |place| &place.topic))
    }
}

fn reader(settings: &Settings) -> Result<PartitionReader, String> {
    PartitionReader::create(settings, Isolation::ReadUncommitted).map_err(|error| error.to_string())
}

fn said(reader: &PartitionReader, error: &str) -> String {
    match reader.last_error() {
        Some(last) => format!("cannot read the topic back: {error} ({last})"),
        None => format!("cannot read the topic back: {error}"),
    }
}
