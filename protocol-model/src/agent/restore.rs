//! Take-overs: the order of their steps, and where the input goes on after them (`replica/restore.rs`,
//! `replica/left_open.rs`, `replica/position.rs`, `worker/assignment.rs`).

use super::{Slot, Task};
use crate::action::Action;
use crate::changelog::{Counts, Item, NONE, Replay, Stored};
use crate::promises::Promise;
use crate::rules::Rule;
use crate::scenarios::Start;
use crate::search::Model;
use crate::transactions::Phase;
use crate::world::World;

/// A restore of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    /// The group's committed offset is known; [`NONE`]: there is none.
    pub is_told: bool,
    pub group: u8,
    /// The changelog is read up to here; [`NONE`]: not known yet.
    pub mark: u8,
    /// The input's end, when the changelog had become stable; [`NONE`] until then.
    pub input_end: u8,
    pub replay: Replay,
    pub is_read: bool,
    pub from_scratch: bool,
    /// See [`Task::is_head`].
    pub is_head: bool,
}

impl Default for Job {
    fn default() -> Job {
        Job {
            is_told: false,
            group: NONE,
            mark: NONE,
            input_end: NONE,
            replay: Replay::default(),
            is_read: false,
            from_scratch: false,
            is_head: false,
        }
    }
}

impl Job {
    pub fn positions(&mut self, visit: &mut impl FnMut(&mut u8)) {
        visit(&mut self.mark);
        visit(&mut self.replay.at);
    }
}

/// What becomes of a restore that has read its changelog.
enum Verdict {
    Ready(Task),
    /// The file does not match: the changelog is read whole.
    Again,
    /// The agent ends with an error.
    Alarm,
}

impl World {
    pub(crate) fn restore_offers(&self, model: &Model, offers: &mut Vec<Action>) {
        for number in self.agents() {
            let agent = &self.agents[number];
            if !agent.is_reachable() {
                continue;
            }
            for p in self.partitions() {
                if let Slot::Restoring(job) = &agent.slots[p] {
                    self.job_offers(number, p, job, true, model, offers);
                }
                if let Some(job) = &agent.unwanted[p] {
                    self.job_offers(number, p, job, false, model, offers);
                    if self.faults.restore_fails > 0 {
                        offers.push(Action::UnwantedRestoreFails(number, p));
                    }
                }
                let stale = |task: &Task| task.view.record.is_some() && agent.files[p] != Some(task.view);
                if model.scenario.files && agent.task(p).is_some_and(stale) {
                    offers.push(Action::WritesFile(number, p));
                }
            }
        }
    }

    fn job_offers(&self, number: usize, p: usize, job: &Job, wanted: bool, model: &Model, offers: &mut Vec<Action>) {
        let ordered = model.has(Rule::OffsetsBeforeMark);
        let changelog = &self.changelogs[p];
        if !job.is_told {
            if self.left_open(number, p, model).is_some() {
                offers.push(Action::EndsWhatIsLeftOpen(number, p));
            }
            if (ordered || job.mark != NONE) && !self.offset_is_pending(p) {
                offers.push(Action::IsToldOffset(number, p, wanted));
            }
        }
        if job.mark == NONE && (!ordered || job.is_told) {
            offers.push(Action::ReadsMark(number, p, wanted));
        }
        if job.mark == NONE || !job.is_told {
            return;
        }
        if job.input_end == NONE {
            if changelog.last_stable() >= job.mark || !model.has(Rule::WaitsUntilStable) {
                offers.push(Action::OpensFile(number, p, wanted));
            }
        } else if !job.is_read {
            offers.push(Action::ReadsChangelog(number, p, wanted, NONE));
            if self.faults.early_end > 0 && !model.has(Rule::EndBelowMarkGoesOn) {
                let stops = job.replay.at..self.read_limit(p, job, model);
                offers.extend(stops.map(|stop| Action::ReadsChangelog(number, p, wanted, stop)));
            }
        } else if self.can_start(p, job, model) {
            let is_taken = matches!(self.agents[number].slots[p], Slot::Restoring(_));
            if wanted || !is_taken || model.has(Rule::RestoresAreTagged) {
                offers.push(Action::FinishesRestore(number, p, wanted));
            } else {
                offers.push(Action::TakesUnwantedResult(number, p));
            }
        }
    }

