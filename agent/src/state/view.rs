//! The committed state of one task. Whatever a scrape, a push or a query shows comes from here, and nothing gets in
//! before its Kafka transaction has been committed.

use super::{EntryHash, Fingerprint};
use crate::aggregate::{AggregateId, Cell, EntryKey, Expiry, KeyBytes, Pane, is_expired};
use hashbrown::hash_map::EntryRef;
use rustc_hash::FxBuildHasher;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use streamgauge_proto::storage::v1::OffsetRecord;

/// One committed entry. The cell is shared with the live state until that folds into it again (copy on write).
#[derive(Clone, Debug)]
pub struct Committed {
    pub cell: Arc<Cell>,
    /// Hash of the entry's bytes as committed.
    pub hash: EntryHash,
}

/// Committed entries of one pane.
pub type Cells = hashbrown::HashMap<KeyBytes, Committed, FxBuildHasher>;

/// Committed panes of one aggregate; totals stand under [`Pane::TOTAL`].
#[derive(Debug, Default)]
pub struct AggregateView {
    panes: BTreeMap<Pane, Cells>,
    fingerprint: Fingerprint,
    entries: u64,
}

impl AggregateView {
    /// Panes in order of their ends, totals last.
    pub fn panes(&self) -> impl DoubleEndedIterator<Item = (Pane, &Cells)> {
        self.panes.iter().map(|(&pane, cells)| (pane, cells))
    }

    /// Panes that end after `after` and not later than `through` (Unix milliseconds); totals are not among them.
    pub fn panes_between(&self, after: i64, through: i64) -> impl Iterator<Item = (Pane, &Cells)> {
        let from = Pane { end: after.saturating_add(1), late: 0 };
        let to = Pane { end: through.min(i64::MAX - 1).max(after.saturating_add(1)), late: u16::MAX };
        self.panes.range(from..=to).filter(move |(pane, _)| pane.end <= through).map(|(&pane, cells)| (pane, cells))
    }

    /// Totals by key.
    pub fn totals(&self) -> impl Iterator<Item = (&KeyBytes, &Committed)> {
        self.panes.get(&Pane::TOTAL).into_iter().flatten()
    }

    pub fn get(&self, pane: Pane, key: &[u8]) -> Option<&Committed> {
        self.panes.get(&pane)?.get(key)
    }

    /// Keys that have a total.
    pub fn keys(&self) -> usize {
        self.panes.get(&Pane::TOTAL).map_or(0, Cells::len)
    }

    /// Live entries: one per key and pane, and one per key for its total.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn put(&mut self, pane: Pane, key: KeyBytes, committed: Committed) {
        self.fingerprint.add(committed.hash);
        match self.panes.entry(pane).or_default().insert(key, committed) {
            Some(old) => self.fingerprint.remove(old.hash),
            None => self.entries += 1,
        }
    }

    /// The same for an entry read back, whose key is copied only if it is new.
    fn load(&mut self, pane: Pane, key: &[u8], committed: Committed) {
        if pane != Pane::TOTAL && self.get(pane, key).is_none() {
            let total = self.panes.get(&Pane::TOTAL).and_then(|totals| totals.get_key_value(key));
            return self.put(pane, total.map_or_else(|| key.into(), |(key, _)| key.clone()), committed);
        }
        self.fingerprint.add(committed.hash);
        match self.panes.entry(pane).or_default().entry_ref(key) {
            EntryRef::Occupied(mut known) => {
                self.fingerprint.remove(std::mem::replace(known.get_mut(), committed).hash);
            }
            EntryRef::Vacant(new) => {
                new.insert_with_key(key.into(), committed);
                self.entries += 1;
            }
        }
    }

    /// Removes what has expired, all of it without an expiry, and tells `removed` of each.
    pub fn expire(&mut self, expiry: Option<&Expiry>, mut removed: impl FnMut(Pane, &KeyBytes)) {
        let AggregateView { panes, fingerprint, entries } = self;
        panes.retain(|&pane, cells| {
            if expiry.is_some_and(|expiry| !is_expired(pane, i64::MIN, expiry)) {
                return true;
            }
            cells.retain(|key, committed| {
                let keep = expiry.is_some_and(|expiry| !is_expired(pane, committed.cell.last_seen, expiry));
                if !keep {
                    fingerprint.remove(committed.hash);
                    *entries -= 1;
                    removed(pane, key);
                }
                keep
            });
            !cells.is_empty()
        });
    }

    fn remove(&mut self, pane: Pane, key: &[u8]) {
        let Some(cells) = self.panes.get_mut(&pane) else { return };
        if let Some(old) = cells.remove(key) {
            self.fingerprint.remove(old.hash);
            self.entries -= 1;
            if cells.is_empty() {
                self.panes.remove(&pane);
            }
        }
    }
}

