//! The committer: one epoch at a time, in one transaction (`commit/committer.rs`, `commit/transaction.rs`).

use super::{Agent, Lease, Slot};
use crate::action::Action;
use crate::changelog::{Counts, Item, NONE, Record, Replay, Stored};
use crate::group::Client;
use crate::rules::Rule;
use crate::scenarios::Membership;
use crate::search::Model;
use crate::transactions::Phase;
use crate::world::{PARTITIONS, World, one};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Records are being produced.
    Producing,
    /// The fences let it pass, with the metadata that is sent along.
    Passed,
    /// The group has taken the offsets.
    OffsetsSent,
    /// The commit has been asked for.
    Asked,
}

/// What an epoch has of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    pub counts: Counts,
    pub next: u8,
    pub dirty: u8,
    pub published: u8,
    pub birth: u8,
    pub since: u8,
    /// It moves the group's offset.
    pub moves: bool,
    /// The task has been dropped meanwhile.
    pub is_gone: bool,
    pub is_head: bool,
    /// Position after its last item.
    pub end: u8,
}

impl Part {
    pub fn record(&self) -> Record {
        let Part { next, counts: fingerprint, published, birth, since, .. } = *self;
        Record { next, fingerprint, published, birth, since }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    pub step: Step,
    pub parts: [Option<Part>; PARTITIONS],
    /// Entries are written, and offset records.
    pub wrote: [bool; 2],
    /// Frozen under an older assignment number.
    pub is_stale: bool,
    /// Began before the lease ran out or ended.
    pub is_old: bool,
    /// A record was not delivered.
    pub is_incomplete: bool,
    /// Member id and generation that go with the offsets.
    pub id: u8,
    pub lag: u8,
    /// The coordinator has committed it. The agent does not know until it is answered.
    pub is_committed: bool,
}

/// Why an epoch was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Fenced,
    Membership,
    Other,
}

impl World {
    pub(crate) fn commit_offers(&self, model: &Model, offers: &mut Vec<Action>) {
        for number in self.agents() {
            let agent = &self.agents[number];
            let txn = &self.txns[number];
            let Some(epoch) = &agent.epoch else {
                self.freeze_offers(number, model, offers);
                continue;
            };
            // A request may be on its way while its sender is cut off.
            if epoch.step == Step::Asked && !epoch.is_committed && txn.phase == Phase::Open {
                offers.push(Action::CommitIsDecided(number));
            }
            if !agent.is_reachable() {
                continue;
            }
            if agent.producer.fenced {
                self.rebuild_offers(number, offers);
                continue;
            }
            let written = epoch.wrote == [true, true];
            if !written {
                offers.push(Action::WritesRest(number));
            }
            match epoch.step {
                Step::Producing if written || !model.has(Rule::DeliveredBeforeOffsets) => {
                    offers.push(Action::LooksAtFences(number))
                }
                Step::Passed => offers.push(Action::SendsOffsets(number)),
                Step::OffsetsSent if written => offers.push(Action::AsksForCommit(number)),
                Step::Asked => {
                    if epoch.is_committed {
                        offers.push(Action::CommitIsAnswered(number));
                    }
                    if !model.has(Rule::UndecidedIsAskedAgain) && self.faults.timeout > 0 {
                        offers.push(Action::GivesUpCommit(number));
                    }
                }
                Step::Producing | Step::OffsetsSent => {}
            }
        }
    }

    fn freeze_offers(&self, number: usize, model: &Model, offers: &mut Vec<Action>) {
        let agent = &self.agents[number];
        if !agent.is_reachable() || !agent.producer.ready || self.txns[number].phase != Phase::Empty {
            return;
        }
        let suspended = agent.suspended && model.has(Rule::DoubtSuspends);
        if agent.producer.fenced {
            offers.push(Action::RebuildsProducer(number));
        } else if !suspended && !agent.client.lost && agent.tasks().any(|(_, task)| task.changed) {
            offers.push(Action::Freezes(number));
            if self.faults.undelivered > 0 && agent.tasks().any(|(_, task)| task.dirty != 0) {
                offers.push(Action::FreezesAndLosesARecord(number));
            }
        }
    }

    fn rebuild_offers(&self, number: usize, offers: &mut Vec<Action>) {
        let Some(epoch) = &self.agents[number].epoch else { return };
        let moved = (0..PARTITIONS).filter(|&p| epoch.parts[p].is_some_and(|part| part.moves));
        let is_told = epoch.step < Step::Asked || moved.into_iter().all(|p| !self.offset_is_pending(p));
        if self.txns[number].phase == Phase::Empty && is_told {
            offers.push(Action::RebuildsProducer(number));
        }
    }

