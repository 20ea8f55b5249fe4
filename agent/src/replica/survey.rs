//! What has to be known of each partition before its state may be read back, asked for until it is known. The order is the
//! protocol's: the group's offset, *then* the changelog's high watermark, then the last stable offset until it has reached
//! that, and the input's ends after all of it.
//!
//! Partitions wait for themselves alone: those of which everything is known go on after a moment, whatever is wrong with
//! the others (no leader, an open transaction). No I/O is done here but through [`Ask`].

use super::context::RestoreTask;
use super::error::RestoreError;
use super::identity::Limits;
use crate::clock::BootTime;
use crate::config::Guarantee;
use crate::kafka::{Answers, TopicPartition, is_passing};
use crate::state::HeldUp;
use rdkafka::error::{KafkaError, KafkaResult};
use std::collections::HashMap;
use std::time::Duration;

/// How long partitions that could begin wait for the rest.
const GRACE: Duration = Duration::from_secs(1);
/// Who waits shorter is not told of: a leader that moves, a marker on its way.
const NOT_WORTH_TELLING: Duration = Duration::from_secs(1);

/// Those who know.
pub(super) trait Ask {
    /// The group's committed offsets. Fails as a whole while one of them is part of an open transaction.
    fn group_offsets(&self, of: &[TopicPartition]) -> KafkaResult<HashMap<TopicPartition, Option<i64>>>;
    fn high_watermarks(&self, of: &[TopicPartition]) -> Answers;
    fn last_stable_offsets(&self, of: &[TopicPartition]) -> Answers;
    fn beginnings(&self, of: &[TopicPartition]) -> Answers;
    fn ends(&self, of: &[TopicPartition]) -> Answers;
}

/// A partition of which all is known that a restore has to know.
#[derive(Clone)]
pub(super) struct Known {
    pub task: RestoreTask,
    /// What the group has committed.
    pub group_offset: Option<i64>,
    /// High watermark of the changelog; its last stable offset has reached it.
    pub mark: i64,
    /// Where a transaction began on the changelog that had to be ended: whatever says that it was committed is wrong.
    hung_at: Option<i64>,
    /// First offset and end of the input.
    pub input: (i64, i64),
}

impl Known {
    /// Up to where a file may be believed.
    pub fn limits(&self, guarantee: Guarantee) -> Limits {
        // At least once, offsets follow after the state.
        let input = self.group_offset.filter(|_| guarantee.is_transactional());
        Limits { changelog: self.hung_at.unwrap_or(self.mark).min(self.mark), input }
    }
}

/// One that is being asked about. Each value is asked for once those before it are known.
struct Asked {
    task: RestoreTask,
    group_offset: Option<Option<i64>>,
    mark: Option<i64>,
    last_stable: Option<i64>,
    hung_at: Option<i64>,
    first: Option<i64>,
    end: Option<i64>,
    /// What was wrong when it was last asked about.
    obstacle: Option<String>,
}

impl Asked {
    fn is_stable(&self) -> bool {
        self.mark.is_some_and(|mark| self.last_stable >= Some(mark))
    }

    fn is_known(&self) -> bool {
        self.is_stable() && self.first.is_some() && self.end.is_some()
    }

    fn known(self) -> Option<Known> {
        let Asked { task, group_offset, mark, hung_at, first, end, .. } = self;
        Some(Known { task, group_offset: group_offset?, mark: mark?, hung_at, input: (first?, end?) })
    }
}

pub(super) struct Survey {
    asked: Vec<Asked>,
    began: BootTime,
    /// For so many partitions the group's offsets are asked at a time: fewer while one of them makes all fail.
    at_once: usize,
}

