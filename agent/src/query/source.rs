//! What there is to read: the config's sources, their aggregates, and the tasks that hold them.

use crate::aggregate::{AggregatePlan, Plan};
use crate::config;
use crate::state::{Registry, Task, TaskId};
use parking_lot::RwLock;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One source of the config with its plan.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: Arc<str>,
    pub plan: Arc<Plan>,
    /// Topic names and patterns, in the order of the config.
    topics: Vec<Topics>,
}

#[derive(Clone, Debug)]
enum Topics {
    Named(Arc<str>),
    Matching(Regex),
}

impl Source {
    /// A topic pattern that is no regular expression matches nothing; the config's check has refused it before.
    pub fn new(source: &config::Source, plan: Arc<Plan>) -> Source {
        let topics = source.topics.iter().filter_map(|topic| match topic.strip_prefix('^') {
            Some(_) => Regex::new(topic).ok().map(Topics::Matching),
            None => Some(Topics::Named(topic.as_str().into())),
        });
        Source { name: source.name.as_str().into(), plan, topics: topics.collect() }
    }

    /// The topics read, as far as they are known: named ones always, matching ones when the cluster has them.
    pub fn topics(&self, registry: &Registry) -> Vec<Arc<str>> {
        let known = registry.partitions();
        let mut topics = Vec::new();
        for entry in &self.topics {
            match entry {
                Topics::Named(name) => topics.push(name.clone()),
                Topics::Matching(regex) => topics.extend(known.keys().filter(|name| regex.is_match(name)).cloned()),
            }
        }
        let mut seen = BTreeSet::new();
        topics.retain(|topic| seen.insert(topic.clone()));
        topics
    }

    /// This agent's tasks of the source, by topic and partition.
    pub fn tasks(&self, registry: &Registry) -> Vec<Arc<Task>> {
        registry.tasks().into_iter().filter(|task| task.source == self.name).collect()
    }

    /// Partitions of the source's topics that are not among `tasks`.
    pub fn missing(&self, registry: &Registry, tasks: &[Arc<Task>]) -> Vec<TaskId> {
        let here: BTreeSet<&TaskId> = tasks.iter().map(|task| &task.id).collect();
        let counts = registry.partitions();
        let all = self.topics(registry).into_iter().flat_map(|topic| {
            let count = counts.get(&topic).copied().unwrap_or(0);
            (0..count).map(move |partition| TaskId { topic: topic.clone(), partition })
        });
        all.filter(|id| !here.contains(id)).collect()
    }

    /// The task that publishes what is published once for the group: partition 0 of the first topic. `None` if it is not
    /// here.
    pub fn publisher(&self, registry: &Registry) -> Option<Arc<Task>> {
        let topic = self.topics(registry).into_iter().next()?;
        registry.task(&TaskId { topic, partition: 0 })
    }
}

/// The sources of the config in force; a reload replaces them as a whole.
#[derive(Debug, Default)]
pub struct Sources(RwLock<Arc<[Source]>>);

impl Sources {
    pub fn new(sources: impl IntoIterator<Item = Source>) -> Sources {
        Sources(RwLock::new(sources.into_iter().collect()))
    }

    /// Those of now: whoever answers keeps them until the answer is complete.
    pub fn now(&self) -> Arc<[Source]> {
        self.0.read().clone()
    }

    pub fn replace(&self, sources: impl IntoIterator<Item = Source>) {
        *self.0.write() = sources.into_iter().collect();
    }
}

/// The sources' aggregates in the config's order, each with its source.
pub fn aggregates(sources: &[Source]) -> impl Iterator<Item = (&Source, &Arc<AggregatePlan>)> {
    sources.iter().flat_map(|source| source.plan.aggregates.iter().map(move |plan| (source, plan)))
}
