//! The transaction coordinator: what is open, what is decided, and markers that arrive late.

use crate::action::Action;
use crate::changelog::NONE;
use crate::search::Model;
use crate::world::{PARTITIONS, Set, World, has, one};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    #[default]
    Empty,
    Open,
    /// Decided; not everyone has heard of it yet.
    Committed,
    Aborted,
}

/// The transaction of one transactional id, of which each agent has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Txn {
    pub phase: Phase,
    /// Changelog partitions that a marker has yet to reach.
    pub changelogs: Set,
    /// Input offsets that are part of it and that the group has not taken over yet.
    pub offsets: [u8; PARTITIONS],
}

impl Default for Txn {
    fn default() -> Txn {
        Txn { phase: Phase::Empty, changelogs: 0, offsets: [NONE; PARTITIONS] }
    }
}

impl Txn {
    pub fn is_decided(&self) -> bool {
        matches!(self.phase, Phase::Committed | Phase::Aborted)
    }

    fn finish(&mut self) {
        if self.is_decided() && self.changelogs == 0 && self.offsets == [NONE; PARTITIONS] {
            self.phase = Phase::Empty;
        }
    }
}

impl World {
    /// Whether a transaction that may still move this partition's offset is under way: then the group does not tell it.
    pub fn offset_is_pending(&self, partition: usize) -> bool {
        self.txns.iter().any(|txn| txn.offsets[partition] != NONE)
    }

    /// Whether a changelog item is there for good, marker or not.
    pub fn is_committed(&self, partition: usize, at: usize) -> bool {
        let stored = self.changelogs[partition].items[at];
        !stored.open || self.txns[stored.writer as usize].phase == Phase::Committed
    }

    /// Aborts what is open under this agent's transactional id.
    pub fn abort_transaction(&mut self, agent: usize) {
        let txn = &mut self.txns[agent];
        if txn.phase == Phase::Open {
            txn.phase = Phase::Aborted;
            txn.finish();
        }
    }

    pub(crate) fn transactions_offer(&self, _: &Model, offers: &mut Vec<Action>) {
        for agent in self.agents() {
            let txn = &self.txns[agent];
            if txn.is_decided() {
                offers.extend(self.partitions().filter(|&p| has(txn.changelogs, p)).map(|p| Action::Marker(agent, p)));
                if txn.offsets != [NONE; PARTITIONS] {
                    offers.push(Action::MarkerOfOffsets(agent));
                }
            }
            // A transaction of the dead and of those cut off ends by itself.
            let is_slow = self.agents[agent].is_reachable();
            if txn.phase == Phase::Open && (!is_slow || self.faults.timeout > 0) {
                offers.push(Action::TransactionTimesOut(agent));
            }
        }
    }

    pub(crate) fn marker(&mut self, agent: usize, partition: usize) {
        if self.txns[agent].phase == Phase::Committed {
            let items = self.changelogs[partition].items.iter_mut();
            items.filter(|stored| stored.writer as usize == agent).for_each(|stored| stored.open = false);
        } else {
            self.discard_open(partition, agent);
        }
        self.txns[agent].changelogs &= !one(partition);
        self.txns[agent].finish();
    }

    pub(crate) fn marker_of_offsets(&mut self, agent: usize) {
        let txn = &mut self.txns[agent];
        let offsets = std::mem::replace(&mut txn.offsets, [NONE; PARTITIONS]);
        if txn.phase == Phase::Committed {
            for (known, offset) in self.group.offsets.iter_mut().zip(offsets) {
                if offset != NONE {
                    *known = offset;
                }
            }
        }
        txn.finish();
    }

    pub(crate) fn transaction_times_out(&mut self, agent: usize) {
        if self.agents[agent].is_reachable() {
            self.faults.timeout -= 1;
        }
        self.fence_producer(agent);
        self.abort_transaction(agent);
    }

    /// Whoever has this transactional id now has to begin again.
    pub(crate) fn fence_producer(&mut self, agent: usize) {
        let agent = &mut self.agents[agent];
        if agent.is_up() {
            agent.producer.fenced = true;
        }
    }
}
