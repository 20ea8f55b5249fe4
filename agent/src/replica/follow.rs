//! Pure: a replica that has caught up follows its owner's commits one by one, as a view that can be read at any time.

use super::replay::{Foreign, Promoted, ReplayError, decode_cell};
use crate::aggregate::{EntryKey, Plan};
use crate::commit::{CHANGELOG_FORMAT_VERSION, OFFSET_RECORD_KEY};
use crate::state::{Committed, EntryHash, Fingerprint, View};
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use streamgauge_proto::storage::v1::OffsetRecord;

/// One commit, ready to be shown and written down.
#[derive(Debug)]
pub struct Step {
    pub entries: Vec<(EntryKey, Committed)>,
    pub removed: Vec<EntryKey>,
    pub record: OffsetRecord,
    /// The same as the changelog has it, for the redb file.
    pub written: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What a follower keeps besides its view.
#[derive(Debug)]
pub struct Follow {
    plan: Arc<Plan>,
    /// Records since the last offset record, the last one of each key.
    open: HashMap<Vec<u8>, Option<Vec<u8>>>,
    pub foreign: Foreign,
    /// Next changelog offset to read, after the last whole commit.
    pub changelog_next: i64,
}

impl Follow {
    /// Goes on from a promoted state; the view to be followed comes with it.
    pub fn new(plan: Arc<Plan>, promoted: Promoted) -> (Follow, View) {
        let entries = promoted.entries.into_iter().map(|(entry, cell, hash)| (entry, Committed { cell, hash }));
        let view = View::new(entries, promoted.record);
        let (foreign, changelog_next) = (promoted.foreign, promoted.changelog_next);
        (Follow { plan, open: HashMap::new(), foreign, changelog_next }, view)
    }

    /// Whether it has read everything that this plan asks for: what another plan does not know was not kept.
    pub fn serves(&self, plan: &Plan) -> bool {
        plan.aggregates.iter().all(|aggregate| self.plan.aggregate(aggregate.id).is_some())
    }

    /// Takes one record; a whole commit when it was that commit's last.
    ///
    /// # Errors
    /// If a record cannot be read: the replica is of no use any more.
    pub fn apply(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<Option<Step>, ReplayError> {
        if key != OFFSET_RECORD_KEY {
            self.open.insert(key.to_vec(), value.map(<[u8]>::to_vec));
            return Ok(None);
        }
        let Some(value) = value else { return Ok(None) };
        let record = OffsetRecord::decode(value).map_err(|error| ReplayError::OffsetRecord(error.to_string()))?;
        if record.format_version > CHANGELOG_FORMAT_VERSION {
            return Err(ReplayError::Newer { found: record.format_version });
        }
        self.changelog_next = offset + 1;
        self.close(record).map(Some)
    }

    fn close(&mut self, record: OffsetRecord) -> Result<Step, ReplayError> {
        let (mut entries, mut removed, mut written) = (Vec::new(), Vec::new(), Vec::with_capacity(self.open.len()));
        for (key, value) in self.open.drain() {
            let Some(entry) = EntryKey::decode(&key) else { continue };
            let known = self.plan.aggregate(entry.aggregate).is_some();
            match &value {
                None if known => removed.push(entry),
                None => drop(self.foreign.remove(&key)),
                Some(bytes) => {
                    let hash = EntryHash::of(&key, bytes);
                    let progress = record.aggregates.iter().find(|progress| progress.id == entry.aggregate.0);
                    match progress
                        .map(|progress| decode_cell(&self.plan, &entry, progress, bytes))
                        .transpose()?
                        .flatten()
                    {
                        Some(cell) => entries.push((entry, Committed { cell: Arc::new(cell), hash })),
                        None => drop(self.foreign.insert(key.clone(), hash)),
                    }
                }
            }
            written.push((key, value));
        }
        Ok(Step { entries, removed, record, written })
    }
}

/// Whether a view is what its offset record says. In the middle of a changelog it may not be: compaction tears old commits.
pub fn is_sound(plan: &Plan, view: &View) -> bool {
    plan.aggregates.iter().all(|aggregate| {
        let progress = view.record().aggregates.iter().find(|progress| progress.id == aggregate.id.0);
        let found = view.aggregate(aggregate.id).map(|held| held.fingerprint()).unwrap_or_default();
        let wanted = progress.map_or(Some(Fingerprint::default()), |p| Fingerprint::from_bytes(&p.fingerprint));
        Some(found) == wanted
    })
}
