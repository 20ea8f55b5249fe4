//! The group's closed windows, as their publisher shows them: the owner of partition 0 of the aggregate's first topic.
//!
//! With every partition at hand they are read when they are asked for. Otherwise the publisher asks the owners whenever a
//! window has closed, and keeps what it got. What is shown is committed before: a successor does not go back behind it.

use super::Publisher;
use crate::aggregate::{AggregateId, AggregatePlan, KeyBytes, WindowGrid, WindowSpan};
use crate::config::Window;
use crate::query::{
    Ask, Closing, Condition, Gathered, Known, Matchers, Progress, QueryError, States, gather, oldest_pane_end,
};
use crate::sources::{Source, aggregates};
use crate::state::{Task, TaskId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a publisher looks whether windows have closed.
const LOOK: Duration = Duration::from_millis(250);
/// A window that closed without some partition is read again this often, while it is the newest.
const AGAIN: i64 = 2_000;
/// How long a publication may take to be committed before the next look.
const COMMIT_WAIT: Duration = Duration::from_secs(1);
const COMMIT_LOOK: Duration = Duration::from_millis(10);

/// One kind of window with its newest closed one.
#[derive(Clone, Debug)]
pub struct ClosedWindow {
    pub window: Window,
    pub span: WindowSpan,
    /// All measures of each key, in the keys' order.
    pub rows: Arc<Vec<(KeyBytes, States)>>,
}

/// An aggregate's newest closed windows.
#[derive(Clone, Debug, Default)]
pub struct ClosedWindows {
    pub windows: Vec<ClosedWindow>,
    /// No partition was left out.
    pub complete: bool,
}

/// What a publisher has gathered from others.
#[derive(Debug)]
pub(super) struct Kept {
    /// The task that made this agent the publisher.
    publisher: Arc<Task>,
    shown: ClosedWindows,
    /// Nothing more can change these windows.
    is_final: bool,
    /// Wall time, Unix milliseconds.
    gathered_at: i64,
    partitions: HashMap<TaskId, Seen>,
}

/// What was last known of a partition.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    stream_time: Option<i64>,
    /// Wall time since which it has not been seen running, Unix milliseconds.
    missing_since: Option<i64>,
}

impl Publisher {
    /// The closed windows to be shown now; `None`: another agent's to show, or none are known yet.
    pub fn closed_windows(&self, source: &Source, plan: &AggregatePlan) -> Option<ClosedWindows> {
        let publisher = source.publisher(&self.reader().registry).filter(|task| task.is_published())?;
        let Some(tasks) = self.reader().whole(source) else {
            let kept = self.published.lock();
            let kept = kept.get(&plan.id).filter(|kept| Arc::ptr_eq(&kept.publisher, &publisher))?;
            return Some(kept.shown.clone());
        };
        let complete = tasks.iter().all(|task| task.is_published() || task.is_replica());
        let ends = self.local_ends(plan, &tasks, publisher.published_through(plan.id));
        let spans: Vec<WindowSpan> = ends.iter().map(|(window, end)| WindowGrid::from(*window).span(*end)).collect();
        let gathered = gather(&ask(plan, &spans, &all_measures(plan), &Matchers::default()), &tasks).ok()?;
        Some(ClosedWindows { windows: closed(&ends, &spans, gathered), complete })
    }

    fn local_ends(&self, plan: &AggregatePlan, tasks: &[Arc<Task>], floor: i64) -> Vec<(Window, i64)> {
        let now = self.reader().clock.unix_millis();
        let closing = Closing::of(tasks.iter().map(|task| Progress::of(task, now, plan.config.idle_timeout)));
        ends(plan, closing, oldest_pane_end(plan, tasks), floor, &[])
    }
}

