//! The end-to-end probe: a message to each broker at an interval, and back. What is late is lost.

use crate::clock::{BootTime, Clock};
use crate::config::Probe;
use crate::env::Environment;
use crate::kafka::cluster::{ClusterClient, LATEST};
use crate::kafka::probe::{ProbeClient, Report};
use crate::kafka::{PartitionDescription, TopicPartition};
use crate::stop::Stop;
use crate::telemetry::Metrics;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often leaders are looked up.
const LOOK: Duration = Duration::from_secs(5);
/// How soon a topic that cannot be used is tried again.
const AGAIN: Duration = Duration::from_secs(10);
const READ: Duration = Duration::from_millis(20);
const REPLICAS: usize = 3;

/// Messages on their way, by number. Pure.
#[derive(Debug, Default)]
pub struct Outstanding {
    next: u64,
    sent: BTreeMap<u64, (i32, BootTime)>,
}

impl Outstanding {
    /// A number for a message to `broker`.
    pub fn sent(&mut self, broker: i32, now: BootTime) -> u64 {
        self.next += 1;
        self.sent.insert(self.next, (broker, now));
        self.next
    }

    /// How long ago it was sent, and to whom; `None` if it was given up.
    pub fn age(&self, number: u64, now: BootTime) -> Option<(i32, Duration)> {
        self.sent.get(&number).map(|(broker, at)| (*broker, now.since(*at)))
    }

    /// It is back, or will not be.
    pub fn done(&mut self, number: u64) -> Option<i32> {
        self.sent.remove(&number).map(|(broker, _)| broker)
    }

    /// Gives up what is older than `timeout`; whom it was sent to.
    pub fn late(&mut self, now: BootTime, timeout: Duration) -> Vec<i32> {
        let (late, waiting) =
            std::mem::take(&mut self.sent).into_iter().partition(|(_, (_, at))| now.since(*at) > timeout);
        self.sent = waiting;
        let late: BTreeMap<u64, (i32, BootTime)> = late;
        late.into_values().map(|(broker, _)| broker).collect()
    }
}

/// Whom a message to this partition tries: its leader, or whoever should lead it.
pub fn tried(partition: &PartitionDescription) -> Option<i32> {
    partition.leader.or_else(|| partition.replicas.first().copied())
}

pub struct Prober {
    client: ClusterClient,
    messages: ProbeClient,
    config: Probe,
    clock: Clock,
    metrics: Arc<Metrics>,
    runtime: tokio::runtime::Handle,
    /// Tells our messages from those of other agents, and of earlier runs.
    run: u64,
    outstanding: Outstanding,
}

