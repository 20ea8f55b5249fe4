//! Pure: a changelog's records, applied commit by commit to a view that in the end vouches for itself.
//!
//! The same replay restores a task, catches up as a replica, and then follows its owner.

use super::records::Records;
use crate::aggregate::{AggregateId, Cell, EntryKey, Expiry, Pane, Plan, is_expired};
use crate::commit::{CHANGELOG_FORMAT_VERSION, OFFSET_RECORD_KEY};
use crate::config::Guarantee;
use crate::state::{Changes, Committed, EntryHash, Fingerprint, View};
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use streamgauge_proto::storage::v1::{self as pb, AggregateProgress, OffsetRecord};

/// Commits with at least so many records are made room for.
const LARGE_COMMIT: usize = 10_000;

#[derive(Clone, Debug, thiserror::Error, PartialEq)]
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
    #[error(
        "its changelog is that of topic {topic} of group {group}: the changelogs of both have the same name. Set another kafka.group_id"
    )]
    Foreign { group: String, topic: String },
    #[error("an entry of aggregate {aggregate} cannot be read: {error}")]
    Entry { aggregate: String, error: String },
}

/// A changelog partition as far as it has been read. The view that it leads to is kept by the caller.
#[derive(Debug)]
pub struct Replay {
    plan: Arc<Plan>,
    /// Records since the last offset record: a commit that is not whole yet.
    open: Records,
    /// Entries of aggregates that the plan does not know, carried unread.
    foreign: Foreign,
    /// Entries of the plan's aggregates whose cells cannot be read, by their key's bytes.
    unreadable: HashMap<Vec<u8>, ReplayError>,
    /// Dropped entries that no tombstone told of.
    unlisted: Vec<EntryKey>,
    /// Next changelog offset to read, after the last whole commit.
    changelog_next: i64,
    /// Whether there was an offset record: without one there is no state.
    has_record: bool,
    /// What the state file does not hold yet.
    changes: Changes,
    /// The file is empty: then `changes` has only what the view does not.
    is_file_empty: bool,
    /// At least once commits are not atomic, so what follows the last offset record counts, and fingerprints may differ.
    guarantee: Guarantee,
}

/// Hashes of entries that are carried unread, by their key's bytes.
type Foreign = HashMap<Vec<u8>, EntryHash, rustc_hash::FxBuildHasher>;

impl Replay {
    /// Begins with nothing.
    pub fn new(plan: Arc<Plan>) -> Replay {
        Replay {
            plan,
            open: Records::default(),
            foreign: Foreign::default(),
            unreadable: HashMap::new(),
            unlisted: Vec::new(),
            changelog_next: 0,
            has_record: false,
            changes: Changes::default(),
            is_file_empty: true,
            guarantee: Guarantee::ExactlyOnce,
        }
    }

    /// Begins with a state file's entries, each of which is to be [loaded](Replay::load), and goes on at `changelog_next`.
    pub fn of_file(plan: Arc<Plan>, record: Option<OffsetRecord>, changelog_next: i64, view: &mut View) -> Replay {
        let has_record = record.is_some();
        view.set_record(record.unwrap_or_default());
        Replay { changelog_next, has_record, is_file_empty: false, ..Replay::new(plan) }
    }

    /// What the changelog was written under.
    pub fn under(self, guarantee: Guarantee) -> Replay {
        Replay { guarantee, ..self }
    }

    /// Goes on with what a state file is still to be told.
    pub fn with_changes(self, changes: Changes, is_file_empty: bool) -> Replay {
        Replay { changes, is_file_empty, ..self }
    }

    /// Whether it keeps just what this plan asks for: what its own plan does not know was not read.
    pub fn serves(&self, plan: &Plan) -> bool {
        let knows = |a: &Plan, b: &Plan| b.aggregates.iter().all(|aggregate| a.aggregate(aggregate.id).is_some());
        knows(&self.plan, plan) && knows(plan, &self.plan)
    }

    /// Next changelog offset to read, after the last whole commit.
    pub fn changelog_next(&self) -> i64 {
        self.changelog_next
    }

    /// Whether any commit was read.
    pub fn has_state(&self) -> bool {
        self.has_record
    }

    /// Stored entries that the plan does not know.
    pub fn foreign(&self) -> impl Iterator<Item = EntryKey> {
        self.foreign.keys().filter_map(|key| EntryKey::decode(key))
    }

