//! The group's closed windows, as their publisher shows them: the owner of partition 0 of the aggregate's first topic.
//!
//! A window that has closed is committed as published first, and shown then: a successor does not go back behind it. With
//! every partition at hand windows are read when they are asked for. Otherwise the publisher asks the owners, and keeps
//! what it got.

use super::look::{ClosedWindow, KeyRows, Look};
use super::rule::{Say, Seen, closing, standings, verdict};
use super::{Outlet, Publisher, push};
use crate::aggregate::{AggregatePlan, WindowGrid, WindowSpan};
use crate::config::Window;
use crate::query::{Gathered, Known, gather_window};
use crate::sources::Inputs;
use crate::state::{Task, TaskId, Through, WindowKind};
use std::collections::HashMap;
use std::sync::Arc;

/// A window that a partition may still change is read again this often, while it is the newest. Milliseconds.
const AGAIN: i64 = 2_000;

/// What a publisher knows of an aggregate.
#[derive(Debug)]
pub(super) struct Kept {
    /// The task that made this agent the publisher.
    publisher: Arc<Task>,
    seen: HashMap<TaskId, Seen>,
    /// What is shown, by kind.
    shown: Vec<Shown>,
    pub(super) push: push::Began,
}

/// What is shown of one kind of window.
#[derive(Clone, Debug)]
struct Shown {
    window: Window,
    span: WindowSpan,
    /// `None`: read when it is asked for.
    gathered: Option<Rows>,
}

#[derive(Clone, Debug)]
struct Rows {
    rows: Arc<KeyRows>,
    is_whole: bool,
    /// Nothing more can change it.
    is_final: bool,
    /// Boot time, milliseconds.
    at: i64,
}

impl Kept {
    fn new(publisher: Arc<Task>) -> Kept {
        Kept { publisher, seen: HashMap::new(), shown: Vec::new(), push: push::Began::default() }
    }
}

/// The newest window of a kind that may be shown: it is committed as published, and there is something to tell of it.
fn newest_published(publisher: &Task, kind: WindowKind, oldest_end: Option<i64>) -> Option<i64> {
    let published = Through::recorded(publisher.view.read().record(), kind).published?;
    oldest_end.is_some_and(|oldest| oldest <= published).then_some(published)
}

impl Publisher {
    /// The closed windows to be shown now; `None`: another agent's to show.
    pub fn closed_windows(&self, inputs: &Inputs, plan: &AggregatePlan) -> Option<Vec<ClosedWindow>> {
        let publisher = inputs.publisher(&self.reader().registry).filter(|task| task.is_published())?;
        let (shown, mut seen) = {
            let kept = self.kept.lock();
            let kept = kept.get(&plan.id).filter(|kept| Arc::ptr_eq(&kept.publisher, &publisher))?;
            (kept.shown.clone(), kept.seen.clone())
        };
        let windows = shown.into_iter().filter_map(|shown| {
            let Shown { window, span, gathered } = shown;
            let (rows, is_whole) = match gathered {
                Some(Rows { rows, is_whole, .. }) => (rows, is_whole),
                None => self.read(inputs, plan, span, &mut seen)?,
            };
            Some(ClosedWindow { window, span, rows, is_whole })
        });
        Some(windows.collect())
    }

    /// A window from what is here, as long as that is everything, and may be shown.
    fn read(
        &self,
        inputs: &Inputs,
        plan: &AggregatePlan,
        span: WindowSpan,
        seen: &mut HashMap<TaskId, Seen>,
    ) -> Option<(Arc<KeyRows>, bool)> {
        let tasks = self.reader().whole(inputs)?;
        let mut known = self.reader().known(plan, &tasks);
        let gathered = gather_window(plan, span, &tasks, &mut known).ok()?;
        let now = self.reader().clock.boot_time().as_millis();
        let standings = standings(seen, tasks.iter().map(|task| &task.id), &known, now, plan);
        let verdict = verdict(&standings, span, plan);
        let rows = rows(gathered, 1).pop().unwrap_or_default();
        verdict.is_shown().then(|| (Arc::new(rows), verdict.is_whole()))
    }