    /// Freezes what changed, begins a transaction, and writes the entries.
    pub(crate) fn freezes(&mut self, number: usize, loses: bool, model: &Model) {
        let agent = &mut self.agents[number];
        let mut parts = [None; PARTITIONS];
        for (slot, part) in agent.slots.iter_mut().zip(&mut parts) {
            let Slot::Running(task) = slot else { continue };
            if task.changed {
                *part = Some(Part {
                    counts: task.live,
                    next: task.next,
                    dirty: std::mem::take(&mut task.dirty),
                    published: task.published,
                    birth: task.birth,
                    since: task.since,
                    moves: task.view.next() != Some(task.next),
                    is_gone: false,
                    is_head: task.is_head,
                    end: NONE,
                });
                task.changed = false;
            }
        }
        agent.epoch = Some(Epoch {
            step: Step::Producing,
            parts,
            wrote: [false, false],
            is_stale: false,
            is_old: false,
            is_incomplete: loses,
            id: agent.client.id,
            lag: agent.client.lag,
            is_committed: false,
        });
        if loses {
            self.faults.undelivered -= 1;
        }
        self.txns[number].phase = Phase::Open;
        self.write(number, if model.has(Rule::OffsetRecordLast) { 0 } else { 1 });
    }

    /// Writes the entries (0) or the offset records (1).
    fn write(&mut self, number: usize, what: usize) {
        let Some(epoch) = &mut self.agents[number].epoch else { return };
        epoch.wrote[what] = true;
        for (p, part) in epoch.parts.iter_mut().enumerate() {
            let Some(part) = part else { continue };
            let item = match what {
                0 if part.dirty == 0 || epoch.is_incomplete => continue,
                0 => Item::Entries { keys: part.dirty, counts: Counts::default().with(part.dirty, part.counts) },
                _ => Item::Record(part.record()),
            };
            self.changelogs[p].items.push(Stored { item, writer: number as u8, open: true });
            part.end = self.changelogs[p].high_watermark();
            self.txns[number].changelogs |= one(p);
        }
    }

    pub(crate) fn writes_rest(&mut self, number: usize, model: &Model) {
        let Some(epoch) = &self.agents[number].epoch else { return };
        let rest = if epoch.wrote[0] { 1 } else { 0 };
        if epoch.is_incomplete && model.has(Rule::SendErrorsAbort) {
            self.aborts(number, Reason::Other, model);
        } else {
            self.write(number, rest);
        }
    }

    /// Fetches the group's metadata, and checks both fences against it.
    pub(crate) fn looks_at_fences(&mut self, number: usize, model: &Model) {
        let agent = &mut self.agents[number];
        let Client { id, lag, .. } = agent.client;
        let broken = agent.observe(model);
        let Some(epoch) = &mut agent.epoch else { return };
        let reassigned = epoch.is_stale && model.has(Rule::AssignmentNumber);
        if model.has(Rule::MetadataIsFresh) {
            (epoch.id, epoch.lag) = (id, lag);
        }
        let no_generation = epoch.lag == NONE && model.has(Rule::NoGenerationNoCommit);
        epoch.step = Step::Passed;
        if broken {
            self.aborts(number, Reason::Fenced, model);
        } else if reassigned || no_generation {
            self.aborts(number, Reason::Other, model);
        }
    }

    /// The group takes the offsets if member and generation are right. It does not look at who owns what, nor at the
    /// group's state; and without member, generation and instance id it looks at nothing.
    pub(crate) fn sends_offsets(&mut self, number: usize, model: &Model) {
        let Some(epoch) = &mut self.agents[number].epoch else { return };
        let anonymous = model.scenario.membership == Membership::Dynamic && epoch.id == 0 && epoch.lag == NONE;
        if anonymous || self.group.knows(number, epoch.id) && epoch.lag == 0 {
            epoch.step = Step::OffsetsSent;
            for (offset, part) in self.txns[number].offsets.iter_mut().zip(&epoch.parts) {
                if let Some(part) = part {
                    *offset = part.next;
                }
            }
        } else {
            let is_known = self.group.knows(number, epoch.id);
            self.aborts(number, if is_known { Reason::Other } else { Reason::Membership }, model);
        }
    }