    /// What the state file does not hold yet, and whether it is empty so that all of the view is to be written, too.
    pub fn take_changes(&mut self) -> (Changes, bool) {
        (std::mem::take(&mut self.changes), std::mem::take(&mut self.is_file_empty))
    }

    /// Entries of aggregates that the offset record does not list, as after a reset that did not come to its tombstones.
    /// Whoever goes on has to write these: once their aggregate is listed again, they would count.
    pub fn take_unlisted(&mut self) -> Vec<EntryKey> {
        // What was carried unread may have come back since, under another's plan.
        let has_come_back = |entry: &EntryKey| self.foreign.contains_key(&entry.encode());
        std::mem::take(&mut self.unlisted).into_iter().filter(|entry| !has_come_back(entry)).collect()
    }

    /// Forgets what came after the last whole commit; returns the changelog offset to go on from.
    pub fn rewind(&mut self) -> i64 {
        self.open = Records::default();
        self.changelog_next
    }

    /// Takes one record, `value: None` being a tombstone. If it was a commit's last one, that commit's offset record, with
    /// which to [commit](Replay::commit).
    ///
    /// # Errors
    /// If it is an offset record that cannot be read.
    pub fn take(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<Option<OffsetRecord>, ReplayError> {
        if key != OFFSET_RECORD_KEY {
            self.open.push(offset, key, value);
            return Ok(None);
        }
        let Some(value) = value else { return Ok(None) };
        let record = OffsetRecord::decode(value).map_err(|error| ReplayError::OffsetRecord(error.to_string()))?;
        if record.format_version > CHANGELOG_FORMAT_VERSION {
            return Err(ReplayError::Newer { found: record.format_version });
        }
        self.changelog_next = offset + 1;
        Ok(Some(record))
    }

    /// Applies the records taken since the last commit.
    pub fn commit(&mut self, record: OffsetRecord, view: &mut View) {
        let open = std::mem::take(&mut self.open);
        self.make_room(&open, &record, view);
        for (_, key, value) in open.iter() {
            let Some((aggregate, pane, labels)) = EntryKey::split(key) else { continue };
            let known = self.plan.aggregate(aggregate).is_some();
            match value {
                Some(value) => self.load(key, value, view),
                None if known => {
                    view.unload(aggregate, pane, labels);
                    self.unreadable.remove(key);
                }
                None => drop(self.foreign.remove(key)),
            }
            if !(known && self.is_file_empty) {
                self.changes.insert(key.to_vec(), value.map(<[u8]>::to_vec));
            }
        }
        self.open = open.cleared();
        self.has_record = true;
        view.set_record(record);
    }

    /// A large commit makes the view's tables as large as they will be at once, rather than by doubling.
    fn make_room(&self, open: &Records, record: &OffsetRecord, view: &mut View) {
        if open.len() < LARGE_COMMIT {
            return;
        }
        for AggregateProgress { id, live_entries, .. } in &record.aggregates {
            let id = AggregateId(*id);
            if self.plan.aggregate(id).is_some() {
                let prefix = EntryKey::prefix(id, Pane::TOTAL);
                let totals = open.iter().filter(|(_, key, value)| value.is_some() && key.starts_with(&prefix)).count();
                if totals > 0 {
                    view.reserve_totals(id, totals.min(usize::try_from(*live_entries).unwrap_or(totals)));
                }
            }
        }
    }

    /// Puts in one entry. What cannot be read is remembered: it may be replaced, or dropped, before it matters.
    pub fn load(&mut self, key: &[u8], value: &[u8], view: &mut View) {
        let Some((aggregate, pane, labels)) = EntryKey::split(key) else { return };
        let hash = EntryHash::of(key, value);
        let Some(plan) = self.plan.aggregate(aggregate) else {
            self.foreign.insert(key.to_vec(), hash);
            return;
        };
        match Cell::decode(plan, value) {
            Ok(cell) => {
                view.load(aggregate, pane, labels, Committed { cell: Arc::new(cell), hash });
                if !self.unreadable.is_empty() {
                    self.unreadable.remove(key);
                }
            }
            Err(error) => {
                view.unload(aggregate, pane, labels);
                let aggregate = plan.config.name.clone();
                self.unreadable.insert(key.to_vec(), ReplayError::Entry { aggregate, error: error.to_string() });
            }
        }
    }

    /// Why the view lacks an entry, if it does.
    pub fn unreadable(&self) -> Option<&ReplayError> {
        self.unreadable.values().next()
    }

    /// Makes the view the state as of the last offset record: without what has expired by then, and without what that
    /// record does not list. A commit that is not whole is left out. False if there was no offset record, and so no state.
    ///
    /// # Errors
    /// A state that does not match its fingerprints must not be used.
    pub fn finish(&mut self, view: &mut View) -> Result<bool, ReplayError> {
        if !self.has_record {
            return Ok(false);
        }
        let record = view.record().clone();
        if !self.guarantee.is_transactional() {
            self.commit(record.clone(), view);
        }
        self.drop_dead(&record, view);
        if let Some(error) = self.unreadable() {
            return Err(error.clone());
        }
        match self.check(&record, view) {
            Err(error) if !self.guarantee.is_transactional() => tracing::warn!("at-least-once: {error}"),
            result => result?,
        }
        Ok(true)
    }

    /// Deletion is a function of state: a tombstone can be compacted away while an older file still holds the key.
    fn drop_dead(&mut self, record: &OffsetRecord, view: &mut View) {
        let listed: HashMap<_, _> = record.aggregates.iter().map(|p| (AggregateId(p.id), expiry(p))).collect();
        let Replay { changes, foreign, unreadable, unlisted, is_file_empty, .. } = self;
        for (aggregate, held) in view.aggregates_mut() {
            let expiry = listed.get(&aggregate);
            held.expire(expiry, |pane, labels| {
                let entry = EntryKey { aggregate, pane, key: labels.clone() };
                if !*is_file_empty {
                    changes.insert(entry.encode(), None);
                }
                if expiry.is_none() {
                    unlisted.push(entry);
                }
            });
        }
        // When an unread total was last seen nobody knows; its owner's tombstone tells.
        let mut is_alive = |key: &[u8]| {
            let alive = EntryKey::split(key).is_some_and(|(aggregate, pane, _)| {
                let expiry = listed.get(&aggregate);
                expiry.is_some_and(|expiry| pane == Pane::TOTAL || !is_expired(pane, 0, expiry))
            });
            if !alive {
                changes.insert(key.to_vec(), None);
                unlisted.extend(EntryKey::decode(key).filter(|entry| !listed.contains_key(&entry.aggregate)));
            }
            alive
        };
        foreign.retain(|key, _| is_alive(key));
        unreadable.retain(|key, _| is_alive(key));
    }

    fn check(&self, record: &OffsetRecord, view: &View) -> Result<(), ReplayError> {
        let mut sums: HashMap<AggregateId, (Fingerprint, u64)> =
            view.aggregates().map(|(id, held)| (id, (held.fingerprint(), held.entries()))).collect();
        for (key, hash) in &self.foreign {
            let Some((aggregate, ..)) = EntryKey::split(key) else { continue };
            let (sum, entries) = sums.entry(aggregate).or_default();
            sum.add(*hash);
            *entries += 1;
        }
        for progress in &record.aggregates {
            let (sum, entries) = sums.get(&AggregateId(progress.id)).copied().unwrap_or_default();
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

    /// Whether a view that is followed is what its offset record says. In the middle of a changelog it may not be:
    /// compaction tears old commits.
    pub fn is_sound(&self, view: &View) -> bool {
        if self.unreadable().is_some() {
            return false;
        }
        let wanted = |id: AggregateId| view.record().aggregates.iter().find(|progress| progress.id == id.0);
        self.plan.aggregates.iter().all(|aggregate| {
            let found = view.aggregate(aggregate.id).map(|held| held.fingerprint()).unwrap_or_default();
            let expected = wanted(aggregate.id)
                .map_or(Some(Fingerprint::default()), |progress| Fingerprint::from_bytes(&progress.fingerprint));
            Some(found) == expected
        })
    }
}

/// Whether an entry of which only the stored bytes are known has expired.
pub(super) fn is_dead_bytes(entry: &EntryKey, value: &[u8], progress: &AggregateProgress) -> bool {
    let last_seen = pb::Cell::decode(value).map_or(i64::MAX, |cell| cell.last_seen_ms);
    is_expired(entry.pane, last_seen, &expiry(progress))
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
