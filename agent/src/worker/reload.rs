//! Another set of sources and aggregates while a worker runs: what both have goes on untouched, what is new begins, what
//! is gone is deleted with the next commit. It happens between two epochs, and needs no rebalance.

use super::WorkerError;
use super::fold::{LiveTask, SourceWork};
use super::run::Worker;
use crate::aggregate::{AggregateId, EntryKey, Plan, TaskState};
use crate::kafka::TopicPartition;
use crate::sources::{Plans, Source};
use crate::state::Task;
use std::collections::BTreeMap;
use std::sync::Arc;
use streamgauge_proto::storage::v1::{AggregateProgress, OffsetRecord};

/// What becomes of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its state goes on.
    Unchanged,
    /// It begins empty at the current offsets.
    Added,
    /// The same name with another definition: it begins empty, and what was counted under the old one is deleted.
    Changed,
    /// Its state is deleted.
    Removed,
}

/// What becomes of each aggregate, by name, between two sets of names and ids.
pub fn changes<'a>(
    before: impl IntoIterator<Item = (&'a str, AggregateId)>,
    after: impl IntoIterator<Item = (&'a str, AggregateId)>,
) -> BTreeMap<String, Change> {
    let mut ids: BTreeMap<&str, Vec<AggregateId>> = BTreeMap::new();
    before.into_iter().for_each(|(name, id)| ids.entry(name).or_default().push(id));
    let mut changes = BTreeMap::new();
    for (name, id) in after {
        let change = match ids.remove(name) {
            None => Change::Added,
            Some(before) if before.contains(&id) => Change::Unchanged,
            Some(_) => Change::Changed,
        };
        changes.insert(name.to_owned(), change);
    }
    changes.extend(ids.into_keys().map(|name| (name.to_owned(), Change::Removed)));
    changes
}

impl Worker<'_> {
    /// Takes over the agent's plans if they are newer than ours and no epoch of ours is under way.
    pub(super) fn take_over_plans(&mut self) -> Result<(), WorkerError> {
        let plans = self.agent.plans();
        if plans.number == self.plans.number || self.commits.is_under_way() {
            return Ok(());
        }
        let again = self.replan(&plans);
        self.plans = plans;
        self.follow_topics()?;
        if !again.is_empty() {
            self.drop_and_restore(&again)?;
        }
        self.status.set_plans(self.plans.number);
        Ok(())
    }

    /// Gives every task its new plan. Returns those that have to be restored under it.
    fn replan(&mut self, plans: &Arc<Plans>) -> Vec<TopicPartition> {
        let mut before: Vec<Option<SourceWork>> = self.sources.drain(..).map(Some).collect();
        let same = |old: &SourceWork, new: &Arc<Source>| old.plan.is_same(new);
        let mut works = Vec::new();
        for new in &plans.sources {
            let kept = before.iter().position(|old| old.as_ref().is_some_and(|old| same(old, new)));
            works.push(match kept.and_then(|at| before[at].take().map(|work| (at, work))) {
                Some((at, work)) => (Some(at), work),
                None => (None, SourceWork::new(new, self.agent)),
            });
        }
        let mut again: Vec<_> = self.restores.ids().cloned().collect();
        for live in &mut self.tasks {
            match plans.source_of(&live.task.id.topic) {
                Some(at) if works[at].0 == Some(live.source) => live.source = at,
                Some(at) => {
                    let source = &plans.sources[at];
                    live.source = at;
                    if knows_stored(live, &source.plan) || wants_backfill(live, &source.plan) {
                        again.push(live.task.id.clone());
                        continue;
                    }
                    let before = live.task.clone();
                    replan_task(live, source.name.clone(), source.plan.clone());
                    self.agent.registry.replace(&before, live.task.clone());
                }
                // Its topic is read no more: the group takes it away soon, and it is folded as before until then.
                None => {
                    let kept = works.iter().position(|(was, _)| *was == Some(live.source));
                    live.source = kept.unwrap_or_else(|| {
                        let work = before.get_mut(live.source).and_then(Option::take);
                        works.extend(work.map(|work| (Some(live.source), work)));
                        works.len() - 1
                    });
                }
            }
        }
        self.sources = works.into_iter().map(|(_, work)| work).collect();
        again
    }

    /// Aggregates that the restored state has and the config does not: carried unread for a while, as another version
    /// in the group may know them; then deleted. And the other way round: one that was carried and is known again has a
    /// gap.
    pub(super) fn look_at_foreign(
        &self,
        task: &Task,
        record: &OffsetRecord,
        foreign: Vec<EntryKey>,
        state: &mut TaskState,
    ) {
        let now = self.agent.clock.unix_millis();
        let keep = i64::try_from(self.agent.config.state.keep_removed.as_millis()).unwrap_or(i64::MAX);
        for progress in &record.aggregates {
            let id = AggregateId(progress.id);
            let known = task.plan.aggregate(id).is_some();
            if let (true, Some(from)) = (known, progress.unfolded_from) {
                let gap = (record.next_offset - from).max(0) as u64;
                tracing::error!(task = %task.id, aggregate = progress.name, gap, "records were read while the config did not have this aggregate: they are missing from it");
                self.agent.metrics.gap(&progress.name, gap);
            }
            if !known && carried_for(progress, record.written_at_ms, now) >= keep {
                tracing::info!(task = %task.id, aggregate = progress.name, "state of an aggregate that the config no longer has is deleted");
                task.ownership.forget(id);
            }
        }
        state.forget(foreign.into_iter().filter(|entry| task.ownership.is_forgotten(entry.aggregate)));
    }
}