impl Survey {
    pub fn new(tasks: Vec<RestoreTask>, began: BootTime) -> Survey {
        let at_once = tasks.len();
        let asked = |task| Asked {
            task,
            group_offset: None,
            mark: None,
            last_stable: None,
            hung_at: None,
            first: None,
            end: None,
            obstacle: None,
        };
        Survey { asked: tasks.into_iter().map(asked).collect(), began, at_once }
    }

    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// A first look at which changelog partitions have an open transaction: gives them, with the offset that it begins at.
    /// The group's offsets of the others are asked for first, since these may be part of it.
    pub fn peek(&mut self, ask: &impl Ask) -> Vec<(RestoreTask, i64)> {
        let of: Vec<_> = self.asked.iter().map(|asked| asked.task.changelog_partition()).collect();
        let (all, stable) = (ask.high_watermarks(&of), ask.last_stable_offsets(&of));
        let begin = |task: &RestoreTask| {
            let place = task.changelog_partition();
            let (Some(Ok(high)), Some(Ok(stable))) = (all.get(&place), stable.get(&place)) else { return None };
            (stable < high).then_some(*stable)
        };
        let open: Vec<_> = self.asked.iter().filter_map(|a| Some((a.task.clone(), begin(&a.task)?))).collect();
        if !open.is_empty() {
            self.asked.sort_by_key(|asked| begin(&asked.task).is_some());
            self.at_once = (self.asked.len() - open.len()).max(1);
        }
        open
    }

    /// Asks once for what is not known yet; drops what nobody wants any more. Gives what failed for good.
    pub fn round(&mut self, ask: &impl Ask) -> Vec<(RestoreTask, RestoreError)> {
        self.asked.retain(|asked| !asked.task.stop.is_requested());
        self.asked.iter_mut().for_each(|asked| asked.obstacle = None);
        let mut failed = Vec::new();
        self.ask_for_group_offsets(ask, &mut failed);
        let input = |task: &RestoreTask| task.input();
        let changelog = |task: &RestoreTask| task.changelog_partition();
        self.each(
            |asked| asked.group_offset.is_some() && asked.mark.is_none(),
            changelog,
            ("changelog ends", |of| ask.high_watermarks(of)),
            |asked, mark| asked.mark = Some(mark),
            &mut failed,
        );
        self.each(
            |asked| asked.mark.is_some() && !asked.is_stable(),
            changelog,
            ("changelog ends", |of| ask.last_stable_offsets(of)),
            |asked, stable| {
                asked.last_stable = Some(stable);
                if !asked.is_stable() {
                    let changelog = asked.task.changelog_partition();
                    asked.obstacle = Some(format!(
                        "an open transaction on {changelog} at offset {stable}; the brokers abort it after its timeout. If it stays: kafka-transactions.sh find-hanging"
                    ));
                }
            },
            &mut failed,
        );
        self.each(
            |asked| asked.is_stable() && asked.first.is_none(),
            input,
            ("input's beginnings", |of| ask.beginnings(of)),
            |asked, first| asked.first = Some(first),
            &mut failed,
        );
        self.each(
            |asked| asked.is_stable() && asked.end.is_none(),
            input,
            ("input's ends", |of| ask.ends(of)),
            |asked, end| asked.end = Some(end),
            &mut failed,
        );
        failed
    }

    fn ask_for_group_offsets(&mut self, ask: &impl Ask, failed: &mut Vec<(RestoreTask, RestoreError)>) {
        let unknown = self.asked.iter().filter(|asked| asked.group_offset.is_none());
        let of: Vec<_> = unknown.take(self.at_once.max(1)).map(|asked| asked.task.input()).collect();
        if of.is_empty() {
            return;
        }
        match ask.group_offsets(&of) {
            Ok(answers) => {
                self.at_once = self.at_once.saturating_mul(2);
                for asked in &mut self.asked {
                    if let Some(offset) = answers.get(&asked.task.input()) {
                        asked.group_offset = Some(*offset);
                    }
                }
            }
            Err(error) if is_passing(&error) => {
                self.at_once = of.len().div_ceil(2);
                self.hinder(&of, |_| format!("the group's offset is not known yet: {}", brief(&error)));
                // If there was only one left to blame, others have their turn first.
                if let [culprit] = &of[..]
                    && let Some(at) = self.asked.iter().position(|asked| asked.task.input() == *culprit)
                {
                    let asked = self.asked.remove(at);
                    self.asked.push(asked);
                }
            }
            Err(error) => self.fail(&of, "group offsets", &error, failed),
        }
        // Those whose turn has not come.
        let rest = self.asked.iter_mut().filter(|asked| asked.group_offset.is_none() && asked.obstacle.is_none());
        rest.for_each(|asked| asked.obstacle = Some("the group's offset is not known yet".to_owned()));
    }

