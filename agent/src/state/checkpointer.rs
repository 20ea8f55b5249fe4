//! Writes what has been committed to each task's redb file, every second or so, on a thread of its own: a slow disk
//! delays a restart's head start, never a commit. What commits have left free in memory is given back from here, too, as this
//! thread keeps nobody waiting.

use super::{Changes, FORMAT_VERSION, Store, StoreError, Task, TaskId, View};
use crate::aggregate::{AggregateId, Cell, EntryKey, KeyBytes};
use crate::clock::{BootTime, Clock};
use crate::failpoint;
use crate::stop::Stop;
use crate::telemetry::{Metrics, trim_heap};
use parking_lot::{Mutex, RwLock};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
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

/// What commits have left free is given back to the system this often.
const TRIM_EVERY: Duration = Duration::from_secs(10);

/// What a task's file does not hold yet.
pub struct Pending {
    /// Changes since the file's checkpoint.
    pub changes: Changes,
    /// What the file and the changes (and the view, if the file is empty) together are the state of.
    pub checkpoint: Checkpoint,
    /// The file holds nothing yet: of the task's entries, `changes` has only what its view does not.
    pub is_file_empty: bool,
}

struct Slot {
    /// Which ownership of the task this is; commits of an earlier one that come late are not for this file. `None`: a
    /// replica, which follows whoever owns the task.
    owner_epoch: Option<u64>,
    /// Committed state, for a file that is empty.
    view: Arc<RwLock<View>>,
    /// `None` once the file has been given up. Locked while the disk works.
    store: Mutex<Option<Store>>,
    /// Locked for moments only: commits wait for it.
    pending: Mutex<Pending>,
    dirty: AtomicBool,
    written: Mutex<BootTime>,
}

/// All of a view as of one commit. Cells are shared with it, so that commits do not wait while they are written.
struct Whole {
    aggregates: HashSet<AggregateId>,
    entries: Vec<(EntryKey, Arc<Cell>)>,
    record: OffsetRecord,
}

impl Whole {
    fn of(view: &View) -> Whole {
        let mut entries = Vec::new();
        for (aggregate, held) in view.aggregates() {
            for (pane, cells) in held.panes() {
                let entry = |key: &KeyBytes| EntryKey { aggregate, pane, key: key.clone() };
                entries.extend(cells.iter().map(|(key, committed)| (entry(key), committed.cell.clone())));
            }
        }
        Whole { aggregates: view.aggregates().map(|(id, _)| id).collect(), entries, record: view.record().clone() }
    }

    /// These, and those of `changes` that are not of its aggregates.
    fn entries<'a>(&'a self, changes: &'a Changes) -> impl Iterator<Item = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>)> {
        let own = self.entries.iter().map(|(entry, cell)| {
            let mut value = Vec::new();
            cell.encode(&mut value);
            (Cow::Owned(entry.encode()), Some(Cow::Owned(value)))
        });
        let is_other = |key: &[u8]| EntryKey::split(key).is_none_or(|(id, ..)| !self.aggregates.contains(&id));
        let others = changes.iter().filter(move |(key, _)| is_other(key));
        own.chain(others.map(|(key, value)| (Cow::Borrowed(&key[..]), value.as_deref().map(Cow::Borrowed))))
    }
}

