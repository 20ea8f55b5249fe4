//! The search: all that can happen within a scenario, breadth first, so that a counterexample is a shortest one.

use crate::action::Action;
use crate::promises::Promise;
use crate::rules::{Rule, Rules};
use crate::scenarios::Scenario;
use crate::world::World;
use stateright::{Checker, HasDiscoveries, Property};
use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::fmt::Write;
use std::hash::{Hash, Hasher};

/// A scenario, and the rules that are kept in it.
#[derive(Clone)]
pub struct Model {
    pub scenario: Scenario,
    pub rules: Rules,
}

impl Model {
    pub fn has(&self, rule: Rule) -> bool {
        self.rules.has(rule)
    }
}

macro_rules! promises {
    ($($promise:ident),*) => {
        vec![$(Property::<Model>::always(Promise::$promise.name(), |_, world: &World| {
            world.ledger.broken != Some(Promise::$promise)
        })),*]
    };
}

impl stateright::Model for Model {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.scenario.world()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.ledger.broken.is_none() {
            world.offers(self, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.step(action, self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Model>> {
        promises!(
            StateIsFold,
            OffsetsNeverStepBack,
            OneWriter,
            EntriesAddUp,
            ShownIsCommitted,
            TotalsNeverGoBack,
            WindowsNeverGoBack,
            MergedNeverGoesBack,
            NoFalseAlarm,
            NothingIsLostInVain
        )
    }
}

/// What a search has found.
pub struct Found {
    pub states: usize,
    pub depth: usize,
    /// The broken promise, and what led to it.
    pub counterexample: Option<(&'static str, Vec<Action>)>,
}

impl Found {
    pub fn trace(&self) -> String {
        let mut text = String::new();
        if let Some((promise, actions)) = &self.counterexample {
            for (nth, action) in actions.iter().enumerate() {
                let _ = writeln!(text, "  {:2}. {action}", nth + 1);
            }
            let _ = writeln!(text, "  broken: {promise}");
        }
        text
    }
}

/// Goes through all that can happen. The counterexample, if there is one, is a shortest one.
pub fn search(model: &Model) -> Found {
    let mut found = search_to(model, None);
    // The checker tells the last one that it meets before it looks up.
    while let Some((_, actions)) = &found.counterexample {
        let shorter = search_to(model, Some(actions.len()));
        if shorter.counterexample.is_none() {
            break;
        }
        found.counterexample = shorter.counterexample;
    }
    found
}

/// Goes through all that can happen in fewer than so many steps.
fn search_to(model: &Model, steps: Option<usize>) -> Found {
    use stateright::Model as _;
    let checker = model.clone().checker().finish_when(HasDiscoveries::AnyFailures).threads(1);
    let checker = match steps {
        Some(steps) => checker.target_max_depth(steps + 1),
        None => checker,
    };
    let checker = checker.spawn_bfs().join();
    let found = checker.discoveries().into_iter().map(|(promise, path)| (promise, path.into_actions()));
    Found {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        counterexample: found.min_by_key(|(_, actions)| actions.len()),
    }
}

/// Whether from everywhere a way without further faults leads to where all has been counted, committed and shown. If
/// not, the way to a place that has none.
pub fn search_for_stalls(model: &Model) -> Found {
    let mut graph = Graph::default();
    graph.visit(model.scenario.world(), None);
    let mut at = 0;
    let mut offers = Vec::new();
    while at < graph.worlds.len() {
        let Some(world) = graph.worlds[at].take() else { break };
        graph.done.push(world.is_done(model));
        if world.ledger.broken.is_none() {
            world.offers(model, &mut offers);
        }
        for action in offers.drain(..) {
            let mut next = World::clone(&world);
            next.step(action, model);
            let to = graph.visit(next, Some((at as u32, action)));
            if !action.is_fault() {
                graph.ways.push((to, at as u32));
            }
        }
        at += 1;
    }
    let counterexample = graph.first_stalled().map(|state| ("nothing stalls for ever", graph.way_to(state)));
    Found { states: at, depth: 0, counterexample }
}

/// All states in the order in which they were met, the ways between them, and how each was come to.
#[derive(Default)]
struct Graph {
    numbers: HashMap<u64, u32>,
    /// Those still to be gone on from.
    worlds: Vec<Option<Box<World>>>,
    came: Vec<Option<(u32, Action)>>,
    done: Vec<bool>,
    /// Backwards: from where a step leads to where it begins.
    ways: Vec<(u32, u32)>,
}

impl Graph {
    fn visit(&mut self, world: World, from: Option<(u32, Action)>) -> u32 {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        match self.numbers.entry(hasher.finish()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let number = self.worlds.len() as u32;
                self.worlds.push(Some(Box::new(world)));
                self.came.push(from);
                *new.insert(number)
            }
        }
    }

    /// The first state that does not lead to the end.
    fn first_stalled(&mut self) -> Option<u32> {
        self.ways.sort_unstable();
        let mut leads = self.done.clone();
        let mut open: Vec<u32> = (0..leads.len() as u32).filter(|&state| leads[state as usize]).collect();
        while let Some(state) = open.pop() {
            let first = self.ways.partition_point(|&(to, _)| to < state);
            for &(_, from) in self.ways[first..].iter().take_while(|&&(to, _)| to == state) {
                if !std::mem::replace(&mut leads[from as usize], true) {
                    open.push(from);
                }
            }
        }
        leads.iter().position(|leads| !leads).map(|state| state as u32)
    }

    fn way_to(&self, mut state: u32) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some((from, action)) = self.came[state as usize] {
            actions.push(action);
            state = from;
        }
        actions.reverse();
        actions
    }
}
