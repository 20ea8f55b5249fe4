//! The worker's answers to the group: acknowledging, restoring, revoking, losing (`worker/assignment.rs`).

use super::restore::Job;
use super::{Agent, Slot};
use crate::action::Action;
use crate::changelog::NONE;
use crate::rules::Rule;
use crate::scenarios::Witness;
use crate::search::Model;
use crate::world::{PARTITIONS, Set, World, has, one};

impl Agent {
    /// Notes what the group says of this member. True if it has put it out since what is held was taken.
    pub fn observe(&mut self, model: &Model) -> bool {
        let (id, lag) = (self.client.id, self.client.lag);
        let before = self.fence;
        match model.scenario.witness {
            Witness::MemberId => {
                if id != 0 {
                    self.fence.id = id;
                }
                let is_other = before.id != 0 && id != 0 && before.id != id;
                is_other && model.has(Rule::MemberWitness)
            }
            Witness::Generation { strict } => {
                (self.fence.id, self.fence.lag) = (id, lag);
                let has_hole = match (before.lag, lag) {
                    (NONE, _) => false,
                    (_, NONE) => true,
                    (before, lag) => before < lag || before > lag + 1,
                };
                self.fence.in_vain = strict && has_hole && before.id == id && !self.holds_nothing();
                has_hole && model.has(Rule::MemberWitness)
            }
        }
    }

    /// Makes what was frozen uncommittable.
    pub fn bump(&mut self) {
        if let Some(epoch) = &mut self.epoch {
            epoch.is_stale = true;
        }
    }

    /// Takes tasks out, running or restoring.
    pub fn drop_tasks(&mut self, partitions: Set, model: &Model) {
        for p in (0..PARTITIONS).filter(|&p| has(partitions, p)) {
            let slot = std::mem::take(&mut self.slots[p]);
            match slot {
                Slot::Restoring(job) if model.scenario.unwanted => self.unwanted[p] = Some(job),
                Slot::Running(task) if model.scenario.global_view => {
                    self.floor[p] = task.view.next().unwrap_or(0);
                }
                _ => {}
            }
            if let Some(part) = self.epoch.as_mut().and_then(|epoch| epoch.parts[p].as_mut()) {
                part.is_gone = true;
            }
            if p == 0 {
                (self.marked, self.marks) = (false, [NONE; PARTITIONS]);
            }
        }
        if self.tasks().next().is_none() {
            self.lease_ends();
        }
    }

    pub fn restore(&mut self, partitions: Set) {
        for p in (0..PARTITIONS).filter(|&p| has(partitions, p)) {
            self.slots[p] = Slot::Restoring(Job::default());
        }
    }

    /// A fence broke, and not in a callback: everything held counts as lost, and is taken over again.
    pub fn lose_everything(&mut self, model: &Model) {
        let owned = self.client.owned;
        self.bump();
        self.drop_tasks(owned, model);
        if model.has(Rule::RestoreAwaitsTheGroup) {
            (0..PARTITIONS).filter(|&p| has(owned, p)).for_each(|p| self.slots[p] = Slot::Waiting);
        } else {
            self.restore(owned);
        }
    }

    fn waiting(&self) -> Set {
        (0..PARTITIONS).filter(|&p| self.slots[p] == Slot::Waiting).map(one).sum()
    }
}

impl World {
    pub(crate) fn rebalance_offers(&self, model: &Model, offers: &mut Vec<Action>) {
        for number in self.agents() {
            let agent = &self.agents[number];
            let client = &agent.client;
            if !agent.is_reachable() || !agent.producer.ready {
                continue;
            }
            if client.lost {
                offers.push(Action::AnswersLost(number));
            } else if client.revoke != 0 {
                let settled = agent.epoch.is_none() && agent.tasks().all(|(_, task)| !task.changed);
                let cannot = agent.suspended || !model.has(Rule::SettlesBeforeRevoke);
                if settled || cannot {
                    offers.push(Action::AnswersRevoked(number));
                } else if self.faults.deadline > 0 {
                    offers.push(Action::RevokesTooLate(number));
                }
            } else if client.assign.is_some() {
                offers.push(Action::AnswersAssigned(number));
            }
        }
    }

    pub(crate) fn answers_lost(&mut self, number: usize, model: &Model) {
        let agent = &mut self.agents[number];
        agent.suspended = false;
        agent.bump();
        agent.drop_tasks(agent.client.owned, model);
        (agent.client.owned, agent.client.lost) = (0, false);
        agent.fence = super::Fence::default();
    }

    /// The worker stands still while it settles, so it does not wait for ever.
    pub(crate) fn revokes_too_late(&mut self, number: usize, model: &Model) {
        self.faults.deadline -= 1;
        self.answers_revoked(number, model);
    }

    pub(crate) fn answers_revoked(&mut self, number: usize, model: &Model) {
        let agent = &mut self.agents[number];
        agent.suspended = false;
        let broken = agent.observe(model);
        let gone = if broken { agent.client.owned } else { agent.client.revoke };
        agent.bump();
        agent.drop_tasks(gone, model);
        agent.client.owned &= !agent.client.revoke;
        agent.client.revoke = 0;
        if agent.leaving {
            self.leaves_for_good(number);
        } else {
            let again = if broken { agent.client.owned } else { agent.waiting() };
            agent.restore(again);
        }
    }

    pub(crate) fn answers_assigned(&mut self, number: usize, model: &Model) {
        let agent = &mut self.agents[number];
        agent.suspended = false;
        let Some(added) = agent.client.assign.take() else { return };
        let held = agent.client.owned;
        agent.client.owned |= added;
        if agent.observe(model) {
            agent.bump();
            agent.drop_tasks(held, model);
            agent.restore(agent.client.owned);
        } else {
            agent.restore(added | agent.waiting());
        }
    }
}
