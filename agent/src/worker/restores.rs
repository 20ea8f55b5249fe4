//! The restores of a worker's partitions: jobs on threads of their own, so that healthy partitions go on meanwhile. A job
//! takes the partitions of a topic that were given together; each of them has an outcome of its own, and can be stopped
//! by itself. What comes of a restore that nobody wants any more is dropped, its failure included.

use super::backfill::Backfill;
use super::context::{Agent, WorkerStatus};
use super::error::WorkerError;
use super::growth::Patience;
use super::topics::{Prepared, prepare};
use crate::aggregate::TaskState;
use crate::config::changelog_topic;
use crate::kafka::{GroupConsumer, Identity};
use crate::replica::{
    Beginning, Files, Outcome, Readers, RestoreContext, RestoreError, RestoreTask, Restored, restore,
};
use crate::sources::Source;
use crate::state::{Task, TaskId};
use crate::stop::Stop;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Source topics whose changelogs have been looked at.
type Looked = Arc<Mutex<HashMap<Arc<str>, Prepared>>>;
type Ahead = JoinHandle<Result<Readers, RestoreError>>;

/// A task that is being restored.
struct Wanted {
    task: Arc<Task>,
    /// Position of its source.
    source: usize,
    stop: Stop,
}

/// Partitions of a topic that were restored together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Through {
    pub partitions: usize,
    /// How many of them have no state yet.
    pub new: usize,
}

/// What a job says of its tasks.
enum Report {
    Done {
        restored: Box<Restored>,
        backfilled: Option<Box<TaskState>>,
    },
    Failed {
        tasks: Vec<Arc<Task>>,
        error: WorkerError,
    },
    /// Could not begin yet while others could.
    NotYet {
        topic: Arc<str>,
        source: Arc<Source>,
        tasks: Vec<RestoreTask>,
    },
    Panicked,
}

/// What the worker has to do about a restore.
pub(super) enum Restoration {
    /// To be folded into. `source`: position of its source.
    Done { restored: Box<Restored>, backfilled: Option<Box<TaskState>>, source: usize },
    /// It is still wanted, and cannot be had.
    Failed(WorkerError),
    /// A restore of their own has to be begun for these.
    NotYet { topic: Arc<str>, source: Arc<Source>, tasks: Vec<RestoreTask> },
}

/// What all jobs of a worker need.
pub(super) struct Means {
    pub agent: Arc<Agent>,
    pub consumer: Arc<GroupConsumer>,
    pub identity: Identity,
    pub status: Arc<WorkerStatus>,
}

pub(super) struct Restores {
    wanted: HashMap<TaskId, Wanted>,
    /// Partitions of topics that are not through with theirs.
    done: HashMap<Arc<str>, Through>,
    threads: Vec<JoinHandle<()>>,
    reports: (Sender<Report>, Receiver<Report>),
    prepared: Looked,
    /// Clients for the first job, made while the transactional producer was waited for.
    ahead: Option<Ahead>,
    /// Of all of them.
    stop: Stop,
}

impl Restores {
    /// Does at once what a restore needs and may be done before the producer is ready: looks at the topics, and connects.
    pub fn connect_ahead(agent: Arc<Agent>) -> std::io::Result<Restores> {
        let prepared = Looked::default();
        let looked = prepared.clone();
        let ahead = std::thread::Builder::new().name("connect".into()).spawn(move || {
            let plans = agent.plans();
            let mut changelog = String::new();
            for topic in plans.named() {
                changelog = changelog_topic(&agent.config.kafka.group_id, topic);
                // What is wrong with a topic is told by the restore that needs it.
                if let Ok(now) = prepare(&agent, topic) {
                    agent.registry.set_partitions(topic.clone(), now.partitions);
                    looked.lock().insert(topic.clone(), now);
                }
            }
            Readers::connect(&agent.settings, &changelog)
        })?;
        Ok(Restores {
            wanted: HashMap::new(),
            done: HashMap::new(),
            threads: Vec::new(),
            reports: bounded(64),
            prepared,
            ahead: Some(ahead),
            stop: Stop::new(),
        })
    }

