//! One source: which topics are its own.

use crate::aggregate::Plan;
use crate::config::{self, Config, TopicSelector, is_own_topic};
use crate::state::{Registry, SourceTopics};
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
        let plan = Plan::new(source, &config.sources, &config.aggregates).with_label_bytes(config.limits.label_bytes);
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

    /// The topics that this source has now, in the order of the config.
    pub fn topics(&self, registry: &Registry) -> Vec<Arc<str>> {
        self.present(&registry.topics()).into_iter().map(|(topic, _)| topic).collect()
    }

    pub(super) fn present(&self, known: &SourceTopics) -> Vec<(Arc<str>, Option<i64>)> {
        let mut present: Vec<(Arc<str>, Option<i64>)> = Vec::new();
        for selector in &self.config.topics {
            let selected = known.by_name.iter().filter(|(name, _)| selector.matches(name) && self.reads(name));
            for (name, topic) in selected {
                if present.iter().all(|(other, _)| other != name) {
                    present.push((name.clone(), topic.began_at));
                }
            }
        }
        present
    }

    /// What the config wants and the cluster lacks: named topics, and the patterns if there is no topic at all. Nothing
    /// before the cluster has been looked at.
    pub fn absent(&self, registry: &Registry) -> Vec<&TopicSelector> {
        let known = registry.topics();
        if !known.is_whole {
            return Vec::new();
        }
        let has_none = self.present(&known).is_empty();
        let is_absent = |selector: &&TopicSelector| selector.name().map_or(has_none, |name| known.lacks(name));
        self.config.topics.iter().filter(is_absent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::sources::Plans;
    use crate::state::SourceTopic;

    fn plans(sources: &[(&str, &str)]) -> Plans {
        let sources: String = sources
            .iter()
            .map(|(name, topics)| format!("  {name}: {{ topics: [{topics}], timestamp: {{ from: kafka }} }}\n"))
            .collect();
        let text = format!(
            "kafka: {{ bootstrap_servers: localhost:9092 }}\nsources:\n{sources}\
             aggregates:\n  a: {{ source: one, windows: [1m], measures: {{ events: count }} }}\n"
        );
        Plans::new(0, &config::parse(&text, "c.yaml", &|_| None).unwrap())
    }

    fn registry(topics: &[(&str, Option<i64>)]) -> Registry {
        let registry = Registry::default();
        let topic = |&(name, began_at): &(&str, _)| (name.into(), SourceTopic { partitions: 1, began_at });
        registry.set_topics(topics.iter().map(topic).collect());
        registry
    }

    fn names(topics: &[Arc<str>]) -> Vec<&str> {
        topics.iter().map(|topic| &**topic).collect()
    }

    #[test]
    fn workers_and_readers_agree_whose_topic_it_is_when_patterns_overlap() {
        let plans = plans(&[("one", "'^app-.*'"), ("two", "'^app-x.*', other")]);
        let topics = ["app-1", "app-x1", "other", "app-1-dlq", "streamgauge-g-app-1-changelog", "elsewhere"];
        let registry = registry(&topics.map(|topic| (topic, None)));
        let read = |at: usize| plans.sources[at].topics(&registry);
        assert_eq!(names(&read(0)), ["app-1", "app-x1"]);
        assert_eq!(names(&read(1)), ["other"]);
        for topic in topics {
            let readers = (0..2).find(|&at| read(at).iter().any(|read| **read == *topic));
            assert_eq!(plans.source_of(topic), readers, "{topic}");
        }
    }

    #[test]
    fn the_agents_own_topics_are_read_by_a_source_that_names_them_only() {
        let plans = plans(&[("one", "'^a.*'"), ("two", "a-dlq")]);
        assert_eq!(plans.source_of("a-dlq"), Some(1));
        let registry = registry(&[("a", None), ("a-dlq", None)]);
        assert_eq!(names(&plans.sources[0].topics(&registry)), ["a"]);
    }

    #[test]
    fn what_is_named_and_missing_is_told_and_belongs_to_no_answer() {
        let source = plans(&[("one", "nope, t, '^x'")]).sources[0].clone();
        let absent = |registry: &Registry| source.absent(registry).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(absent(&Registry::default()), [""; 0], "nobody has looked yet");
        let there = registry(&[("t", None)]);
        assert_eq!(absent(&there), ["nope"]);
        assert_eq!(names(&source.topics(&there)), ["t"]);
        assert_eq!(absent(&registry(&[])), ["nope", "t", "^x"]);
    }
}