    /// A partition without state has to know how the group began. Partition 0 stands for all others.
    fn can_start(&self, p: usize, job: &Job, model: &Model) -> bool {
        let stable = self.changelogs[0].last_stable() == self.changelogs[0].high_watermark();
        p == 0 || job.replay.record.is_some() || stable || !model.has(Rule::BirthIsLookedUpStable)
    }

    fn read_limit(&self, p: usize, job: &Job, model: &Model) -> u8 {
        let stable = self.changelogs[p].last_stable();
        if model.has(Rule::ReplayStopsAtMark) { stable.min(job.mark) } else { stable }
    }

    /// Whose open transaction on this changelog may be ended: that of the writer of the last commit before it.
    fn left_open(&self, number: usize, p: usize, model: &Model) -> Option<usize> {
        let changelog = &self.changelogs[p];
        let stable = changelog.last_stable();
        if !model.scenario.ends_left_open || stable == changelog.high_watermark() {
            return None;
        }
        let before = changelog.items[..stable as usize].iter().rev();
        let writer =
            before.filter(|stored| matches!(stored.item, Item::Record(_))).map(|s| s.writer as usize).next()?;
        let is_gone = self.group.members[writer].is_none() || !model.has(Rule::OnlyTheGoneAreEnded);
        (writer != number && is_gone && self.txns[writer].phase == Phase::Open).then_some(writer)
    }

    pub(crate) fn ends_what_is_left_open(&mut self, number: usize, p: usize, model: &Model) {
        if let Some(writer) = self.left_open(number, p, model) {
            self.fence_producer(writer);
            self.abort_transaction(writer);
        }
    }

    fn job(&mut self, number: usize, p: usize, wanted: bool) -> Option<&mut Job> {
        let agent = &mut self.agents[number];
        match (&mut agent.slots[p], wanted) {
            (Slot::Restoring(job), true) => Some(job),
            (_, false) => agent.unwanted[p].as_mut(),
            _ => None,
        }
    }

    pub(crate) fn is_told_offset(&mut self, number: usize, p: usize, wanted: bool) {
        let offset = self.group.offsets[p];
        if let Some(job) = self.job(number, p, wanted) {
            (job.is_told, job.group) = (true, offset);
        }
    }

    pub(crate) fn reads_mark(&mut self, number: usize, p: usize, wanted: bool, model: &Model) {
        let changelog = &self.changelogs[p];
        let high = model.has(Rule::MarkIsHighWatermark);
        let mark = if high { changelog.high_watermark() } else { changelog.last_stable() };
        if let Some(job) = self.job(number, p, wanted) {
            job.mark = mark;
        }
    }

    /// The changelog is stable: the ends of the input are read, and the replica or the file is loaded.
    pub(crate) fn opens_file(&mut self, number: usize, p: usize, wanted: bool) {
        let (end, present) = (self.input[p], self.present());
        let agent = &mut self.agents[number];
        if agent.first_seen == NONE {
            agent.first_seen = if self.made == 0 { present } else { self.made }.count_ones() as u8;
        }
        self.made |= present;
        let kept = [agent.replicas[p].take(), agent.files[p]];
        let Some(job) = self.job(number, p, wanted) else { return };
        job.input_end = end;
        let usable = kept.into_iter().flatten().find(|replay| replay.at <= job.mark);
        job.from_scratch = usable.is_none();
        job.replay = usable.unwrap_or_default();
        job.replay.rewind();
    }

    pub(crate) fn reads_changelog(&mut self, number: usize, p: usize, wanted: bool, stop: u8, model: &Model) {
        let Some(mut job) = self.job(number, p, wanted).copied() else { return };
        let limit = self.read_limit(p, &job, model);
        if stop != NONE {
            self.faults.early_end -= 1;
        }
        for at in job.replay.at..limit.min(stop) {
            job.replay.take(self.changelogs[p].items[at as usize].item, true);
        }
        let items = &self.changelogs[p].items;
        let unread = (job.replay.at as usize)..items.len();
        let is_commit = |&at: &usize| matches!(items[at].item, Item::Record(_)) && self.is_committed(p, at);
        (job.is_read, job.is_head) = (true, unread.into_iter().find(is_commit).is_none());
        if let Some(held) = self.job(number, p, wanted) {
            *held = job;
        }
    }