    /// How many tasks are being restored.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    pub fn ids(&self) -> impl Iterator<Item = &TaskId> {
        self.wanted.keys()
    }

    /// Notes that a task is to be restored. The token stops its restore alone.
    pub fn want(&mut self, task: Arc<Task>, source: usize) -> Stop {
        if !self.wants_of(&task.id.topic) {
            self.done.remove(&task.id.topic);
        }
        let stop = self.stop.child();
        let wanted = Wanted { task: task.clone(), source, stop: stop.clone() };
        if let Some(before) = self.wanted.insert(task.id.clone(), wanted) {
            before.stop.request();
        }
        stop
    }

    fn wants_of(&self, topic: &str) -> bool {
        self.wanted.keys().any(|id| &*id.topic == topic)
    }

    /// Notes that a partition is restored. Gives all that were restored with it, if it is the last of its topic.
    pub fn restored(&mut self, topic: &Arc<str>, is_new: bool) -> Option<Through> {
        let through = self.done.entry(topic.clone()).or_default();
        through.partitions += 1;
        through.new += usize::from(is_new);
        if self.wants_of(topic) { None } else { self.done.remove(topic) }
    }

    /// Stops the restores of what is gone. Gives their tasks.
    pub fn drop_those(&mut self, gone: impl Fn(&TaskId) -> bool) -> Vec<Arc<Task>> {
        let dropped = self.wanted.extract_if(|id, _| gone(id)).map(|(_, wanted)| {
            wanted.stop.request();
            wanted.task
        });
        dropped.collect()
    }

    /// Begins a job for tasks of one topic.
    pub fn begin(
        &mut self,
        means: Means,
        topic: Arc<str>,
        source: Arc<Source>,
        tasks: Vec<RestoreTask>,
        (cache_bytes, healthy): (usize, bool),
    ) -> Result<(), WorkerError> {
        let patience = Patience {
            healthy,
            status: means.status.clone(),
            stops: tasks.iter().map(|task| task.stop.clone()).collect(),
        };
        let job = Job {
            means,
            topic,
            source,
            tasks,
            cache_bytes,
            patience,
            prepared: self.prepared.clone(),
            ahead: self.ahead.take(),
            reports: self.reports.0.clone(),
        };
        let panicked = self.reports.0.clone();
        let thread = std::thread::Builder::new().name("restore".into()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| job.run())).is_err() {
                let _ = panicked.send(Report::Panicked);
            }
        })?;
        self.threads.retain(|thread| !thread.is_finished());
        self.threads.push(thread);
        Ok(())
    }

    /// What has come of a restore that is still wanted; does not wait.
    pub fn poll(&mut self) -> Option<Restoration> {
        while let Ok(report) = self.reports.1.try_recv() {
            match report {
                Report::Done { restored, backfilled } => {
                    if self.is_wanted(&restored.task)
                        && let Some(Wanted { source, .. }) = self.wanted.remove(&restored.task.id)
                    {
                        return Some(Restoration::Done { restored, backfilled, source });
                    }
                    tracing::debug!(task = %restored.task.id, "restored, but nobody wants it any more");
                }
                Report::Failed { tasks, error } if tasks.iter().any(|task| self.is_wanted(task)) => {
                    return Some(Restoration::Failed(error));
                }
                Report::Failed { tasks, error } => {
                    let ids: Vec<_> = tasks.iter().map(|task| task.id.to_string()).collect();
                    tracing::info!(tasks = ids.join(", "), "a restore that nobody wants any more has failed: {error}");
                }
                Report::NotYet { topic, source, mut tasks } => {
                    tasks.retain(|task| self.is_wanted(&task.task));
                    if !tasks.is_empty() {
                        return Some(Restoration::NotYet { topic, source, tasks });
                    }
                }
                Report::Panicked => return Some(Restoration::Failed(WorkerError::Panicked)),
            }
        }
        None
    }

    fn is_wanted(&self, task: &Arc<Task>) -> bool {
        self.wanted.get(&task.id).is_some_and(|wanted| Arc::ptr_eq(&wanted.task, task))
    }

    /// Stops all of them.
    pub fn stop(&mut self) {
        self.stop.request();
    }

    /// Waits a moment for jobs that were stopped. True once all have ended.
    pub fn ended(&mut self, wait: Duration) -> bool {
        self.wanted.clear();
        let ended = self.threads.iter().all(JoinHandle::is_finished);
        if !ended {
            // One that is through before it sees the stop may wait for room to report.
            let _ = self.reports.1.recv_timeout(wait);
        }
        while self.reports.1.try_recv().is_ok() {}
        ended
    }
}

/// Tasks of one topic to be restored.
struct Job {
    means: Means,
    topic: Arc<str>,
    source: Arc<Source>,
    tasks: Vec<RestoreTask>,
    cache_bytes: usize,
    patience: Patience,
    prepared: Looked,
    ahead: Option<Ahead>,
    reports: Sender<Report>,
}

impl Job {
    fn run(mut self) {
        let all: Vec<_> = self.tasks.iter().map(|task| task.task.clone()).collect();
        let reports = self.reports.clone();
        if let Err(error) = self.restore() {
            // Nobody listens any more.
            let _ = reports.send(Report::Failed { tasks: all, error });
        }
    }

