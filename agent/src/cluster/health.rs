//! What makes a cluster unhealthy, in words. Pure: facts of a check in, a verdict out.

use crate::kafka::cluster::{Node, Nodes};
use crate::kafka::{PartitionDescription, TopicDescription};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// A broker that is neither listed nor has a replica is forgotten after this.
const FORGET_AFTER_MS: i64 = 3_600_000;
/// Partitions named in a sentence; the rest are counted.
const NAMED: usize = 5;

/// What a check found.
#[derive(Clone, Debug)]
pub struct Facts {
    pub nodes: Nodes,
    /// How long each listed broker took to answer, or why it has not.
    pub answers: BTreeMap<i32, Result<Duration, String>>,
    pub topics: Arc<[TopicDescription]>,
    /// `min.insync.replicas` by topic, or why it is not known.
    pub min_isr: Result<HashMap<String, i32>, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Not checked yet.
    #[default]
    Unknown,
    Healthy,
    /// Everything can be read and written, but less failures are survived than should be.
    Degraded,
    /// Something cannot be read or written.
    Unhealthy,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Healthy => "healthy",
            Status::Degraded => "degraded",
            Status::Unhealthy => "unhealthy",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerState {
    Up,
    /// Listed, but it does not answer.
    Silent,
    /// Not listed.
    Down,
}

impl BrokerState {
    pub fn word(self) -> &'static str {
        match self {
            BrokerState::Up => "up",
            BrokerState::Silent => "silent",
            BrokerState::Down => "down",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct BrokerHealth {
    pub node: Node,
    pub state: BrokerState,
    pub latency: Option<Duration>,
    pub leads: usize,
    pub replicas: usize,
    pub in_sync: usize,
    /// When it was last listed, Unix milliseconds.
    pub listed_at: i64,
}

/// A topic with a partition that is not as it should be. The lists are of partition numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicHealth {
    pub name: Arc<str>,
    pub partitions: usize,
    pub under_replicated: Vec<i32>,
    pub under_min_isr: Vec<i32>,
    pub offline: Vec<i32>,
    /// Led by a broker that does not answer.
    pub silent: Vec<i32>,
    pub min_isr: Option<i32>,
}

impl TopicHealth {
    fn is_fine(&self) -> bool {
        [&self.under_replicated, &self.under_min_isr, &self.offline, &self.silent].iter().all(|list| list.is_empty())
    }
}

/// The verdict. Times in Unix milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Number of the check; 0: none yet.
    pub check: u64,
    pub checked_at: i64,
    pub took: Duration,
    pub status: Status,
    pub status_since: i64,
    pub reachable: bool,
    /// Since when it is, or is not, reachable.
    pub reachable_since: i64,
    /// The worst first.
    pub problems: Vec<String>,
    pub notes: Vec<String>,
    pub cluster_id: String,
    pub controller: Option<i32>,
    pub brokers: Vec<BrokerHealth>,
    pub unhealthy_topics: Vec<TopicHealth>,
    /// `None`: topic settings cannot be read.
    pub under_min_isr: Option<usize>,
    /// All topics; empty when no broker answers.
    pub topics: Arc<[TopicDescription]>,
}

impl Health {
    /// The verdict on a check that ended at `now`; `Err`: no broker answered, and why.
    pub fn judge(before: &Health, facts: Result<Facts, String>, now: i64, took: Duration) -> Health {
        let mut health = match facts {
            Ok(facts) => judge(before, facts, now),
            Err(why) => unreachable(before, &why),
        };
        (health.check, health.checked_at, health.took) = (before.check + 1, now, took);
        let since = |same: bool, since: i64| if before.check > 0 && same { since } else { now };
        health.status_since = since(before.status == health.status, before.status_since);
        health.reachable_since = since(before.reachable == health.reachable, before.reachable_since);
        health
    }

    pub fn brokers_up(&self) -> usize {
        self.brokers.iter().filter(|broker| broker.state == BrokerState::Up).count()
    }

    pub fn topics_healthy(&self) -> usize {
        self.topics.len() - self.unhealthy_topics.len()
    }

    pub fn partitions(&self) -> usize {
        self.topics.iter().map(|topic| topic.partitions.len()).sum()
    }

    pub fn under_replicated(&self) -> usize {
        self.unhealthy_topics.iter().map(|topic| topic.under_replicated.len()).sum()
    }