impl Prober {
    /// # Errors
    /// If librdkafka refuses the properties.
    pub fn new(
        env: &Environment,
        config: Probe,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, rdkafka::error::KafkaError> {
        Ok(Prober {
            client: ClusterClient::create(&env.kafka, "probe")?,
            messages: ProbeClient::create(&env.kafka, &config.topic, config.timeout)?,
            config,
            clock: env.clock.clone(),
            metrics: env.metrics.clone(),
            runtime,
            run: rand::random(),
            outstanding: Outstanding::default(),
        })
    }

    /// Probes until it is told to stop; what goes wrong is logged once until it is right again.
    pub fn run(mut self, stop: &Stop) {
        let mut complained = false;
        while !stop.is_requested() {
            let Err(why) = self.rounds(stop) else {
                complained = false;
                continue;
            };
            if !std::mem::replace(&mut complained, true) {
                tracing::warn!("the probe cannot use topic {}: {why}", self.config.topic);
            }
            let began = self.clock.boot_time();
            while !stop.is_requested() && self.clock.boot_time().since(began) < AGAIN {
                std::thread::sleep(READ);
            }
        }
    }

    /// Sends and reads until the partitions change.
    fn rounds(&mut self, stop: &Stop) -> Result<(), String> {
        let mut partitions = self.partitions()?;
        let ids: Vec<i32> = partitions.iter().map(|partition| partition.id).collect();
        let topic: Arc<str> = self.config.topic.as_str().into();
        let places: Vec<_> = ids.iter().map(|id| TopicPartition::new(topic.clone(), *id)).collect();
        let ends = self.client.log_offsets(&places, LATEST, self.config.timeout).map_err(|error| error.to_string())?;
        // A partition whose leader does not answer is read from its beginning: what is not ours is skipped.
        let from: Vec<_> = ends.iter().map(|end| (end.of.partition, end.offset.unwrap_or(0))).collect();
        self.messages.read_from(&from).map_err(|error| error.to_string())?;
        let (mut sent, mut looked) = (None, self.clock.boot_time());
        while !stop.is_requested() {
            let now = self.clock.boot_time();
            if sent.is_none_or(|at| now.since(at) >= self.config.interval) {
                partitions.iter().for_each(|partition| self.send(partition));
                sent = Some(now);
            }
            self.receive();
            self.client.serve(Duration::ZERO);
            if now.since(looked) >= LOOK {
                looked = now;
                // Without an answer the leaders are taken to be as they were.
                let Ok(found) = self.look() else { continue };
                if found.iter().map(|p| p.id).ne(ids.iter().copied()) || !self.without_partition(&found).is_empty() {
                    return Ok(());
                }
                partitions = found;
            }
        }
        Ok(())
    }

    fn send(&mut self, partition: &PartitionDescription) {
        let Some(broker) = tried(partition) else { return };
        self.metrics.probe_sent(broker);
        let number = self.outstanding.sent(broker, self.clock.boot_time());
        let payload = [self.run.to_be_bytes(), number.to_be_bytes()].concat();
        if !self.messages.send(partition, number, &payload) {
            self.lost(number);
        }
    }

    fn receive(&mut self) {
        for report in self.messages.reports() {
            match report {
                Report::Acknowledged(number) => {
                    let age = self.outstanding.age(number, self.clock.boot_time());
                    age.into_iter().for_each(|(_, took)| self.metrics.produced(took));
                }
                Report::Failed(number) => self.lost(number),
            }
        }
        let (run, mut wait) = (self.run, READ);
        while let Some(number) = self.messages.read(wait, |payload| Some(number_of(payload, run))) {
            wait = Duration::ZERO;
            let now = self.clock.boot_time();
            if let Some((number, (broker, took))) = number.and_then(|n| Some((n, self.outstanding.age(n, now)?))) {
                self.metrics.probe_returned(broker, took);
                self.outstanding.done(number);
            }
        }
        let late = self.outstanding.late(self.clock.boot_time(), self.config.timeout);
        late.into_iter().for_each(|broker| self.metrics.probe_lost(broker));
    }

    fn lost(&mut self, number: u64) {
        let broker = self.outstanding.done(number);
        broker.into_iter().for_each(|broker| self.metrics.probe_lost(broker));
    }

    /// The topic's partitions, one for each broker; makes what is missing.
    fn partitions(&self) -> Result<Vec<PartitionDescription>, String> {
        let timeout = self.config.timeout;
        let found = self.look()?;
        let brokers = self.brokers()?;
        let missing: Vec<i32> = brokers.iter().copied().filter(|id| !preferred(&found).contains(id)).collect();
        match (found.is_empty(), missing.is_empty()) {
            (_, true) => return Ok(found),
            (true, _) => self.runtime.block_on(self.messages.create_topic(&brokers, REPLICAS, timeout))?,
            (false, _) => {
                let grown = self.messages.grow_topic(found.len(), &missing, &brokers, REPLICAS, timeout);
                self.runtime.block_on(grown)?;
            }
        }
        let found = self.look()?;
        match found.is_empty() {
            true => Err("it was made, and is not there yet".to_owned()),
            false => Ok(found),
        }
    }

    fn look(&self) -> Result<Vec<PartitionDescription>, String> {
        let topics = self.client.topics(self.config.timeout).map_err(|error| error.to_string())?;
        let ours = topics.into_iter().find(|topic| *topic.name == *self.config.topic);
        Ok(ours.map(|topic| topic.partitions).unwrap_or_default())
    }

    fn brokers(&self) -> Result<Vec<i32>, String> {
        let nodes = self.client.nodes(self.config.timeout).map_err(|error| error.to_string())?;
        Ok(nodes.nodes.iter().map(|node| node.id).collect())
    }

    fn without_partition(&self, found: &[PartitionDescription]) -> Vec<i32> {
        let preferred = preferred(found);
        self.brokers().unwrap_or_default().into_iter().filter(|id| !preferred.contains(id)).collect()
    }
}

fn preferred(partitions: &[PartitionDescription]) -> BTreeSet<i32> {
    partitions.iter().filter_map(|partition| partition.replicas.first().copied()).collect()
}

/// The number of a message of this run.
fn number_of(payload: &[u8], run: u64) -> Option<u64> {
    let (ours, number) = payload.split_first_chunk::<8>()?;
    (u64::from_be_bytes(*ours) == run).then_some(())?;
    Some(u64::from_be_bytes(*number.first_chunk::<8>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> BootTime {
        BootTime::from_millis(millis)
    }

    #[test]
    fn a_message_is_back_once_and_late_ones_are_given_up() {
        let mut outstanding = Outstanding::default();
        let (a, b, c) = (outstanding.sent(1, at(0)), outstanding.sent(2, at(0)), outstanding.sent(1, at(900)));
        assert_eq!(outstanding.age(a, at(30)), Some((1, Duration::from_millis(30))));
        assert_eq!(outstanding.done(a), Some(1));
        assert_eq!((outstanding.age(a, at(40)), outstanding.done(a)), (None, None));
        assert_eq!(outstanding.late(at(1_000), Duration::from_millis(500)), [2]);
        assert_eq!((outstanding.done(b), outstanding.done(c)), (None, Some(1)));
    }

    #[test]
    fn only_messages_of_this_run_are_ours() {
        let payload = [7u64.to_be_bytes(), 9u64.to_be_bytes()].concat();
        assert_eq!(number_of(&payload, 7), Some(9));
        assert_eq!([number_of(&payload, 8), number_of(b"", 7), number_of(&payload[..12], 7)], [None; 3]);
    }

    #[test]
    fn without_a_leader_it_is_the_preferred_one_that_fails() {
        let seen = |leader| PartitionDescription {
            id: 0,
            leader,
            replicas: [2, 3].into_iter().collect(),
            ..Default::default()
        };
        assert_eq!([tried(&seen(Some(3))), tried(&seen(None))], [Some(3), Some(2)]);
    }
}
