//! Reads the newest records of partitions, each up to an end.

use super::cut::{Cut, Found, Stretch, cut};
use super::error::RecentError;
use super::showing::Showing;
use crate::clock::Clock;
use crate::kafka::{Batch, PartitionReader, TopicPartition, why_unread};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const READ_WAIT: Duration = Duration::from_millis(100);
/// All that a page may take.
const LONGEST: Duration = Duration::from_secs(20);
/// Records that are looked at for a page, in all partitions together.
const RECORDS: usize = 10_000;
/// Even of very many partitions.
const FEWEST_OF_A_PARTITION: usize = 20;
const BATCH: usize = 1_000;

/// Where these partitions end now.
///
/// # Errors
/// If Kafka does not answer.
pub fn ends_of(
    reader: &mut PartitionReader,
    places: &[TopicPartition],
) -> Result<Vec<(TopicPartition, i64)>, RecentError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let ends = reader.ends(places, CALL_TIMEOUT).map_err(|error| kafka(reader, &error, places))?;
    Ok(places.iter().map(|place| (place.clone(), ends.get(place).copied().unwrap_or(0))).collect())
}

/// The newest events before these ends, of at most `most` records.
///
/// # Errors
/// If Kafka does not answer.
pub fn newest(
    reader: &mut PartitionReader,
    clock: &Clock,
    showing: &mut Showing,
    ends: Vec<(TopicPartition, i64)>,
    most: usize,
) -> Result<Cut, RecentError> {
    let mut stretches = stretches(reader, ends, most)?;
    let index: HashMap<_, _> = stretches.iter().enumerate().map(|(at, s)| (s.place.clone(), at)).collect();
    let mut open: Vec<bool> = stretches.iter().map(|stretch| stretch.start < stretch.end).collect();
    let from: Vec<_> = stretches.iter().filter(|s| s.start < s.end).map(|s| (s.place.clone(), s.start)).collect();
    if !from.is_empty() {
        reader.assign(&from).map_err(|error| kafka(reader, &error, &[]))?;
    }
    let (began, mut batch) = (clock.boot_time(), Batch::default());
    while open.contains(&true) {
        if clock.boot_time().since(began) > LONGEST {
            let said = reader.last_error().map_or_else(|| "no answer in time".to_owned(), |said| said.to_string());
            return Err(RecentError::Kafka(said));
        }
        for record in reader.read_batch(READ_WAIT, BATCH, &mut batch) {
            let place = TopicPartition { topic: record.topic().into(), partition: record.partition() };
            match record.error() {
                None => {}
                // What is left before the end are markers and records that were never committed.
                Some(RDKafkaErrorCode::PartitionEOF) => {
                    if let Some(&at) = index.get(&place) {
                        open[at] = false;
                    }
                    continue;
                }
                Some(code) if passes(code) => continue,
                Some(code) => return Err(unread(code, record.topic())),
            }
            let Some(&at) = index.get(&place) else { continue };
            let stretch = &mut stretches[at];
            if record.offset() < stretch.end {
                let written_at = record.timestamp().unwrap_or(0);
                stretch.oldest = Some(stretch.oldest.map_or(written_at, |oldest| oldest.min(written_at)));
                let mut events = Vec::new();
                showing.record(&record, |event| events.push(event));
                if !events.is_empty() {
                    stretch.found.push_back(Found { offset: record.offset(), written_at, events });
                }
                if stretch.found.len() > most {
                    stretch.found.pop_front();
                    stretch.has_dropped = true;
                }
            }
            if record.offset() + 1 >= stretch.end {
                open[at] = false;
            }
        }
    }
    Ok(cut(stretches, most))
}

/// How far back each partition is read.
fn stretches(
    reader: &PartitionReader,
    ends: Vec<(TopicPartition, i64)>,
    most: usize,
) -> Result<Vec<Stretch>, RecentError> {
    let places: Vec<_> = ends.iter().map(|(place, _)| place.clone()).collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let firsts = reader.beginnings(&places, CALL_TIMEOUT).map_err(|error| kafka(reader, &error, &places))?;
    // Every second offset may be the mark at a transaction's end.
    let whole = most.saturating_mul(2) + 10;
    let share = (RECORDS / places.len()).max(FEWEST_OF_A_PARTITION).max(whole.min(RECORDS));
    let back = i64::try_from(share).unwrap_or(i64::MAX);
    let stretch = |(place, end): (TopicPartition, i64)| {
        let first = firsts.get(&place).copied().unwrap_or(0).min(end);
        let start = end.saturating_sub(back).max(first);
        Stretch { place, first, start, end, found: VecDeque::new(), has_dropped: false, oldest: None }
    };
    Ok(ends.into_iter().map(stretch).collect())
}

/// It is over by itself, or the client tries again.
pub fn passes(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::PartitionEOF || crate::kafka::is_passing(&KafkaError::MessageConsumption(code))
}

/// Why a call for these places failed; rights are given by topic, and the first stands for them.
pub fn kafka(reader: &PartitionReader, error: &KafkaError, places: &[TopicPartition]) -> RecentError {
    RecentError::Kafka(reader.why(error, places.first().map_or("", |place| &place.topic)))
}

/// Why a partition of `topic` gives no records.
pub fn unread(code: RDKafkaErrorCode, topic: &str) -> RecentError {
    RecentError::Kafka(why_unread(&KafkaError::MessageConsumption(code), topic))
}
