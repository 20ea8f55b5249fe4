//! Partitions come and go: acknowledging, restoring, revoking, losing.

use super::error::WorkerError;
use super::fold::{Fetching, LiveTask};
use super::restores::{Means, Restoration, Through};
use super::run::Worker;
use crate::aggregate::TaskState;
use crate::commit::{MemberId, Standing, member_of};
use crate::failpoint;
use crate::kafka::{Rebalance, TopicPartition};
use crate::replica::{LossPolicy, RestoreTask, Restored};
use crate::sources::{Source, changelog_topic};
use crate::state::{Phase, Task, TaskId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a revoke may wait for its final commit; the whole worker stands still meanwhile.
const REVOKE_DEADLINE: Duration = Duration::from_secs(5);

const PUT_OUT: &str = "the group had put this member out; others may have owned its partitions";

impl Worker<'_> {
    /// Answers what the group has decided since the last poll.
    pub(super) fn answer_rebalances(&mut self) -> Result<(), WorkerError> {
        while let Some(rebalance) = self.consumer.take_rebalance() {
            let began = self.agent.clock.boot_time();
            self.membership.resume();
            let rebalance = match rebalance {
                // librdkafka may have taken what we gave back for consent, and the group gone on.
                Rebalance::Revoked(partitions) if self.membership.gave_back() => Rebalance::Lost(partitions),
                other => other,
            };
            let event = match &rebalance {
                Rebalance::Assigned(_) => "assigned",
                Rebalance::Revoked(_) => "revoked",
                Rebalance::Lost(_) => "lost",
            };
            let metadata = self.consumer.group_metadata();
            let generation = metadata.as_ref().map(|metadata| metadata.generation());
            let member = member_of(metadata.as_ref());
            let known = member.as_deref().unwrap_or_default();
            tracing::info!(worker = self.identity.worker, generation, member = known, ?rebalance, "rebalance");
            self.membership.answering = true;
            match rebalance {
                Rebalance::Assigned(partitions) => self.on_assigned(partitions, member)?,
                Rebalance::Revoked(partitions) => self.on_revoked(&partitions, member.as_deref())?,
                Rebalance::Lost(partitions) => self.on_lost(&partitions)?,
            }
            self.membership.answering = false;
            if let Some(why) = self.membership.take_loss() {
                self.lose_everything(why)?;
            }
            self.agent.metrics.rebalanced(event, self.agent.clock.boot_time().since(began));
        }
        Ok(())
    }

    /// Whom the group takes us for.
    pub(super) fn member_now(&self) -> Option<MemberId> {
        member_of(self.consumer.group_metadata().as_ref())
    }

    fn on_assigned(&mut self, partitions: Vec<TopicPartition>, member: Option<MemberId>) -> Result<(), WorkerError> {
        let sound = self.membership.give(&partitions, member);
        self.consumer.acknowledge()?;
        self.status.assignment_known();
        if !self.membership.owns_nothing() {
            self.status.set_trouble(None);
        }
        match (sound, self.closing || self.membership.is_leaving()) {
            // Whoever is about to leave restores nothing.
            (_, true) => Ok(()),
            (true, false) => self.restore(partitions),
            (false, false) => self.lose_everything(PUT_OUT),
        }
    }

    /// In order: what was folded is committed before the partitions go.
    fn on_revoked(&mut self, partitions: &[TopicPartition], member: Option<&str>) -> Result<(), WorkerError> {
        failpoint::hit("revoke.begun");
        let standing = self.membership.standing(member);
        if standing == Standing::PutOut {
            self.lose_everything(PUT_OUT)?;
        }
        let settled = standing == Standing::Same && self.commit_all(REVOKE_DEADLINE)?;
        if !settled && !self.tasks.is_empty() {
            tracing::warn!(
                worker = self.identity.worker,
                "revoked before the last commit was through: it counts as lost"
            );
        }
        failpoint::hit("revoke.committed");
        self.membership.assignment.bump();
        let held = self.drop_tasks(partitions);
        failpoint::hit("revoke.dropped");
        self.membership.take(partitions);
        self.consumer.unassign(&held)?;
        Ok(())
    }

    /// Others may own these already: whatever was frozen must not be committed.
    fn on_lost(&mut self, partitions: &[TopicPartition]) -> Result<(), WorkerError> {
        self.membership.lose();
        let held = self.drop_tasks(partitions);
        self.membership.take(partitions);
        self.consumer.unassign(&held)?;
        Ok(())
    }

    /// The group has put us out, or somebody has committed in our place: everything held counts as lost. Nothing is
    /// restored before the group has been left and joined again: librdkafka has joined it already under another id, with a
    /// claim on all that was held, and if the group believes it, partitions are ours and their owners' in one generation.
    pub(super) fn lose_everything(&mut self, why: &'static str) -> Result<(), WorkerError> {
        if self.membership.owns_nothing() {
            return Ok(());
        }
        self.membership.lose();
        if self.membership.answering {
            // The rest waits until the group has its answer, because giving partitions back would be taken for it.
            self.membership.lose_after_the_answer(why);
            return Ok(());
        }
        let owned = self.membership.owned();
        tracing::warn!(
            worker = self.identity.worker,
            partitions = owned.len(),
            "leaving the group and joining it again: {why}"
        );
        self.agent.metrics.rebalanced("lost", Duration::ZERO);
        self.give_up(&owned)?;
        if !self.closing {
            self.leave_and_join_again();
        }
        Ok(())
    }

    /// Leaves the group; once all has been given back, joins it again.
    pub(super) fn leave_and_join_again(&mut self) {
        self.consumer.unsubscribe();
        self.membership.leave();
    }

    /// Drops `partitions` uncommitted and restores them again.
    pub(super) fn drop_and_restore(&mut self, partitions: &[TopicPartition]) -> Result<(), WorkerError> {
        self.membership.lose();
        self.give_up(partitions)?;
        if self.closing || self.membership.is_leaving() { Ok(()) } else { self.restore(partitions.to_vec()) }
    }

    /// Drops tasks and has librdkafka stop reading them, which the group did not ask for.
    fn give_up(&mut self, partitions: &[TopicPartition]) -> Result<(), WorkerError> {
        let held = self.drop_tasks(partitions);
        if !held.is_empty() {
            self.consumer.unassign(&held)?;
            self.membership.gave_back_unasked();
        }
        Ok(())
    }

    /// Takes tasks out, running or restoring. Returns the partitions whose records were being fetched.
    pub(super) fn drop_tasks(&mut self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let gone = |id: &TaskId| partitions.contains(id);
        let (mut held, mut dropped) = (Vec::new(), Vec::new());
        for live in self.tasks.take_out(|live| gone(&live.task.id)) {
            if live.fetching != Fetching::NotYet {
                held.push(live.task.id.clone());
            }
            live.task.set_phase(Phase::Restoring { done: 0, of: 0 });
            dropped.push(live.task);
        }
        self.forget_pauses(partitions);
        dropped.extend(self.restores.drop_those(gone));
        // Only what is ours: another worker of this process may have the partition by now.
        for task in dropped {
            if self.agent.registry.remove(&task) {
                self.agent.metrics.task_gone(&task.id.topic, task.id.partition);
            }
            self.agent.checkpointer.remove(&task);
        }
        if self.tasks.is_empty() {
            self.lease.end();
        }
        held
    }

    /// Starts restoring `partitions` on another thread, topic by topic.
    fn restore(&mut self, partitions: Vec<TopicPartition>) -> Result<(), WorkerError> {
        let mut by_topic: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
        for TopicPartition { topic, partition } in partitions {
            by_topic.entry(topic).or_default().push(partition);
        }
        for (topic, partitions) in by_topic {
            let Some(at) = self.plans.source_of(&topic) else { continue };
            let source = self.plans.sources[at].clone();
            let changelog: Arc<str> = changelog_topic(&self.agent.config.kafka.group_id, &topic).into();
            let policy = LossPolicy { on_loss: self.agent.config.state.on_loss, start: source.config.start };
            let tasks = partitions
                .into_iter()
                .map(|partition| {
                    let id = TaskId { topic: topic.clone(), partition };
                    let task = Task::new(id.clone(), source.name.clone(), source.plan.clone(), self.lease.clone());
                    let task = Arc::new(task);
                    self.agent.registry.insert(task.clone());
                    let stop = self.restores.want(task.clone(), at);
                    RestoreTask { task, policy, changelog: changelog.clone(), stop }
                })
                .collect::<Vec<_>>();
            self.begin_restore(topic, source, tasks)?;
        }
        Ok(())
    }

    fn begin_restore(
        &mut self,
        topic: Arc<str>,
        source: Arc<Source>,
        tasks: Vec<RestoreTask>,
    ) -> Result<(), WorkerError> {
        let means = Means {
            agent: self.agent.clone(),
            consumer: self.consumer.clone(),
            identity: self.identity.clone(),
            status: self.status.clone(),
        };
        let healthy = !self.tasks.is_empty();
        let cache_bytes = self.cache_per_task();
        self.restores.begin(means, topic, source, tasks, (cache_bytes, healthy))
    }

    /// redb's page cache is one budget over all tasks.
    fn cache_per_task(&self) -> usize {
        let tasks = (self.tasks.len() + self.restores.len()).max(1) as u64;
        (self.agent.config.state.cache_bytes / tasks / self.agent.config.workers.max(1) as u64).max(256 * 1024) as usize
    }

    /// Begins to fold into tasks whose restore is complete.
    pub(super) fn finish_restores(&mut self) -> Result<(), WorkerError> {
        while let Some(restoration) = self.restores.poll() {
            match restoration {
                Restoration::Done { restored, backfilled, source } => self.promote(*restored, backfilled, source)?,
                Restoration::Failed(error) => return Err(error),
                Restoration::NotYet { topic, source, tasks } => self.begin_restore(topic, source, tasks)?,
            }
        }
        Ok(())
    }

    fn promote(
        &mut self,
        restored: Restored,
        backfilled: Option<Box<TaskState>>,
        source: usize,
    ) -> Result<(), WorkerError> {
        let Restored { task, view, mut state, foreign, store, pending, next_offset, publish_from, is_new, lost } =
            restored;
        if lost > 0 {
            tracing::error!(task = %task.id, lost, "Kafka no longer has {lost} records that were not read yet (retention)");
            self.agent.metrics.lost(&task.id.topic, lost);
        }
        // A replica's view is the task's already.
        if !Arc::ptr_eq(&view, &task.view) {
            *task.view.write() = std::mem::take(&mut view.write());
        }
        let record = task.view.read().record().clone();
        if let Some(backfilled) = backfilled {
            state.adopt(*backfilled);
        }
        let owner_epoch = record.owner_epoch + 1;
        // Beyond a gap it says nothing about the offset to go on from.
        let leader_epoch = record.leader_epoch.filter(|_| record.next_offset == next_offset);
        self.look_at_foreign(&task, &record, foreign, &mut state);
        task.ownership.publish_from(publish_from);
        self.agent.checkpointer.add(&task, owner_epoch, store, pending);
        task.set_phase(Phase::Running);
        let partition = task.id.clone();
        let fetching = match is_new {
            true => Fetching::NotYet,
            false if self.consumer.assign(&partition, next_offset, leader_epoch)? => Fetching::Reads,
            false => Fetching::Unchecked,
        };
        tracing::debug!(task = %task.id, next_offset, is_new, "restored");
        if let Some(Through { partitions, new }) = self.restores.restored(&partition.topic, is_new) {
            tracing::info!(topic = %partition.topic, partitions, new, "restored");
        }
        self.tasks.push(LiveTask {
            counted: vec![Default::default(); task.plan.aggregates.len()],
            tallied: false,
            task,
            source,
            state,
            next_offset,
            leader_epoch,
            owner_epoch,
            frozen_at: self.commits.frozen_at(),
            seen: (-1, -1),
            dead_letters: Vec::new(),
            // A new owner says so soon, and a new task has its start committed before the first fold.
            changed: true,
            frozen_in: 0,
            fetching,
            held: None,
            awaits: None,
        });
        Ok(())
    }

    /// Has the brokers asked about partitions whose leader did not answer when they were restored. One that does not answer
    /// now either is the last of this round: the worker stands still meanwhile.
    pub(super) fn check_again(&mut self) -> Result<(), WorkerError> {
        let unchecked = self.tasks.iter().position(|live| live.fetching == Fetching::Unchecked);
        let Some(first) = unchecked else { return Ok(()) };
        self.tasks.put_last(first);
        for live in self.tasks.iter_mut().rev().filter(|live| live.fetching == Fetching::Unchecked) {
            let partition = live.task.id.clone();
            let epoch = live.leader_epoch.unwrap_or(-1);
            if !self.consumer.check(&partition, live.next_offset, epoch)? {
                break;
            }
            live.fetching = Fetching::Reads;
        }
        Ok(())
    }
}
