//! What an aggregate counts: one source, or several whose partitions are summed as those of one are. Which of them are here,
//! and who publishes what is published once.

use super::Source;
use crate::state::{Registry, Task, TaskId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The sources of an aggregate, in the config's order.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub sources: Vec<Arc<Source>>,
}

impl Inputs {
    pub(super) fn is_same(&self, other: &Inputs) -> bool {
        let names = |inputs: &Inputs| inputs.sources.iter().map(|source| source.name.clone()).collect::<Vec<_>>();
        names(self) == names(other)
    }

    /// Whether a task's partition is one of them.
    pub fn has(&self, task: &Task) -> bool {
        self.sources.iter().any(|source| source.name == task.source)
    }

    /// The topics that there are now, in the order of the config.
    pub fn topics(&self, registry: &Registry) -> Vec<Arc<str>> {
        self.present(registry).into_iter().map(|(topic, _)| topic).collect()
    }

    fn present(&self, registry: &Registry) -> Vec<(Arc<str>, Option<i64>)> {
        let known = registry.topics();
        self.sources.iter().flat_map(|source| source.present(&known)).collect()
    }

    /// This agent's tasks of them, by topic and partition.
    pub fn tasks(&self, registry: &Registry) -> Vec<Arc<Task>> {
        registry.tasks().into_iter().filter(|task| self.has(task)).collect()
    }

    /// Partitions of their topics that are not among `tasks`.
    pub fn missing(&self, registry: &Registry, tasks: &[Arc<Task>]) -> Vec<TaskId> {
        let here: BTreeSet<&TaskId> = tasks.iter().map(|task| &task.id).collect();
        let known = registry.topics();
        let all = self.present(registry).into_iter().flat_map(|(topic, _)| {
            let count = known.by_name.get(&topic).map_or(0, |topic| topic.partitions);
            TaskId::all_of(&topic, count)
        });
        all.filter(|id| !here.contains(id)).collect()
    }

    /// The topic whose partition 0 publishes what is published once for the group: the only one, else the one that the
    /// group began with first. `None` while the group has begun with none, or that is not known.
    pub fn publishing_topic(&self, registry: &Registry) -> Option<Arc<str>> {
        oldest(self.present(registry))
    }

    /// The task that publishes what is published once for the group. `None` if it is not here.
    pub fn publisher(&self, registry: &Registry) -> Option<Arc<Task>> {
        let topic = self.publishing_topic(registry)?;
        registry.task(&TaskId { topic, partition: 0 })
    }
}

/// Pure: of topics, in the order of the config and with when the group began with them, the one to publish for all. A topic
/// that appears never takes over from those that were there, and one that vanishes hands over to the next oldest; every
/// agent decides the same. Of topics that began together, or before that was written down, it is the first.
fn oldest(topics: Vec<(Arc<str>, Option<i64>)>) -> Option<Arc<str>> {
    if let [(only, _)] = topics.as_slice() {
        return Some(only.clone());
    }
    let begun = topics.into_iter().filter_map(|(topic, began_at)| Some((began_at?, topic)));
    begun.min_by_key(|(began_at, _)| *began_at).map(|(_, topic)| topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::sources::{Plans, aggregates};
    use crate::state::SourceTopic;

    /// Of the one aggregate of a config with these sources.
    fn inputs(sources: &str, read: &str) -> Arc<Inputs> {
        let text = format!(
            "kafka: {{ bootstrap_servers: localhost:9092 }}\nsources:\n  {sources}\n\
             aggregates:\n  a: {{ {read}, windows: [1m], measures: {{ events: count }} }}\n"
        );
        let plans = Plans::new(0, &config::parse(&text, "c.yaml", &|_| None).unwrap());
        let all: Vec<Arc<Inputs>> = aggregates(&plans).map(|(inputs, _)| inputs.clone()).collect();
        assert_eq!(all.len(), 1);
        all[0].clone()
    }

    fn registry(topics: &[(&str, Option<i64>)]) -> Registry {
        let registry = Registry::default();
        let topic = |&(name, began_at): &(&str, _)| (name.into(), SourceTopic { partitions: 2, began_at });
        registry.set_topics(topics.iter().map(topic).collect());
        registry
    }

    #[test]
    fn the_publisher_stays_when_topics_appear_and_is_the_next_oldest_when_it_vanishes() {
        let inputs = inputs("one: { topics: ['^t-.*'], timestamp: { from: kafka } }", "source: one");
        let publishes = |topics: &[(&str, Option<i64>)]| inputs.publishing_topic(&registry(topics));
        assert_eq!(
            publishes(&[("t-5", None)]).as_deref(),
            Some("t-5"),
            "the only one, even before anything is committed"
        );
        assert_eq!(publishes(&[("t-5", Some(10)), ("t-0", None)]).as_deref(), Some("t-5"));
        assert_eq!(publishes(&[("t-5", Some(10)), ("t-0", Some(30)), ("t-7", Some(20))]).as_deref(), Some("t-5"));
        assert_eq!(publishes(&[("t-0", Some(30)), ("t-7", Some(20))]).as_deref(), Some("t-7"));
        assert_eq!(
            publishes(&[("t-7", Some(0)), ("t-5", Some(0))]).as_deref(),
            Some("t-5"),
            "before it was written down"
        );
        assert_eq!(publishes(&[("t-0", None), ("t-7", None)]), None);
    }

    #[test]
    fn several_sources_have_the_partitions_of_all_and_one_publisher() {
        let both =
            "web: { topics: [w], timestamp: { from: kafka } }\n  api: { topics: [a], timestamp: { from: kafka } }";
        let inputs = inputs(both, "sources: [web, api]");
        let there = registry(&[("a", Some(10)), ("w", Some(20)), ("elsewhere", None)]);
        let names = |topics: Vec<Arc<str>>| topics.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(inputs.topics(&there)), ["w", "a"]);
        let missing = inputs.missing(&there, &[]);
        assert_eq!(missing.iter().map(ToString::to_string).collect::<Vec<_>>(), ["w/0", "w/1", "a/0", "a/1"]);
        assert_eq!(inputs.publishing_topic(&there).as_deref(), Some("a"), "the group began with it first");
        assert_eq!(inputs.publishing_topic(&registry(&[("a", None), ("w", None)])), None);
    }
}