/// Pure: the newest window of each kind that may be shown. `floor`: what has been committed as published; `before`: what
/// this publisher has shown. Neither is gone back behind.
fn ends(
    plan: &AggregatePlan,
    closing: Closing,
    oldest_end: Option<i64>,
    floor: i64,
    before: &[ClosedWindow],
) -> Vec<(Window, i64)> {
    let newest = |window: &Window| {
        let grid = WindowGrid::from(*window);
        let shown = before.iter().find(|shown| shown.window == *window).map(|shown| shown.span.end);
        // There is nothing to tell of windows that lie before all that is held.
        let committed =
            (floor > i64::MIN).then(|| grid.last_end(floor)).filter(|end| oldest_end.is_some_and(|o| o <= *end));
        let end = closing.newest_shown(grid, plan.grace_ms, oldest_end).max(shown).max(committed)?;
        Some((*window, end))
    };
    plan.config.windows.iter().filter_map(newest).collect()
}

/// Pure: the end that is committed as published, of the windows that come most often: every kind of window follows from it.
fn finest(ends: &[(Window, i64)]) -> Option<i64> {
    ends.iter().min_by_key(|(window, _)| window.hop).map(|(_, end)| *end)
}

fn all_measures(plan: &AggregatePlan) -> Vec<usize> {
    (0..plan.measures.len()).collect()
}

fn ask<'a>(plan: &'a AggregatePlan, spans: &'a [WindowSpan], measures: &'a [usize], matchers: &'a Matchers) -> Ask<'a> {
    // A page has room for all keys there are; those are limited.
    Ask { plan, spans: Some(spans), matchers, group_by: None, measures, limit: usize::MAX }
}

fn closed(ends: &[(Window, i64)], spans: &[WindowSpan], gathered: Gathered) -> Vec<ClosedWindow> {
    let mut rows: Vec<Vec<(KeyBytes, States)>> = spans.iter().map(|_| Vec::new()).collect();
    for ((group, span), states) in gathered.cells {
        rows[span as usize].push((gathered.groups[group as usize].clone(), states));
    }
    let mut windows = Vec::with_capacity(rows.len());
    for (((window, _), span), mut rows) in ends.iter().zip(spans).zip(rows) {
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        windows.push(ClosedWindow { window: *window, span: *span, rows: Arc::new(rows) });
    }
    windows
}

/// Pure: how far all of a source's partitions are, as far as closing goes. One that is not seen running counts with what was
/// last known of it, until it has been missing for `idle_timeout`.
fn progress(
    seen: &mut HashMap<TaskId, Seen>,
    all: &[TaskId],
    known: &[Known],
    now: i64,
    idle_timeout: Duration,
) -> Vec<Progress> {
    let one = |id: &TaskId| {
        let known = known.iter().find(|known| known.status.id == *id).map(|known| &known.status);
        let seen = seen.entry(id.clone()).or_default();
        seen.stream_time = seen.stream_time.max(known.and_then(|status| status.stream_time));
        match known.filter(|status| matches!(status.condition, Condition::Running | Condition::Replica)) {
            Some(status) => {
                seen.missing_since = None;
                status.progress()
            }
            None => {
                let since = *seen.missing_since.get_or_insert(now);
                let idle = now.saturating_sub(since) >= idle_timeout.as_millis() as i64;
                Progress { stream_time: seen.stream_time, idle }
            }
        }
    };
    all.iter().map(one).collect()
}

