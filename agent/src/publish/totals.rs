//! The whole group's totals, for aggregates that are published merged: shown by the publisher, and never going back.

use super::Publisher;
use crate::aggregate::{AggregatePlan, Cell, KeyBytes};
use crate::query::{Ask, Gathered, Matchers, States, gather};
use crate::sources::Inputs;
use crate::state::{Phase, Publication, Registry, Task, TaskId};
use std::sync::Arc;

/// What there is to show of merged totals.
#[derive(Debug)]
pub enum MergedTotals {
    /// In the keys' order.
    Shown(Vec<MergedTotal>),
    /// This agent is to show them and must not yet: a partition is missing or behind what may have been shown before.
    Stalled,
    /// Another agent's to show.
    NotHere,
}

/// All measures of a key, merged over partitions.
#[derive(Clone, Debug)]
pub struct MergedTotal {
    pub key: KeyBytes,
    pub states: States,
    /// Since when the first of the partitions counts, Unix milliseconds; not of windows.
    pub since: Option<i64>,
}

impl MergedTotal {
    /// One of each group, in the keys' order.
    fn all(gathered: Gathered) -> Vec<MergedTotal> {
        let Gathered { groups, cells, since, .. } = gathered;
        let one = |((group, _), states): ((u32, u32), States)| MergedTotal {
            key: groups[group as usize].clone(),
            states,
            since: since.get(group as usize).copied().flatten(),
        };
        let mut rows: Vec<_> = cells.into_iter().map(one).collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        rows
    }
}

impl Publisher {
    /// Whether merged totals are this agent's to show, and cannot be shown; `None`: another agent's.
    pub fn merged_stalled(&self, inputs: &Inputs) -> Option<bool> {
        let publisher = inputs.publisher(&self.reader().registry).filter(|task| task.is_published())?;
        let tasks = self.reader().whole(inputs);
        Some(!tasks.is_some_and(|tasks| may_show(&publisher.publication, &tasks)))
    }

    /// The totals of all partitions, from this agent's tasks and its replicas of the others.
    pub fn merged_totals(&self, inputs: &Inputs, plan: &AggregatePlan) -> MergedTotals {
        let publisher = inputs.publisher(&self.reader().registry).filter(|task| task.is_published());
        let Some(publisher) = publisher else { return MergedTotals::NotHere };
        // Two that read at the same time would take each other's offsets for a step back.
        let _one_at_a_time = self.merging.lock();
        let Some(tasks) = self.reader().whole(inputs).filter(|tasks| may_show(&publisher.publication, tasks)) else {
            return MergedTotals::Stalled;
        };
        let measures: Vec<usize> = (0..plan.measures.len()).collect();
        let matchers = Matchers::default();
        let ask =
            Ask { plan, spans: None, matchers: &matchers, group_by: None, measures: &measures, limit: usize::MAX };
        let Ok(gathered) = gather(&ask, &tasks) else { return MergedTotals::Stalled };
        let offsets = tasks.iter().zip(&gathered.as_of).map(|(task, as_of)| (task.id.clone(), as_of.next_offset));
        if !publisher.publication.advance_shown(&offsets.collect::<Vec<_>>()) {
            return MergedTotals::Stalled;
        }
        MergedTotals::Shown(MergedTotal::all(gathered))
    }
}

/// Whether these partitions' totals may be shown: own ones under their lease, replicas once they have read all that there
/// was when this agent was first to show them.
fn may_show(publication: &Publication, tasks: &[Arc<Task>]) -> bool {
    let has_passed = |task: &Task| publication.mark(&task.id).is_some_and(|mark| task.following.position() >= mark);
    tasks.iter().all(|task| if task.is_replica() { has_passed(task) } else { task.is_published() })
}

/// The running publisher of merged totals, if it is here, with the partitions of others that it has no mark of
/// yet. What the last publisher has shown of them had been committed by now; so a mark that is read later than this holds
/// for a partition that is added, or taken over by another agent, as well.
pub fn unmarked(inputs: &Inputs, registry: &Registry) -> Option<(Arc<Task>, Vec<TaskId>)> {
    let publisher = inputs.publisher(registry).filter(|task| task.phase() == Phase::Running)?;
    let mut ids = inputs.missing(registry, &inputs.tasks(registry));
    ids.retain(|id| publisher.publication.mark(id).is_none());
    (!ids.is_empty()).then_some((publisher, ids))
}