    /// Asks for one value of all partitions that lack it.
    fn each(
        &mut self,
        lacks: impl Fn(&Asked) -> bool,
        place: impl Fn(&RestoreTask) -> TopicPartition,
        (what, ask): (&'static str, impl Fn(&[TopicPartition]) -> Answers),
        set: impl Fn(&mut Asked, i64),
        failed: &mut Vec<(RestoreTask, RestoreError)>,
    ) {
        let of: Vec<_> = self.asked.iter().filter(|asked| lacks(asked)).map(|asked| place(&asked.task)).collect();
        if of.is_empty() {
            return;
        }
        let answers = ask(&of);
        let mut lost = Vec::new();
        for asked in self.asked.iter_mut().filter(|asked| lacks(asked)) {
            let place = place(&asked.task);
            match answers.get(&place) {
                Some(Ok(offset)) => set(asked, *offset),
                Some(Err(error)) if !is_passing(error) => lost.push((asked.task.input(), error.clone())),
                Some(Err(error)) => asked.obstacle = Some(format!("{place}: {}", brief(error))),
                None => asked.obstacle = Some(format!("{place}: no answer")),
            }
        }
        for (place, error) in lost {
            self.fail(&[place], what, &error, failed);
        }
    }

    fn hinder(&mut self, of: &[TopicPartition], why: impl Fn(&Asked) -> String) {
        for asked in self.asked.iter_mut().filter(|asked| of.contains(&asked.task.input())) {
            asked.obstacle = Some(why(asked));
        }
    }

    fn fail(
        &mut self,
        of: &[TopicPartition],
        what: &'static str,
        error: &KafkaError,
        failed: &mut Vec<(RestoreTask, RestoreError)>,
    ) {
        let error = || RestoreError::Kafka { what, error: error.clone() };
        failed.extend(
            self.asked.extract_if(.., |asked| of.contains(&asked.task.input())).map(|asked| (asked.task, error())),
        );
    }

    /// Those that wait for the end of a transaction on the changelog or on the group's offsets, as far as their leaders answer,
    /// and the last stable offsets of their changelogs.
    pub fn hanging(&self, ask: &impl Ask) -> Vec<(RestoreTask, i64)> {
        let waits = |asked: &&Asked| asked.obstacle.is_some() && !asked.is_stable();
        let waiting: Vec<_> = self.asked.iter().filter(waits).map(|asked| &asked.task).collect();
        let of: Vec<_> = waiting.iter().map(|task| task.changelog_partition()).collect();
        let stable = ask.last_stable_offsets(&of);
        let at = |task: &RestoreTask| stable.get(&task.changelog_partition())?.as_ref().ok().copied();
        waiting.into_iter().filter_map(|task| Some((task.clone(), at(task)?))).collect()
    }

    /// From now on what these had committed is sure up to these offsets of their changelogs, and no further.
    pub fn hung(&mut self, hanging: &[(RestoreTask, i64)]) {
        for (task, stable) in hanging {
            let id = task.input();
            for asked in self.asked.iter_mut().filter(|asked| asked.task.input() == id) {
                asked.hung_at = Some(asked.hung_at.map_or(*stable, |at| at.min(*stable)));
            }
        }
    }

    /// Partitions that may begin now: all, or those that could, once they have waited long enough for the rest.
    pub fn take_known(&mut self, now: BootTime) -> Vec<Known> {
        let known = self.asked.iter().filter(|asked| asked.is_known()).count();
        if known < self.asked.len() && (known == 0 || now.since(self.began) < GRACE) {
            return Vec::new();
        }
        let taken: Vec<Known> = self.asked.extract_if(.., |asked| asked.is_known()).filter_map(Asked::known).collect();
        taken.iter().for_each(|known| known.task.task.ownership.set_held_up(None));
        taken
    }

    /// Those that could not begin, to be asked about by a restore of their own.
    pub fn into_rest(self) -> Vec<RestoreTask> {
        self.asked.into_iter().map(|asked| asked.task).collect()
    }

    /// Whether an open transaction is what somebody waits for.
    pub fn is_unstable(&self) -> bool {
        self.asked.iter().any(|asked| asked.last_stable.is_some() && !asked.is_stable())
    }

    /// Tells readers what each partition waits for, `waited` in all. Gives one of those that wait.
    pub fn tell(&self, waited: Duration) -> Option<(&RestoreTask, &str)> {
        if waited < NOT_WORTH_TELLING {
            return None;
        }
        for asked in &self.asked {
            let held_up = asked.obstacle.clone().map(|why| HeldUp { waited, why });
            asked.task.task.ownership.set_held_up(held_up);
        }
        self.asked.iter().find_map(|asked| Some((&asked.task, asked.obstacle.as_deref()?)))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.asked.iter().filter(|asked| asked.obstacle.is_some()).count()
    }
}

/// What librdkafka says, without which of its calls it was.
pub fn brief(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(rdkafka::error::RDKafkaErrorCode::LeaderNotAvailable) => "the partition has no leader".to_owned(),
        Some(code) => code.to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::samples::{aggregate, plan};
    use crate::clock::Clock;
    use crate::config::{OnLoss, Start};
    use crate::replica::LossPolicy;
    use crate::state::{Lease, Task, TaskId};
    use crate::stop::Stop;
    use rdkafka::error::RDKafkaErrorCode;
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    /// Partitions, each of which is at offset 10; some are in trouble.
    #[derive(Default)]
    struct Fake {
        no_leader: BTreeSet<i32>,
        no_input: BTreeSet<i32>,
        denied: BTreeSet<i32>,
        open: BTreeSet<i32>,
        pending_offsets: BTreeSet<i32>,
        /// What was asked, and of how many.
        asked: RefCell<Vec<(&'static str, usize)>>,
    }

    impl Fake {
        fn each(&self, what: &'static str, of: &[TopicPartition], offset: impl Fn(i32) -> KafkaResult<i64>) -> Answers {
            self.asked.borrow_mut().push((what, of.len()));
            of.iter().map(|place| (place.clone(), offset(place.partition))).collect()
        }

        fn error(code: RDKafkaErrorCode) -> KafkaResult<i64> {
            Err(KafkaError::OffsetFetch(code))
        }
    }

    impl Ask for Fake {
        fn group_offsets(&self, of: &[TopicPartition]) -> KafkaResult<HashMap<TopicPartition, Option<i64>>> {
            self.asked.borrow_mut().push(("group", of.len()));
            if of.iter().any(|of| self.pending_offsets.contains(&of.partition)) {
                return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut));
            }
            Ok(of.iter().map(|place| (place.clone(), Some(7))).collect())
        }

        fn high_watermarks(&self, of: &[TopicPartition]) -> Answers {
            self.each("mark", of, |partition| match partition {
                p if self.no_leader.contains(&p) => Fake::error(RDKafkaErrorCode::LeaderNotAvailable),
                p if self.denied.contains(&p) => Fake::error(RDKafkaErrorCode::TopicAuthorizationFailed),
                _ => Ok(10),
            })
        }

        fn last_stable_offsets(&self, of: &[TopicPartition]) -> Answers {
            self.each("stable", of, |partition| Ok(if self.open.contains(&partition) { 4 } else { 10 }))
        }

        fn beginnings(&self, of: &[TopicPartition]) -> Answers {
            self.each("first", of, |partition| match self.no_input.contains(&partition) {
                true => Fake::error(RDKafkaErrorCode::LeaderNotAvailable),
                false => Ok(0),
            })
        }

        fn ends(&self, of: &[TopicPartition]) -> Answers {
            self.each("end", of, |_| Ok(20))
        }
    }