/// All tasks' files.
pub struct Checkpointer {
    slots: Mutex<HashMap<TaskId, Arc<Slot>>>,
    stop: Stop,
    clock: Clock,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpointer {
    pub fn start(clock: Clock, metrics: Arc<Metrics>) -> std::io::Result<Arc<Checkpointer>> {
        let checkpointer = Arc::new(Checkpointer {
            slots: Mutex::default(),
            stop: Stop::new(),
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
        let (mut written, mut trimmed) = (false, self.clock.boot_time());
        while !self.stop.sleep(LOOK) {
            let now = self.clock.boot_time();
            if written && now.since(trimmed) >= TRIM_EVERY {
                trim_heap();
                (written, trimmed) = (false, now);
                tracing::debug!(took = ?self.clock.boot_time().since(now), "gave free memory back");
            }
            let slots: Vec<_> = self.slots.lock().iter().map(|(id, slot)| (id.clone(), slot.clone())).collect();
            let due = |slot: &Slot| {
                slot.dirty.load(Ordering::Acquire) && self.clock.boot_time().since(*slot.written.lock()) >= INTERVAL
            };
            for (id, slot) in slots.iter().filter(|(_, slot)| due(slot)) {
                self.write(id, slot);
                written = true;
            }
        }
    }

    /// Takes charge of a task's file, for the owner that commits with `owner_epoch`.
    pub fn add(&self, task: &Task, owner_epoch: u64, store: Store, pending: Pending) {
        self.add_slot(task, Some(owner_epoch), store, pending);
    }

    /// Takes charge of a replica's file.
    pub fn add_replica(&self, task: &Task, store: Store, pending: Pending) {
        self.add_slot(task, None, store, pending);
    }

    fn add_slot(&self, task: &Task, owner_epoch: Option<u64>, store: Store, pending: Pending) {
        let has_state = pending.checkpoint.offset_record.is_some();
        let slot = Slot {
            owner_epoch,
            view: task.view.clone(),
            store: Mutex::new(Some(store)),
            dirty: AtomicBool::new(!pending.changes.is_empty() || (pending.is_file_empty && has_state)),
            pending: Mutex::new(pending),
            written: Mutex::new(self.clock.boot_time()),
        };
        self.slots.lock().insert(task.id.clone(), Arc::new(slot));
    }

    /// Notes what a commit wrote, once the task's view shows it: `changelog_next` is the changelog offset after its offset
    /// record, if it is known.
    pub fn committed(
        &self,
        id: &TaskId,
        changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
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
        let (changes, mut checkpoint, is_file_empty) = {
            let mut pending = slot.pending.lock();
            slot.dirty.store(false, Ordering::Release);
            let changes = std::mem::take(&mut pending.changes);
            (changes, pending.checkpoint.clone(), std::mem::take(&mut pending.is_file_empty))
        };
        *slot.written.lock() = self.clock.boot_time();
        failpoint::hit("checkpoint.before_write");
        let result = if is_file_empty {
            // The view may be ahead of the checkpoint's changelog offset, never behind: a restart reads what was committed
            // since again.
            let mut whole = Whole::of(&slot.view.read());
            // In the file's order, which is quicker to write.
            whole.entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            checkpoint.offset_record = Some(whole.record.clone());
            open.write(whole.entries(&changes), &checkpoint)
        } else {
            open.write(changes.iter().map(|(key, value)| (key, value.as_ref())), &checkpoint)
        };
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
            pending.is_file_empty = is_file_empty;
            slot.dirty.store(true, Ordering::Release);
            self.metrics.checkpoint_failed();
            tracing::error!(task = %id, "checkpoint not written, trying again: {error}");
        }
        failpoint::hit("checkpoint.after_write");
    }

    /// Gives a task's file back, open, with what it does not hold yet; `None` if it has been given up.
    pub fn take(&self, task: &Task) -> Option<(Store, Pending)> {
        let slot = self.take_slot(task)?;
        // A write that is under way ends first.
        let store = slot.store.lock().take()?;
        let mut pending = slot.pending.lock();
        let changes = std::mem::take(&mut pending.changes);
        let is_file_empty = pending.is_file_empty;
        Some((store, Pending { changes, checkpoint: pending.checkpoint.clone(), is_file_empty }))
    }

    /// Writes what is pending of a task and closes its file.
    pub fn remove(&self, task: &Task) {
        let Some(slot) = self.take_slot(task) else { return };
        if slot.dirty.load(Ordering::Acquire) {
            self.write(&task.id, &slot);
        }
        *slot.store.lock() = None;
    }

    /// Only a task's own slot: that of another owner in this process, who has the partition by now, is not its to close. A
    /// task is known by its view, which it has in common with its successor under another plan.
    fn take_slot(&self, task: &Task) -> Option<Arc<Slot>> {
        let mut slots = self.slots.lock();
        let is_its = slots.get(&task.id).is_some_and(|slot| Arc::ptr_eq(&slot.view, &task.view));
        if is_its { slots.remove(&task.id) } else { None }
    }

    /// Ends the thread; files are closed with [`Checkpointer::remove`].
    pub fn stop(&self) {
        self.stop.request();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::samples::{Sent, aggregate, fold, plan};
    use crate::aggregate::{Pane, TaskState, encode_labels};
    use crate::state::store::tests::{contents, on_disk};
    use crate::state::{Committed, EntryHash, Lease};

    /// Entries of an aggregate that the plan does not know.
    fn foreign(label: &str) -> Vec<u8> {
        let mut key = Vec::new();
        encode_labels([label], &mut key);
        EntryKey { aggregate: AggregateId(7), pane: Pane::TOTAL, key: key.into() }.encode()
    }

    /// Keys and values in a file, in order.
    type Entries = Vec<(Vec<u8>, Vec<u8>)>;

    /// A task that has committed three entries, and these.
    fn committed_task() -> (Task, Entries) {
        let plan = plan(aggregate());
        let lease = Arc::new(Lease::new(Clock::manual(0), Duration::from_secs(1)));
        let id = TaskId { topic: "events".into(), partition: 0 };
        let task = Task::new(id, "events".into(), plan.clone(), lease);
        let mut state = TaskState::new(plan);
        (0..3).for_each(|key| fold(&mut state, &Sent::at(1, key)));
        let committed = state.freeze(1).entries;
        let stored = |(entry, cell): &(EntryKey, Arc<Cell>)| {
            let mut value = Vec::new();
            cell.encode(&mut value);
            (entry.encode(), value)
        };
        let mut entries: Vec<_> = committed.iter().map(stored).collect();
        entries.sort();
        let shown = committed.into_iter().map(|(entry, cell)| (entry, Committed { cell, hash: EntryHash::default() }));
        task.view.write().apply(shown, &[], record(3), 0);
        (task, entries)
    }

    fn record(next_offset: i64) -> OffsetRecord {
        OffsetRecord { format_version: 1, next_offset, owner_epoch: 1, ..Default::default() }
    }

    #[test]
    fn an_empty_file_gets_the_view_whole_and_what_only_the_changes_have() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.redb");
        let (task, mut wanted) = committed_task();
        let outdated = wanted[0].0.clone();
        wanted.push((foreign("kept"), b"1".to_vec()));
        wanted.sort();

        let checkpointer = Checkpointer::start(Clock::manual(0), Arc::default()).unwrap();
        // The view is a commit ahead: what the changes have of its entries is old.
        let changes = Changes::from_iter([
            (foreign("kept"), Some(b"1".to_vec())),
            (foreign("gone"), None),
            (outdated, Some(b"old".to_vec())),
        ]);
        let checkpoint = Checkpoint { changelog_offset: 5, offset_record: Some(record(2)), ..Default::default() };
        let pending = Pending { changes, checkpoint, is_file_empty: true };
        checkpointer.add(&task, 1, Store::open(&path, 1 << 20).unwrap(), pending);
        checkpointer.remove(&task);
        checkpointer.stop();

        let store = Store::open(&path, 1 << 20).unwrap();
        assert_eq!(contents(&store), wanted);
        let checkpoint = store.checkpoint().unwrap().unwrap();
        assert_eq!((checkpoint.changelog_offset, checkpoint.offset_record), (5, Some(record(3))));
    }

    #[test]
    fn a_file_that_found_the_disk_full_is_written_whole_once_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.redb");
        let (task, mut wanted) = committed_task();
        let is_full = Arc::new(AtomicBool::new(false));
        let checkpointer = Checkpointer::start(Clock::manual(0), Arc::default()).unwrap();
        let changes = Changes::from_iter([(foreign("kept"), Some(b"1".to_vec()))]);
        let checkpoint = Checkpoint { changelog_offset: 5, offset_record: Some(record(3)), ..Default::default() };
        let pending = Pending { changes, checkpoint, is_file_empty: true };
        checkpointer.add(&task, 1, on_disk(&path, &is_full), pending);
        let slot = checkpointer.slots.lock()[&task.id].clone();
        is_full.store(true, Ordering::Relaxed);
        for _ in 0..3 {
            checkpointer.write(&task.id, &slot);
            assert!(slot.dirty.load(Ordering::Relaxed) && slot.pending.lock().is_file_empty);
        }
        // A commit in between.
        let first = EntryKey::decode(&wanted[0].0).unwrap();
        let shown = task.view.read().aggregate(first.aggregate).unwrap().get(first.pane, &first.key).unwrap().clone();
        let later = EntryKey { pane: Pane { end: 10_000, late: 0 }, ..first };
        task.view.write().apply([(later.clone(), shown)], &[], record(4), 0);
        checkpointer.committed(&task.id, [(later.encode(), Some(b"its value".to_vec()))], &record(4), Some(7));
        is_full.store(false, Ordering::Relaxed);
        checkpointer.remove(&task);
        checkpointer.stop();

        let store = Store::open(&path, 1 << 20).unwrap();
        wanted.push((later.encode(), wanted[0].1.clone()));
        wanted.push((foreign("kept"), b"1".to_vec()));
        wanted.sort();
        assert_eq!(contents(&store), wanted);
        let checkpoint = store.checkpoint().unwrap().unwrap();
        assert_eq!((checkpoint.changelog_offset, checkpoint.offset_record), (7, Some(record(4))));
    }

    #[test]
    fn a_former_owner_in_this_process_leaves_the_file_of_the_next_one_open() {
        let dir = tempfile::tempdir().unwrap();
        let (former, task) = (committed_task().0, committed_task().0);
        let checkpointer = Checkpointer::start(Clock::manual(0), Arc::default()).unwrap();
        let checkpoint = Checkpoint { changelog_offset: 5, offset_record: Some(record(3)), ..Default::default() };
        let pending = Pending { changes: Changes::default(), checkpoint, is_file_empty: false };
        checkpointer.add(&task, 2, Store::open(&dir.path().join("0.redb"), 1 << 20).unwrap(), pending);
        checkpointer.remove(&former);
        assert!(checkpointer.take(&former).is_none());
        assert!(checkpointer.take(&task).is_some());
        checkpointer.stop();
    }
}
