//! Partitions come and go: acknowledging, restoring, revoking, losing.

use super::backfill::Backfill;
use super::context::WorkerError;
use super::fold::LiveTask;
use super::growth::Patience;
use super::run::{RestoreReport, Restoring, Worker};
use crate::aggregate::TaskState;
use crate::commit::Generation;
use crate::failpoint;
use crate::kafka::{Rebalance, Settings, TopicPartition};
use crate::replica::{
    Beginning, Files, LossPolicy, Readers, RestoreContext, RestoreError, RestoreTask, Restored, restore,
};
use crate::sources::{Source, changelog_topic};
use crate::state::{Phase, Task, TaskId};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a revoke may wait for its final commit; the whole worker stands still meanwhile.
const REVOKE_DEADLINE: Duration = Duration::from_secs(5);

impl Worker<'_> {
    /// Answers what the group has decided since the last poll.
    pub(super) fn answer_rebalances(&mut self) -> Result<(), WorkerError> {
        while let Some(rebalance) = self.consumer.take_rebalance() {
            let began = self.agent.clock.boot_time();
            self.suspended_at = None;
            let event = match &rebalance {
                Rebalance::Assigned(_) => "assigned",
                Rebalance::Revoked(_) => "revoked",
                Rebalance::Lost(_) => "lost",
            };
            tracing::info!(worker = self.identity.worker, generation = self.generation_now(), ?rebalance, "rebalance");
            self.answering = true;
            match rebalance {
                Rebalance::Assigned(partitions) => self.on_assigned(partitions)?,
                Rebalance::Revoked(partitions) => self.on_revoked(partitions)?,
                Rebalance::Lost(partitions) => self.on_lost(&partitions)?,
            }
            self.answering = false;
            if std::mem::take(&mut self.lost_meanwhile) {
                self.lose_everything("the group's generation has a hole")?;
            }
            self.agent.metrics.rebalanced(event, self.agent.clock.boot_time().since(began));
        }
        Ok(())
    }

    pub(super) fn generation_now(&self) -> Option<i32> {
        self.consumer.group_metadata().map(|metadata| metadata.generation())
    }

    /// Looks at the group's generation; a hole in it means that others may have owned what we hold.
    fn check_generation(&mut self) -> Result<(), WorkerError> {
        match self.generation.observe(self.generation_now()) {
            Generation::Continuous => Ok(()),
            Generation::Broken => self.lose_everything("the group's generation has a hole"),
        }
    }

    /// Whether what is held may still be committed.
    fn holds_nothing_doubtful(&self) -> bool {
        !self.lost_meanwhile
    }

    fn on_assigned(&mut self, partitions: Vec<TopicPartition>) -> Result<(), WorkerError> {
        self.check_generation()?;
        self.consumer.acknowledge()?;
        self.owned.extend(partitions.iter().cloned());
        self.status.assignment_known();
        if !self.owned.is_empty() {
            self.status.set_trouble(None);
        }
        // After a break all of it is restored, these with the rest.
        if self.holds_nothing_doubtful() { self.restore(partitions) } else { Ok(()) }
    }

    /// In order: what was folded is committed before the partitions go.
    fn on_revoked(&mut self, partitions: Vec<TopicPartition>) -> Result<(), WorkerError> {
        failpoint::hit("revoke.begun");
        self.check_generation()?;
        if !(self.holds_nothing_doubtful() && self.settle(REVOKE_DEADLINE)?) {
            tracing::warn!(
                worker = self.identity.worker,
                "revoked before the last commit was through: it counts as lost"
            );
        }
        failpoint::hit("revoke.committed");
        self.assignment.bump();
        let held = self.drop_tasks(&partitions);
        failpoint::hit("revoke.dropped");
        self.owned.retain(|owned| !partitions.contains(owned));
        self.consumer.unassign(&held)?;
        Ok(())
    }

    /// Others may own these already: whatever was frozen must not be committed.
    fn on_lost(&mut self, partitions: &[TopicPartition]) -> Result<(), WorkerError> {
        self.assignment.bump();
        self.losses += 1;
        let held = self.drop_tasks(partitions);
        self.owned.retain(|owned| !partitions.contains(owned));
        self.consumer.unassign(&held)?;
        // The next generation may be any: nothing is held that it could betray.
        if self.tasks.is_empty() {
            self.generation.observe(None);
        }
        Ok(())
    }

    /// A fence broke: everything held counts as lost, and is taken over again.
    pub(super) fn lose_everything(&mut self, why: &str) -> Result<(), WorkerError> {
        if self.owned.is_empty() {
            return Ok(());
        }
        if self.answering {
            // Nothing may be committed from here on; the rest waits until the group has its answer, because giving
            // partitions back would be taken for it.
            self.assignment.bump();
            self.losses += 1;
            self.lost_meanwhile = true;
            return Ok(());
        }
        tracing::warn!(worker = self.identity.worker, partitions = self.owned.len(), "taking over again: {why}");
        let owned: Vec<_> = self.owned.iter().cloned().collect();
        self.agent.metrics.rebalanced("lost", Duration::ZERO);
        self.retake(&owned)
    }

    /// Drops `partitions` uncommitted and restores them again.
    pub(super) fn retake(&mut self, partitions: &[TopicPartition]) -> Result<(), WorkerError> {
        self.assignment.bump();
        self.losses += 1;
        let held = self.drop_tasks(partitions);
        if !held.is_empty() {
            self.consumer.unassign(&held)?;
        }
        if self.closing { Ok(()) } else { self.restore(partitions.to_vec()) }
    }

    /// Takes tasks out, running or restoring. Returns the partitions whose records were being fetched.
    pub(super) fn drop_tasks(&mut self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        self.index.clear();
        let gone = |id: &TaskId| partitions.iter().any(|(topic, p)| *topic == id.topic && *p == id.partition);
        let mut held = Vec::new();
        self.tasks.retain(|live| {
            if !gone(&live.task.id) {
                return true;
            }
            if live.assigned {
                held.push((live.task.id.topic.clone(), live.task.id.partition));
            }
            live.task.set_phase(Phase::Restoring { done: 0, of: 0 });
            false
        });
        self.forget_pauses(partitions);
        self.restoring.retain(|id, _| !gone(id));
        for (topic, partition) in partitions {
            let id = TaskId { topic: topic.clone(), partition: *partition };
            self.agent.registry.remove(&id);
            self.agent.metrics.task_gone(topic, *partition);
            self.agent.checkpointer.remove(&id);
        }
        if self.tasks.is_empty() {
            self.lease.end();
        }
        held
    }

    /// Starts restoring `partitions` on another thread, topic by topic.
    fn restore(&mut self, partitions: Vec<TopicPartition>) -> Result<(), WorkerError> {
        let mut by_topic: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in partitions {
            by_topic.entry(topic).or_default().push(partition);
        }
        for (topic, partitions) in by_topic {
            let Some(at) = self.plans.source_of(&topic) else { continue };
            let source = self.plans.sources[at].clone();
            self.tag += 1;
            let changelog: Arc<str> = changelog_topic(&self.agent.config.kafka.group_id, &topic).into();
            let policy = LossPolicy { on_loss: self.agent.config.state.on_loss, start: source.config.start };
            let tasks = partitions
                .into_iter()
                .map(|partition| {
                    let id = TaskId { topic: topic.clone(), partition };
                    let task = Task::new(id.clone(), source.name.clone(), source.plan.clone(), self.lease.clone());
                    let task = Arc::new(task);
                    self.agent.registry.insert(task.clone());
                    self.restoring.insert(id, Restoring { tag: self.tag, source: at });
                    RestoreTask { task, policy, changelog: changelog.clone() }
                })
                .collect::<Vec<_>>();
            self.spawn_restore(topic, source, tasks)?;
        }
        Ok(())
    }

    fn spawn_restore(
        &mut self,
        topic: Arc<str>,
        source: Arc<Source>,
        tasks: Vec<RestoreTask>,
    ) -> Result<(), WorkerError> {
        let mut context = RestoreContext {
            settings: self.agent.settings.clone(),
            consumer: self.consumer.clone(),
            files: Files {
                state_dir: self.agent.state_dir.clone(),
                cache_bytes: self.cache_per_task(),
                lenient: !self.agent.transactional(),
                metrics: self.agent.metrics.clone(),
                cancelled: self.cancelled.clone(),
            },
            replicas: Some(self.agent.replicas.clone()),
            clock: self.agent.clock.clone(),
            metrics: self.agent.metrics.clone(),
            cancelled: self.cancelled.clone(),
            ids: Default::default(),
            beginning: begin(&self.agent.settings, &tasks, 0, self.agent.clock.unix_millis()),
        };
        let (agent, tag, reports) = (self.agent.clone(), self.tag, self.reports.0.clone());
        let prepared = self.prepared.clone();
        let readers = self.readers_ahead.take();
        let failed = reports.clone();
        let patience = Patience {
            healthy: !self.tasks.is_empty(),
            status: self.status.clone(),
            cancelled: self.cancelled.clone(),
        };
        let work = move || {
            let fail = |error: WorkerError| drop(reports.send(RestoreReport::Failed(error)));
            // What was made ahead, if it was; an error then is one that making them now would bring, too.
            let ahead = readers.and_then(|ahead| ahead.join().ok());
            let most = tasks.iter().map(|task| task.task.id.partition + 1).max().unwrap_or(0);
            let ready = prepared.lock().get(&topic).filter(|ready| ready.partitions >= most).cloned();
            context.ids = match ready.map_or_else(|| patience.prepare(&agent, &topic), Ok) {
                Ok(now) => {
                    agent.registry.set_partitions(topic.clone(), now.partitions);
                    prepared.lock().insert(topic.clone(), now.clone());
                    let clock = agent.clock.unix_millis();
                    context.beginning = begin(&agent.settings, &tasks, now.partitions, clock);
                    now.ids
                }
                Err(error) => return fail(error.into()),
            };
            let connect = || Readers::connect(&context.settings, &tasks[0].changelog);
            let readers = match ahead.unwrap_or_else(connect) {
                Ok(readers) => readers,
                Err(error) => return fail(error.into()),
            };
            let result = restore(&context, readers, &tasks, |restored| {
                let filled = Backfill { agent: &agent, source: &source, cancelled: &context.cancelled }.run(&restored);
                // Nobody listens any more: the task's file is closed with it.
                let _ = reports.send(match filled {
                    Ok(backfilled) => RestoreReport::Done { tag, restored: Box::new(restored), backfilled },
                    Err(error) => RestoreReport::Failed(error),
                });
            });
            match result {
                Ok(()) | Err(RestoreError::Cancelled) => {}
                Err(error) => drop(reports.send(RestoreReport::Failed(error.into()))),
            }
        };
        let thread = std::thread::Builder::new().name("restore".into()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                let _ = failed.send(RestoreReport::Failed(WorkerError::Panicked));
            }
        })?;
        self.restores.retain(|thread: &std::thread::JoinHandle<()>| !thread.is_finished());
        self.restores.push(thread);
        Ok(())
    }

    /// redb's page cache is one budget over all tasks.
    fn cache_per_task(&self) -> usize {
        let tasks = (self.tasks.len() + self.restoring.len()).max(1) as u64;
        (self.agent.config.state.cache_bytes / tasks / self.agent.config.workers.max(1) as u64).max(256 * 1024) as usize
    }

    /// Begins to fold into tasks whose restore is complete.
    pub(super) fn finish_restores(&mut self) -> Result<(), WorkerError> {
        while let Ok(report) = self.reports.1.try_recv() {
            match report {
                RestoreReport::Failed(error) => return Err(error),
                RestoreReport::Done { tag, restored, backfilled } => {
                    let id = restored.task.id.clone();
                    // Revoked, or restored anew, since this restore began: its result is nobody's.
                    let Some(restoring) = self.restoring.get(&id).filter(|restoring| restoring.tag == tag) else {
                        continue;
                    };
                    let source = restoring.source;
                    self.restoring.remove(&id);
                    self.promote(*restored, backfilled, source)?;
                }
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
        let Restored { task, view, mut state, foreign, store, pending, next_offset, publish_from, is_new } = restored;
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
        task.set_publish_from(publish_from);
        self.agent.checkpointer.add(&task, owner_epoch, store, pending);
        task.set_phase(Phase::Running);
        let partition = (task.id.topic.clone(), task.id.partition);
        if !is_new {
            self.consumer.assign(&partition, next_offset, leader_epoch)?;
        }
        tracing::info!(task = %task.id, next_offset, is_new, "restored");
        self.index.clear();
        self.tasks.push(LiveTask {
            counted: vec![Default::default(); task.plan.aggregates.len()],
            tallied: false,
            task,
            source,
            state,
            next_offset,
            leader_epoch,
            owner_epoch,
            seen: (-1, -1),
            dead_letters: Vec::new(),
            // A new owner says so soon, and a new task has its start committed before the first fold.
            changed: true,
            assigned: !is_new,
        });
        Ok(())
    }
}

/// How the group began with the topic of these tasks, which has so many partitions now.
fn begin(settings: &Settings, tasks: &[RestoreTask], partitions: i32, now: i64) -> Arc<Beginning> {
    let RestoreTask { task, changelog, .. } = &tasks[0];
    Arc::new(Beginning::new(settings, &task.id.topic, changelog.clone(), partitions, now))
}

/// A flag that ends restores nobody waits for.
pub(super) fn cancel(flag: &AtomicBool) {
    flag.store(true, std::sync::atomic::Ordering::Release);
}
