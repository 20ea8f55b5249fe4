//! Partitions that are added to a source topic while agents run: the changelog grows with it and its settings are
//! checked, the registry learns the new number, and the group is made to assign them.
//!
//! librdkafka rejoins the group when it sees more partitions than when it joined. It cannot see those that were added
//! while the agent was away: a static member that returns is given its old assignment without a rebalance. So the watch
//! also asks the group who has what, and has a worker leave and join again when partitions stay nobody's.

use super::topics::{Prepared, TopicError, prepare};
use super::{Agent, WorkerStatus};
use crate::kafka::{Admin, AdminError, Isolation, PartitionReader, TopicPartition};
use crate::stop::Stop;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// librdkafka's property for how often metadata is asked for; the watch keeps its pace.
const INTERVAL_PROPERTY: &str = "topic.metadata.refresh.interval.ms";
const INTERVAL: Duration = Duration::from_secs(10);
const NAP: Duration = Duration::from_millis(100);
/// So many looks in a row at a stable group must find a partition without an owner: a rebalance may be about to begin.
const UNOWNED_LOOKS: u32 = 3;

/// A thread that looks at the source topics from time to time.
pub(super) struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Starts the watch; one an agent is enough.
pub(super) fn watch(agent: Arc<Agent>) -> std::io::Result<Watch> {
    let ended = Arc::<AtomicBool>::default();
    let flag = ended.clone();
    let thread = std::thread::Builder::new().name("topics".into()).spawn(move || {
        let mut looks =
            Looks { agent: &agent, admin: None, complaint: String::new(), unowned: BTreeSet::new(), times: 0 };
        let interval = interval(&agent);
        let mut waited = Duration::ZERO;
        while !flag.load(Ordering::Acquire) && !agent.is_stopping() {
            std::thread::sleep(NAP);
            waited += NAP;
            if waited >= interval {
                waited = Duration::ZERO;
                looks.look();
            }
        }
    })?;
    Ok(Watch { ended, thread })
}

impl Watch {
    pub(super) fn end(self) {
        self.ended.store(true, Ordering::Release);
        // A panic in there has been reported by the panic hook.
        let _ = self.thread.join();
    }
}

fn interval(agent: &Agent) -> Duration {
    let given = agent.config.kafka.properties.get(INTERVAL_PROPERTY).and_then(|millis| millis.parse().ok());
    given.map_or(INTERVAL, |millis: u64| Duration::from_millis(millis.max(500)))
}

struct Looks<'a> {
    agent: &'a Agent,
    /// Made at the first look: connections that most agents need once in ten seconds.
    admin: Option<(Admin, PartitionReader)>,
    /// What was complained about last, to say it once.
    complaint: String,
    unowned: BTreeSet<TopicPartition>,
    times: u32,
}

impl Looks<'_> {
    fn look(&mut self) {
        match self.look_at_topics() {
            Ok(()) => self.complaint.clear(),
            Err(error) => {
                let complaint = error.to_string();
                if complaint != self.complaint {
                    tracing::warn!("looking for added partitions: {complaint}");
                    self.complaint = complaint;
                }
            }
        }
    }

    fn look_at_topics(&mut self) -> Result<(), TopicError> {
        let agent = self.agent;
        let (admin, reader) = match self.admin.take() {
            Some(clients) => clients,
            None => {
                let reader = PartitionReader::create(&agent.settings, Isolation::ReadCommitted);
                (Admin::create(&agent.settings, CALL_TIMEOUT)?, reader.map_err(AdminError::from)?)
            }
        };
        let (admin, reader) = &*self.admin.insert((admin, reader));
        let mut all = BTreeSet::new();
        for (topic, info) in admin.topics()?.iter().filter(|(topic, _)| agent.source_of(topic).is_some()) {
            let topic: Arc<str> = topic.as_str().into();
            let known = agent.registry.partitions().get(&topic).copied();
            if known.is_some_and(|known| known < info.partitions) {
                tracing::info!(topic = &*topic, partitions = info.partitions, "partitions were added to the topic");
                prepare(agent, &topic)?;
            }
            agent.registry.set_partitions(topic.clone(), info.partitions);
            all.extend((0..info.partitions).map(|partition| (topic.clone(), partition)));
        }
        let assigned = match agent.topics_given {
            // A mock cluster.
            true => None,
            false => reader.assigned(&agent.config.kafka.group_id, CALL_TIMEOUT).map_err(AdminError::from)?,
        };
        self.look_for_owners(&all, assigned);
        Ok(())
    }

    /// Of all agents, the one with the first partition acts.
    fn look_for_owners(&mut self, all: &BTreeSet<TopicPartition>, assigned: Option<BTreeSet<TopicPartition>>) {
        let unowned: BTreeSet<_> = match &assigned {
            Some(assigned) => all.difference(assigned).cloned().collect(),
            None => BTreeSet::new(),
        };
        if unowned.is_empty() || unowned != self.unowned {
            (self.unowned, self.times) = (unowned, 0);
            return;
        }
        self.times += 1;
        let first = assigned.as_ref().and_then(BTreeSet::first);
        let ours = self.agent.registry.tasks();
        let acts =
            first.is_none_or(|(topic, p)| ours.iter().any(|task| task.id.topic == *topic && task.id.partition == *p));
        if self.times >= UNOWNED_LOOKS && acts {
            self.times = 0;
            tracing::warn!(
                partitions = self.unowned.len(),
                "nobody in the group has been given partitions that were added; leaving it and joining again"
            );
            self.agent.rejoin.store(true, Ordering::Release);
        }
    }
}

/// What a restore does about a changelog that has too few partitions: at the start it fails; beside healthy tasks it
/// waits until somebody adds them. A source topic that is gone is waited for until the group takes it back.
pub(super) struct Patience {
    pub healthy: bool,
    pub status: Arc<WorkerStatus>,
    /// Of the partitions that wait.
    pub stops: Vec<Stop>,
}

impl Patience {
    pub fn prepare(&self, agent: &Agent, topic: &str) -> Result<Prepared, TopicError> {
        let mut waiting = false;
        loop {
            match prepare(agent, topic) {
                Err(error) if self.waits_for(&error) && !self.is_over(agent) => {
                    if !waiting {
                        tracing::error!("partitions wait to be restored: {error}");
                    }
                    waiting = true;
                    self.status.set_trouble(Some(error.to_string()));
                    for _ in 0..50 {
                        if !self.is_over(agent) {
                            std::thread::sleep(NAP);
                        }
                    }
                }
                result => {
                    if waiting {
                        self.status.set_trouble(None);
                    }
                    return result;
                }
            }
        }
    }

    /// What was given to us exists, or has until a moment ago: then the group is about to take it back.
    fn waits_for(&self, error: &TopicError) -> bool {
        match error {
            TopicError::TooFewPartitions { .. } => self.healthy,
            TopicError::NoSource(_) => true,
            _ => false,
        }
    }

    fn is_over(&self, agent: &Agent) -> bool {
        self.stops.iter().all(Stop::is_requested) || agent.is_stopping()
    }
}