impl Publisher {
    /// Publishes the closed windows of every aggregate that is this agent's to publish, until dropped.
    pub async fn publish_windows(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            for (source, plan) in aggregates(&self.reader().sources.now()) {
                if plan.config.windows.is_empty() {
                    continue;
                }
                if let Err(error) = self.publish(source, plan).await {
                    tracing::warn!(aggregate = plan.config.name, "closed windows are not published: {error}");
                }
            }
        }
    }

    async fn publish(&self, source: &Source, plan: &Arc<AggregatePlan>) -> Result<(), QueryError> {
        let reader = self.reader();
        let publisher = source.publisher(&reader.registry).filter(|task| task.is_published());
        let Some(publisher) = publisher else {
            self.published.lock().remove(&plan.id);
            return Ok(());
        };
        if let Some(tasks) = reader.whole(source) {
            self.published.lock().remove(&plan.id);
            let floor = publisher.published_through(plan.id);
            if let Some(end) = finest(&self.local_ends(plan, &tasks, floor)).filter(|end| *end > floor) {
                publisher.ask_to_publish(plan.id, end);
            }
            return Ok(());
        }
        self.publish_gathered(source, plan, publisher).await
    }

    /// One look at the whole group; gathers what has closed since the last one.
    async fn publish_gathered(
        &self,
        source: &Source,
        plan: &Arc<AggregatePlan>,
        publisher: Arc<Task>,
    ) -> Result<(), QueryError> {
        let now = self.reader().clock.unix_millis();
        let before = self.published.lock().remove(&plan.id);
        let mut kept = before.filter(|kept| Arc::ptr_eq(&kept.publisher, &publisher)).unwrap_or_else(|| Kept {
            publisher: publisher.clone(),
            shown: ClosedWindows::default(),
            is_final: false,
            gathered_at: 0,
            partitions: HashMap::new(),
        });
        let result = self.gather_closed(source, plan, &mut kept, now).await;
        self.published.lock().insert(plan.id, kept);
        result
    }

    async fn gather_closed(
        &self,
        source: &Source,
        plan: &Arc<AggregatePlan>,
        kept: &mut Kept,
        now: i64,
    ) -> Result<(), QueryError> {
        let reader = self.reader();
        let (mut tasks, absent) = self.group.here(source);
        let mut all: Vec<TaskId> = tasks.iter().map(|task| task.id.clone()).collect();
        all.extend(absent.iter().cloned());
        let mut round = self.group.round(plan, absent, None).await?;
        tasks.extend(self.group.replicas_of(&mut round.missing));
        let mut known = reader.known(plan, &tasks);
        known.extend(round.parts.iter().flat_map(|(_, known, _)| known.iter().cloned()));
        let progress = progress(&mut kept.partitions, &all, &known, now, plan.config.idle_timeout);
        let settled = progress.iter().all(|partition| !partition.idle);
        let oldest = known.iter().filter_map(|known| known.oldest_end).min();
        let floor = kept.publisher.published_through(plan.id);
        let ends = ends(plan, Closing::of(progress), oldest, floor, &kept.shown.windows);
        let same = ends.len() == kept.shown.windows.len()
            && ends
                .iter()
                .zip(&kept.shown.windows)
                .all(|((window, end), shown)| (*window, *end) == (shown.window, shown.span.end));
        if same && (kept.is_final || now.saturating_sub(kept.gathered_at) < AGAIN) {
            return Ok(());
        }
        let spans: Vec<WindowSpan> = ends.iter().map(|(window, end)| WindowGrid::from(*window).span(*end)).collect();
        let (measures, matchers) = (all_measures(plan), Matchers::default());
        let ask = ask(plan, &spans, &measures, &matchers);
        let round = self.group.again(plan, round, (&ask, &[])).await?;
        let mut gathered = gather(&ask, &tasks)?;
        for (_, _, cells) in round.parts {
            gathered.absorb(cells, usize::MAX)?;
        }
        let all_sound =
            known.iter().all(|known| matches!(known.status.condition, Condition::Running | Condition::Replica));
        let complete = round.missing.is_empty() && all_sound;
        let Some(end) = finest(&ends) else { return Ok(()) };
        if !committed(&kept.publisher, plan.id, end).await {
            return Ok(());
        }
        kept.shown = ClosedWindows { windows: closed(&ends, &spans, gathered), complete };
        (kept.is_final, kept.gathered_at) = (complete && settled, now);
        Ok(())
    }
}