    fn tasks(partitions: i32) -> Vec<RestoreTask> {
        let task = |partition| {
            let id = TaskId { topic: "t".into(), partition };
            let lease = Arc::new(Lease::new(Clock::manual(0), Duration::ZERO));
            RestoreTask {
                task: Arc::new(Task::new(id, "t".into(), plan(aggregate()), lease)),
                policy: LossPolicy { on_loss: OnLoss::Fail, start: Start::Earliest },
                changelog: "c".into(),
                stop: Stop::new(),
            }
        };
        (0..partitions).map(task).collect()
    }

    fn at(millis: i64) -> BootTime {
        BootTime::from_millis(millis)
    }

    fn partitions(known: &[Known]) -> Vec<i32> {
        known.iter().map(|known| known.task.task.id.partition).collect()
    }

    fn said(task: &RestoreTask) -> String {
        task.task.ownership.held_up().map(|held_up| held_up.why).unwrap_or_default()
    }

    #[test]
    fn all_partitions_begin_at_once_when_nothing_is_wrong_and_the_order_is_the_protocols() {
        let (fake, mut survey) = (Fake::default(), Survey::new(tasks(3), at(0)));
        assert!(survey.round(&fake).is_empty());
        let known = survey.take_known(at(0));
        assert_eq!(partitions(&known), [0, 1, 2]);
        assert_eq!((known[0].group_offset, known[0].mark, known[0].input), (Some(7), 10, (0, 20)));
        let order: Vec<_> = fake.asked.borrow().iter().map(|(what, _)| *what).collect();
        assert_eq!(order, ["group", "mark", "stable", "first", "end"]);
    }