/// Committed state of one task as of one offset record.
#[derive(Debug, Default)]
pub struct View {
    aggregates: HashMap<AggregateId, AggregateView>,
    record: OffsetRecord,
    /// Wall time of the commit, Unix milliseconds; 0 before the first.
    committed_at: i64,
}

impl View {
    /// Applies one committed epoch.
    pub fn apply(
        &mut self,
        entries: impl IntoIterator<Item = (EntryKey, Committed)>,
        removed: &[EntryKey],
        record: OffsetRecord,
        committed_at: i64,
    ) {
        for key in removed {
            if let Some(aggregate) = self.aggregates.get_mut(&key.aggregate) {
                aggregate.remove(key.pane, &key.key);
            }
        }
        for (key, committed) in entries {
            self.put(key, committed);
        }
        self.record = record;
        self.committed_at = committed_at;
    }

    fn put(&mut self, key: EntryKey, committed: Committed) {
        self.aggregates.entry(key.aggregate).or_default().put(key.pane, key.key, committed);
    }

    /// Makes room for so many totals in all.
    pub fn reserve_totals(&mut self, id: AggregateId, totals: usize) {
        let cells = self.aggregates.entry(id).or_default().panes.entry(Pane::TOTAL).or_default();
        cells.reserve(totals.saturating_sub(cells.len()));
    }

    /// Puts in one entry of a committed state that is being read back.
    pub fn load(&mut self, aggregate: AggregateId, pane: Pane, key: &[u8], committed: Committed) {
        self.aggregates.entry(aggregate).or_default().load(pane, key, committed);
    }

    /// Takes out one entry of a committed state that is being read back.
    pub fn unload(&mut self, aggregate: AggregateId, pane: Pane, key: &[u8]) {
        if let Some(held) = self.aggregates.get_mut(&aggregate) {
            held.remove(pane, key);
        }
    }

    /// What has been read back is the state as of this record.
    pub fn set_record(&mut self, record: OffsetRecord) {
        self.record = record;
    }

    /// To let what has expired be removed.
    pub fn aggregates_mut(&mut self) -> impl Iterator<Item = (AggregateId, &mut AggregateView)> {
        self.aggregates.iter_mut().map(|(&id, held)| (id, held))
    }

    pub fn aggregate(&self, id: AggregateId) -> Option<&AggregateView> {
        self.aggregates.get(&id)
    }

    pub fn aggregates(&self) -> impl Iterator<Item = (AggregateId, &AggregateView)> {
        self.aggregates.iter().map(|(&id, view)| (id, view))
    }

    /// The offset record of the commit that this view shows: next input offset, stream time, progress by aggregate.
    pub fn record(&self) -> &OffsetRecord {
        &self.record
    }

    /// Since when events have been counted for an aggregate, wall time, Unix milliseconds; `None` before its first commit.
    pub fn start_time(&self, id: AggregateId) -> Option<i64> {
        let progress = self.record.aggregates.iter().find(|progress| progress.id == id.0)?;
        (progress.start_time_ms > 0).then_some(progress.start_time_ms)
    }

    /// Wall time of the last commit, Unix milliseconds; 0 if this view was restored and nothing committed since.
    pub fn committed_at(&self) -> i64 {
        self.committed_at
    }

    /// Hash of an entry as committed, if it is there.
    pub fn hash_of(&self, key: &EntryKey) -> Option<EntryHash> {
        self.aggregates.get(&key.aggregate)?.get(key.pane, &key.key).map(|committed| committed.hash)
    }
}
