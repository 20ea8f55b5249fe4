//! Topics that come and go while agents run, and partitions that are added to them: the registry learns what there is, which
//! workers subscribe to; a changelog grows with its topic and its settings are checked, and the group is made to assign what
//! was added.
//!
//! librdkafka rejoins the group when it sees more partitions than when it joined. It cannot see those that were added
//! while the agent was away: a static member that returns is given its old assignment without a rebalance. So the watch
//! also asks the group who has what, and has a worker leave and join again when partitions stay nobody's.

use super::topics::{Prepared, TopicError, prepare};
use super::{Agent, WorkerStatus};
use crate::kafka::{Admin, AdminError, Isolation, PartitionReader, TopicPartition};
use crate::replica::last_record;
use crate::sources::{Plans, changelog_topic};
use crate::state::{SourceTopic, SourceTopics, TaskId};
use crate::stop::Stop;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use streamgauge_proto::storage::v1::OffsetRecord;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// librdkafka's property for how often metadata is asked for; the watch keeps its pace.
const INTERVAL_PROPERTY: &str = "topic.metadata.refresh.interval.ms";
const INTERVAL: Duration = Duration::from_secs(10);
/// How soon it is looked again when a look has left something open.
const SOON: Duration = Duration::from_secs(1);
const NAP: Duration = Duration::from_millis(100);
/// So many looks in a row at a stable group must find a partition without an owner: a rebalance may be about to begin.
const UNOWNED_LOOKS: u32 = 3;

type Topics = BTreeMap<Arc<str>, SourceTopic>;

/// A thread that looks at the source topics from time to time.
pub(super) struct Watch {
    stop: Stop,
    thread: JoinHandle<()>,
}

/// Starts the watch; one an agent is enough.
pub(super) fn watch(agent: Arc<Agent>) -> std::io::Result<Watch> {
    let stop = agent.stop.child();
    let stopped = stop.clone();
    let thread = std::thread::Builder::new().name("topics".into()).spawn(move || {
        let mut looks = Looks::new(&agent);
        let interval = interval(&agent);
        while !stopped.is_requested() {
            let soon = looks.look();
            let wait = if soon { interval.min(SOON) } else { interval };
            let mut waited = Duration::ZERO;
            // A reload may want topics that nobody has looked for.
            while waited < wait && looks.plans == agent.plans().number && !agent.look_soon.swap(false, Ordering::AcqRel)
            {
                if stopped.sleep(NAP) {
                    return;
                }
                waited += NAP;
            }
        }
    })?;
    Ok(Watch { stop, thread })
}