    #[test]
    fn what_is_ready_waits_a_second_for_the_rest_and_no_longer() {
        let fake = Fake { no_leader: [1].into(), no_input: [2].into(), open: [3].into(), ..Fake::default() };
        let tasks = tasks(5);
        let mut survey = Survey::new(tasks.clone(), at(0));
        assert!(survey.round(&fake).is_empty());
        assert!(survey.take_known(at(900)).is_empty());
        assert!(survey.tell(Duration::from_millis(900)).is_none(), "a moment is not worth telling");
        survey.tell(Duration::from_millis(1_100));
        assert_eq!(partitions(&survey.take_known(at(1_000))), [0, 4]);
        assert_eq!(said(&tasks[0]), "");
        assert!(said(&tasks[1]).contains("c/1: the partition has no leader"), "{}", said(&tasks[1]));
        assert!(said(&tasks[2]).contains("t/2: the partition has no leader"), "{}", said(&tasks[2]));
        assert!(said(&tasks[3]).contains("an open transaction on c/3 at offset 4"), "{}", said(&tasks[3]));
        let rest: Vec<_> = survey.into_rest().iter().map(|task| task.task.id.partition).collect();
        assert_eq!(rest, [1, 2, 3]);
    }

    #[test]
    fn a_partition_that_fails_for_good_takes_no_other_with_it() {
        let fake = Fake { denied: [1].into(), ..Fake::default() };
        let mut survey = Survey::new(tasks(3), at(0));
        let failed: Vec<_> = survey.round(&fake).iter().map(|(task, _)| task.task.id.partition).collect();
        assert_eq!(failed, [1]);
        assert_eq!(partitions(&survey.take_known(at(0))), [0, 2]);
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_asked_about() {
        let (fake, tasks) = (Fake { no_leader: [0].into(), ..Fake::default() }, tasks(2));
        let mut survey = Survey::new(tasks.clone(), at(0));
        survey.round(&fake);
        tasks.iter().for_each(|task| task.stop.request());
        fake.asked.borrow_mut().clear();
        survey.round(&fake);
        assert!(survey.is_empty() && fake.asked.borrow().is_empty());
    }

    /// The coordinator answers for all or for none.
    #[test]
    fn partitions_whose_group_offsets_are_pending_are_found_among_the_others() {
        let fake = Fake { pending_offsets: [2, 5].into(), ..Fake::default() };
        let mut survey = Survey::new(tasks(8), at(0));
        for _ in 0..20 {
            survey.round(&fake);
        }
        assert_eq!(
            partitions(&survey.take_known(at(2_000))).into_iter().collect::<BTreeSet<_>>(),
            [0, 1, 3, 4, 6, 7].into()
        );
    }

    #[test]
    fn partitions_without_an_open_transaction_are_asked_for_first() {
        let fake = Fake { open: [0, 2].into(), pending_offsets: [0, 2].into(), ..Fake::default() };
        let mut survey = Survey::new(tasks(4), at(0));
        let open: Vec<_> = survey.peek(&fake).iter().map(|(task, at)| (task.task.id.partition, *at)).collect();
        assert_eq!(open, [(0, 4), (2, 4)]);
        survey.round(&fake);
        assert_eq!(partitions(&survey.take_known(at(1_000))), [1, 3]);
    }
}
