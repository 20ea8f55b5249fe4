//! The state of everything: the input, Kafka's two coordinators, the changelogs, the agents, and what may still go wrong.

use crate::agent::Agent;
use crate::changelog::{Changelog, NONE};
use crate::group::Group;
use crate::promises::Ledger;
use crate::transactions::Txn;

/// At most so many partitions. Partition 0 has the publisher.
pub const PARTITIONS: usize = 2;

/// A set of partitions, as bits.
pub type Set = u8;

pub fn has(set: Set, partition: usize) -> bool {
    set & (1 << partition) != 0
}

pub fn one(partition: usize) -> Set {
    1 << partition
}

/// How often each fault may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// kill -9.
    pub crash: u8,
    /// An agent stops, or is cut off from all brokers, for any time.
    pub cut: u8,
    /// The brokers abort the transaction of an agent that is there, but slow.
    pub timeout: u8,
    /// A revoke's final commit takes longer than the worker waits for it.
    pub deadline: u8,
    /// A record cannot be delivered.
    pub undelivered: u8,
    /// A fetch after a change of leaders ends too early.
    pub early_end: u8,
    /// A restore that nobody wants any more fails.
    pub restore_fails: u8,
    /// A record is delivered again.
    pub again: u8,
}

/// What else may happen so many times, and is no fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Events {
    /// Input records still to be produced.
    pub produce: u8,
    /// A window closes.
    pub close: u8,
    /// An agent leaves in order.
    pub leave: u8,
    /// Partition 1 is added, with all of its records.
    pub grow: u8,
}

/// All there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Input records of each partition; [`NONE`]: no such partition.
    pub input: [u8; PARTITIONS],
    pub changelogs: [Changelog; PARTITIONS],
    /// Whether the changelog partition has been made.
    pub made: Set,
    pub group: Group,
    pub txns: Vec<Txn>,
    pub agents: Vec<Agent>,
    pub faults: Faults,
    pub events: Events,
    pub ledger: Ledger,
}

impl World {
    pub fn partitions(&self) -> impl Iterator<Item = usize> + use<> {
        let input = self.input;
        (0..PARTITIONS).filter(move |&p| input[p] != NONE)
    }

    pub fn present(&self) -> Set {
        self.partitions().map(one).sum()
    }

    /// Whether all of it is gone from the group, and the coordinator waits for nobody.
    pub fn agents(&self) -> std::ops::Range<usize> {
        0..self.agents.len()
    }

    /// Takes a writer's open records out of a changelog, and moves whoever stands behind them.
    pub fn discard_open(&mut self, partition: usize, writer: usize) {
        let items = &mut self.changelogs[partition].items;
        for at in (0..items.len()).rev() {
            if items[at].open && items[at].writer as usize == writer {
                items.remove(at);
                for agent in &mut self.agents {
                    agent.positions(partition, |position| {
                        if *position != NONE && *position as usize > at {
                            *position -= 1;
                        }
                    });
                }
            }
        }
    }
}
