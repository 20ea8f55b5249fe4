//! Pure: a task's frozen epoch and its committed view become the records to write.

use super::{CHANGELOG_FORMAT_VERSION, TaskEpoch};
use crate::aggregate::{AggregateId, Cell, EntryKey};
use crate::state::{EntryHash, Fingerprint, View};
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use streamgauge_proto::storage::v1::{AggregateProgress, OffsetRecord};

/// Key of the offset record in a changelog partition; shorter than any entry's key.
pub const OFFSET_RECORD_KEY: &[u8] = b"offset";

/// A task's epoch, encoded.
#[derive(Debug)]
pub struct Sealed {
    /// Key and value bytes of each entry, with what they encode.
    pub entries: Vec<SealedEntry>,
    /// Keys to write tombstones for.
    pub removed: Vec<(EntryKey, Vec<u8>)>,
    pub record: OffsetRecord,
    pub record_bytes: Vec<u8>,
}

impl Sealed {
    /// Bytes of all its records, keys and values.
    pub fn bytes(&self) -> usize {
        let entries: usize = self.entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum();
        let removed: usize = self.removed.iter().map(|(_, key)| key.len()).sum();
        entries + removed + OFFSET_RECORD_KEY.len() + self.record_bytes.len()
    }
}

#[derive(Debug)]
pub struct SealedEntry {
    pub entry: EntryKey,
    pub cell: Arc<Cell>,
    pub hash: EntryHash,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Encodes `epoch` against the task's committed `view`. `now`: Unix milliseconds; `transactional_id`: that of the producer
/// which is to write it, or empty.
///
/// # Errors
/// The key and size of an entry above `entry_limit` bytes.
pub fn seal(
    view: &View,
    epoch: &TaskEpoch,
    now: i64,
    entry_limit: usize,
    transactional_id: &str,
) -> Result<Sealed, String> {
    let mut sums = Sums::new(view, epoch);
    let mut entries = Vec::with_capacity(epoch.frozen.entries.len());
    for (entry, cell) in &epoch.frozen.entries {
        let key = entry.encode();
        let mut value = Vec::new();
        cell.encode(&mut value);
        if key.len() + value.len() > entry_limit {
            let labels = crate::aggregate::labels(&entry.key).unwrap_or_default().join(", ");
            let size = key.len() + value.len();
            return Err(format!("entry ({labels}) of {} has {size} bytes, over limits.entry_size", epoch.task.id));
        }
        let hash = EntryHash::of(&key, &value);
        sums.put(view, entry, hash);
        entries.push(SealedEntry { entry: entry.clone(), cell: cell.clone(), hash, key, value });
    }
    let removed: Vec<_> = epoch.frozen.expired.iter().map(|entry| (entry.clone(), entry.encode())).collect();
    for (entry, _) in &removed {
        sums.remove(view, entry);
    }
    let record =
        OffsetRecord { transactional_id: transactional_id.to_owned(), ..offset_record(view, epoch, now, &sums) };
    let record_bytes = record.encode_to_vec();
    Ok(Sealed { entries, removed, record, record_bytes })
}

/// Running fingerprints and entry counts by aggregate.
struct Sums(HashMap<AggregateId, (Fingerprint, u64)>);

impl Sums {
    fn new(view: &View, epoch: &TaskEpoch) -> Self {
        let of = |id| view.aggregate(id).map_or_else(Default::default, |a| (a.fingerprint(), a.entries()));
        Sums(epoch.task.plan.aggregates.iter().map(|aggregate| (aggregate.id, of(aggregate.id))).collect())
    }

    fn put(&mut self, view: &View, entry: &EntryKey, hash: EntryHash) {
        let (fingerprint, entries) = self.0.entry(entry.aggregate).or_default();
        match view.hash_of(entry) {
            Some(old) => fingerprint.remove(old),
            None => *entries += 1,
        }
        fingerprint.add(hash);
    }

    fn remove(&mut self, view: &View, entry: &EntryKey) {
        // One of an aggregate that is being forgotten has no sum any more.
        if let (Some(old), Some((fingerprint, entries))) = (view.hash_of(entry), self.0.get_mut(&entry.aggregate)) {
            fingerprint.remove(old);
            *entries -= 1;
        }
    }
}

fn offset_record(view: &View, epoch: &TaskEpoch, now: i64, sums: &Sums) -> OffsetRecord {
    let before = view.record();
    let known = epoch.task.plan.aggregates.iter().map(|aggregate| {
        let id = aggregate.id;
        let last = before.aggregates.iter().find(|progress| progress.id == id.0);
        let expiry = epoch.frozen.expiry.iter().find(|expiry| expiry.aggregate == id);
        let (fingerprint, live_entries) = sums.0.get(&id).copied().unwrap_or_default();
        let windows = epoch.task.publication.progress(id, last);
        // For versions that know one number for all kinds: that of the windows that come most often, and the least.
        let finest = windows.iter().min_by_key(|window| window.hop_ms).and_then(|window| window.published_through);
        let published_through = finest.unwrap_or(i64::MIN).max(last.map_or(i64::MIN, |p| p.published_through));
        let pushed_through = windows.iter().map(|window| window.pushed_through).min().flatten();
        AggregateProgress {
            id: id.0,
            name: aggregate.config.name.clone(),
            start_time_ms: last.map_or(now, |progress| progress.start_time_ms),
            panes_expired_before: expiry.map_or(i64::MIN, |expiry| expiry.panes_before),
            keys_expired_before: expiry.map_or(i64::MIN, |expiry| expiry.keys_before),
            fingerprint: fingerprint.to_bytes().to_vec(),
            live_entries,
            closed_through: published_through,
            published_through,
            unknown_since_ms: 0,
            unfolded_from: None,
            pushed_through: pushed_through.max(last.and_then(|progress| progress.pushed_through)),
            windows,
        }
    });
    // Aggregates this config does not know are carried unread: another version in the group may know them.
    // Since when, and from which input offset on, stands beside them.
    let unknown = |p: &&AggregateProgress| {
        let id = AggregateId(p.id);
        epoch.task.plan.aggregate(id).is_none() && !epoch.task.ownership.is_forgotten(id)
    };
    let foreign = before.aggregates.iter().filter(unknown).map(|progress| AggregateProgress {
        unknown_since_ms: if progress.unknown_since_ms == 0 { now } else { progress.unknown_since_ms },
        unfolded_from: progress.unfolded_from.or(Some(before.next_offset)),
        ..progress.clone()
    });
    OffsetRecord {
        format_version: CHANGELOG_FORMAT_VERSION,
        next_offset: epoch.next_offset,
        leader_epoch: epoch.leader_epoch,
        stream_time: epoch.frozen.stream_time,
        owner_epoch: epoch.owner_epoch,
        written_at_ms: now,
        last_input_at_ms: if epoch.next_offset > before.next_offset || before.last_input_at_ms == 0 {
            now
        } else {
            before.last_input_at_ms
        },
        aggregates: known.chain(foreign).collect(),
        // An id that could not be asked for this time stays known.
        topic_id: match epoch.task.topic_id() {
            "" => before.topic_id.clone(),
            id => id.to_owned(),
        },
        transactional_id: String::new(),
        origin: before.origin.clone().or_else(|| epoch.task.origin().cloned()),
    }
}
