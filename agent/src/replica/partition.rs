//! One task on its way back: its replica or its state file, the changelog's tail on top, and the judgement at the end.

use super::context::{Ends, RestoreContext, RestoreTask};
use super::error::RestoreError;
use super::file::Opened;
use super::identity::differ;
use super::origin::start_of;
use super::position::{LossPolicy, start_at};
use super::records::Records;
use super::replay::{Replay, ReplayError, expiry_of};
use crate::aggregate::{EntryKey, TaskState};
use crate::failpoint;
use crate::kafka::TopicPartition;
use crate::state::{Pending, Phase, Store, StoreError, Task, View};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use streamgauge_proto::storage::v1::{Checkpoint, OffsetRecord};

/// A task ready to be folded into.
pub struct Restored {
    pub task: Arc<Task>,
    /// Its committed state.
    pub view: Arc<RwLock<View>>,
    /// The same, to be folded into.
    pub state: TaskState,
    /// Stored entries of aggregates that the config does not know.
    pub foreign: Vec<EntryKey>,
    pub store: Store,
    pub pending: Pending,
    /// The input offset to go on from.
    pub next_offset: i64,
    /// Publish only from this input offset on: the group's offset is ahead of the state.
    pub publish_from: i64,
    /// The task never committed: its start must be committed before the first fold.
    pub is_new: bool,
}

/// One task's replica on its way to the mark.
pub(super) struct PartitionRestore {
    pub task: RestoreTask,
    pub changelog: TopicPartition,
    /// High watermark to be reached.
    pub mark: i64,
    /// Where reading begins.
    pub from: i64,
    /// Applied so far.
    records: u64,
    /// Where the state came from that the changelog continues, for the log.
    origin: &'static str,
    replay: Replay,
    view: Arc<RwLock<View>>,
    store: Store,
    checkpoint: Checkpoint,
    from_scratch: bool,
    failed: Option<ReplayError>,
}

impl PartitionRestore {
    /// From a replica that this agent has kept, else from the state file, else from nothing.
    pub fn open(
        context: &RestoreContext,
        task: &RestoreTask,
        changelog: TopicPartition,
        mark: i64,
        cluster_id: &str,
    ) -> Result<PartitionRestore, RestoreError> {
        let id = &task.task.id;
        let identity = context.files.identity(id, &context.ids, cluster_id);
        let kept = context.replicas.as_ref().and_then(|replicas| replicas.take(id));
        let (opened, origin) = match kept.and_then(|kept| context.files.accept(kept, &identity, mark, &task.task)) {
            Some(opened) => (opened, "replica"),
            None => {
                let opened = context.files.open(id, &task.task.plan, identity, mark)?;
                let origin = if opened.from_scratch { "changelog" } else { "file" };
                (opened, origin)
            }
        };
        task.task.set_phase(Phase::Restoring { done: 0, of: (mark - opened.from).max(0) as u64 });
        let Opened { replay, view, store, checkpoint, from, from_scratch } = opened;
        let task = task.clone();
        Ok(PartitionRestore {
            task,
            changelog,
            mark,
            from,
            records: 0,
            origin,
            replay,
            view,
            store,
            checkpoint,
            from_scratch,
            failed: None,
        })
    }

    /// Applies records; after one that cannot be, none.
    pub fn apply(&mut self, records: &Records) {
        for (offset, key, value) in records.iter() {
            if self.failed.is_some() {
                return;
            }
            self.records += 1;
            self.failed = self.apply_one(offset, key, value).err();
        }
    }

