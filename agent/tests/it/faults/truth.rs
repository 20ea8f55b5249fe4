//! The judge of a fault run: what every cell should hold by the topic itself, and how the agents' answers differ.
//!
//! A cell holds the count of its events, the sum of their numbers and the sum of hashes of their numbers, in each total
//! of each partition and in each window. One lost and another doubled leaves the count as it was; the sums tell.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use super::stream::hash;
use crate::kafka::Kafka;

/// Milliseconds. The config of a stage has the same.
pub const SIZES: [(i64, i64); 2] = [(5_000, 5_000), (30_000, 5_000)];
pub const GRACE: i64 = 2_000;

const TIMEOUT: Duration = Duration::from_secs(120);

/// What is summed of a cell's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub events: u64,
    pub seqs: u64,
    pub hashes: u64,
}

impl Cell {
    pub fn add(&mut self, other: Cell) {
        self.events += other.events;
        self.seqs += other.seqs;
        self.hashes += other.hashes;
    }
}

/// Which cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// A partition's total of a key.
    Total { partition: i32, key: String },
    /// A key in a window, all partitions together: its size and start, in milliseconds.
    Window { size: i64, start: i64, key: String },
}

pub type Cells = BTreeMap<Id, Cell>;

/// What every cell should hold.
#[derive(Debug, Default)]
pub struct Truth {
    pub cells: Cells,
    /// One past the last record that counts, by partition.
    pub ends: BTreeMap<i32, i64>,
    /// Offsets that Kafka will have lost before an agent can read them.
    pub lost: BTreeMap<i32, Range<i64>>,
    stream_times: BTreeMap<i32, i64>,
    /// Numbers of the events, in no order.
    seen: Vec<u64>,
    /// Numbers of the events whose time the config could not read when they came: they count when they come again.
    pub letters: BTreeSet<u64>,
}

impl Truth {
    /// Reads the topic's committed records to its end as of now, from where it was read to before.
    pub fn read_on(&mut self, kafka: &Kafka, topic: &str) {
        let mut config = kafka.client();
        config.set("group.id", "truth").set("enable.partition.eof", "true").set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("auto.offset.reset", "error");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("metadata");
        let mut open: Vec<i32> = metadata.topics()[0].partitions().iter().map(|p| p.id()).collect();
        let mut list = TopicPartitionList::new();
        for &partition in &open {
            let from = self.ends.get(&partition).map_or(Offset::Beginning, |&next| Offset::Offset(next));
            list.add_partition_offset(topic, partition, from).expect("an offset");
        }
        consumer.assign(&list).expect("assigned");
        let until = Instant::now() + TIMEOUT;
        while !open.is_empty() {
            assert!(Instant::now() < until, "{topic}: partitions {open:?} did not end within {TIMEOUT:?}");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => {
                    self.fold(record.partition(), record.offset(), record.payload().expect("no tombstones"));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|&p| p != partition),
                Some(Err(error)) => println!("reading {topic}: {error}"),
                None => {}
            }
        }
    }

    /// Counts the events of a record. Those of a partition must come in their order.
    pub fn fold(&mut self, partition: i32, offset: i64, payload: &[u8]) {
        self.ends.insert(partition, offset + 1);
        if self.lost.get(&partition).is_some_and(|lost| lost.contains(&offset)) {
            return;
        }
        let record: Value = serde_json::from_slice(payload).expect("the stream is sound JSON");
        match record["batch"].as_array() {
            None => self.count(partition, &record),
            Some(batch) => {
                let lines = batch.iter().map(|item| item["line"].as_str().expect("a line"));
                lines.for_each(|line| self.count(partition, &serde_json::from_str(line).expect("sound JSON")));
            }
        }
    }

    fn count(&mut self, partition: i32, event: &Value) {
        let number = |field: &str| event[field].as_i64().unwrap_or_else(|| panic!("no {field} in {event}"));
        let seq = number("seq") as u64;
        assert_eq!(number("hash") as u64, hash(seq), "{event}");
        let time = match event["timestamp"].as_str() {
            None => number("timestamp"),
            // The first time it is a dead letter.
            Some(_) if self.letters.insert(seq) => return,
            Some(text) => text.parse::<jiff::Timestamp>().expect("a time").as_millisecond(),
        };
        let key = event["key"].as_str().expect("a key").to_owned();
        self.seen.push(seq);
        let stream_time = self.stream_times.entry(partition).or_insert(time);
        *stream_time = time.max(*stream_time);
        let closed = *stream_time - GRACE;
        let one = Cell { events: 1, seqs: seq, hashes: hash(seq) };
        self.cells.entry(Id::Total { partition, key: key.clone() }).or_default().add(one);
        for (size, hop) in SIZES {
            let mut start = time.div_euclid(hop) * hop;
            while start + size > time {
                if start + size > closed {
                    self.cells.entry(Id::Window { size, start, key: key.clone() }).or_default().add(one);
                }
                start -= hop;
            }
        }
    }

    /// Forgets what has been counted: another definition of the aggregate begins with nothing.
    pub fn count_anew(&mut self) {
        self.cells.clear();
    }

    /// How many letters have not come again.
    pub fn still_letters(&self) -> usize {
        let seen: BTreeSet<u64> = self.seen.iter().copied().collect();
        self.letters.difference(&seen).count()
    }

    /// Events that count.
    pub fn events(&self) -> u64 {
        self.seen.len() as u64
    }

    /// The lowest stream time of any partition, Unix milliseconds.
    pub fn stream_time(&self) -> i64 {
        self.stream_times.values().copied().min().unwrap_or_default()
    }

    /// Leaves out what belongs to windows that begin before `from`.
    pub fn without_windows_before(&mut self, from: i64) {
        self.cells.retain(|id, _| !matches!(id, Id::Window { start, .. } if *start < from));
    }

    /// How many numbers of the ledger are not in the topic, and how many records are there once too often: what Kafka
    /// itself lost or doubled.
    pub fn against_ledger(&self, counted: &[Range<u64>]) -> (u64, u64) {
        let mut seen = self.seen.clone();
        seen.sort_unstable();
        let all = seen.len();
        seen.dedup();
        let is_there = |seq: &u64| seen.binary_search(seq).is_ok() || self.letters.contains(seq);
        let missing = counted.iter().flat_map(Clone::clone).filter(|seq| !is_there(seq)).count();
        let foreign = seen.iter().filter(|seq| !counted.iter().any(|range| range.contains(seq))).count();
        (missing as u64, (all - seen.len() + foreign) as u64)
    }
}

