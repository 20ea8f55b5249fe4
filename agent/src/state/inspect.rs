//! What one state file holds, counted: for people who look at a stopped agent's directory.

use super::{Store, StoreError};
use crate::aggregate::{EntryKey, Pane};
use std::collections::BTreeMap;
use streamgauge_proto::storage::v1::Checkpoint;

/// One aggregate's part of a state file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AggregateContents {
    pub id: u64,
    /// As its last owner's config called it; empty if the checkpoint does not list it: what is left of it is dropped at
    /// the next start.
    pub name: String,
    /// Entries that are totals: one a key.
    pub keys: u64,
    /// Entries that are panes.
    pub panes: u64,
    /// Of keys and values, without redb's own.
    pub bytes: u64,
}

/// What a state file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// `None` in a file that was never written.
    pub checkpoint: Option<Checkpoint>,
    /// Those that the checkpoint lists, and those that have entries.
    pub aggregates: Vec<AggregateContents>,
}

impl Contents {
    /// Reads all of a file.
    pub fn read(store: &Store) -> Result<Contents, StoreError> {
        let checkpoint = store.checkpoint()?;
        let mut found: BTreeMap<u64, AggregateContents> = BTreeMap::new();
        let listed = checkpoint.iter().filter_map(|c| c.offset_record.as_ref()).flat_map(|record| &record.aggregates);
        for progress in listed {
            let contents = AggregateContents { id: progress.id, name: progress.name.clone(), ..Default::default() };
            found.insert(progress.id, contents);
        }
        store.entries(|key, value| {
            let Some(entry) = EntryKey::decode(key) else { return };
            let contents = found.entry(entry.aggregate.0).or_default();
            contents.id = entry.aggregate.0;
            contents.bytes += (key.len() + value.len()) as u64;
            match entry.pane {
                Pane::TOTAL => contents.keys += 1,
                _ => contents.panes += 1,
            }
        })?;
        let mut aggregates: Vec<_> = found.into_values().collect();
        aggregates.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(Contents { checkpoint, aggregates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{AggregateId, encode_labels};
    use crate::state::Changes;
    use streamgauge_proto::storage::v1::{AggregateProgress, OffsetRecord};

    #[test]
    fn entries_are_counted_by_aggregate_listed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("0.redb"), 1 << 20).unwrap();
        assert_eq!(Contents::read(&store).unwrap(), Contents::default());
        let mut changes = Changes::default();
        for (aggregate, pane, label) in [
            (1, Pane::TOTAL, "a"),
            (1, Pane::TOTAL, "b"),
            (1, Pane { end: 60_000, late: 0 }, "a"),
            (9, Pane::TOTAL, "a"),
        ] {
            let mut key = Vec::new();
            encode_labels([label], &mut key);
            let entry = EntryKey { aggregate: AggregateId(aggregate), pane, key: key.into() };
            changes.insert(entry.encode(), Some(vec![0; 10]));
        }
        let progress = |id, name: &str| AggregateProgress { id, name: name.into(), ..Default::default() };
        let record = OffsetRecord { aggregates: vec![progress(1, "http"), progress(2, "idle")], ..Default::default() };
        let checkpoint = Checkpoint { offset_record: Some(record), ..Default::default() };
        store.write(changes, &checkpoint).unwrap();
        let counted = Contents::read(&store).unwrap().aggregates;
        let counted: Vec<_> = counted.iter().map(|a| (a.id, a.name.as_str(), a.keys, a.panes, a.bytes)).collect();
        // A key: 18 bytes, the kind, and a label with its length.
        assert_eq!(counted, [(9, "", 1, 0, 34), (1, "http", 2, 1, 102), (2, "idle", 0, 0, 0)]);
    }
}
