//! Replicas that follow their owners, and what a publisher may show of them (`replica/manager.rs`, `query/merged.rs`).

use super::{Agent, Lease, Slot};
use crate::action::Action;
use crate::changelog::{NONE, Replay};
use crate::rules::Rule;
use crate::search::Model;
use crate::world::{World, has};

impl World {
    pub(crate) fn replica_offers(&self, model: &Model, offers: &mut Vec<Action>) {
        if !model.scenario.global_view {
            return;
        }
        for number in self.agents() {
            let agent = &self.agents[number];
            if !agent.is_reachable() {
                continue;
            }
            for p in self.partitions().filter(|&p| agent.slots[p] == Slot::None) {
                let at = agent.replicas[p].map_or(0, |replica| replica.at);
                if at < self.changelogs[p].last_stable() {
                    offers.push(Action::Follows(number, p));
                }
            }
            if agent.task(0).is_some() && self.wants_marks(agent, model) {
                offers.push(Action::ReadsMarks(number));
            }
        }
    }

    fn wants_marks(&self, agent: &Agent, model: &Model) -> bool {
        let lacks = |p: usize| has(self.made, p) && agent.marks[p] == NONE;
        !agent.marked || model.has(Rule::PublisherMarksEachPartition) && self.partitions().skip(1).any(lacks)
    }

    pub(crate) fn follows(&mut self, number: usize, p: usize, model: &Model) {
        let replica = self.agents[number].replicas[p].get_or_insert_with(Replay::default);
        let item = self.changelogs[p].items[replica.at as usize].item;
        replica.take(item, model.has(Rule::WholeCommits));
    }

    /// A publisher reads how far the changelogs go that it has no mark of.
    pub(crate) fn reads_marks(&mut self, number: usize, model: &Model) {
        let high = model.has(Rule::PublisherMarksAreHighWatermarks);
        for p in self.partitions().skip(1).filter(|&p| has(self.made, p)) {
            let changelog = &self.changelogs[p];
            let mark = &mut self.agents[number].marks[p];
            if *mark == NONE {
                *mark = if high { changelog.high_watermark() } else { changelog.last_stable() };
            }
        }
        self.agents[number].marked = true;
    }

    /// The merged total on this agent's page: a sum of offsets stands for a sum of counts.
    pub fn merged(&self, number: usize, model: &Model) -> Option<u8> {
        let agent = &self.agents[number];
        agent.task(0).filter(|_| agent.is_up() && agent.lease == Lease::Held)?;
        let of = |p: usize| {
            if let Some(task) = agent.task(p) {
                return task.view.next();
            }
            let replica = agent.replicas[p].filter(|_| agent.slots[p] == Slot::None)?;
            let is_there =
                !model.has(Rule::PublisherReadsMarks) || agent.marks[p] != NONE && replica.at >= agent.marks[p];
            let has_passed = !model.has(Rule::ReplicaPassesWhatWasShown) || replica.next()? >= agent.floor[p];
            replica.next().filter(|_| is_there && has_passed)
        };
        self.partitions().map(of).sum()
    }
}
