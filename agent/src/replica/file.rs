//! A replica's state file: opened, or thrown away with the reason, and what it holds.

use super::error::RestoreError;
use super::identity::{Limits, TopicIds, Unusable, usable};
use super::replay::Replay;
use crate::aggregate::Plan;
use crate::config::Guarantee;
use crate::state::{FORMAT_VERSION, Pending, StateDir, Store, StoreError, Task, TaskId, View};
use crate::stop::Stop;
use crate::telemetry::Metrics;
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use streamgauge_proto::storage::v1::Checkpoint;

const BUSY_WAIT: Duration = Duration::from_millis(20);

/// How state files are opened.
#[derive(Clone)]
pub struct Files {
    pub state_dir: Arc<StateDir>,
    pub cache_bytes: usize,
    pub guarantee: Guarantee,
    pub metrics: Arc<Metrics>,
}

/// What to do about a file that another holder still has.
#[derive(Clone, Copy)]
pub enum Patience<'a> {
    /// It is waited for, until nobody wants it any more.
    Until(&'a Stop),
    /// It is tried again some other time.
    None,
}

impl Patience<'_> {
    fn is_over(self) -> bool {
        matches!(self, Patience::Until(stop) if stop.is_requested())
    }
}

/// A state to be continued with the changelog.
pub struct Opened {
    pub replay: Replay,
    /// What the replay leads to.
    pub view: Arc<RwLock<View>>,
    pub store: Store,
    pub checkpoint: Checkpoint,
    /// The changelog offset to go on from.
    pub from: i64,
    /// Nothing was there: all of it comes from the changelog.
    pub from_scratch: bool,
}

/// A replica on its way to be a task.
pub enum Kept {
    CatchingUp(Box<Opened>),
    Following(Box<Followed>),
}

/// What a replica has that was up to date.
pub struct Followed {
    pub view: View,
    pub replay: Replay,
    pub store: Store,
    pub pending: Pending,
}

/// Everything that a file holds, and the view of it; something less if patience ends meanwhile.
fn load(
    store: &Store,
    checkpoint: &Checkpoint,
    plan: &Arc<Plan>,
    patience: Patience<'_>,
) -> Result<(Replay, View), StoreError> {
    let mut view = View::default();
    let (record, next) = (checkpoint.offset_record.clone(), checkpoint.changelog_offset);
    let mut replay = Replay::of_file(plan.clone(), record, next, &mut view);
    store.entries(|key, value| {
        if !patience.is_over() {
            replay.load(key, value, &mut view);
        }
    })?;
    Ok((replay, view))
}

impl Files {
    /// What a file of this task has to say of itself.
    pub fn identity(&self, id: &TaskId, ids: &TopicIds, cluster_id: &str) -> Checkpoint {
        Checkpoint {
            format_version: FORMAT_VERSION,
            cluster_id: cluster_id.to_owned(),
            topic: id.topic.to_string(),
            partition: id.partition,
            topic_id: ids.source.to_string(),
            changelog_topic_id: ids.changelog.to_string(),
            ..Checkpoint::default()
        }
    }

    /// Opens a task's file; one that may not be continued within `limits` is thrown away.
    ///
    /// # Errors
    /// If the disk says no, the file is of a newer format, or nobody waits any more.
    pub fn open(
        &self,
        id: &TaskId,
        plan: &Arc<Plan>,
        identity: Checkpoint,
        limits: Limits,
        patience: Patience<'_>,
    ) -> Result<Opened, RestoreError> {
        let path = self.state_dir.task_file(&id.topic, id.partition);
        let mut store = self.open_store(id, &path, patience)?;
        let found = match store.checkpoint() {
            Ok(found) => found,
            Err(error) => {
                drop(store);
                self.discard(id, &path, "corrupt", &error.to_string())?;
                store = Store::open(&path, self.cache_bytes)?;
                None
            }
        };
        let loaded = match found.map(|found| usable(found, &identity, limits)) {
            Some(Ok(found)) => {
                let loaded = load(&store, &found, plan, patience);
                loaded.map(|loaded| Some((found, loaded))).map_err(|e| ("corrupt", e.to_string()))
            }
            Some(Err(Unusable::Discard(reason, detail))) => Err((reason, detail)),
            // The changelog tells whether it is to be continued all the same: after a reset it is.
            Some(Err(Unusable::Recreated)) => Err(("identity", "its source topic had another id".to_owned())),
            None => Ok(None),
        };
        if patience.is_over() {
            return Err(RestoreError::Cancelled);
        }
        let nothing = || (Replay::new(plan.clone()), View::default());
        let from_scratch = !matches!(loaded, Ok(Some(_)));
        let (checkpoint, (replay, view)) = match loaded {
            Ok(Some(loaded)) => loaded,
            Ok(None) => (identity, nothing()),
            Err((reason, detail)) => {
                drop(store);
                self.discard(id, &path, reason, &detail)?;
                store = Store::open(&path, self.cache_bytes)?;
                (identity, nothing())
            }
        };
        let from = checkpoint.changelog_offset;
        let replay = replay.under(self.guarantee);
        Ok(Opened { replay, view: Arc::new(RwLock::new(view)), store, checkpoint, from, from_scratch })
    }

    /// Opens or makes the file; a corrupt one is thrown away.
    fn open_store(&self, id: &TaskId, path: &Path, patience: Patience<'_>) -> Result<Store, RestoreError> {
        loop {
            match Store::open(path, self.cache_bytes) {
                Err(StoreError::Corrupt { error, .. }) => self.discard(id, path, "corrupt", &error)?,
                // A restore that nobody waits for any more, or a task just dropped, is about to close it.
                Err(StoreError::Busy { .. }) => match patience {
                    Patience::Until(stop) if !stop.sleep(BUSY_WAIT) => {}
                    Patience::Until(_) | Patience::None => return Err(RestoreError::Cancelled),
                },
                opened => return Ok(opened?),
            }
        }
    }

    /// Continues a replica as the task that is taken over; `None` if it may not be. Its file is closed then, and judged
    /// for itself. What was followed so far can be read meanwhile.
    pub fn accept(&self, kept: Kept, identity: &Checkpoint, limits: Limits, task: &Task) -> Option<Opened> {
        match kept {
            Kept::CatchingUp(mut opened) => {
                opened.checkpoint = usable(opened.checkpoint, identity, limits).ok()?;
                opened.from = opened.replay.rewind();
                (opened.from <= limits.changelog && opened.replay.serves(&task.plan)).then_some(*opened)
            }
            Kept::Following(followed) => {
                let Followed { view, mut replay, store, pending } = *followed;
                let checkpoint = usable(pending.checkpoint, identity, limits).ok()?;
                let from = replay.rewind();
                if from > limits.changelog || !replay.serves(&task.plan) {
                    return None;
                }
                *task.view.write() = view;
                let replay = replay.with_changes(pending.changes, pending.is_file_empty);
                Some(Opened { replay, view: task.view.clone(), store, checkpoint, from, from_scratch: false })
            }
        }
    }

    /// Throws a file away; the changelog rebuilds it.
    pub fn discard(&self, id: &TaskId, path: &Path, reason: &'static str, detail: &str) -> Result<(), RestoreError> {
        tracing::warn!(task = %id, "state file thrown away ({detail}); rebuilding from the changelog");
        self.metrics.state_rebuilt(reason);
        Store::discard(path).map_err(|e| StoreError::Unwritable { path: path.to_owned(), error: e.to_string() }.into())
    }
}