    fn apply_one(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<(), ReplayError> {
        if let Some(record) = self.replay.take(offset, key, value)? {
            self.replay.commit(record, &mut self.view.write());
        }
        Ok(())
    }

    /// Whether there is no use in reading on.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// The task, complete. `Ok(Err(restore))`: the file did not match its fingerprint and the changelog has to be read from its beginning.
    pub fn promote(
        mut self,
        context: &RestoreContext,
        ends: &Ends,
        committed: &HashMap<TopicPartition, Option<i64>>,
    ) -> Result<Result<Restored, PartitionRestore>, RestoreError> {
        let id = self.task.task.id.clone();
        failpoint::hit("restore.replayed");
        let foreign = |error| RestoreError::Replay { task: id.to_string(), error };
        context.beginning.check(self.view.read().record().origin.as_ref()).map_err(foreign)?;
        let finished = match self.failed {
            Some(error) => Err(error),
            None => self.replay.finish(&mut self.view.write()),
        };
        let is_new = match finished {
            Ok(has_state) => !has_state,
            Err(error @ (ReplayError::Fingerprint { .. } | ReplayError::Entry { .. })) if !self.from_scratch => {
                tracing::warn!(task = %id, "state file does not match the changelog, reading the changelog whole: {error}");
                context.metrics.state_rebuilt("fingerprint");
                let path = context.files.state_dir.task_file(&id.topic, id.partition);
                drop(self.store);
                Store::discard(&path).map_err(|e| StoreError::Unwritable { path, error: e.to_string() })?;
                *self.task.task.view.write() = View::default();
                return PartitionRestore::open(context, &self.task, self.changelog, self.mark, &ends.cluster_id)
                    .map(Err);
            }
            Err(error) => return Err(RestoreError::Replay { task: id.to_string(), error }),
        };
        let input: TopicPartition = (id.topic.clone(), id.partition);
        let group_offset = committed.get(&input).copied().flatten();
        let (first, end) = (ends.input_first[&input], ends.input_end[&input]);
        let record = self.view.read().record().clone();
        if differ(&record.topic_id, &context.ids.source) {
            return Err(RestoreError::Recreated { task: id.to_string() });
        }
        let state = (!is_new).then_some(&record);
        let origin = context.retry("how the group began", || context.beginning.origin_of(state))?;
        context.beginning.check(Some(&origin)).map_err(foreign)?;
        let policy = LossPolicy { start: start_of(id.partition, &origin, self.task.policy.start), ..self.task.policy };
        self.task.task.set_origin(origin);
        let state_offset = state.map(|record| record.next_offset);
        let (next_offset, publish_from) = start_at(&id.to_string(), state_offset, group_offset, first, end, policy)?;
        if let Some(lost) = state_offset.map(|offset| first - offset).filter(|&lost| lost > 0) {
            tracing::error!(task = %id, lost, "Kafka no longer has {lost} records that were not read yet (retention)");
            context.metrics.lost(&id.topic, lost as u64);
        }
        let (origin, records) = (self.origin, self.records);
        tracing::info!(task = %id, origin, records, next_offset, "state read back");
        let mut checkpoint = self.checkpoint;
        checkpoint.changelog_offset = if is_new { self.mark } else { self.replay.changelog_next() };
        let mut state = live_state(&self.task.task, &record, &self.view.read());
        state.forget(self.replay.take_unlisted());
        // Before its first commit a task has no state to be written down.
        checkpoint.offset_record = (!is_new).then_some(record);
        let (changes, is_file_empty) = self.replay.take_changes();
        let restored = Restored {
            task: self.task.task,
            view: self.view,
            state,
            foreign: self.replay.foreign().collect(),
            store: self.store,
            pending: Pending { changes, checkpoint, is_file_empty },
            next_offset,
            publish_from,
            is_new,
        };
        Ok(Ok(restored))
    }
}

/// What is folded into, from what has been committed.
fn live_state(task: &Task, record: &OffsetRecord, view: &View) -> TaskState {
    let mut state = TaskState::new(task.plan.clone());
    state.restore(record.stream_time, &expiry_of(record));
    for (aggregate, held) in view.aggregates() {
        state.reserve(aggregate, held.keys());
        for (pane, cells) in held.panes() {
            for (key, committed) in cells {
                state.load(EntryKey { aggregate, pane, key: key.clone() }, committed.cell.clone());
            }
        }
    }
    state
}