    pub fn offline(&self) -> usize {
        self.unhealthy_topics.iter().map(|topic| topic.offline.len()).sum()
    }

    pub fn silent(&self) -> usize {
        self.unhealthy_topics.iter().map(|topic| topic.silent.len()).sum()
    }
}

fn unreachable(before: &Health, why: &str) -> Health {
    let silent = |broker: &BrokerHealth| BrokerHealth { state: BrokerState::Silent, latency: None, ..broker.clone() };
    Health {
        status: Status::Unhealthy,
        problems: vec![format!("no broker answers: {why}")],
        cluster_id: before.cluster_id.clone(),
        brokers: before.brokers.iter().map(silent).collect(),
        ..Health::default()
    }
}

fn judge(before: &Health, facts: Facts, now: i64) -> Health {
    let brokers = brokers(before, &facts, now);
    let silent: Vec<i32> =
        brokers.iter().filter(|b| b.state == BrokerState::Silent).map(|broker| broker.node.id).collect();
    let topics: Vec<TopicHealth> = facts.topics.iter().map(|topic| look_at(topic, &facts, &silent)).collect();
    let under_min_isr = facts.min_isr.is_ok().then(|| topics.iter().map(|topic| topic.under_min_isr.len()).sum());
    let mut health = Health {
        reachable: true,
        cluster_id: facts.nodes.cluster_id,
        controller: facts.nodes.controller,
        brokers,
        unhealthy_topics: topics.into_iter().filter(|topic| !topic.is_fine()).collect(),
        under_min_isr,
        topics: facts.topics,
        ..Health::default()
    };
    if let Err(why) = &facts.min_isr {
        health.notes.push(format!("min.insync.replicas is not known: {why}"));
    }
    let (worst, problems) = problems(&health, &facts.answers);
    health.status = worst;
    health.problems = problems;
    health
}

/// The brokers that are listed, those that have a replica, and those seen lately, by id.
fn brokers(before: &Health, facts: &Facts, now: i64) -> Vec<BrokerHealth> {
    let down = |node: Node, listed_at: i64| BrokerHealth {
        node,
        state: BrokerState::Down,
        latency: None,
        leads: 0,
        replicas: 0,
        in_sync: 0,
        listed_at,
    };
    let mut brokers: BTreeMap<i32, BrokerHealth> = BTreeMap::new();
    for broker in &before.brokers {
        brokers.insert(broker.node.id, down(broker.node.clone(), broker.listed_at));
    }
    for node in &facts.nodes.nodes {
        let mut broker = down(node.clone(), now);
        broker.latency = facts.answers.get(&node.id).and_then(|answer| answer.as_ref().ok()).copied();
        broker.state = if broker.latency.is_some() { BrokerState::Up } else { BrokerState::Silent };
        brokers.insert(node.id, broker);
    }
    for partition in facts.topics.iter().flat_map(|topic| &topic.partitions) {
        for id in &partition.replicas {
            let unseen = || down(Node { id: *id, ..Node::default() }, 0);
            brokers.entry(*id).or_insert_with(unseen).replicas += 1;
        }
        let leader = partition.leader.and_then(|id| brokers.get_mut(&id));
        leader.into_iter().for_each(|broker| broker.leads += 1);
        for id in &partition.in_sync {
            brokers.get_mut(id).into_iter().for_each(|broker| broker.in_sync += 1);
        }
    }
    let stays = |b: &BrokerHealth| {
        b.state != BrokerState::Down || b.replicas > 0 || now.saturating_sub(b.listed_at) < FORGET_AFTER_MS
    };
    brokers.into_values().filter(stays).collect()
}

fn look_at(topic: &TopicDescription, facts: &Facts, silent: &[i32]) -> TopicHealth {
    let min_isr = facts.min_isr.as_ref().ok().and_then(|all| all.get(&*topic.name)).copied();
    let those = |wrong: &dyn Fn(&PartitionDescription) -> bool| {
        topic.partitions.iter().filter(|partition| wrong(partition)).map(|partition| partition.id).collect()
    };
    TopicHealth {
        name: topic.name.clone(),
        partitions: topic.partitions.len(),
        under_replicated: those(&|p| p.in_sync.len() < p.replicas.len()),
        under_min_isr: those(&|p| min_isr.is_some_and(|least| (p.in_sync.len() as i32) < least)),
        offline: those(&|p| p.leader.is_none()),
        silent: those(&|p| p.leader.is_some_and(|leader| silent.contains(&leader))),
        min_isr,
    }
}

/// The status, and why it is not better, the worst first.
fn problems(health: &Health, answers: &BTreeMap<i32, Result<Duration, String>>) -> (Status, Vec<String>) {
    use Status::{Degraded, Unhealthy};
    type Partitions = fn(&TopicHealth) -> &[i32];
    let kinds: [(Status, Partitions, &str); 4] = [
        (Unhealthy, |t| &t.offline, "without a leader, which nobody can read or write"),
        (Unhealthy, |t| &t.silent, "led by a broker that does not answer"),
        (
            Unhealthy,
            |t| &t.under_min_isr,
            "with fewer replicas in sync than min.insync.replicas, where writes with acks=all fail",
        ),
        (Degraded, |t| &t.under_replicated, "under-replicated"),
    ];
    let mut found: Vec<(Status, String)> =
        health.brokers.iter().filter_map(|broker| Some((Degraded, broker_problem(broker, answers)?))).collect();
    for (status, list, text) in kinds {
        let of = |topic| -> Vec<(&str, i32)> { list(topic).iter().map(|id| (&*topic.name, *id)).collect() };
        let all: Vec<(&str, i32)> = health.unhealthy_topics.iter().flat_map(of).collect();
        if !all.is_empty() {
            found.push((status, format!("{} {text}: {}", counted(all.len(), "partition"), named(&all))));
        }
    }
    // Sorting keeps the order within a status.
    found.sort_by_key(|(status, _)| std::cmp::Reverse(*status));
    let worst = found.first().map_or(Status::Healthy, |(status, _)| *status);
    (worst, found.into_iter().map(|(_, text)| text).collect())
}

fn broker_problem(broker: &BrokerHealth, answers: &BTreeMap<i32, Result<Duration, String>>) -> Option<String> {
    let Node { id, host, port, .. } = &broker.node;
    let name = if host.is_empty() { format!("broker {id}") } else { format!("broker {id} ({host}:{port})") };
    match (broker.state, answers.get(id)) {
        (BrokerState::Up, _) => None,
        (BrokerState::Down, _) => Some(format!("{name} is down: the cluster does not list it")),
        (BrokerState::Silent, Some(Err(why))) => Some(format!("{name} does not answer: {why}")),
        (BrokerState::Silent, _) => Some(format!("{name} does not answer")),
    }
}

/// `1 partition`, `2 partitions`.
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `orders-0, orders-1 and 7 more`.
fn named(all: &[(&str, i32)]) -> String {
    let names: Vec<String> = all.iter().take(NAMED).map(|(topic, id)| format!("{topic}-{id}")).collect();
    match all.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: i32) -> Node {
        Node { id, host: "k".into(), port: 9091 + id as u16, rack: String::new() }
    }

