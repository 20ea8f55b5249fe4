//! What is promised, and the books that show when a promise is broken. Agents know nothing of these.

use crate::agent::Slot;
use crate::agent::commit::Part;
use crate::changelog::{Counts, NONE, Record, Replay};
use crate::search::Model;
use crate::world::{PARTITIONS, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// A committed state has counted each record from its beginning to its offset once.
    StateIsFold,
    /// Committed offsets never go back.
    OffsetsNeverStepBack,
    /// Who commits a partition has begun with the last commit of it.
    OneWriter,
    /// Read whole, a changelog adds up to its last offset record.
    EntriesAddUp,
    ShownIsCommitted,
    TotalsNeverGoBack,
    WindowsNeverGoBack,
    MergedNeverGoesBack,
    /// No agent ends with an error while nothing is wrong with the data.
    NoFalseAlarm,
    /// Nobody drops what he holds without having been put out of the group.
    NothingIsLostInVain,
}

impl Promise {
    pub const ALL: [Promise; 10] = [
        Promise::StateIsFold,
        Promise::OffsetsNeverStepBack,
        Promise::OneWriter,
        Promise::EntriesAddUp,
        Promise::ShownIsCommitted,
        Promise::TotalsNeverGoBack,
        Promise::WindowsNeverGoBack,
        Promise::MergedNeverGoesBack,
        Promise::NoFalseAlarm,
        Promise::NothingIsLostInVain,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Promise::StateIsFold => "a committed state is the fold of its input",
            Promise::OffsetsNeverStepBack => "committed offsets never step back",
            Promise::OneWriter => "a partition has one writer at a time",
            Promise::EntriesAddUp => "a changelog adds up to its last offset record",
            Promise::ShownIsCommitted => "what is shown has been committed",
            Promise::TotalsNeverGoBack => "totals never go back",
            Promise::WindowsNeverGoBack => "windows never go back",
            Promise::MergedNeverGoesBack => "merged totals never go back",
            Promise::NoFalseAlarm => "no agent ends with an error that is none",
            Promise::NothingIsLostInVain => "nothing is dropped without need",
        }
    }
}

/// What has happened so far, as far as promises are about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// The first record of each partition that counts; [`NONE`]: not settled yet.
    pub begin: [u8; PARTITIONS],
    /// Where the input of partition 1 ended when the group began with it; [`NONE`]: it has not.
    pub since: u8,
    pub committed: [Option<Record>; PARTITIONS],
    /// The most that any page has shown.
    pub shown: [u8; PARTITIONS],
    pub windows: u8,
    pub merged: u8,
    pub broken: Option<Promise>,
}

impl Ledger {
    pub fn breaks(&mut self, promise: Promise) {
        self.broken.get_or_insert(promise);
    }

    fn expected(&self, p: usize, next: u8) -> Counts {
        if self.begin[p] == NONE { Counts::default() } else { Counts::of(self.begin[p], next) }
    }
}

impl World {
    /// A task without state begins. The group has begun, so what came since then counts, whoever was away meanwhile.
    pub(crate) fn note_start(&mut self, p: usize, next: u8) {
        if p == 1 && self.ledger.committed[1].is_none() && self.ledger.since != NONE && next > self.ledger.since {
            self.ledger.breaks(Promise::StateIsFold);
        }
    }

    /// A commit of a partition has been decided.
    pub(crate) fn note_commit(&mut self, number: usize, p: usize, part: Part) {
        let before = self.ledger.committed[p];
        if !part.is_head {
            self.ledger.breaks(Promise::OneWriter);
        }
        if before.is_some_and(|before| part.next < before.next) {
            self.ledger.breaks(Promise::OffsetsNeverStepBack);
        }
        if part.counts != self.ledger.expected(p, part.next) {
            self.ledger.breaks(Promise::StateIsFold);
        }
        if p == 0 && before.is_none() {
            self.ledger.since = part.since;
        }
        // One that is on record before its first fold begins there.
        if before.is_none() && self.ledger.begin[p] == NONE {
            self.ledger.begin[p] = part.next;
        }
        self.ledger.committed[p] = Some(part.record());
        if !self.read_whole(p).adds_up() {
            self.ledger.breaks(Promise::EntriesAddUp);
        }
        for (other, agent) in self.agents.iter_mut().enumerate() {
            let is_own = other == number && !part.is_gone;
            match &mut agent.slots[p] {
                Slot::Running(task) if !is_own => task.is_head = false,
                Slot::Restoring(job) => job.is_head = false,
                _ => {}
            }
            if let Some(job) = &mut agent.unwanted[p] {
                job.is_head = false;
            }
            if let Some(part) = agent.epoch.as_mut().and_then(|epoch| epoch.parts[p].as_mut())
                && other != number
            {
                part.is_head = false;
            }
        }
    }

    /// The changelog from its beginning, with all that has been decided, whether its markers are there or not.
    fn read_whole(&self, p: usize) -> Replay {
        let mut replay = Replay::default();
        let items = self.changelogs[p].items.iter().enumerate().filter(|(at, _)| self.is_committed(p, *at));
        items.for_each(|(_, stored)| replay.take(stored.item, true));
        replay
    }

    /// Looks at all pages, as if somebody did so all the time.
    pub(crate) fn look_at_pages(&mut self, model: &Model) {
        for p in self.partitions() {
            for number in self.agents() {
                if let Some(shown) = self.shown(number, p, model) {
                    self.ledger.shown[p] = self.ledger.shown[p].max(shown);
                    if self.ledger.committed[p].is_none_or(|committed| shown > committed.next) {
                        self.ledger.breaks(Promise::ShownIsCommitted);
                    }
                }
                let replica = self.agents[number].replicas[p];
                if let Some(replica) = replica
                    && replica.next().is_some_and(|next| replica.counts != self.ledger.expected(p, next))
                {
                    self.ledger.breaks(Promise::ShownIsCommitted);
                }
            }
            let behind = |number| self.shown(number, p, model).is_some_and(|shown| shown < self.ledger.shown[p]);
            if self.agents().any(behind) {
                self.ledger.breaks(Promise::TotalsNeverGoBack);
            }
        }
        if model.scenario.global_view {
            let merged = self.agents().filter_map(|number| self.merged(number, model)).max();
            self.ledger.merged = self.ledger.merged.max(merged.unwrap_or(0));
            if self.agents().any(|number| self.merged(number, model).is_some_and(|sum| sum < self.ledger.merged)) {
                self.ledger.breaks(Promise::MergedNeverGoesBack);
            }
        }
        let windows = self.agents().filter_map(|number| self.shown_window(number, model)).max();
        self.ledger.windows = self.ledger.windows.max(windows.unwrap_or(0));
        if self.agents().any(|number| self.shown_window(number, model).is_some_and(|now| now < self.ledger.windows)) {
            self.ledger.breaks(Promise::WindowsNeverGoBack);
        }
        if self.agents.iter().any(|agent| agent.fence.in_vain) {
            self.ledger.breaks(Promise::NothingIsLostInVain);
        }
    }

    /// Whether all input there is has been counted, committed and shown.
    pub fn is_done(&self, model: &Model) -> bool {
        let is_counted = |p: usize| self.ledger.committed[p].is_some_and(|record| record.next == self.input[p]);
        let is_shown = |p: usize| self.agents().any(|number| self.shown(number, p, model) == Some(self.input[p]));
        let total = self.partitions().map(|p| self.input[p]).sum();
        let is_merged = || self.agents().any(|number| self.merged(number, model) == Some(total));
        self.partitions().all(|p| is_counted(p) && is_shown(p)) && (!model.scenario.global_view || is_merged())
    }
}
