//! Pure: a state file against its changelog, read whole: whether every cell of the file is what the changelog's records
//! up to the file's checkpoint lead to.
//!
//! Compaction may have taken records that stood before the checkpoint because newer ones of the same key stand after it.
//! Such cells cannot be compared one by one; they are counted, and still vouched for by the checkpoint's fingerprint.

use super::replay::is_dead_bytes;
use crate::aggregate::EntryKey;
use crate::commit::OFFSET_RECORD_KEY;
use crate::config::Guarantee;
use crate::state::{EntryHash, Fingerprint};
use prost::Message;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use streamgauge_proto::storage::v1::{AggregateProgress, Checkpoint, OffsetRecord};

type Entries = FxHashMap<Vec<u8>, Vec<u8>>;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Key and values of a cell; `None`: it is not there.
    Cell { key: Vec<u8>, file: Option<Vec<u8>>, changelog: Option<Vec<u8>> },
    /// The file's entries of an aggregate do not add up to the fingerprint of its own checkpoint.
    Fingerprint { aggregate: String, entries: u64, expected: u64 },
    /// The checkpoint lies beyond what the changelog holds.
    BeyondChangelog { checkpoint: i64, end: i64 },
}

/// What came of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Cells that were compared.
    pub cells: u64,
    /// Cells whose record before the checkpoint has been compacted away for a newer one.
    pub superseded: u64,
    pub differences: Vec<Difference>,
}

/// A verification under way: feed it the changelog from its beginning to its end.
#[derive(Debug)]
pub struct Verification {
    file: Entries,
    record: OffsetRecord,
    /// The first changelog offset that is not in the file.
    cut: i64,
    replayed: Entries,
    later_keys: FxHashSet<Vec<u8>>,
    later_values: FxHashSet<[u8; 16]>,
    last_record: Option<OffsetRecord>,
    next: i64,
}

impl Verification {
    pub fn new(file: Entries, checkpoint: &Checkpoint) -> Verification {
        Verification {
            file,
            record: checkpoint.offset_record.clone().unwrap_or_default(),
            cut: checkpoint.changelog_offset,
            replayed: Entries::default(),
            later_keys: FxHashSet::default(),
            later_values: FxHashSet::default(),
            last_record: None,
            next: 0,
        }
    }

    /// Takes one record of the changelog; `value: None` is a tombstone.
    pub fn apply(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) {
        self.next = offset + 1;
        if key == OFFSET_RECORD_KEY {
            self.last_record = value.and_then(|value| OffsetRecord::decode(value).ok());
        } else if offset >= self.cut {
            self.later_keys.insert(key.to_vec());
            self.later_values.extend(value.map(|value| EntryHash::of(key, value).to_bytes()));
        } else {
            match value {
                Some(value) => drop(self.replayed.insert(key.to_vec(), value.to_vec())),
                None => drop(self.replayed.remove(key)),
            }
        }
    }

    /// Compares; `end` is the changelog's end, markers included. At least once fingerprints are not looked at:
    /// there they may differ.
    pub fn finish(mut self, end: i64, guarantee: Guarantee) -> Verified {
        let mut verified = Verified::default();
        if self.cut > end.max(self.next) {
            verified.differences.push(Difference::BeyondChangelog { checkpoint: self.cut, end });
            return verified;
        }
        if guarantee.is_transactional() {
            verified.differences.extend(self.check_fingerprints());
        }
        let mut replayed = std::mem::take(&mut self.replayed);
        for (key, value) in std::mem::take(&mut self.file) {
            let from_log = replayed.remove(&key);
            if self.is_dropped(&key, &value, &self.record) {
                continue;
            }
            let cell = || Difference::Cell { key: key.clone(), file: Some(value.clone()), changelog: from_log.clone() };
            match &from_log {
                Some(from_log) if *from_log == value => verified.cells += 1,
                _ if self.is_superseded(&key, &value, from_log.is_some()) => verified.superseded += 1,
                _ => verified.differences.push(cell()),
            }
        }
        for (key, value) in replayed {
            if !self.is_dropped(&key, &value, &self.record) && !self.is_gone_later(&key, &value) {
                verified.differences.push(Difference::Cell { key, file: None, changelog: Some(value) });
            }
        }
        verified.differences.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        verified
    }

    /// Whether the file's value may be right though the changelog no longer shows it.
    fn is_superseded(&self, key: &[u8], value: &[u8], in_log: bool) -> bool {
        let later = self.later_keys.contains(key);
        match in_log {
            // The file holds more than its checkpoint's changelog offset says: a commit's offset was not known.
            true => later && self.later_values.contains(&EntryHash::of(key, value).to_bytes()),
            false => later || self.is_gone_later(key, value),
        }
    }

    /// Whether a later commit has dropped it; its tombstone may be compacted away by now.
    fn is_gone_later(&self, key: &[u8], value: &[u8]) -> bool {
        self.last_record.as_ref().is_some_and(|last| self.is_dropped(key, value, last))
    }

    fn is_dropped(&self, key: &[u8], value: &[u8], record: &OffsetRecord) -> bool {
        let Some(entry) = EntryKey::decode(key) else { return true };
        listed(record, &entry).is_none_or(|progress| is_dead_bytes(&entry, value, progress))
    }