    /// Looks at one aggregate. True if the outlet has more to take at once.
    pub(super) async fn publish(
        &self,
        inputs: &Inputs,
        plan: &Arc<AggregatePlan>,
        outlet: Option<&Arc<dyn Outlet>>,
    ) -> Result<bool, String> {
        let publisher = inputs.publisher(&self.reader().registry).filter(|task| task.is_published());
        let Some(publisher) = publisher else {
            self.kept.lock().remove(&plan.id);
            return Ok(false);
        };
        let everyone = self.group.everyone(inputs, plan, false).await.map_err(|error| error.to_string())?;
        let now = self.reader().clock.boot_time().as_millis();
        let mut kept = {
            let mut kept = self.kept.lock();
            let known = kept.remove(&plan.id).filter(|kept| Arc::ptr_eq(&kept.publisher, &publisher));
            let known = known.unwrap_or_else(|| Kept::new(publisher.clone()));
            // Pages go on showing it meanwhile.
            kept.insert(plan.id, known.copy());
            known
        };
        let standings = standings(&mut kept.seen, everyone.all(), &everyone.known, now, plan);
        let look = Look { plan, publisher, everyone, standings };
        let shown = self.show(&look, &mut kept, now).await;
        let more = match outlet {
            Some(outlet) => self.push(inputs, &look, &mut kept.push, outlet).await,
            None => Ok(false),
        };
        let mut all = self.kept.lock();
        // Another look, or a reload, is not under way: this is the only one that writes.
        all.insert(plan.id, kept);
        drop(all);
        shown.and(more)
    }

    /// Has closed windows committed as published, and shows those that are.
    async fn show(&self, look: &Look<'_>, kept: &mut Kept, now: i64) -> Result<(), String> {
        let Look { plan, publisher, everyone, standings } = look;
        let oldest_end = everyone.known.iter().filter_map(|known| known.oldest_end).min();
        let is_here = everyone.is_here();
        for window in &plan.config.windows {
            let grid = WindowGrid::from(*window);
            let kind = WindowKind::new(plan.id, grid);
            let closed = closing(standings).newest_shown(grid, plan.grace_ms, oldest_end);
            if let Some(end) = closed.filter(|&end| verdict(standings, grid.span(end), plan).is_shown()) {
                publisher.publication.want(kind, Through { published: Some(end), pushed: None });
            }
            let Some(end) = newest_published(publisher, kind, oldest_end) else { continue };
            let before = kept.shown.iter().position(|shown| shown.window == *window);
            let span = grid.span(end);
            let found = match before.map(|at| &kept.shown[at]).filter(|shown| shown.span == span) {
                Some(Shown { gathered: None, .. }) if is_here => continue,
                Some(Shown { gathered: Some(rows), .. }) if rows.is_final || now.saturating_sub(rows.at) < AGAIN => {
                    continue;
                }
                _ if is_here => None,
                _ => match self.gathered(look, span, &mut kept.seen, now).await? {
                    Some(rows) => Some(rows),
                    None => continue,
                },
            };
            let shown = Shown { window: *window, span, gathered: found };
            match before {
                Some(at) => kept.shown[at] = shown,
                None => kept.shown.push(shown),
            }
        }
        let windows = &plan.config.windows;
        kept.shown.retain(|shown| windows.contains(&shown.window));
        kept.shown.sort_by_key(|shown| windows.iter().position(|window| *window == shown.window));
        Ok(())
    }

    async fn gathered(
        &self,
        look: &Look<'_>,
        span: WindowSpan,
        seen: &mut HashMap<TaskId, Seen>,
        now: i64,
    ) -> Result<Option<Rows>, String> {
        if !verdict(&look.standings, span, look.plan).is_shown() {
            return Ok(None);
        }
        let (rows, known) = self.gather_window(look, span).await?;
        let standings = standings(seen, look.everyone.all(), &known, now, look.plan);
        let verdict = verdict(&standings, span, look.plan);
        let settled = standings.iter().all(|standing| standing.say == Say::Holds);
        let is_whole = verdict.is_whole();
        let rows = Rows { rows: Arc::new(rows), is_whole, is_final: is_whole && settled, at: now };
        Ok(verdict.is_shown().then_some(rows))
    }

    /// One window of the whole group, and how far everyone was when it was read.
    pub(super) async fn gather_window(
        &self,
        look: &Look<'_>,
        span: WindowSpan,
    ) -> Result<(KeyRows, Vec<Known>), String> {
        let (gathered, known) = self.group.windows(look.plan, &[span], &look.everyone).await?;
        Ok((rows(gathered, 1).pop().unwrap_or_default(), known))
    }
}

impl Kept {
    /// For pages, while the next look is under way.
    fn copy(&self) -> Kept {
        let (publisher, seen) = (self.publisher.clone(), self.seen.clone());
        Kept { publisher, seen, shown: self.shown.clone(), push: push::Began::default() }
    }
}

/// The rows of each window, in the keys' order.
fn rows(gathered: Gathered, windows: usize) -> Vec<KeyRows> {
    let mut rows: Vec<KeyRows> = (0..windows).map(|_| Vec::new()).collect();
    for ((group, span), states) in gathered.cells {
        rows[span as usize].push((gathered.groups[group as usize].clone(), states));
    }
    rows.iter_mut().for_each(|rows| rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b)));
    rows
}