    /// Three brokers; a topic `t` of three partitions, min.insync.replicas 2, led by each in turn.
    fn facts(listed: &[i32], silent: &[i32]) -> Facts {
        let partition = |id: i32| {
            let replicas: Vec<i32> = (0..3).map(|at| (id + at) % 3 + 1).collect();
            let in_sync: Vec<i32> = replicas.iter().copied().filter(|id| listed.contains(id)).collect();
            PartitionDescription {
                id,
                leader: in_sync.first().copied(),
                replicas: replicas.into(),
                in_sync: in_sync.into(),
            }
        };
        let answer = |id: &i32| match silent.contains(id) {
            true => (*id, Err("no answer in time".to_owned())),
            false => (*id, Ok(Duration::from_millis(2))),
        };
        Facts {
            nodes: Nodes {
                cluster_id: "c".into(),
                controller: Some(1),
                nodes: listed.iter().map(|id| node(*id)).collect(),
            },
            answers: listed.iter().map(answer).collect(),
            topics: vec![TopicDescription {
                name: "t".into(),
                partitions: (0..3).map(partition).collect(),
                ..Default::default()
            }]
            .into(),
            min_isr: Ok(HashMap::from([("t".to_owned(), 2)])),
        }
    }

    fn check(before: &Health, facts: Facts, now: i64) -> Health {
        Health::judge(before, Ok(facts), now, Duration::ZERO)
    }

