//! An agent: a worker that folds and answers rebalances, its committer, its restores, its files; one process with one
//! worker. What a step does is in the room that it is of.

pub mod commit;
pub mod life;
pub mod rebalance;
pub mod replica;
pub mod restore;
pub mod show;

use crate::changelog::{Counts, NONE, Replay};
use crate::group::{Client, Member};
use crate::world::PARTITIONS;
use commit::Epoch;
use restore::Job;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Up {
    /// Not started, or killed: may start.
    #[default]
    Down,
    Up,
    /// Up, but cut off from all brokers, or stopped.
    Cut,
    /// Has left in order.
    Gone,
}

/// What an agent has of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Slot {
    #[default]
    None,
    /// The group has given it, but nothing may be restored before the group's next word.
    Waiting,
    Restoring(Job),
    Running(Task),
}

/// A task that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// What is folded into.
    pub live: Counts,
    pub next: u8,
    /// Keys that changed since the last freeze.
    pub dirty: u8,
    /// Something happened since the last freeze.
    pub changed: bool,
    /// Its records are being fetched.
    pub reading: bool,
    /// What has been committed.
    pub view: Replay,
    /// What was shown before reached so far.
    pub show_from: u8,
    /// Windows that have closed.
    pub published: u8,
    pub birth: u8,
    pub since: u8,
    /// Nobody has committed this partition since this task's state was read. The agent does not know; the promises do.
    pub is_head: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Producer {
    /// `init_transactions` has come back.
    pub ready: bool,
    /// Another has this transactional id now, or the brokers have timed its transaction out.
    pub fenced: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lease {
    #[default]
    None,
    Held,
    /// Too old: the session may be over by now.
    RunOut,
}

/// What held things were held under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// Member id; 0: none yet.
    pub id: u8,
    /// The generation, as a lag behind the group's.
    pub lag: u8,
    /// It has found a break where there was none.
    pub in_vain: bool,
}

impl Default for Fence {
    fn default() -> Fence {
        Fence { id: 0, lag: NONE, in_vain: false }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Agent {
    pub up: Up,
    pub client: Client,
    pub fence: Fence,
    pub slots: [Slot; PARTITIONS],
    /// Restores that nobody wants any more and that have not heard of it.
    pub unwanted: [Option<Job>; PARTITIONS],
    pub epoch: Option<Epoch>,
    pub producer: Producer,
    pub lease: Lease,
    pub suspended: bool,
    pub leaving: bool,
    pub files: [Option<Replay>; PARTITIONS],
    pub replicas: [Option<Replay>; PARTITIONS],
    /// A publisher's: ends of the changelogs when it began.
    pub marks: [u8; PARTITIONS],
    pub marked: bool,
    /// What was shown of a partition that is a replica now.
    pub floor: [u8; PARTITIONS],
    /// Changelog partitions that this process saw at first.
    pub first_seen: u8,
}

impl Agent {
    pub fn new() -> Agent {
        Agent { marks: [NONE; PARTITIONS], first_seen: NONE, ..Agent::default() }
    }

    pub fn is_up(&self) -> bool {
        matches!(self.up, Up::Up | Up::Cut)
    }

    pub fn is_reachable(&self) -> bool {
        self.up == Up::Up
    }

    pub fn task(&self, partition: usize) -> Option<&Task> {
        match &self.slots[partition] {
            Slot::Running(task) => Some(task),
            _ => None,
        }
    }

    pub fn task_mut(&mut self, partition: usize) -> Option<&mut Task> {
        match &mut self.slots[partition] {
            Slot::Running(task) => Some(task),
            _ => None,
        }
    }

    pub fn tasks(&self) -> impl Iterator<Item = (usize, &Task)> {
        self.slots.iter().enumerate().filter_map(|(p, slot)| match slot {
            Slot::Running(task) => Some((p, task)),
            _ => None,
        })
    }

    pub fn holds_nothing(&self) -> bool {
        self.slots.iter().all(|slot| *slot == Slot::None)
    }

    /// A member id that is in no use.
    pub fn fresh_id(&self, member: Option<Member>) -> u8 {
        let mut used = vec![self.client.id, self.fence.id, member.map_or(0, |member| member.id)];
        used.extend(self.epoch.as_ref().map(|epoch| epoch.id));
        (1..).find(|id| !used.contains(id)).unwrap_or(NONE)
    }

    /// Every position in this partition's changelog.
    pub fn positions(&mut self, partition: usize, mut visit: impl FnMut(&mut u8)) {
        match &mut self.slots[partition] {
            Slot::Running(task) => visit(&mut task.view.at),
            Slot::Restoring(job) => job.positions(&mut visit),
            Slot::None | Slot::Waiting => {}
        }
        if let Some(job) = &mut self.unwanted[partition] {
            job.positions(&mut visit);
        }
        if let Some(part) = self.epoch.as_mut().and_then(|epoch| epoch.parts[partition].as_mut()) {
            visit(&mut part.end);
        }
        for held in [&mut self.files[partition], &mut self.replicas[partition]] {
            held.iter_mut().for_each(|replay| visit(&mut replay.at));
        }
        visit(&mut self.marks[partition]);
    }

    /// Every generation that is remembered.
    pub fn generations(&mut self, mut visit: impl FnMut(&mut u8)) {
        visit(&mut self.client.lag);
        visit(&mut self.client.since);
        visit(&mut self.fence.lag);
        self.epoch.iter_mut().for_each(|epoch| visit(&mut epoch.lag));
    }
}