/// How the agents' cells differ from the truth.
#[derive(Debug, Default)]
pub struct Verdict {
    pub lost: u64,
    pub duplicated: u64,
    /// The differing cells, in words.
    pub wrong: Vec<String>,
}

/// Compares every cell. A cell whose count is right and whose sums are not has lost one and doubled another, at least.
pub fn judge(truth: &Cells, answered: &Cells) -> Verdict {
    let mut verdict = Verdict::default();
    // By window size, 0 for totals: each shows the same events, so the worst of them is what happened.
    let mut tallies: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    let nothing = Cell::default();
    let more = answered.keys().filter(|id| !truth.contains_key(id));
    for id in truth.keys().chain(more) {
        let (wanted, found) = (truth.get(id).unwrap_or(&nothing), answered.get(id).unwrap_or(&nothing));
        if wanted == found {
            continue;
        }
        let kind = if let Id::Window { size, .. } = id { *size } else { 0 };
        let (lost, doubled) = tallies.entry(kind).or_default();
        let mixed = u64::from(wanted.events == found.events);
        *lost += wanted.events.saturating_sub(found.events) + mixed;
        *doubled += found.events.saturating_sub(wanted.events) + mixed;
        verdict.wrong.push(format!("{id:?} is {found:?}, should be {wanted:?}"));
    }
    // An event is in as many windows as hops fit into the size.
    let cells = |size| SIZES.iter().find(|(s, _)| *s == size).map_or(1, |(size, hop)| (size / hop) as u64);
    verdict.lost = tallies.iter().map(|(&size, (lost, _))| lost.div_ceil(cells(size))).max().unwrap_or(0);
    verdict.duplicated = tallies.iter().map(|(&size, (_, more))| more.div_ceil(cells(size))).max().unwrap_or(0);
    verdict
}