    fn check_fingerprints(&self) -> Vec<Difference> {
        let mut sums: BTreeMap<u64, (Fingerprint, u64)> = BTreeMap::new();
        for (key, value) in self.file.iter().filter(|(key, value)| !self.is_dropped(key, value, &self.record)) {
            let Some(entry) = EntryKey::decode(key) else { continue };
            let (sum, entries) = sums.entry(entry.aggregate.0).or_default();
            sum.add(EntryHash::of(key, value));
            *entries += 1;
        }
        let wrong = self.record.aggregates.iter().filter_map(|progress| {
            let (sum, entries) = sums.get(&progress.id).copied().unwrap_or_default();
            (Some(sum) != Fingerprint::from_bytes(&progress.fingerprint)).then(|| Difference::Fingerprint {
                aggregate: progress.name.clone(),
                entries,
                expected: progress.live_entries,
            })
        });
        wrong.collect()
    }
}

fn listed<'a>(record: &'a OffsetRecord, entry: &EntryKey) -> Option<&'a AggregateProgress> {
    record.aggregates.iter().find(|progress| progress.id == entry.aggregate.0)
}

/// What concerns the whole file first, then cells in the order of their keys.
fn sort_key(difference: &Difference) -> (bool, &[u8]) {
    match difference {
        Difference::Cell { key, .. } => (true, key),
        Difference::Fingerprint { .. } | Difference::BeyondChangelog { .. } => (false, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{AggregateId, Pane, encode_labels};

    fn key(label: &str) -> Vec<u8> {
        let mut key = Vec::new();
        encode_labels([label], &mut key);
        EntryKey { aggregate: AggregateId(1), pane: Pane::TOTAL, key: key.into() }.encode()
    }

    fn record(entries: &[(&str, &[u8])]) -> OffsetRecord {
        let mut sum = Fingerprint::default();
        entries.iter().for_each(|(label, value)| sum.add(EntryHash::of(&key(label), value)));
        let progress = AggregateProgress {
            id: 1,
            name: "http".into(),
            panes_expired_before: i64::MIN,
            keys_expired_before: i64::MIN,
            fingerprint: sum.to_bytes().to_vec(),
            live_entries: entries.len() as u64,
            ..Default::default()
        };
        OffsetRecord { aggregates: vec![progress], ..Default::default() }
    }

    /// A file that holds `file` at `cut`, against a changelog of these records; the checkpoint vouches for `vouched`.
    fn verify(
        file: &[(&str, &[u8])],
        vouched: &[(&str, &[u8])],
        cut: i64,
        log: &[(i64, &str, Option<&[u8]>)],
    ) -> Verified {
        let entries = file.iter().map(|(label, value)| (key(label), value.to_vec())).collect();
        let checkpoint =
            Checkpoint { changelog_offset: cut, offset_record: Some(record(vouched)), ..Default::default() };
        let mut verification = Verification::new(entries, &checkpoint);
        for (offset, label, value) in log {
            verification.apply(*offset, &key(label), *value);
        }
        verification.finish(log.last().map_or(0, |(offset, ..)| offset + 1), Guarantee::ExactlyOnce)
    }

    #[test]
    fn a_file_that_is_what_the_changelog_says_agrees() {
        let state: &[(&str, &[u8])] = &[("a", b"2"), ("b", b"1")];
        let log: &[(i64, &str, Option<&[u8]>)] =
            &[(0, "a", Some(b"1")), (1, "b", Some(b"1")), (2, "a", Some(b"2")), (3, "c", Some(b"9")), (4, "c", None)];
        assert_eq!(verify(state, state, 5, log), Verified { cells: 2, ..Verified::default() });
    }

    #[test]
    fn a_changed_a_missing_and_an_invented_cell_are_found() {
        let log: &[(i64, &str, Option<&[u8]>)] = &[(0, "a", Some(b"1")), (1, "b", Some(b"1"))];
        let vouched: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"1")];
        let cell = |label: &str, file: Option<&[u8]>, changelog: Option<&[u8]>| Difference::Cell {
            key: key(label),
            file: file.map(<[u8]>::to_vec),
            changelog: changelog.map(<[u8]>::to_vec),
        };
        let cells =
            |verified: Verified| verified.differences.into_iter().filter(|d| matches!(d, Difference::Cell { .. }));
        let found: Vec<_> = cells(verify(&[("a", b"7"), ("c", b"1")], vouched, 2, log)).collect();
        assert_eq!(
            found,
            [cell("a", Some(b"7"), Some(b"1")), cell("b", None, Some(b"1")), cell("c", Some(b"1"), None)]
        );
        let lie = verify(&[("a", b"7"), ("b", b"1")], vouched, 2, log);
        assert!(
            matches!(&lie.differences[0], Difference::Fingerprint { aggregate, entries: 2, .. } if aggregate == "http")
        );
    }

    #[test]
    fn what_was_compacted_for_a_newer_record_is_no_difference_but_the_fingerprint_still_tells_a_lie() {
        let log: &[(i64, &str, Option<&[u8]>)] = &[(1, "b", Some(b"1")), (7, "a", Some(b"3"))];
        let state: &[(&str, &[u8])] = &[("a", b"2"), ("b", b"1")];
        assert_eq!(verify(state, state, 5, log), Verified { cells: 1, superseded: 1, differences: Vec::new() });
        assert_eq!(verify(&[("a", b"8"), ("b", b"1")], state, 5, log).differences.len(), 1);
    }

    #[test]
    fn a_checkpoint_beyond_the_changelog_is_named() {
        let verified = verify(&[], &[], 9, &[(0, "a", Some(b"1"))]);
        assert_eq!(verified.differences, [Difference::BeyondChangelog { checkpoint: 9, end: 1 }]);
    }
}