    /// # Errors
    /// What concerns all of its tasks.
    fn restore(&mut self) -> Result<(), WorkerError> {
        let Means { agent, consumer, identity, .. } = &self.means;
        // What was made ahead, if it was; an error then is one that making them now would bring, too.
        let ahead = self.ahead.take().and_then(|ahead| ahead.join().ok());
        let most = self.tasks.iter().map(|task| task.task.id.partition + 1).max().unwrap_or(0);
        let ready = self.prepared.lock().get(&self.topic).filter(|ready| ready.partitions >= most).cloned();
        let prepared = ready.map_or_else(|| self.patience.prepare(agent, &self.topic), Ok)?;
        agent.registry.set_partitions(self.topic.clone(), prepared.partitions);
        self.prepared.lock().insert(self.topic.clone(), prepared.clone());
        let changelog = self.tasks[0].changelog.clone();
        let now = agent.clock.unix_millis();
        let beginning = Beginning::new(&agent.settings, &self.topic, changelog, prepared.partitions, now);
        let context = RestoreContext {
            settings: agent.settings.clone(),
            consumer: consumer.clone(),
            transactional_id: agent.settings.transactional_id(identity),
            files: Files {
                state_dir: agent.state_dir.clone(),
                cache_bytes: self.cache_bytes,
                guarantee: agent.guarantee(),
                metrics: agent.metrics.clone(),
            },
            replicas: Some(agent.replicas.clone()),
            clock: agent.clock.clone(),
            metrics: agent.metrics.clone(),
            ids: prepared.ids,
            beginning: Arc::new(beginning),
        };
        let connect = || Readers::connect(&context.settings, &self.tasks[0].changelog);
        let readers = ahead.unwrap_or_else(connect)?;
        let stops: HashMap<i32, Stop> =
            self.tasks.iter().map(|task| (task.task.id.partition, task.stop.clone())).collect();
        let report = |outcome| {
            let report = match outcome {
                Outcome::Ready(restored) => {
                    let stop = stops[&restored.task.id.partition].clone();
                    let backfill = Backfill { agent, source: &self.source, stop };
                    match backfill.run(&restored) {
                        Ok(backfilled) => Report::Done { restored, backfilled },
                        Err(error) => Report::Failed { tasks: vec![restored.task.clone()], error },
                    }
                }
                Outcome::Failed { task, error } => Report::Failed { tasks: vec![task.task], error: error.into() },
                Outcome::NotYet(tasks) => {
                    Report::NotYet { topic: self.topic.clone(), source: self.source.clone(), tasks }
                }
            };
            // Nobody listens any more: what was restored is dropped, which closes its file.
            let _ = self.reports.send(report);
        };
        Ok(restore(&context, readers, self.tasks.clone(), report)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::samples::{aggregate, plan};
    use crate::clock::Clock;
    use crate::state::Lease;

    fn restores() -> Restores {
        Restores {
            wanted: HashMap::new(),
            done: HashMap::new(),
            threads: Vec::new(),
            reports: bounded(64),
            prepared: Looked::default(),
            ahead: None,
            stop: Stop::new(),
        }
    }

    fn task(partition: i32) -> Arc<Task> {
        let id = TaskId { topic: "t".into(), partition };
        let lease = Arc::new(Lease::new(Clock::manual(0), Duration::ZERO));
        Arc::new(Task::new(id, "t".into(), plan(aggregate()), lease))
    }

    fn fails(restores: &Restores, tasks: &[&Arc<Task>]) {
        let tasks = tasks.iter().map(|task| (*task).clone()).collect();
        restores.reports.0.send(Report::Failed { tasks, error: WorkerError::Commit("bad".into()) }).unwrap();
    }

    #[test]
    fn the_partitions_of_a_topic_are_through_together() {
        let mut restores = restores();
        let topic: Arc<str> = "t".into();
        for partition in 0..3 {
            restores.want(task(partition), 0);
        }
        for partition in 0..2 {
            restores.wanted.remove(&TaskId::new("t", partition));
            assert_eq!(restores.restored(&topic, partition == 0), None);
        }
        restores.wanted.remove(&TaskId::new("t", 2));
        assert_eq!(restores.restored(&topic, true), Some(Through { partitions: 3, new: 2 }));
        // One that was taken away meanwhile is none of those that come next.
        restores.want(task(0), 0);
        restores.want(task(1), 0);
        restores.wanted.remove(&TaskId::new("t", 0));
        assert_eq!(restores.restored(&topic, false), None);
        restores.drop_those(|_| true);
        restores.want(task(2), 0);
        restores.wanted.remove(&TaskId::new("t", 2));
        assert_eq!(restores.restored(&topic, false), Some(Through { partitions: 1, new: 0 }));
    }

    #[test]
    fn the_failure_of_a_restore_that_was_revoked_or_begun_anew_is_nobodys() {
        let mut restores = restores();
        let (revoked, retaken, kept) = (task(0), task(1), task(2));
        let stops: Vec<_> = [&revoked, &retaken, &kept].iter().map(|task| restores.want((*task).clone(), 0)).collect();
        assert_eq!(restores.drop_those(|id| id.partition == 0).len(), 1);
        let again = task(1);
        restores.want(again.clone(), 0);
        let stopped: Vec<_> = stops.iter().map(Stop::is_requested).collect();
        assert_eq!(stopped, [true, true, false]);
        fails(&restores, &[&revoked, &retaken]);
        assert!(restores.poll().is_none());
        fails(&restores, &[&revoked, &kept]);
        assert!(matches!(restores.poll(), Some(Restoration::Failed(_))));
        fails(&restores, &[&again]);
        assert!(matches!(restores.poll(), Some(Restoration::Failed(_))));
    }

    #[test]
    fn a_stop_of_all_stops_each_and_what_is_wanted_afterwards() {
        let mut restores = restores();
        let stop = restores.want(task(0), 0);
        restores.stop();
        assert!(stop.is_requested() && restores.want(task(1), 0).is_requested());
    }
}