impl Watch {
    pub(super) fn end(self) {
        self.stop.request();
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
    /// How often it has come again.
    complained: u32,
    unowned: BTreeSet<TopicPartition>,
    times: u32,
    /// Number of the plans that were looked for.
    plans: u64,
    /// Topics that the last look has missed. A broker that has just started may not know all yet, so only a second look
    /// that misses them lets them go.
    missed: BTreeSet<Arc<str>>,
    /// When the group began with topics, where that is known: it never changes.
    began: HashMap<Arc<str>, i64>,
}

impl Looks<'_> {
    fn new(agent: &Agent) -> Looks<'_> {
        Looks {
            agent,
            admin: None,
            complaint: String::new(),
            complained: 0,
            unowned: BTreeSet::new(),
            times: 0,
            plans: 0,
            missed: BTreeSet::new(),
            began: HashMap::new(),
        }
    }

    /// True if it should be looked again soon.
    fn look(&mut self) -> bool {
        match self.look_at_topics() {
            Ok(soon) => {
                self.complaint.clear();
                return soon;
            }
            Err(error) => {
                let complaint = error.to_string();
                // Once is what a coordinator that has just begun says; the third time is no news.
                self.complained = if complaint == self.complaint { self.complained + 1 } else { 0 };
                if self.complained == 1 {
                    tracing::warn!("looking at the topics: {complaint}");
                }
                self.complaint = complaint;
            }
        }
        !self.agent.registry.topics().is_whole
    }

    fn look_at_topics(&mut self) -> Result<bool, TopicError> {
        let agent = self.agent;
        let plans = agent.plans();
        self.plans = plans.number;
        let (admin, mut reader) = match self.admin.take() {
            Some(clients) => clients,
            None => {
                let reader = PartitionReader::create(&agent.settings, Isolation::ReadCommitted);
                (Admin::create(&agent.settings, CALL_TIMEOUT)?, reader.map_err(AdminError::from)?)
            }
        };
        let (before, mut topics) = (agent.registry.topics(), BTreeMap::new());
        let mut all = BTreeSet::new();
        for (topic, info) in admin.topics()?.iter().filter(|(topic, _)| plans.source_of(topic).is_some()) {
            let topic: Arc<str> = topic.as_str().into();
            let known = before.by_name.get(&topic).map(|topic| topic.partitions);
            if known.is_some_and(|known| known < info.partitions) {
                tracing::info!(topic = &*topic, partitions = info.partitions, "partitions were added to the topic");
                prepare(agent, &topic)?;
            }
            topics.insert(topic.clone(), SourceTopic { partitions: info.partitions, began_at: None });
            all.extend(TopicPartition::all_of(&topic, info.partitions));
        }
        let doubtful = self.keep_for_one_look(&plans, &before, &mut topics);
        let unknown = self.look_for_beginnings(&plans, &mut topics, &mut reader);
        agent.registry.set_topics(topics);
        let (_, reader) = self.admin.insert((admin, reader));
        let assigned = match agent.topics_given {
            // A mock cluster.
            true => None,
            false => reader.assigned(&agent.config.kafka.group_id, CALL_TIMEOUT).map_err(AdminError::from)?,
        };
        self.look_for_owners(&all, assigned);
        Ok(doubtful || unknown)
    }

    /// Keeps those that this look is the first to miss; true if there are any.
    fn keep_for_one_look(&mut self, plans: &Plans, before: &SourceTopics, topics: &mut Topics) -> bool {
        let mut missed = BTreeSet::new();
        for (topic, known) in before.by_name.iter().filter(|(topic, _)| plans.source_of(topic).is_some()) {
            if topics.contains_key(topic) {
                continue;
            }
            if self.missed.contains(topic) {
                tracing::warn!(
                    topic = &**topic,
                    "the topic is gone: it was deleted, or this user may not see it any more"
                );
            } else {
                missed.insert(topic.clone());
                topics.insert(topic.clone(), *known);
            }
        }
        self.missed = missed;
        !self.missed.is_empty()
    }

    /// Where an aggregate counts several topics, the one that the group began with first publishes for all. True if that of
    /// some is not known yet.
    fn look_for_beginnings(&mut self, plans: &Plans, topics: &mut Topics, reader: &mut PartitionReader) -> bool {
        self.began.retain(|topic, _| topics.contains_key(topic));
        let mut unknown = false;
        for inputs in &plans.inputs {
            let own: Vec<Arc<str>> = topics
                .keys()
                .filter(|topic| inputs.sources.iter().any(|source| source.reads(topic)))
                .cloned()
                .collect();
            for topic in own.iter().filter(|_| own.len() > 1) {
                let began_at = self.began.get(topic).copied().or_else(|| began_at(self.agent, topic, reader));
                self.began.extend(began_at.map(|began_at| (topic.clone(), began_at)));
                unknown |= began_at.is_none();
                topics.entry(topic.clone()).and_modify(|topic| topic.began_at = began_at);
            }
        }
        unknown
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
        let acts = first.is_none_or(|first| ours.iter().any(|task| task.id == *first));
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

/// When the group began with a topic; `None` while it has committed nothing of partition 0. Before any time that is written
/// down if an earlier version wrote the last record.
fn began_at(agent: &Agent, topic: &Arc<str>, reader: &mut PartitionReader) -> Option<i64> {
    let began_at = |record: &OffsetRecord| record.origin.as_ref().map_or(0, |origin| origin.began_at_ms);
    if let Some(task) = agent.registry.task(&TaskId { topic: topic.clone(), partition: 0 }) {
        let view = task.view.read();
        return (view.record().format_version > 0).then(|| began_at(view.record()));
    }
    let partition = TopicPartition::new(changelog_topic(&agent.config.kafka.group_id, topic), 0);
    let end = reader.ends(std::slice::from_ref(&partition), CALL_TIMEOUT).ok()?.remove(&partition)?;
    last_record(reader, &partition, end).ok()?.as_ref().map(began_at)
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