/// Takes cells that hold no less than they should for right: where events may count twice, only a loss is wrong.
pub fn forgive_more(truth: &Cells, answered: &mut Cells) {
    for (id, found) in answered.iter_mut() {
        let Some(wanted) = truth.get(id) else { continue };
        if found.events >= wanted.events && found.seqs >= wanted.seqs && found.hashes >= wanted.hashes {
            *found = *wanted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, time: i64, key: &str) -> Vec<u8> {
        format!(r#"{{"timestamp": {time}, "key": "{key}", "seq": {seq}, "hash": {}}}"#, hash(seq)).into_bytes()
    }

    fn truth(numbers: impl IntoIterator<Item = u64>) -> Truth {
        let mut truth = Truth::default();
        for (offset, seq) in numbers.into_iter().enumerate() {
            truth.fold(0, offset as i64, &event(seq, 1_000_000, "a"));
        }
        truth
    }

    #[test]
    fn one_event_lost_or_doubled_in_any_cell_is_found_and_counted() {
        let right = truth(1..=10);
        assert!(judge(&right.cells, &right.cells).wrong.is_empty());
        let lost = judge(&right.cells, &truth(1..10).cells);
        assert_eq!((lost.lost, lost.duplicated), (1, 0), "{:?}", lost.wrong);
        let doubled = judge(&right.cells, &truth((1..=10).chain([4])).cells);
        assert_eq!((doubled.lost, doubled.duplicated), (0, 1), "{:?}", doubled.wrong);
        for id in right.cells.keys() {
            let mut cells = right.cells.clone();
            cells.remove(id);
            assert!(judge(&right.cells, &cells).lost > 0, "without {id:?}");
            assert!(judge(&cells, &right.cells).duplicated > 0, "with {id:?} too many");
        }
    }

    #[test]
    fn one_lost_and_one_doubled_do_not_cancel() {
        let right = truth(1..=10);
        // 3 in place of 7; and 3, 8 in place of 4, 7, which leaves count and sum of numbers as they were.
        for wrong in [vec![1, 2, 3, 3, 4, 5, 6, 8, 9, 10], vec![1, 2, 3, 3, 5, 6, 8, 8, 9, 10]] {
            let verdict = judge(&right.cells, &truth(wrong).cells);
            assert!(verdict.lost > 0 && verdict.duplicated > 0, "{verdict:?}");
        }
    }

    #[test]
    fn where_events_may_count_twice_a_lost_one_is_still_found() {
        let right = truth(1..=10);
        let judged = |mut cells: Cells| {
            forgive_more(&right.cells, &mut cells);
            judge(&right.cells, &cells)
        };
        assert!(judged(truth((1..=10).chain([4, 7])).cells).wrong.is_empty());
        assert!(judged(truth(1..10).cells).lost > 0);
        assert!(judged(truth((1..10).chain([1])).cells).lost > 0, "as many, and not the same");
    }

    #[test]
    fn an_event_in_another_key_or_partition_is_both_lost_and_doubled() {
        let right = truth(1..=3);
        let mut moved = truth(1..=2);
        moved.fold(0, 2, &event(3, 1_000_000, "b"));
        let verdict = judge(&right.cells, &moved.cells);
        assert_eq!((verdict.lost, verdict.duplicated), (1, 1));
    }

    #[test]
    fn what_kafka_lost_or_doubled_shows_against_the_ledger() {
        assert_eq!(truth(0..5).against_ledger(std::slice::from_ref(&(0..5))), (0, 0));
        assert_eq!(truth([0, 1, 1, 4, 7]).against_ledger(&[0..2, 4..6]), (1, 2));
    }

    #[test]
    fn an_event_is_missing_from_windows_that_had_closed_only() {
        let mut late = Truth::default();
        late.fold(0, 0, &event(1, 1_007_000, "a"));
        late.fold(0, 1, &event(2, 1_004_999, "a"));
        let window = |size, start| late.cells.get(&Id::Window { size, start, key: "a".into() }).map(|c| c.events);
        assert_eq!(window(5_000, 1_000_000), None, "[1000 s, 1005 s) closed at 1007 s");
        assert_eq!(window(30_000, 980_000), Some(2));
        assert_eq!(late.cells[&Id::Total { partition: 0, key: "a".into() }].events, 2);
    }
}
