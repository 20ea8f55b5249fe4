//! Takes closed windows up into the backlog: those that nobody has pushed yet, once each, from committed state.

use super::points::{self, WindowRow};
use super::resource::{Resources, request};
use super::spool::{Dropped, Kind, Spool};
use crate::aggregate::{AggregatePlan, WindowGrid};
use crate::clock::BootTime;
use crate::config::Window;
use crate::publish::{Held, Publisher, merge};
use crate::query::{Closing, Progress, Source, aggregates};
use crate::state::Task;
use parking_lot::Mutex;
use prost::Message;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use streamgauge_proto::storage::v1::{PushBatch, PushCursor};

/// Rows of one request: with the measures of most configs that stays below what receivers accept (4 MiB).
const ROWS: usize = 500;

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    pub dropped: Dropped,
    /// Windows that expired before they could be pushed.
    pub expired: u64,
}

/// Looks for closed windows.
pub struct Collector {
    pub publisher: Arc<Publisher>,
    pub resources: Arc<Resources>,
    pub spool: Arc<Mutex<Spool>>,
    /// Since when a partition of an aggregate's source is missing.
    incomplete: HashMap<u64, BootTime>,
}

impl Collector {
    pub fn new(publisher: Arc<Publisher>, resources: Arc<Resources>, spool: Arc<Mutex<Spool>>) -> Collector {
        Collector { publisher, resources, spool, incomplete: HashMap::new() }
    }

    /// One round over all aggregates.
    ///
    /// # Errors
    /// If the backlog cannot be written: the next round tries again.
    pub fn round(&mut self) -> io::Result<Round> {
        let reader = self.publisher.reader().clone();
        let mut round = Round::default();
        let sources = reader.sources.now();
        for (source, plan) in aggregates(&sources).filter(|(_, plan)| !plan.config.windows.is_empty()) {
            self.aggregate(source, plan, &mut round)?;
        }
        Ok(round)
    }

    fn aggregate(&mut self, source: &Source, plan: &AggregatePlan, round: &mut Round) -> io::Result<()> {
        let Some(publisher) = source.publisher(&self.publisher.reader().registry).filter(|task| task.is_published())
        else {
            self.incomplete.remove(&plan.id.0);
            return Ok(());
        };
        let tasks =
            self.publisher.reader().whole(source).unwrap_or_else(|| source.tasks(&self.publisher.reader().registry));
        let Some(complete) = self.complete(source, plan, &tasks) else { return Ok(()) };
        let now = self.publisher.reader().clock.unix_millis();
        let closing = Closing::of(tasks.iter().map(|task| Progress::of(task, now, plan.config.idle_timeout)));
        let mut held = None;
        for window in &plan.config.windows {
            let grid = WindowGrid::from(*window);
            let kind: Kind = (plan.id.0, grid.size_ms, grid.hop_ms);
            // What another owner has pushed stands in the publishing partition's offset record.
            let before = self.spool.lock().cursor(kind).max(pushed_through(&publisher, plan));
            let Some(newest) = closing.newest_closed(grid, plan.grace_ms).filter(|&newest| before < Some(newest))
            else {
                continue;
            };
            let held = held.get_or_insert_with(|| Held::of(plan, &tasks));
            let due = held.due(grid, before, newest);
            round.expired += due.lost;
            let mut before = before;
            for end in due.ends {
                self.window(plan, window, &tasks, complete, (before, end), round)?;
                before = Some(end);
            }
        }
        let settle = |window: &Window| {
            let grid = WindowGrid::from(*window);
            self.spool.lock().settled((plan.id.0, grid.size_ms, grid.hop_ms))
        };
        if let Some(settled) = plan.config.windows.iter().map(settle).min().flatten() {
            publisher.set_pushed_through(plan.id, settled);
        }
        Ok(())
    }

    /// Whether every partition is here. `None`: wait; one is missing or not running, and not yet for so long that it no
    /// longer holds windows up. A window is pushed once: after a restart it must not go without what is still restoring.
    fn complete(&mut self, source: &Source, plan: &AggregatePlan, tasks: &[Arc<Task>]) -> Option<bool> {
        let registry = &self.publisher.reader().registry;
        let is_sound = |task: &Arc<Task>| task.is_published() || task.is_replica();
        if source.missing(registry, tasks).is_empty() && tasks.iter().all(is_sound) {
            self.incomplete.remove(&plan.id.0);
            return Some(true);
        }
        let now = self.publisher.reader().clock.boot_time();
        let since = *self.incomplete.entry(plan.id.0).or_insert(now);
        (now.since(since) >= plan.config.idle_timeout).then_some(false)
    }

    /// Stores one window, in as many batches as it takes; the last one moves the cursor.
    fn window(
        &self,
        plan: &AggregatePlan,
        window: &Window,
        tasks: &[Arc<Task>],
        complete: bool,
        (before, end): (Option<i64>, i64),
        round: &mut Round,
    ) -> io::Result<()> {
        let grid = WindowGrid::from(*window);
        let span = grid.span(end);
        let merged = merge(plan, Some(span), tasks).into_iter();
        let rows: Vec<WindowRow> = merged.map(|row| WindowRow { span, key: row.key, states: row.states }).collect();
        let mut chunks = rows.chunks(ROWS).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let last = chunks.peek().is_none();
            let mut metrics = points::windows(plan, window, chunk);
            if last {
                metrics.extend(points::window_ends(plan, window, std::iter::once(span), complete));
            }
            let cursor =
                PushCursor { aggregate: plan.id.0, size_ms: grid.size_ms, hop_ms: grid.hop_ms, through: end, before };
            let batch = PushBatch {
                created_at_ms: self.publisher.reader().clock.unix_millis(),
                windows: u32::from(last),
                cursors: if last { vec![cursor] } else { Vec::new() },
                request: request(&self.resources.group, metrics).encode_to_vec(),
            };
            let dropped = self.spool.lock().store(&batch)?;
            round.dropped.size += dropped.size;
            round.dropped.age += dropped.age;
            if last {
                return Ok(());
            }
        }
    }
}

/// Up to where an owner of the publishing partition has pushed every kind of window; `None` if none ever did.
fn pushed_through(publisher: &Task, plan: &AggregatePlan) -> Option<i64> {
    let view = publisher.view.read();
    view.record().aggregates.iter().find(|progress| progress.id == plan.id.0)?.pushed_through
}
