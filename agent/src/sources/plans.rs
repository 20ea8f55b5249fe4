//! The sources in force, each with the plan of its aggregates.

use super::inputs::Inputs;
use super::source::{Selectors, Source};
use crate::aggregate::AggregatePlan;
use crate::config::{Config, TopicSelector};
use crate::state::Registry;
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The sources of one config, in its order.
#[derive(Debug, Default)]
pub struct Plans {
    /// Grows with each reload.
    pub number: u64,
    pub sources: Vec<Arc<Source>>,
    /// What aggregates count, each set of sources once.
    pub inputs: Vec<Arc<Inputs>>,
    /// Each aggregate once, with its plan in the first of its sources: only where the fields are may differ in others.
    aggregates: Vec<(Arc<Inputs>, Arc<AggregatePlan>)>,
    selectors: Arc<Selectors>,
}

impl Plans {
    pub fn new(number: u64, config: &Config) -> Plans {
        let selectors = Arc::new(Selectors::of(config));
        let source = |position| Arc::new(Source::new(config, position, selectors.clone()));
        let sources = (0..config.sources.len()).map(source).collect();
        let mut plans = Plans { number, sources, selectors, ..Plans::default() };
        plans.put_together();
        plans
    }

    fn put_together(&mut self) {
        for plan in self.sources.iter().flat_map(|source| &source.plan.aggregates) {
            if self.aggregates.iter().any(|(_, known)| known.id == plan.id) {
                continue;
            }
            let read = self.sources.iter().filter(|source| plan.config.reads(&source.name));
            let inputs = Inputs { sources: read.cloned().collect() };
            let at = self.inputs.iter().position(|known| known.is_same(&inputs)).unwrap_or_else(|| {
                self.inputs.push(Arc::new(inputs));
                self.inputs.len() - 1
            });
            self.aggregates.push((self.inputs[at].clone(), plan.clone()));
        }
    }

    /// Position of the source that `topic` belongs to.
    pub fn source_of(&self, topic: &str) -> Option<usize> {
        self.selectors.source_of(topic)
    }

    /// Names and patterns of all sources.
    pub fn selectors(&self) -> impl Iterator<Item = &TopicSelector> {
        self.sources.iter().flat_map(|source| &source.config.topics)
    }

    /// The topics to subscribe to, by name: what a pattern matches is decided here alone. `None` before that is known.
    pub fn subscription(&self, registry: &Registry) -> Option<Vec<Arc<str>>> {
        let known = registry.topics();
        if !known.is_whole && self.selectors().any(|selector| selector.name().is_none()) {
            return None;
        }
        let matching = known.by_name.keys().filter(|topic| self.source_of(topic).is_some());
        let topics: BTreeSet<Arc<str>> = self.named().chain(matching).cloned().collect();
        Some(topics.into_iter().collect())
    }

    /// What the config wants and the cluster lacks, each with its source.
    pub fn absent(&self, registry: &Registry) -> Vec<(&Source, &TopicSelector)> {
        let of = |source| Source::absent(source, registry).into_iter().map(move |selector| (source, selector));
        self.sources.iter().map(|source| &**source).flat_map(of).collect()
    }

    /// Why not all topics that the config names are read; empty if they are.
    pub fn not_ready(&self, registry: &Registry) -> Vec<String> {
        let reason = |(source, selector): (&Source, &TopicSelector)| match selector.name() {
            Some(name) => format!("topic {name} of source {} does not exist, or this user may not see it", source.name),
            None => format!("no topic that this user may see matches {selector} of source {}", source.name),
        };
        self.absent(registry).into_iter().map(reason).collect()
    }

    /// Topics that are named, whether or not the cluster has them.
    pub fn named(&self) -> impl Iterator<Item = &Arc<str>> {
        self.selectors().filter_map(TopicSelector::name)
    }
}

/// The plans in force; a reload replaces them as a whole.
#[derive(Debug, Default)]
pub struct Sources(RwLock<Arc<Plans>>);

impl Sources {
    pub fn new(plans: impl Into<Arc<Plans>>) -> Sources {
        Sources(RwLock::new(plans.into()))
    }

    /// A snapshot: one answer uses one set of sources from start to end.
    pub fn now(&self) -> Arc<Plans> {
        self.0.read().clone()
    }

    pub fn replace(&self, plans: Arc<Plans>) {
        *self.0.write() = plans;
    }

    /// The source that `topic` belongs to.
    pub fn of_topic(&self, topic: &str) -> Option<Arc<Source>> {
        let plans = self.now();
        plans.source_of(topic).map(|at| plans.sources[at].clone())
    }
}

/// The aggregates, by their first sources in the config's order, each with what it counts.
pub fn aggregates(plans: &Plans) -> impl Iterator<Item = (&Arc<Inputs>, &Arc<AggregatePlan>)> {
    plans.aggregates.iter().map(|(inputs, plan)| (inputs, plan))
}

/// Those of `known` that a config's sources read.
pub fn source_topics<'a>(config: &Config, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let selectors = Selectors::of(config);
    let mut topics: Vec<_> = known.filter(|topic| selectors.source_of(topic).is_some()).map(str::to_owned).collect();
    topics.sort();
    topics
}
