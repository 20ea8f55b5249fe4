//! Pure: a changelog's records, applied commit by commit, become a state that vouches for itself.

use crate::aggregate::{AggregateId, Cell, EntryKey, Expiry, Pane, Plan, is_expired};
use crate::commit::{CHANGELOG_FORMAT_VERSION, OFFSET_RECORD_KEY};
use crate::state::{Changes, EntryHash, Fingerprint, View};
use prost::Message;
use std::collections::{HashMap, HashSet};
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
    /// Entries of aggregates that this config does not know.
    pub foreign: Foreign,
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
    /// What a replica had read and decoded before: everything else here came after it.
    base: Option<Base>,
}

/// What goes with the view that a replay continues.
#[derive(Debug, Default)]
struct Base {
    /// Entries of aggregates that this config does not know, carried unread.
    foreign: Foreign,
    /// Keys removed since.
    removed: HashSet<Vec<u8>>,
}

/// Hashes of entries that are carried unread, by their key's bytes.
pub type Foreign = HashMap<Vec<u8>, EntryHash, rustc_hash::FxBuildHasher>;

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

    /// Continues a view, which is to be given to [`Replay::promote`]; `changes`: what of it the redb file does not hold.
    pub fn onto(record: OffsetRecord, changelog_next: i64, foreign: Foreign, changes: Changes, lenient: bool) -> Self {
        let base = Some(Base { foreign, ..Base::default() });
        Replay { record: Some(record), changelog_next, changes, lenient, base, ..Replay::default() }
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
            if let Some(base) = &mut self.base {
                match &value {
                    Some(_) => drop(base.removed.remove(&key)),
                    None => drop(base.removed.insert(key.clone())),
                }
            }
            match &value {
                Some(value) => drop(self.entries.insert(key.clone(), value.clone())),
                None => drop(self.entries.remove(&key)),
            }
            self.changes.insert(key, value);
        }
    }

    /// Forgets what came after the last whole commit; returns the changelog offset to go on from.
    pub fn rewind(&mut self) -> i64 {
        self.open.clear();
        self.changelog_next
    }

    /// The last whole commit's offset record.
    pub fn record(&self) -> Option<&OffsetRecord> {
        self.record.as_ref()
    }

    /// Bytes of entries held.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// The state as of the last offset record; `None` if there was none. A commit that is not whole is left out. `view`:
    /// what this replay continues, if it does.
    ///
    /// # Errors
    /// A state that does not match its fingerprints must not be used.
    pub fn promote(mut self, plan: &Plan, view: Option<&View>) -> Result<Option<Promoted>, ReplayError> {
        let Some(record) = self.record.take() else { return Ok(None) };
        if self.lenient {
            self.close_commit();
        }
        let mut sums = Sums::new();
        let mut entries = Vec::with_capacity(self.entries.len());
        let mut foreign = Foreign::default();
        if let (Some(base), Some(view)) = (self.base.take(), view) {
            let overlaid = |key: &[u8]| self.entries.contains_key(key) || base.removed.contains(key);
            carry_view(view, &record, &overlaid, &mut entries, &mut sums, &mut self.changes);
            foreign = carry_foreign(base.foreign, &record, &overlaid, &mut sums, &mut self.changes);
        }
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
            count(&mut sums, progress.id, hash);
            match cell {
                Some(cell) => entries.push((entry, Arc::new(cell), hash)),
                None => drop(foreign.insert(key, hash)),
            }
        }
        match check(&record, &sums) {
            Err(error) if self.lenient => tracing::warn!("at-least-once: {error}"),
            result => result?,
        }
        Ok(Some(Promoted { entries, foreign, record, changes: self.changes, changelog_next: self.changelog_next }))
    }
}

/// Fingerprint and number of the live entries, by aggregate.
type Sums = HashMap<u64, (Fingerprint, u64)>;

fn count(sums: &mut Sums, aggregate: u64, hash: EntryHash) {
    let (sum, count) = sums.entry(aggregate).or_default();
    sum.add(hash);
    *count += 1;
}

/// Takes over what a view holds, but for what came again or has expired since.
fn carry_view(
    view: &View,
    record: &OffsetRecord,
    overlaid: &dyn Fn(&[u8]) -> bool,
    entries: &mut Vec<(EntryKey, Arc<Cell>, EntryHash)>,
    sums: &mut Sums,
    changes: &mut Changes,
) {
    for (aggregate, held) in view.aggregates() {
        let progress = record.aggregates.iter().find(|progress| progress.id == aggregate.0);
        for (pane, cells) in held.panes() {
            for (key, committed) in cells {
                let entry = EntryKey { aggregate, pane, key: key.clone() };
                let bytes = entry.encode();
                if overlaid(&bytes) {
                    continue;
                }
                match progress.filter(|progress| !is_dead(&entry, Some(&committed.cell), progress)) {
                    Some(_) => {
                        count(sums, aggregate.0, committed.hash);
                        entries.push((entry, committed.cell.clone(), committed.hash));
                    }
                    None => drop(changes.insert(bytes, None)),
                }
            }
        }
    }
}

fn carry_foreign(
    foreign: Foreign,
    record: &OffsetRecord,
    overlaid: &dyn Fn(&[u8]) -> bool,
    sums: &mut Sums,
    changes: &mut Changes,
) -> Foreign {
    let mut kept = Foreign::default();
    for (key, hash) in foreign.into_iter().filter(|(key, _)| !overlaid(key)) {
        let entry = EntryKey::decode(&key);
        let listed = entry.and_then(|entry| {
            let progress = record.aggregates.iter().find(|progress| progress.id == entry.aggregate.0)?;
            (!is_dead(&entry, None, progress)).then_some(progress.id)
        });
        match listed {
            Some(aggregate) => {
                count(sums, aggregate, hash);
                kept.insert(key, hash);
            }
            None => drop(changes.insert(key, None)),
        }
    }
    kept
}

/// The cell of an aggregate that the plan knows; others are carried unread.
pub(super) fn decode_cell(
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

fn check(record: &OffsetRecord, sums: &Sums) -> Result<(), ReplayError> {
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