    #[test]
    fn three_brokers_in_sync_are_healthy() {
        let health = check(&Health::default(), facts(&[1, 2, 3], &[]), 5);
        assert_eq!((health.status, health.brokers_up(), health.topics_healthy()), (Status::Healthy, 3, 1));
        assert!(health.problems.is_empty() && health.reachable);
        assert_eq!((health.status_since, health.reachable_since), (5, 5));
    }

    #[test]
    fn a_broker_that_is_down_is_named_with_what_it_costs() {
        let before = check(&Health::default(), facts(&[1, 2, 3], &[]), 5);
        let health = check(&before, facts(&[1, 3], &[]), 6);
        assert_eq!((health.status, health.brokers_up(), health.under_replicated()), (Status::Degraded, 2, 3));
        assert_eq!(
            health.problems,
            ["broker 2 (k:9093) is down: the cluster does not list it", "3 partitions under-replicated: t-0, t-1, t-2",]
        );
        assert_eq!((health.status_since, health.reachable_since), (6, 5));
    }

    #[test]
    fn a_broker_that_was_never_seen_is_known_by_its_replicas() {
        let health = check(&Health::default(), facts(&[1, 3], &[]), 5);
        assert_eq!(health.problems[0], "broker 2 is down: the cluster does not list it");
        assert_eq!(health.brokers[1].replicas, 3);
    }

    #[test]
    fn what_a_silent_broker_leads_cannot_be_used() {
        let health = check(&Health::default(), facts(&[1, 2, 3], &[2]), 5);
        assert_eq!((health.status, health.silent(), health.under_replicated()), (Status::Unhealthy, 1, 0));
        assert_eq!(
            health.problems,
            [
                "1 partition led by a broker that does not answer: t-1",
                "broker 2 (k:9093) does not answer: no answer in time",
            ]
        );
    }

    #[test]
    fn too_few_in_sync_and_no_leader_are_the_worst() {
        let health = check(&Health::default(), facts(&[3], &[]), 5);
        assert_eq!((health.status, health.under_min_isr, health.offline()), (Status::Unhealthy, Some(3), 0));
        assert!(health.problems[0].starts_with("3 partitions with fewer replicas in sync"), "{:?}", health.problems);
        let mut none = facts(&[3], &[]);
        Arc::get_mut(&mut none.topics).unwrap()[0].partitions[1].leader = None;
        let health = check(&Health::default(), none, 5);
        assert_eq!(health.problems[0], "1 partition without a leader, which nobody can read or write: t-1");
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_unhealthy_and_its_topics_are_unknown() {
        let before = check(&Health::default(), facts(&[1, 2, 3], &[]), 5);
        let health = Health::judge(&before, Err("connection refused".into()), 9, Duration::ZERO);
        assert_eq!((health.status, health.reachable, health.reachable_since), (Status::Unhealthy, false, 9));
        assert_eq!((health.brokers_up(), health.brokers.len(), health.topics.len()), (0, 3, 0));
        assert_eq!(health.problems, ["no broker answers: connection refused"]);
        let later = Health::judge(&health, Err("connection refused".into()), 20, Duration::ZERO);
        assert_eq!((later.reachable_since, later.status_since), (9, 9));
        let back = check(&later, facts(&[1, 2, 3], &[]), 30);
        assert_eq!((back.status, back.reachable_since), (Status::Healthy, 30));
    }

    #[test]
    fn settings_that_cannot_be_read_are_a_note_and_not_a_problem() {
        let mut denied = facts(&[1, 3], &[]);
        denied.min_isr = Err("no rights".into());
        let health = check(&Health::default(), denied, 5);
        assert_eq!((health.under_min_isr, health.status), (None, Status::Degraded));
        assert_eq!(health.notes, ["min.insync.replicas is not known: no rights"]);
    }

    #[test]
    fn a_broker_that_was_taken_away_is_forgotten() {
        let mut small = facts(&[1, 2, 3], &[]);
        small.topics = Vec::new().into();
        let before = check(&Health::default(), small.clone(), 5);
        small.nodes.nodes.pop();
        let soon = check(&before, small.clone(), 6);
        assert_eq!(soon.status, Status::Degraded);
        let later = check(&soon, small, 6 + FORGET_AFTER_MS);
        assert_eq!((later.status, later.brokers.len()), (Status::Healthy, 2));
    }
}