    pub(crate) fn finishes_restore(&mut self, number: usize, p: usize, wanted: bool, model: &Model) {
        let Some(job) = self.job(number, p, wanted).copied() else { return };
        let verdict = self.judge(number, p, job, model);
        if wanted {
            match verdict {
                Verdict::Ready(task) => {
                    if task.view.record.is_none() {
                        self.note_start(p, task.next);
                    }
                    self.agents[number].slots[p] = Slot::Running(task);
                }
                Verdict::Again => self.agents[number].slots[p] = Slot::Restoring(job.again()),
                Verdict::Alarm => self.ledger.breaks(Promise::NoFalseAlarm),
            }
        } else {
            self.agents[number].unwanted[p] = None;
            if matches!(verdict, Verdict::Alarm) {
                self.failed_unwanted(model);
            }
        }
    }

    /// Without tags: the older restore's result goes where the newer one's should.
    pub(crate) fn takes_unwanted_result(&mut self, number: usize, p: usize, model: &Model) {
        if let Some(job) = self.agents[number].unwanted[p].take() {
            self.agents[number].slots[p] = Slot::Restoring(job);
            self.finishes_restore(number, p, true, model);
        }
    }

    pub(crate) fn unwanted_restore_fails(&mut self, number: usize, p: usize, model: &Model) {
        self.faults.restore_fails -= 1;
        self.agents[number].unwanted[p] = None;
        self.failed_unwanted(model);
    }

    fn failed_unwanted(&mut self, model: &Model) {
        if !model.has(Rule::FailuresAreTagged) {
            self.ledger.breaks(Promise::NoFalseAlarm);
        }
    }

    fn judge(&self, number: usize, p: usize, job: Job, model: &Model) -> Verdict {
        let mut view = job.replay;
        view.rewind();
        if !view.adds_up() && model.has(Rule::FingerprintIsCompared) {
            return if job.from_scratch { Verdict::Alarm } else { Verdict::Again };
        }
        let end = if model.has(Rule::InputEndWhenJudged) { self.input[p] } else { job.input_end };
        let (next, show_from) = match (view.next(), job.group) {
            (Some(next), _) if next > end => return Verdict::Alarm,
            (None, offset) if offset != NONE => return Verdict::Alarm,
            (Some(next), NONE) => (next, 0),
            (Some(next), group) if model.has(Rule::StateWins) => (next, group),
            (Some(_), group) => (group, group),
            (None, _) => (self.start(number, p, model), 0),
        };
        let begin = self.input.iter().filter(|&&end| end != NONE).count() as u8;
        let is_new = view.record.is_none();
        Verdict::Ready(Task {
            live: if is_new { Counts::default() } else { view.counts },
            next,
            dirty: 0,
            changed: true,
            reading: !is_new || !model.has(Rule::StartIsCommittedFirst),
            view,
            show_from: if model.has(Rule::ShowsFromGroupOffset) { show_from } else { 0 },
            published: view.record.map_or(0, |record| record.published),
            birth: view.record.map_or(if p == 0 { begin } else { 0 }, |record| record.birth),
            since: view.record.map_or(if p == 0 { self.input[1] } else { NONE }, |record| record.since),
            is_head: job.is_head,
        })
    }

    /// Where a partition without state begins.
    fn start(&self, number: usize, p: usize, model: &Model) -> u8 {
        let (birth, since) = if model.has(Rule::BirthIsDurable) {
            let changelog = &self.changelogs[0];
            let visible = changelog.items[..changelog.last_stable() as usize].iter().rev();
            let birth = |stored: &Stored| match stored.item {
                Item::Record(record) => Some((record.birth, record.since)),
                Item::Entries { .. } => None,
            };
            visible.filter_map(birth).next().unwrap_or((NONE, NONE))
        } else {
            (self.agents[number].first_seen, NONE)
        };
        match model.scenario.start {
            Start::Latest if (p as u8) >= birth => 0,
            Start::Latest if p == 1 && since != NONE && model.has(Rule::BeginsSinceBirth) => since,
            Start::Latest => self.input[p],
            Start::Earliest => 0,
        }
    }

    /// The checkpointer gets to it.
    pub(crate) fn writes_file(&mut self, number: usize, p: usize) {
        let view = self.agents[number].task(p).map(|task| task.view);
        self.agents[number].files[p] = view;
    }
}

impl Job {
    fn again(self) -> Job {
        Job { replay: Replay::default(), is_read: false, from_scratch: true, ..self }
    }
}