/// Has the end of the newest window committed as published; false if that takes too long.
async fn committed(publisher: &Arc<Task>, aggregate: AggregateId, end: i64) -> bool {
    let is_through = || publisher.published_through(aggregate) >= end;
    if is_through() {
        return true;
    }
    publisher.ask_to_publish(aggregate, end);
    let wait = async {
        while !is_through() {
            tokio::time::sleep(COMMIT_LOOK).await;
        }
    };
    tokio::time::timeout(COMMIT_WAIT, wait).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::{Agent, MINUTE, T0, event};

    fn windows(agent: &Agent, known: &[Known], seen: &mut HashMap<TaskId, Seen>, now: i64, of: i32) -> Vec<i64> {
        let source = &agent.reader.sources.now().sources[0];
        let plan = &source.plan.aggregates[0];
        let all: Vec<_> = (0..of).map(|partition| TaskId { topic: "log-events".into(), partition }).collect();
        let progress = progress(seen, &all, known, now, Duration::from_secs(60));
        let oldest = known.iter().filter_map(|known| known.oldest_end).min();
        ends(plan, Closing::of(progress), oldest, i64::MIN, &[]).into_iter().map(|(_, end)| end - T0).collect()
    }

    fn two_partitions() -> (Agent, Vec<Known>) {
        let mut agent = Agent::new(2, 2);
        agent.commit(0, &[event(T0, "/a", 200), event(T0 + 5 * MINUTE, "/a", 200)], 0);
        agent.commit(1, &[event(T0, "/a", 200), event(T0 + 3 * MINUTE, "/a", 200)], 0);
        let plan = agent.reader.sources.now().sources[0].plan.aggregates[0].clone();
        let tasks = agent.reader.registry.tasks();
        let known = agent.reader.known(&plan, &tasks);
        (agent, known)
    }

    #[test]
    fn a_missing_partition_holds_windows_up_as_far_as_it_was_known_until_it_has_been_missing_for_the_timeout() {
        let (agent, known) = two_partitions();
        let mut seen = HashMap::new();
        assert_eq!(windows(&agent, &known, &mut seen, T0, 2)[0], 2 * MINUTE);
        let one = &known[..1];
        assert_eq!(windows(&agent, one, &mut seen, T0 + 1_000, 2)[0], 2 * MINUTE);
        assert_eq!(windows(&agent, one, &mut seen, T0 + 60_999, 2)[0], 2 * MINUTE);
        assert_eq!(windows(&agent, one, &mut seen, T0 + 61_000, 2)[0], 4 * MINUTE);
        // It is back, and so is its say.
        assert_eq!(windows(&agent, &known, &mut seen, T0 + 62_000, 2)[0], 2 * MINUTE);
        assert_eq!(windows(&agent, one, &mut seen, T0 + 63_000, 2)[0], 2 * MINUTE);
    }

    #[test]
    fn a_partition_that_was_never_seen_holds_everything_up_until_the_timeout() {
        let (agent, known) = two_partitions();
        let mut seen = HashMap::new();
        assert!(windows(&agent, &known, &mut seen, T0, 3).is_empty());
        assert!(windows(&agent, &known, &mut seen, T0 + 59_999, 3).is_empty());
        assert_eq!(windows(&agent, &known, &mut seen, T0 + 60_000, 3)[0], 2 * MINUTE);
    }

    #[test]
    fn nothing_shown_or_committed_is_gone_back_behind() {
        let (agent, _) = two_partitions();
        let plan = agent.reader.sources.now().sources[0].plan.aggregates[0].clone();
        let plan = &plan;
        let closing = Closing::Through(T0 + 3 * MINUTE);
        let at = |floor, before: &[ClosedWindow]| {
            ends(plan, closing, Some(T0 + MINUTE), floor, before)
                .into_iter()
                .map(|(_, end)| end - T0)
                .collect::<Vec<_>>()
        };
        assert_eq!(at(i64::MIN, &[])[0], 2 * MINUTE);
        assert_eq!(at(T0 + 4 * MINUTE, &[])[0], 4 * MINUTE);
        let window = plan.config.windows[0];
        let span = WindowGrid::from(window).span(T0 + 5 * MINUTE);
        let shown = ClosedWindow { window, span, rows: Arc::default() };
        assert_eq!(at(T0 + 4 * MINUTE, &[shown])[0], 5 * MINUTE);
        let nothing_held = ends(plan, closing, None, T0 + 4 * MINUTE, &[]);
        assert!(nothing_held.is_empty());
    }

    #[test]
    fn the_finest_window_stands_for_all() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let hour = Window { size: minutes(60), hop: minutes(60) };
        let minute = Window { size: minutes(1), hop: minutes(1) };
        assert_eq!(finest(&[(hour, 7_200), (minute, 60)]), Some(60));
        assert_eq!(finest(&[]), None);
    }
}