/// A task's totals in the keys' order.
pub fn task_totals(task: &Task, plan: &AggregatePlan) -> Vec<(KeyBytes, Arc<Cell>)> {
    let mut cells: Vec<_> = {
        // Only references are taken under the lock: the next commit does not wait for the page.
        let view = task.view.read();
        let totals = view.aggregate(plan.id).into_iter().flat_map(|aggregate| aggregate.totals());
        totals.map(|(key, committed)| (key.clone(), committed.cell.clone())).collect()
    };
    cells.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    cells
}

/// Since when a task has counted for an aggregate, Unix milliseconds; `None` before its first commit.
pub fn start_time(task: &Task, plan: &AggregatePlan) -> Option<i64> {
    task.view.read().start_time(plan.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::{Agent, T0, event};
    use crate::sources::aggregates;

    fn count(agent: &Agent) -> Option<u64> {
        let plans = agent.reader.sources.now();
        let (inputs, plan) = aggregates(&plans).next().unwrap();
        match Publisher::alone(agent.reader.clone()).merged_totals(inputs, plan) {
            MergedTotals::Shown(rows) => Some(rows.iter().filter_map(|row| row.states[0].count()).sum()),
            MergedTotals::Stalled => None,
            MergedTotals::NotHere => panic!("it is the publisher"),
        }
    }

    /// An agent with partition 0, and a replica of partition 1 that is at changelog offset 10.
    fn with_replica() -> (Agent, Agent) {
        let (mut agent, mut other) = (Agent::new(1, 2), Agent::having(1..2, 2));
        agent.commit(0, &[event(T0, "/a", 200)], 0);
        other.commit(0, &[event(T0, "/a", 200), event(T0, "/b", 200)], 0);
        let replica = other.task(0).clone();
        replica.set_phase(Phase::Replica { behind: Some(0) });
        replica.following.reach(10);
        agent.reader.registry.insert_replica(replica);
        (agent, other)
    }

    fn mark(agent: &Agent, mark: i64) {
        agent.task(0).publication.set_mark(TaskId { topic: "log-events".into(), partition: 1 }, mark);
    }

    #[test]
    fn a_new_publisher_shows_nothing_before_its_replicas_have_passed_what_there_was() {
        let (agent, other) = with_replica();
        assert_eq!(count(&agent), None, "the marks are not known yet");
        mark(&agent, 11);
        assert_eq!(count(&agent), None);
        other.task(0).following.reach(11);
        assert_eq!(count(&agent), Some(3));
    }

    #[test]
    fn a_replica_behind_what_was_shown_stalls_the_totals() {
        let (mut agent, _other) = with_replica();
        mark(&agent, 10);
        assert_eq!(count(&agent), Some(3));
        let older = Agent::having(1..2, 2);
        let behind = older.task(0).clone();
        behind.set_phase(Phase::Replica { behind: Some(0) });
        behind.following.reach(10);
        agent.reader.registry.insert_replica(behind);
        assert_eq!(count(&agent), None);
        agent.commit(0, &[event(T0, "/a", 200)], 0);
        assert_eq!(count(&agent), None);
    }

    #[test]
    fn a_partition_is_marked_when_it_appears_and_its_mark_stays() {
        let (agent, _other) = with_replica();
        let (registry, inputs) = (&agent.reader.registry, &agent.reader.sources.now().inputs[0]);
        let unmarked = || {
            let ids = unmarked(inputs, registry).into_iter().flat_map(|(_, ids)| ids);
            ids.map(|id| id.partition).collect::<Vec<_>>()
        };
        assert_eq!(unmarked(), [1]);
        mark(&agent, 10);
        assert!(unmarked().is_empty());
        registry.set_partitions("log-events".into(), 4);
        assert_eq!(unmarked(), [2, 3]);
        mark(&agent, 99);
        assert_eq!(count(&agent), None, "the added partitions are missing");
        registry.set_partitions("log-events".into(), 2);
        assert_eq!(count(&agent), Some(3), "the first mark counts");
    }

    #[test]
    fn without_a_view_of_every_partition_nothing_is_shown() {
        let mut agent = Agent::new(1, 2);
        agent.commit(0, &[event(T0, "/a", 200)], 0);
        assert_eq!(count(&agent), None);
    }
}
