//! Pure: a changelog's records, applied commit by commit, become a state that vouches for itself.

use crate::aggregate::{AggregateId, Cell, EntryKey, Expiry, Pane, Plan, is_expired};
use crate::commit::{CHANGELOG_FORMAT_VERSION, OFFSET_RECORD_KEY};
use crate::state::{Changes, EntryHash, Fingerprint};
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use streamgauge_proto::storage::v1::{self as pb, AggregateProgress, OffsetRecord};

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ReplayError {
    #[error(
        "its changelog has format {found}, newer than this version's {CHANGELOG_FORMAT_VERSION}; run the newer version"
    )]
    Newer { found: u32 },
    #[error("its changelog has an offset record that cannot be read: {0}")]
    OffsetRecord(String),
    #[error(
        "aggregate {aggregate}: the entries do not add up to the fingerprint of their offset record ({entries} entries, {expected} expected)"
    )]
    Fingerprint { aggregate: String, entries: u64, expected: u64 },
    #[error("an entry of aggregate {aggregate} cannot be read: {error}")]
    Entry { aggregate: String, error: String },
}

/// A complete state, checked against its fingerprints.
#[derive(Debug)]
pub struct Promoted {
    pub entries: Vec<(EntryKey, Arc<Cell>, EntryHash)>,
    /// Entries of aggregates that the plan does not know: carried unread, until they are forgotten.
    pub foreign: Vec<EntryKey>,
    pub record: OffsetRecord,
    /// What the redb file does not hold yet.
    pub changes: Changes,
    /// Next changelog offset to read.
    pub changelog_next: i64,
}

/// A changelog partition as far as it has been read.
#[derive(Debug, Default)]
pub struct Replay {
    entries: HashMap<Vec<u8>, Vec<u8>, rustc_hash::FxBuildHasher>,
    record: Option<OffsetRecord>,
    changelog_next: i64,
    /// Records since the last offset record: a commit that is not whole yet.
    open: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    changes: Changes,
    /// At-least-once: commits are not atomic, so what follows the last offset record counts, and fingerprints may differ.
    lenient: bool,
}

impl Replay {
    /// Begins with the contents of a redb file (or with nothing), to be continued at `changelog_next`.
    pub fn new(
        entries: HashMap<Vec<u8>, Vec<u8>, rustc_hash::FxBuildHasher>,
        record: Option<OffsetRecord>,
        changelog_next: i64,
        lenient: bool,
    ) -> Self {
        Replay { entries, record, changelog_next, lenient, ..Replay::default() }
    }

    /// Applies one record; `value: None` is a tombstone.
    pub fn apply(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<(), ReplayError> {
        if key != OFFSET_RECORD_KEY {
            self.open.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            return Ok(());
        }
        let Some(value) = value else { return Ok(()) };
        let record = OffsetRecord::decode(value).map_err(|e| ReplayError::OffsetRecord(e.to_string()))?;
        if record.format_version > CHANGELOG_FORMAT_VERSION {
            return Err(ReplayError::Newer { found: record.format_version });
        }
        self.close_commit();
        self.record = Some(record);
        self.changelog_next = offset + 1;
        Ok(())
    }

    fn close_commit(&mut self) {
        for (key, value) in self.open.drain(..) {
            match &value {
                Some(value) => drop(self.entries.insert(key.clone(), value.clone())),
                None => drop(self.entries.remove(&key)),
            }
            self.changes.insert(key, value);
        }
    }

    /// The last whole commit's offset record.
    pub fn record(&self) -> Option<&OffsetRecord> {
        self.record.as_ref()
    }

    /// Bytes of entries held.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// The state as of the last offset record; `None` if there was none. A commit that is not whole is left out.
    ///
    /// # Errors
    /// A state that does not match its fingerprints must not be used.
    pub fn promote(mut self, plan: &Plan) -> Result<Option<Promoted>, ReplayError> {
        let Some(record) = self.record.take() else { return Ok(None) };
        if self.lenient {
            self.close_commit();
        }
        let mut sums: HashMap<u64, (Fingerprint, u64)> = HashMap::new();
        let (mut entries, mut foreign) = (Vec::with_capacity(self.entries.len()), Vec::new());
        for (key, value) in self.entries {
            let listed = EntryKey::decode(&key)
                .and_then(|entry| record.aggregates.iter().find(|p| p.id == entry.aggregate.0).map(|p| (entry, p)));
            let Some((entry, progress)) = listed else {
                self.changes.insert(key, None);
                continue;
            };
            let cell = decode_cell(plan, &entry, progress, &value)?;
            if is_dead(&entry, cell.as_ref(), progress) {
                self.changes.insert(key, None);
                continue;
            }
            let hash = EntryHash::of(&key, &value);
            let (sum, count) = sums.entry(progress.id).or_default();
            sum.add(hash);
            *count += 1;
            match cell {
                Some(cell) => entries.push((entry, Arc::new(cell), hash)),
                None => foreign.push(entry),
            }
        }
        match check(&record, &sums) {
            Err(error) if self.lenient => tracing::warn!("at-least-once: {error}"),
            result => result?,
        }
        Ok(Some(Promoted { entries, foreign, record, changes: self.changes, changelog_next: self.changelog_next }))
    }
}

/// The cell of an aggregate that the plan knows; others are carried unread.
fn decode_cell(
    plan: &Plan,
    entry: &EntryKey,
    progress: &AggregateProgress,
    value: &[u8],
) -> Result<Option<Cell>, ReplayError> {
    let Some(aggregate) = plan.aggregate(entry.aggregate) else { return Ok(None) };
    let cell = Cell::decode(aggregate, value)
        .map_err(|error| ReplayError::Entry { aggregate: progress.name.clone(), error: error.to_string() })?;
    Ok(Some(cell))
}

/// Deletion is a function of state: a tombstone can be compacted away while an older file still holds the key.
fn is_dead(entry: &EntryKey, cell: Option<&Cell>, progress: &AggregateProgress) -> bool {
    let expiry = expiry(progress);
    match cell {
        Some(cell) => is_expired(entry, cell.last_seen, &expiry),
        None => entry.pane != Pane::TOTAL && entry.pane.end <= expiry.panes_before,
    }
}

/// The same for an entry of which only the stored bytes are known.
pub(super) fn is_dead_bytes(entry: &EntryKey, value: &[u8], progress: &AggregateProgress) -> bool {
    let last_seen = pb::Cell::decode(value).map_or(i64::MAX, |cell| cell.last_seen_ms);
    is_expired(entry, last_seen, &expiry(progress))
}

/// What a committed state had dropped, by aggregate.
pub fn expiry_of(record: &OffsetRecord) -> Vec<Expiry> {
    record.aggregates.iter().map(expiry).collect()
}

fn expiry(progress: &AggregateProgress) -> Expiry {
    Expiry {
        aggregate: AggregateId(progress.id),
        panes_before: progress.panes_expired_before,
        keys_before: progress.keys_expired_before,
    }
}

fn check(record: &OffsetRecord, sums: &HashMap<u64, (Fingerprint, u64)>) -> Result<(), ReplayError> {
    for progress in &record.aggregates {
        let (sum, entries) = sums.get(&progress.id).copied().unwrap_or_default();
        if Some(sum) != Fingerprint::from_bytes(&progress.fingerprint) {
            return Err(ReplayError::Fingerprint {
                aggregate: progress.name.clone(),
                entries,
                expected: progress.live_entries,
            });
        }
    }
    Ok(())
}
