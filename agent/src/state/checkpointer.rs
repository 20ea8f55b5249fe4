//! Writes what has been committed to each task's redb file, every second or so, on a thread of its own: a slow disk
//! delays a restart's head start, never a commit.

use super::{Changes, FORMAT_VERSION, Store, StoreError, TaskId};
use crate::clock::{BootTime, Clock};
use crate::failpoint;
use crate::telemetry::Metrics;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use streamgauge_proto::storage::v1::{Checkpoint, OffsetRecord};

/// How old a task's checkpoint may get while the task changes.
const INTERVAL: Duration = Duration::from_millis(1_500);

/// How often the thread looks; tasks come due at different looks, which staggers their disk syncs.
const LOOK: Duration = Duration::from_millis(100);

/// More changes than this that cannot be written (a full disk) are dropped with the file: the changelog has them.
const MOST_PENDING: usize = 1_000_000;

/// What a task's file does not hold yet.
pub struct Pending {
    /// Changes since the file's checkpoint.
    pub changes: Changes,
    /// What the file and the changes together are the state of.
    pub checkpoint: Checkpoint,
}

struct Slot {
    /// Which ownership of the task this is; commits of an earlier one that come late are not for this file. `None`: a
    /// replica, which follows whoever owns the task.
    owner_epoch: Option<u64>,
    /// `None` once the file has been given up. Locked while the disk works.
    store: Mutex<Option<Store>>,
    /// Locked for moments only: commits wait for it.
    pending: Mutex<Pending>,
    dirty: AtomicBool,
    written: Mutex<BootTime>,
}

/// All tasks' files.
pub struct Checkpointer {
    slots: Mutex<HashMap<TaskId, Arc<Slot>>>,
    stopping: AtomicBool,
    clock: Clock,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpointer {
    pub fn start(clock: Clock, metrics: Arc<Metrics>) -> std::io::Result<Arc<Checkpointer>> {
        let checkpointer = Arc::new(Checkpointer {
            slots: Mutex::default(),
            stopping: AtomicBool::new(false),
            clock,
            metrics,
            thread: Mutex::default(),
        });
        let shared = checkpointer.clone();
        let thread = std::thread::Builder::new().name("checkpointer".into()).spawn(move || shared.run())?;
        *checkpointer.thread.lock() = Some(thread);
        Ok(checkpointer)
    }

    fn run(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            std::thread::sleep(LOOK);
            let slots: Vec<_> = self.slots.lock().iter().map(|(id, slot)| (id.clone(), slot.clone())).collect();
            let due = |slot: &Slot| {
                slot.dirty.load(Ordering::Acquire) && self.clock.boot_time().since(*slot.written.lock()) >= INTERVAL
            };
            for (id, slot) in slots.iter().filter(|(_, slot)| due(slot)) {
                self.write(id, slot);
            }
        }
    }

    /// Takes charge of a task's file, for the owner that commits with `owner_epoch`.
    pub fn add(&self, id: TaskId, owner_epoch: u64, store: Store, pending: Pending) {
        self.add_slot(id, Some(owner_epoch), store, pending);
    }

    /// Takes charge of a replica's file.
    pub fn add_replica(&self, id: TaskId, store: Store, pending: Pending) {
        self.add_slot(id, None, store, pending);
    }

    fn add_slot(&self, id: TaskId, owner_epoch: Option<u64>, store: Store, pending: Pending) {
        let slot = Slot {
            owner_epoch,
            store: Mutex::new(Some(store)),
            dirty: AtomicBool::new(!pending.changes.is_empty()),
            pending: Mutex::new(pending),
            written: Mutex::new(self.clock.boot_time()),
        };
        self.slots.lock().insert(id, Arc::new(slot));
    }

    /// Notes what a commit wrote: `changelog_next` is the changelog offset after its offset record, if it is known.
    pub fn committed(
        &self,
        id: &TaskId,
        changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        record: &OffsetRecord,
        changelog_next: Option<i64>,
    ) {
        let its = |slot: &&Arc<Slot>| slot.owner_epoch.is_none_or(|epoch| epoch == record.owner_epoch);
        let Some(slot) = self.slots.lock().get(id).filter(its).cloned() else { return };
        let mut pending = slot.pending.lock();
        pending.changes.extend(changes);
        // Without it the older offset stays, from which a little more than needed is replayed.
        if let Some(next) = changelog_next {
            pending.checkpoint.changelog_offset = next;
        }
        pending.checkpoint.format_version = FORMAT_VERSION;
        pending.checkpoint.offset_record = Some(record.clone());
        let too_many = pending.changes.len() > MOST_PENDING;
        drop(pending);
        slot.dirty.store(true, Ordering::Release);
        if too_many {
            self.give_up(id, &slot);
        }
    }

    fn give_up(&self, id: &TaskId, slot: &Slot) {
        *slot.store.lock() = None;
        slot.pending.lock().changes.clear();
        slot.dirty.store(false, Ordering::Release);
        tracing::error!(task = %id, "state file given up: too much waits to be written; a restart reads the changelog");
        self.metrics.state_rebuilt("too_many_pending");
    }

    fn write(&self, id: &TaskId, slot: &Slot) {
        let mut store = slot.store.lock();
        let Some(open) = store.as_mut() else { return };
        let (changes, checkpoint) = {
            let mut pending = slot.pending.lock();
            slot.dirty.store(false, Ordering::Release);
            (std::mem::take(&mut pending.changes), pending.checkpoint.clone())
        };
        *slot.written.lock() = self.clock.boot_time();
        failpoint::hit("checkpoint.before_write");
        let result = open.write(&changes, &checkpoint);
        if let Err(error @ StoreError::Corrupt { .. }) = &result {
            tracing::error!(task = %id, "state file given up; a restart reads the changelog: {error}");
            self.metrics.state_rebuilt("corrupt");
            let path = open.path().to_owned();
            *store = None;
            if let Err(error) = Store::discard(&path) {
                tracing::error!(task = %id, "and it cannot be deleted: {error}");
            }
        } else if let Err(error) = result {
            let mut pending = slot.pending.lock();
            for (key, value) in changes {
                // What was committed meanwhile is newer.
                pending.changes.entry(key).or_insert(value);
            }
            slot.dirty.store(true, Ordering::Release);
            self.metrics.checkpoint_failed();
            tracing::error!(task = %id, "checkpoint not written, trying again: {error}");
        }
        failpoint::hit("checkpoint.after_write");
    }

    /// Gives a file back, open, with what it does not hold yet; `None` if it has been given up.
    pub fn take(&self, id: &TaskId) -> Option<(Store, Pending)> {
        let slot = self.slots.lock().remove(id)?;
        // A write that is under way ends first.
        let store = slot.store.lock().take()?;
        let mut pending = slot.pending.lock();
        let changes = std::mem::take(&mut pending.changes);
        Some((store, Pending { changes, checkpoint: pending.checkpoint.clone() }))
    }

    /// Writes what is pending and closes the file.
    pub fn remove(&self, id: &TaskId) {
        let Some(slot) = self.slots.lock().remove(id) else { return };
        if slot.dirty.load(Ordering::Acquire) {
            self.write(id, &slot);
        }
        *slot.store.lock() = None;
    }

    /// Ends the thread; files are closed with [`Checkpointer::remove`].
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
