//! Where a search begins, and how much may happen in it.

use crate::agent::{Agent, Fence, Lease, Producer, Slot, Task, Up};
use crate::changelog::{Changelog, Counts, Item, NONE, Record, Replay, Stored};
use crate::group::{Client, ClientPhase, Group, Member, Phase};
use crate::promises::Ledger;
use crate::transactions::Txn;
use crate::world::{Events, Faults, PARTITIONS, Set, World, has, one};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    Static,
    /// No instance ids.
    Dynamic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// By what an agent sees that it was put out of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    MemberId,
    /// By a hole in the generations. `strict`: and it is wrong to see one where it was not put out.
    Generation {
        strict: bool,
    },
}

/// What is there at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Nothing but input; nobody has started.
    New,
    /// A group at rest: A has everything, committed up to `committed`; the others have not started.
    Owned,
    /// The same, but B has partition 1.
    Shared,
    /// A has everything and has folded partition 1, which the group has just revoked for B.
    HandsOver,
    /// A had everything, and has been stopped: the group is empty.
    Stopped,
}

/// What is found at the beginning and is not as it was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tampered {
    /// A has a file whose entries are not what its checkpoint says.
    pub file: bool,
    /// Somebody has set the group's offset of p0 to this.
    pub offset: Option<u8>,
    /// `state reset` has emptied the state.
    pub reset: bool,
}

/// A search's beginning and bounds.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub agents: usize,
    pub partitions: usize,
    /// Input records of each partition.
    pub records: u8,
    /// So many of them have been committed.
    pub committed: u8,
    /// Partition 0 has no more records than that.
    pub is_idle: bool,
    pub initial: Initial,
    pub tampered: Tampered,
    pub faults: Faults,
    pub events: Events,
    /// Where what is still produced goes.
    pub produces_to: usize,
    pub start: Start,
    pub membership: Membership,
    pub witness: Witness,
    /// State files are written.
    pub files: bool,
    /// Restores that nobody wants any more run on for a while.
    pub unwanted: bool,
    pub ends_left_open: bool,
    pub global_view: bool,
}

/// Two agents, one partition, one record of which nothing has been committed; no faults.
pub const PLAIN: Scenario = Scenario {
    name: "plain",
    agents: 2,
    partitions: 1,
    records: 2,
    committed: 1,
    is_idle: false,
    initial: Initial::Owned,
    tampered: Tampered { file: false, offset: None, reset: false },
    faults: Faults {
        crash: 0,
        cut: 0,
        timeout: 0,
        deadline: 0,
        undelivered: 0,
        early_end: 0,
        restore_fails: 0,
        again: 0,
    },
    events: Events { produce: 0, close: 0, leave: 0, grow: 0 },
    produces_to: 0,
    start: Start::Earliest,
    membership: Membership::Static,
    witness: Witness::MemberId,
    files: false,
    unwanted: false,
    ends_left_open: false,
    global_view: false,
};

impl Scenario {
    pub fn world(&self) -> World {
        let mut input = [NONE; PARTITIONS];
        input[..self.partitions].fill(self.records);
        if self.is_idle {
            input[0] = self.committed;
        }
        let begin = match (self.initial, self.start) {
            (Initial::New, Start::Latest) => NONE,
            _ => 0,
        };
        let mut world = World {
            input,
            changelogs: Default::default(),
            made: 0,
            group: Group::new(self.agents),
            txns: vec![Txn::default(); self.agents],
            agents: vec![Agent::new(); self.agents],
            faults: self.faults,
            events: self.events,
            ledger: Ledger {
                begin: [begin; PARTITIONS],
                since: NONE,
                committed: [None; PARTITIONS],
                shown: [0; PARTITIONS],
                windows: 0,
                merged: 0,
                broken: None,
            },
        };
        if self.initial != Initial::New {
            (0..self.partitions).for_each(|p| self.store(&mut world, p));
        }
        match self.initial {
            Initial::New | Initial::Stopped => {}
            Initial::Owned => self.own(&mut world, 0, (0..self.partitions).map(one).sum()),
            Initial::HandsOver => {
                self.own(&mut world, 0, (0..self.partitions).map(one).sum());
                self.own(&mut world, 1, 0);
                (self.committed..self.records).for_each(|_| world.folds(0, 1));
                world.group.assigned[0] = one(0);
                let client = &mut world.agents[0].client;
                (client.revoke, client.assign, client.rejoin) = (one(1), Some(0), true);
            }
            Initial::Shared => {
                self.own(&mut world, 0, one(0));
                self.own(&mut world, 1, one(1));
            }
        }
        world
    }

    /// A has committed.
    fn store(&self, world: &mut World, p: usize) {
        let counts = Counts::of(0, self.committed);
        let record = Record {
            next: self.committed,
            fingerprint: counts,
            published: 0,
            birth: self.partitions as u8,
            since: NONE,
        };
        let store = |item| Stored { item, writer: 0, open: false };
        let entries = store(Item::Entries { keys: 3, counts });
        world.changelogs[p] = Changelog { items: vec![entries, store(Item::Record(record))] };
        world.made |= one(p);
        world.group.offsets[p] = self.committed;
        world.ledger.committed[p] = Some(record);
        world.ledger.shown[p] = self.committed;
        let file = Replay { at: 2, counts, record: Some(record), ..Replay::default() };
        if self.tampered.file {
            world.agents[0].files[p] = Some(Replay { counts: Counts::default(), ..file });
        }
        if let Some(offset) = self.tampered.offset {
            world.group.offsets[p] = offset;
        }
        if self.tampered.reset {
            let record = Record { next: 0, fingerprint: Counts::default(), ..record };
            let tombstones = store(Item::Entries { keys: 3, counts: Counts::default() });
            world.changelogs[p].items.extend([tombstones, store(Item::Record(record))]);
            world.ledger.committed[p] = Some(record);
        }
    }

    /// An agent is at rest with these partitions.
    fn own(&self, world: &mut World, number: usize, owned: Set) {
        world.group.phase = Phase::Stable;
        world.group.members[number] = Some(Member::new(1));
        world.group.assigned[number] = owned;
        let agent = &mut world.agents[number];
        agent.up = Up::Up;
        agent.client = Client { phase: ClientPhase::Steady, id: 1, lag: 0, owned, since: 0, ..Client::default() };
        agent.fence = Fence { id: 1, lag: 0, in_vain: false };
        agent.producer = Producer { ready: true, fenced: false };
        agent.lease = Lease::Held;
        agent.first_seen = self.partitions as u8;
        for p in 0..self.partitions {
            let counts = Counts::of(0, self.committed);
            let view = Replay { at: 2, counts, record: world.ledger.committed[p], ..Replay::default() };
            if self.global_view && has(owned, 0) {
                (agent.marked, agent.marks[p]) = (true, 2);
            }
            if !has(owned, p) {
                agent.replicas[p] = self.global_view.then_some(view);
                continue;
            }
            agent.slots[p] = Slot::Running(Task {
                live: counts,
                next: self.committed,
                dirty: 0,
                changed: false,
                reading: true,
                view,
                show_from: 0,
                published: 0,
                birth: self.partitions as u8,
                since: NONE,
                is_head: true,
            });
        }
    }
}
