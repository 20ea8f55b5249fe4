//! A process begins, dies, is cut off and comes back; and it folds.

use super::{Agent, Lease, Up};
use crate::action::Action;
use crate::changelog::{NONE, key_of};
use crate::rules::Rule;
use crate::search::Model;
use crate::transactions::Phase;
use crate::world::World;

impl Agent {
    /// Stopped or cut off for as long as the group waits, an agent finds its lease over: it is shorter.
    pub fn lease_runs_out(&mut self, model: &Model) {
        if model.has(Rule::LeaseEnds) && self.lease == Lease::Held {
            self.lease = Lease::RunOut;
        }
        if let Some(epoch) = &mut self.epoch {
            epoch.is_old = true;
        }
    }

    pub fn lease_ends(&mut self) {
        self.lease = Lease::None;
        if let Some(epoch) = &mut self.epoch {
            epoch.is_old = true;
        }
    }
}

impl World {
    pub(crate) fn life_offers(&self, _: &Model, offers: &mut Vec<Action>) {
        for number in self.agents() {
            let agent = &self.agents[number];
            match agent.up {
                Up::Down => offers.push(Action::Starts(number)),
                Up::Cut => offers.push(Action::IsBack(number)),
                Up::Gone => {}
                Up::Up => self.living_offers(number, offers),
            }
            if agent.is_up() && self.faults.crash > 0 {
                offers.push(Action::Crashes(number));
            }
        }
    }

    fn living_offers(&self, number: usize, offers: &mut Vec<Action>) {
        let agent = &self.agents[number];
        if self.faults.cut > 0 {
            offers.push(Action::IsCutOff(number));
        }
        if !agent.producer.ready && matches!(self.txns[number].phase, Phase::Empty | Phase::Open) {
            offers.push(Action::Initialises(number));
        }
        let others = self.agents().any(|other| other != number && self.agents[other].up != Up::Gone);
        let at_rest = agent.client.phase == crate::group::ClientPhase::Steady && !agent.client.has_callbacks();
        if self.events.leave > 0 && !agent.leaving && others && at_rest {
            offers.push(Action::Leaves(number));
        }
        // The worker answers a rebalance before it folds on.
        if agent.client.lost || agent.client.revoke != 0 {
            return;
        }
        for (partition, task) in agent.tasks().filter(|(_, task)| task.reading) {
            if task.next < self.input[partition] {
                offers.push(Action::Folds(number, partition));
            }
            if self.faults.again > 0 && task.next > 0 && task.dirty & key_of(task.next - 1) != 0 {
                offers.push(Action::IsDeliveredAgain(number, partition));
            }
        }
    }

    pub(crate) fn starts(&mut self, number: usize) {
        self.agents[number].up = Up::Up;
    }

    pub(crate) fn is_cut_off(&mut self, number: usize) {
        self.faults.cut -= 1;
        self.agents[number].up = Up::Cut;
    }

    pub(crate) fn produces(&mut self, partition: usize) {
        self.events.produce -= 1;
        self.input[partition] += 1;
    }

    /// Partition 1 appears, with records. All of them count, if the group has begun.
    pub(crate) fn grows(&mut self, model: &Model) {
        self.events.grow -= 1;
        self.input[1] = model.scenario.records;
        if self.ledger.committed[0].is_some() {
            self.ledger.begin[1] = 0;
        }
    }

    /// Nothing is left but the files. What the coordinators know of it stays, too.
    pub(crate) fn crashes(&mut self, number: usize) {
        self.faults.crash -= 1;
        self.stops(number, Up::Down);
    }

    pub(crate) fn stops(&mut self, number: usize, up: Up) {
        let files = std::mem::take(&mut self.agents[number].files);
        self.agents[number] = Agent { up, files, ..Agent::new() };
    }

    pub(crate) fn initialises(&mut self, number: usize) {
        if self.txns[number].phase == Phase::Open {
            self.abort_transaction(number);
        } else {
            self.agents[number].producer.ready = true;
        }
    }

    pub(crate) fn leaves(&mut self, number: usize) {
        self.events.leave -= 1;
        let agent = &mut self.agents[number];
        agent.leaving = true;
        agent.client.revoke = agent.client.owned;
        if agent.client.owned == 0 {
            self.leaves_for_good(number);
        }
    }

    pub(crate) fn leaves_for_good(&mut self, number: usize) {
        self.leaves_group(number);
        self.stops(number, Up::Gone);
    }

    pub(crate) fn folds(&mut self, number: usize, partition: usize) {
        let Some(task) = self.agents[number].task_mut(partition) else { return };
        let begin = &mut self.ledger.begin[partition];
        if *begin == NONE {
            *begin = task.next;
        }
        task.live = task.live.fold(task.next);
        task.dirty |= key_of(task.next);
        task.next += 1;
        task.changed = true;
    }

    /// A record that has been folded comes once more.
    pub(crate) fn is_delivered_again(&mut self, number: usize, partition: usize, model: &Model) {
        self.faults.again -= 1;
        let Some(task) = self.agents[number].task_mut(partition) else { return };
        if !model.has(Rule::SkipsWhatWasFolded) {
            task.live = task.live.fold(task.next - 1);
        }
    }
}