/// How long an aggregate has been carried unread, milliseconds. By the last commit and by the wall clock both: one start with
/// a clock that is ahead deletes nothing.
fn carried_for(progress: &AggregateProgress, written_at: i64, now: i64) -> i64 {
    match progress.unknown_since_ms {
        0 => 0,
        since => now.min(written_at).saturating_sub(since).max(0),
    }
}

/// Whether the stored state has entries, not loaded now, of an aggregate that only the new plan knows.
fn knows_stored(live: &LiveTask, plan: &Plan) -> bool {
    let view = live.task.view.read();
    let stored = |id: AggregateId| view.record().aggregates.iter().any(|progress| progress.id == id.0);
    plan.aggregates.iter().any(|new| live.task.plan.aggregate(new.id).is_none() && stored(new.id))
}

/// Whether the new plan adds an aggregate that is to begin with what Kafka still has: restoring does that.
fn wants_backfill(live: &LiveTask, plan: &Plan) -> bool {
    plan.aggregates.iter().any(|new| new.config.backfill && live.task.plan.aggregate(new.id).is_none())
}

fn replan_task(live: &mut LiveTask, source: Arc<str>, plan: Arc<Plan>) {
    let counted: Vec<_> =
        live.state.counters().map(|(aggregate, _)| aggregate.id).zip(live.counted.drain(..)).collect();
    let of = |id| counted.iter().find(|(known, _)| *known == id).map(|(_, counted)| *counted).unwrap_or_default();
    live.counted = plan.aggregates.iter().map(|aggregate| of(aggregate.id)).collect();
    for gone in live.state.replan(plan.clone()) {
        live.task.ownership.forget(gone);
    }
    live.task = Arc::new(live.task.with_plan(source, plan));
    live.tallied = false;
    // New and removed ones are committed soon, whether or not events come.
    live.changed = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_an_aggregate_follows_from_its_name_and_id() {
        let ids = |pairs: &[(&'static str, u64)]| pairs.iter().map(|&(n, id)| (n, AggregateId(id))).collect::<Vec<_>>();
        let found = changes(ids(&[("a", 1), ("b", 2), ("c", 3)]), ids(&[("a", 1), ("b", 7), ("d", 4)]));
        let expected = [("a", Change::Unchanged), ("b", Change::Changed), ("c", Change::Removed), ("d", Change::Added)];
        assert_eq!(found, expected.into_iter().map(|(name, change)| (name.to_owned(), change)).collect());
    }

    #[test]
    fn an_aggregate_has_been_carried_for_as_long_as_commits_and_the_clock_say() {
        let since = |unknown_since_ms| AggregateProgress { unknown_since_ms, ..AggregateProgress::default() };
        assert_eq!(carried_for(&since(0), 5_000, 9_000), 0);
        assert_eq!(carried_for(&since(1_000), 5_000, 5_500), 4_000);
        assert_eq!(carried_for(&since(1_000), 5_000, 90_000_000), 4_000, "the clock is a day ahead");
        assert_eq!(carried_for(&since(1_000), 90_000_000, 5_500), 4_500, "and was when the last commit was made");
    }
}
