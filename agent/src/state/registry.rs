//! All tasks of this agent: workers put theirs in and take them out, readers look.

use super::commits::Commits;
use super::{Phase, SourceTopic, SourceTopics, Task, TaskId};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The tasks of this agent.
#[derive(Debug, Default)]
pub struct Registry {
    /// In the order in which they came. A partition may have several for a while: a worker that the group has put out does
    /// not know yet that another one of this process has its partitions.
    tasks: RwLock<BTreeMap<TaskId, Vec<Arc<Task>>>>,
    /// Copies of other agents' tasks.
    replicas: RwLock<BTreeMap<TaskId, Arc<Task>>>,
    topics: RwLock<Arc<SourceTopics>>,
    commits: Arc<Commits>,
}

impl Registry {
    /// Resolves after a commit of any task or replica, also after one that came since the last call. For one waiter.
    pub async fn commit(&self) {
        self.commits.next().await;
    }

    /// Changes with every commit of any task or replica.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.watch()
    }

    pub fn insert(&self, task: Arc<Task>) {
        task.tell_of_commits(&self.commits);
        self.tasks.write().entry(task.id.clone()).or_default().push(task);
    }

    /// Puts a task in the place of the one that it goes on from.
    pub fn replace(&self, before: &Arc<Task>, task: Arc<Task>) {
        task.tell_of_commits(&self.commits);
        let mut tasks = self.tasks.write();
        let its = tasks.get_mut(&before.id).and_then(|all| all.iter_mut().find(|known| Arc::ptr_eq(known, before)));
        if let Some(place) = its {
            *place = task;
        }
    }

    /// Takes out this very task, and no other of the same partition. True if nobody here has the partition any more.
    pub fn remove(&self, task: &Arc<Task>) -> bool {
        let mut tasks = self.tasks.write();
        let Some(all) = tasks.get_mut(&task.id) else { return true };
        all.retain(|known| !Arc::ptr_eq(known, task));
        let gone = all.is_empty();
        if gone {
            tasks.remove(&task.id);
        }
        gone
    }

    /// One task a partition, ordered by topic and partition.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tasks.read().values().filter_map(|all| in_force(all)).cloned().collect()
    }

    pub fn task(&self, id: &TaskId) -> Option<Arc<Task>> {
        self.tasks.read().get(id).and_then(|all| in_force(all)).cloned()
    }

    pub fn insert_replica(&self, replica: Arc<Task>) {
        replica.tell_of_commits(&self.commits);
        self.replicas.write().insert(replica.id.clone(), replica);
    }

    pub fn remove_replica(&self, id: &TaskId) {
        self.replicas.write().remove(id);
    }

    /// Copies of other agents' tasks that may be read, ordered by topic and partition.
    pub fn replicas(&self) -> Vec<Arc<Task>> {
        self.replicas.read().values().cloned().collect()
    }

    pub fn replica(&self, id: &TaskId) -> Option<Arc<Task>> {
        self.replicas.read().get(id).cloned()
    }

    /// Notes that the cluster has a source topic with so many partitions.
    pub fn set_partitions(&self, topic: Arc<str>, count: i32) {
        let mut topics = self.topics.write();
        Arc::make_mut(&mut topics).by_name.entry(topic).or_default().partitions = count;
    }

    /// Notes all source topics that the cluster has: others are gone.
    pub fn set_topics(&self, topics: BTreeMap<Arc<str>, SourceTopic>) {
        *self.topics.write() = Arc::new(SourceTopics { by_name: topics, is_whole: true });
    }

    /// The source topics as the cluster was last seen.
    pub fn topics(&self) -> Arc<SourceTopics> {
        self.topics.read().clone()
    }

    /// Source topics and how many partitions each has.
    pub fn partitions(&self) -> BTreeMap<Arc<str>, i32> {
        self.topics().by_name.iter().map(|(name, topic)| (name.clone(), topic.partitions)).collect()
    }
}

/// Of several tasks of one partition the newest that runs, else the newest.
fn in_force(tasks: &[Arc<Task>]) -> Option<&Arc<Task>> {
    tasks.iter().rev().find(|task| task.phase() == Phase::Running).or(tasks.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::samples::{aggregate, plan};
    use crate::clock::Clock;
    use crate::state::Lease;
    use std::time::Duration;

    fn task(phase: Phase) -> Arc<Task> {
        let lease = Arc::new(Lease::new(Clock::manual(0), Duration::from_secs(1)));
        let id = TaskId { topic: "events".into(), partition: 0 };
        let task = Task::new(id, "events".into(), plan(aggregate()), lease);
        task.set_phase(phase);
        Arc::new(task)
    }

    const RESTORING: Phase = Phase::Restoring { done: 0, of: 0 };

    fn shows(registry: &Registry, task: &Arc<Task>) -> bool {
        registry.task(&task.id).is_some_and(|shown| Arc::ptr_eq(&shown, task)) && registry.tasks().len() == 1
    }

    #[test]
    fn a_worker_that_lost_a_partition_takes_out_its_own_task_and_no_other() {
        let registry = Registry::default();
        let (old, new) = (task(Phase::Running), task(RESTORING));
        registry.insert(old.clone());
        registry.insert(new.clone());
        assert!(shows(&registry, &old), "what was committed can be read until the new owner has it");
        new.set_phase(Phase::Running);
        assert!(shows(&registry, &new));
        // The loser gives its own away, twice, and what it says last of a task under another plan is for nobody.
        assert!(!registry.remove(&old));
        assert!(!registry.remove(&old));
        registry.replace(&old, task(Phase::Running));
        assert!(shows(&registry, &new));
        assert!(registry.remove(&new));
        assert!(registry.tasks().is_empty());
    }

    #[test]
    fn an_owner_stays_when_a_worker_hears_late_of_what_it_was_given_and_lost_again() {
        let registry = Registry::default();
        let (owner, late) = (task(Phase::Running), task(RESTORING));
        registry.insert(owner.clone());
        registry.insert(late.clone());
        assert!(!registry.remove(&late));
        assert!(shows(&registry, &owner));
    }
}