    pub(crate) fn asks_for_commit(&mut self, number: usize) {
        if let Some(epoch) = &mut self.agents[number].epoch {
            epoch.step = Step::Asked;
        }
    }

    pub(crate) fn commit_is_decided(&mut self, number: usize) {
        self.txns[number].phase = Phase::Committed;
        let Some(epoch) = &mut self.agents[number].epoch else { return };
        epoch.is_committed = true;
        let parts = epoch.parts;
        for (p, part) in parts.iter().enumerate() {
            if let Some(part) = part {
                self.note_commit(number, p, *part);
            }
        }
    }

    /// Durable: shows it to readers, and renews the lease.
    pub(crate) fn commit_is_answered(&mut self, number: usize, model: &Model) {
        let agent = &mut self.agents[number];
        let Some(epoch) = agent.epoch.take() else { return };
        agent.publishes(&epoch, model);
    }

    /// Not a rule of ours: what if an undecided commit were taken for aborted?
    pub(crate) fn gives_up_commit(&mut self, number: usize, model: &Model) {
        self.faults.timeout -= 1;
        self.aborts(number, Reason::Other, model);
    }

    /// A new producer with the same id, which ends what the old one left open; then the group's offsets tell.
    pub(crate) fn rebuilds_producer(&mut self, number: usize, model: &Model) {
        let offsets = self.group.offsets;
        let agent = &mut self.agents[number];
        agent.producer.fenced = false;
        let Some(epoch) = &agent.epoch else { return };
        match outcome(epoch, offsets, model) {
            Some(true) => {
                if let Some(epoch) = agent.epoch.take() {
                    agent.publishes(&epoch, model);
                }
            }
            Some(false) => self.aborts(number, Reason::Other, model),
            None => self.aborts(number, Reason::Fenced, model),
        }
    }

    /// Nothing is rolled back: what the epoch held is dirty again.
    fn aborts(&mut self, number: usize, reason: Reason, model: &Model) {
        self.abort_transaction(number);
        let agent = &mut self.agents[number];
        let Some(epoch) = agent.epoch.take() else { return };
        for (p, part) in epoch.parts.iter().enumerate() {
            let Some(part) = part.filter(|part| !part.is_gone) else { continue };
            let Some(task) = agent.task_mut(p) else { continue };
            task.changed = true;
            if model.has(Rule::AbortMakesDirty) {
                task.dirty |= part.dirty;
            }
        }
        match reason {
            Reason::Fenced => agent.lose_everything(model),
            // It may have joined anew while the refusal was on its way.
            Reason::Membership => {
                agent.suspended = agent.client.id == epoch.id || !model.has(Rule::DoubtIsOfThatMember);
            }
            Reason::Other => {}
        }
    }
}

impl Agent {
    fn publishes(&mut self, epoch: &Epoch, model: &Model) {
        for (p, part) in epoch.parts.iter().enumerate() {
            let Some(part) = part.filter(|part| !part.is_gone) else { continue };
            let Some(task) = self.task_mut(p) else { continue };
            task.view = Replay { at: part.end, counts: part.counts, record: Some(part.record()), ..Replay::default() };
            task.reading = true;
        }
        let counts = !epoch.is_old || !model.has(Rule::LeaseFromTheBeginning);
        if counts && self.tasks().next().is_some() {
            self.lease = Lease::Held;
        }
    }
}

/// Whether an undecided commit went through, by the group's offsets; `None`: others have committed since.
fn outcome(epoch: &Epoch, offsets: [u8; PARTITIONS], model: &Model) -> Option<bool> {
    let moved: Vec<(u8, u8)> = (0..PARTITIONS)
        .filter_map(|p| epoch.parts[p].filter(|part| part.moves).map(|part| (part.next, offsets[p])))
        .collect();
    if epoch.step < Step::Asked || moved.is_empty() || !model.has(Rule::OutcomeIsLookedUp) {
        return Some(false);
    }
    let is_there = |&(next, now): &(u8, u8)| now != NONE && now >= next;
    let is_exact = |&(next, now): &(u8, u8)| now == next;
    if !model.has(Rule::OutcomeNeedsAllOffsets) {
        return Some(moved.iter().any(is_exact));
    }
    if !moved.iter().all(is_there) {
        return Some(false);
    }
    let exact = moved.iter().all(is_exact) || !model.has(Rule::OutcomeNeedsExactOffsets);
    exact.then_some(true)
}
