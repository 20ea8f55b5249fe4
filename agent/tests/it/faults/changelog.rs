//! The changelog read from its beginning, by nothing that the agents read it with: what a restart from nothing would find.
//!
//! Pages tell what is in memory. That two owners wrote to one partition in turn, or that what was committed does not add up
//! to its fingerprint, only whoever begins anew would notice.

use std::collections::BTreeMap;

use prost::Message;
use streamgauge_proto::storage::v1::{AggregateProgress, Cell, OffsetRecord};
use xxhash_rust::xxh3::xxh3_128;

use crate::kafka::{Kafka, Record};

/// The key of offset records.
const OFFSET: &[u8] = b"offset";
/// Aggregate id, pane end with its sign flipped, lateness.
const PREFIX: usize = 8 + 8 + 2;

/// One partition as far as it has been read.
#[derive(Default)]
struct Partition {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Since the last offset record.
    open: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    last: Option<OffsetRecord>,
}

/// Reads all of it; gives what is wrong. Every partition of an input that has records must have some here.
pub fn check(kafka: &Kafka, changelog: &str, partitions: impl IntoIterator<Item = i32>) -> Vec<String> {
    let mut found: BTreeMap<i32, Partition> = BTreeMap::new();
    let mut wrong = Vec::new();
    for Record { partition, offset, key, value, .. } in kafka.read(changelog) {
        let place = format!("{changelog}/{partition} at {offset}");
        let Some(key) = key else { continue };
        let of = found.entry(partition).or_default();
        if key != OFFSET {
            of.open.push((key, value));
        } else if let Some(value) = value {
            let record = OffsetRecord::decode(&*value).expect("an offset record");
            wrong.extend(of.commit(record).map(|wrong| format!("{place}: {wrong}")));
        }
    }
    for partition in partitions {
        match found.get(&partition) {
            Some(of) => wrong.extend(of.adds_up().into_iter().map(|w| format!("{changelog}/{partition}: {w}"))),
            None => wrong.push(format!("{changelog}/{partition} is empty")),
        }
    }
    wrong
}

impl Partition {
    /// Applies a commit. Of the same partition none may lead back.
    fn commit(&mut self, record: OffsetRecord) -> Option<String> {
        for (key, value) in self.open.drain(..) {
            match value {
                Some(value) => drop(self.entries.insert(key, value)),
                None => drop(self.entries.remove(&key)),
            }
        }
        let before = self.last.replace(record);
        let (before, now) = (before.as_ref()?, self.last.as_ref()?);
        let steps_back = now.next_offset < before.next_offset || now.owner_epoch < before.owner_epoch;
        steps_back.then(|| {
            format!(
                "from input offset {} (owner epoch {}) back to {} ({})",
                before.next_offset, before.owner_epoch, now.next_offset, now.owner_epoch
            )
        })
    }

    /// Compares the entries with the last fingerprints.
    fn adds_up(&self) -> Vec<String> {
        let Some(record) = &self.last else { return vec!["no commit is whole".to_owned()] };
        let mut sums: BTreeMap<u64, (u128, u64)> = BTreeMap::new();
        for (key, value) in self.entries.iter().filter(|(key, _)| key.len() >= PREFIX) {
            let id = u64::from_be_bytes(key[..8].try_into().expect("8 bytes"));
            let Some(progress) = record.aggregates.iter().find(|progress| progress.id == id) else { continue };
            if !is_expired(key, value, progress) {
                let whole = [&(key.len() as u64).to_le_bytes(), &key[..], value].concat();
                let (sum, entries) = sums.entry(id).or_default();
                *sum = sum.wrapping_add(xxh3_128(&whole));
                *entries += 1;
            }
        }
        let differing = record.aggregates.iter().filter_map(|progress| {
            let (sum, entries) = sums.get(&progress.id).copied().unwrap_or_default();
            (sum.to_be_bytes()[..] != progress.fingerprint[..] || entries != progress.live_entries).then(|| {
                let (name, expected, at) = (&progress.name, progress.live_entries, record.next_offset);
                format!("{name}: {entries} entries do not add up to the fingerprint of {expected} at input offset {at}")
            })
        });
        differing.collect()
    }
}

fn is_expired(key: &[u8], value: &[u8], progress: &AggregateProgress) -> bool {
    let end = (u64::from_be_bytes(key[8..16].try_into().expect("8 bytes")) ^ (1 << 63)) as i64;
    if end == i64::MAX {
        return Cell::decode(value).expect("a cell").last_seen_ms < progress.keys_expired_before;
    }
    end <= progress.panes_expired_before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(next_offset: i64, owner_epoch: u64, fingerprint: u128, live_entries: u64) -> OffsetRecord {
        let fingerprint = fingerprint.to_be_bytes().to_vec();
        let progress = AggregateProgress { id: 1, fingerprint, live_entries, ..Default::default() };
        OffsetRecord { next_offset, owner_epoch, aggregates: vec![progress], ..Default::default() }
    }

    #[test]
    fn a_step_back_a_forgotten_entry_and_a_wrong_one_are_found() {
        let key = [&1_u64.to_be_bytes()[..], &(1_000_u64 ^ (1 << 63)).to_be_bytes(), &[0, 0], b"k"].concat();
        let value = b"v".to_vec();
        let sum = xxh3_128(&[&(key.len() as u64).to_le_bytes(), &key[..], &value].concat());
        let mut partition = Partition::default();
        partition.open.push((key.clone(), Some(value.clone())));
        assert_eq!(partition.commit(record(10, 1, sum, 1)), None);
        assert_eq!(partition.adds_up(), Vec::<String>::new());
        assert!(partition.commit(record(9, 2, sum, 1)).is_some());
        assert!(partition.commit(record(11, 1, sum, 1)).is_some());
        partition.open.push((key.clone(), Some(b"w".to_vec())));
        assert_eq!(partition.commit(record(12, 2, sum, 1)), None);
        assert_eq!(partition.adds_up().len(), 1);
        partition.open.push((key, None));
        partition.commit(record(13, 2, sum, 1));
        assert_eq!(partition.adds_up().len(), 1);
    }
}
