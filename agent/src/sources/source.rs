//! One source: which topics are its own, which of its partitions are here, and who publishes for it.

use crate::aggregate::Plan;
use crate::config::{self, Config, TopicSelector, is_own_topic};
use crate::state::{Registry, Task, TaskId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What all sources of a config select, in its order.
#[derive(Debug, Default)]
pub(super) struct Selectors {
    sources: Vec<Vec<TopicSelector>>,
    /// Topics that the config gives dead letters.
    dead_letters: BTreeSet<String>,
}

impl Selectors {
    pub(super) fn of(config: &Config) -> Selectors {
        let dead_letters = config.sources.iter().filter_map(|source| source.dead_letters.topic.clone());
        Selectors {
            sources: config.sources.iter().map(|source| source.topics.clone()).collect(),
            dead_letters: dead_letters.collect(),
        }
    }

    /// Position of the source that `topic` belongs to: the first that selects it. The agents' own topics belong to one
    /// that names them only.
    pub(super) fn source_of(&self, topic: &str) -> Option<usize> {
        let own = is_own_topic(topic) || self.dead_letters.contains(topic);
        let selects = |selector: &TopicSelector| (!own || selector.name().is_some()) && selector.matches(topic);
        self.sources.iter().position(|selectors| selectors.iter().any(selects))
    }
}

/// A source of the config with the plan of its aggregates.
#[derive(Debug)]
pub struct Source {
    pub config: config::Source,
    pub name: Arc<str>,
    pub plan: Arc<Plan>,
    position: usize,
    all: Arc<Selectors>,
}

impl Source {
    pub(super) fn new(config: &Config, position: usize, all: Arc<Selectors>) -> Source {
        let source = &config.sources[position];
        let plan = Plan::new(source, &config.aggregates).with_label_bytes(config.limits.label_bytes);
        Source { config: source.clone(), name: source.name.as_str().into(), plan: Arc::new(plan), position, all }
    }

    /// Whether both fold the same from the same topics.
    pub fn is_same(&self, other: &Source) -> bool {
        let aggregates = |plan: &Plan| plan.aggregates.iter().map(|a| (a.id, a.config.clone())).collect::<Vec<_>>();
        self.config == other.config
            && self.plan.label_bytes == other.plan.label_bytes
            && aggregates(&self.plan) == aggregates(&other.plan)
    }

    /// Whether `topic` belongs to this source, and to no earlier one.
    pub fn reads(&self, topic: &str) -> bool {
        self.all.source_of(topic) == Some(self.position)
    }

    /// The topics read, as far as they are known: named ones always, matching ones when the cluster has them.
    pub fn topics(&self, registry: &Registry) -> Vec<Arc<str>> {
        let known = registry.partitions();
        let mut topics = Vec::new();
        for selector in &self.config.topics {
            match selector.name() {
                Some(name) => topics.push(name.clone()),
                None => topics.extend(known.keys().filter(|name| selector.matches(name) && self.reads(name)).cloned()),
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
