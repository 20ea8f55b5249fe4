//! One task on its way back: its replica or its state file, the changelog's tail on top, and the judgement at the end.

use super::context::{CALL_TIMEOUT, RestoreContext, RestoreTask};
use super::error::RestoreError;
use super::file::{Opened, Patience};
use super::identity::differ;
use super::origin::start_of;
use super::position::{LossPolicy, Unplaced, start_at};
use super::records::Records;
use super::replay::{Replay, ReplayError, expiry_of};
use super::survey::Known;
use crate::aggregate::{EntryKey, TaskState};
use crate::config::Start;
use crate::failpoint;
use crate::kafka::{PartitionReader, TopicPartition};
use crate::state::{Pending, Phase, Store, StoreError, Task, View};
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;
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
    /// Input records that Kafka no longer has and that were never read.
    pub lost: u64,
}

/// What a replay led to.
pub(super) enum Promotion {
    Ready(Box<Restored>),
    /// The file did not match its fingerprint: the changelog has to be read from its beginning.
    FromScratch(Box<PartitionRestore>),
}

/// One task's replica on its way to the mark.
pub(super) struct PartitionRestore {
    known: Known,
    cluster_id: Arc<str>,
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
        known: Known,
        cluster_id: Arc<str>,
    ) -> Result<PartitionRestore, RestoreError> {
        let (id, mark) = (&known.task.task.id, known.mark);
        let task = &known.task;
        let limits = known.limits(context.files.guarantee);
        let identity = context.files.identity(id, &context.ids, &cluster_id);
        let kept = context.replicas.as_ref().and_then(|replicas| replicas.take(id));
        let (opened, origin) = match kept.and_then(|kept| context.files.accept(kept, &identity, limits, &task.task)) {
            Some(opened) => (opened, "replica"),
            None => {
                let opened = context.files.open(id, &task.task.plan, identity, limits, Patience::Until(&task.stop))?;
                let origin = if opened.from_scratch { "changelog" } else { "file" };
                (opened, origin)
            }
        };
        task.task.set_phase(Phase::Restoring { done: 0, of: (mark - opened.from).max(0) as u64 });
        let Opened { replay, view, store, checkpoint, from, from_scratch } = opened;
        Ok(PartitionRestore {
            known,
            cluster_id,
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

    pub fn task(&self) -> &RestoreTask {
        &self.known.task
    }

    pub fn changelog(&self) -> TopicPartition {
        self.known.task.changelog_partition()
    }

    /// High watermark to be reached. What its successor wrote beyond it, if it was revoked meanwhile, is none of its business.
    pub fn mark(&self) -> i64 {
        self.known.mark
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

    /// The task, complete, once everything up to the mark has been applied. `reader`: to ask the input's end.
    ///
    /// # Errors
    /// If the state may not be used, or nobody wants it any more.
    pub fn promote(mut self, context: &RestoreContext, reader: &PartitionReader) -> Result<Promotion, RestoreError> {
        let Known { task, group_offset, mark, input, .. } = self.known.clone();
        let id = task.task.id.clone();
        if task.stop.is_requested() {
            return Err(RestoreError::Cancelled);
        }
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
                *task.task.view.write() = View::default();
                let from_scratch = PartitionRestore::open(context, self.known, self.cluster_id)?;
                return Ok(Promotion::FromScratch(Box::new(from_scratch)));
            }
            Err(error) => return Err(RestoreError::Replay { task: id.to_string(), error }),
        };
        let record = self.view.read().record().clone();
        if differ(&record.topic_id, &context.ids.source) {
            return Err(RestoreError::Recreated { task: id.to_string() });
        }
        let state = (!is_new).then_some(&record);
        let origin = context.retry(&task.stop, "how the group began", || context.beginning.origin_of(state))?;
        context.beginning.check(Some(&origin)).map_err(foreign)?;
        let policy = LossPolicy { start: start_of(id.partition, &origin, task.policy.start), ..task.policy };
        let is_latest = state.is_none() && group_offset.is_none() && policy.start == Start::Latest;
        let since = if is_latest {
            let ask = || context.beginning.offset_since(reader, &task.input(), &origin);
            context.retry(&task.stop, "what came since the group began", ask)?
        } else {
            None
        };
        task.task.set_origin(origin);
        let state_offset = state.map(|record| record.next_offset);
        let (first, end) = input;
        let place = |end| start_at(&id.to_string(), state_offset, group_offset, first, end, policy);
        let (next_offset, publish_from) = match place(end) {
            // Right after a change of its leader, a partition can seem to end earlier than it does.
            Err(Unplaced::BeyondEnd { .. }) => {
                let input = [task.input()];
                let ends = context.retry(&task.stop, "input's end", || reader.ends(&input, CALL_TIMEOUT))?;
                place(ends[&input[0]].max(end))?
            }
            placed => placed?,
        };
        let next_offset = since.unwrap_or(next_offset);
        let lost = state_offset.map_or(0, |offset| (first - offset).max(0) as u64);
        let (origin, records) = (self.origin, self.records);
        tracing::debug!(task = %id, origin, records, next_offset, "state read back");
        let mut checkpoint = self.checkpoint;
        if checkpoint.cluster_id.is_empty() {
            // Nobody had told it when the file was made; by now they have answered a lot.
            checkpoint.cluster_id = reader.cluster_id(Duration::ZERO).unwrap_or_default();
        }
        checkpoint.changelog_offset = if is_new { mark } else { self.replay.changelog_next() };
        let mut state = live_state(&task.task, &record, &self.view.read());
        state.forget(self.replay.take_unlisted());
        // Before its first commit a task has no state to be written down.
        checkpoint.offset_record = (!is_new).then_some(record);
        let (changes, is_file_empty) = self.replay.take_changes();
        let restored = Restored {
            task: task.task,
            view: self.view,
            state,
            foreign: self.replay.foreign().collect(),
            store: self.store,
            pending: Pending { changes, checkpoint, is_file_empty },
            next_offset,
            publish_from,
            is_new,
            lost,
        };
        Ok(Promotion::Ready(Box::new(restored)))
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
