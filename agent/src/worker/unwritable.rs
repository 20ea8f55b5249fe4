//! Changelog partitions that take no writes: they have no leader, it does not answer, or too few of their replicas are in
//! sync. One such would abort every epoch of its worker, since its records are never delivered. So after a commit that
//! Kafka did not take it is looked for them, on another thread; their tasks are paused and left out of epochs, and the
//! others are committed. What is folded stays dirty until they take writes again.

use super::context::Agent;
use crate::clock::BootTime;
use crate::kafka::{Admin, Isolation, PartitionReader, TopicPartition};
use crate::replica::brief;
use crate::sources::changelog_topic;
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks, while there is reason to look.
const EVERY: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// What is wrong with each input partition's changelog partition; `None`: nothing.
pub(super) type Found = HashMap<TopicPartition, Option<String>>;

#[derive(Default)]
pub(super) struct Unwritable {
    /// Kafka did not take the last epoch.
    doubt: bool,
    answer: Option<Receiver<Found>>,
    looked: Option<BootTime>,
}

impl Unwritable {
    /// Whether there is reason to look.
    pub fn doubt(&mut self, doubt: bool) {
        self.doubt = doubt;
    }

    pub fn is_in_doubt(&self) -> bool {
        self.doubt
    }

    pub fn is_looking(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether to look again.
    pub fn is_due(&self, now: BootTime) -> bool {
        !self.is_looking() && self.looked.is_none_or(|looked| now.since(looked) >= EVERY)
    }

    /// Looks on another thread at the changelog partitions of these input partitions.
    pub fn look(&mut self, agent: &Arc<Agent>, by_topic: BTreeMap<Arc<str>, Vec<i32>>) -> std::io::Result<()> {
        self.looked = Some(agent.clock.boot_time());
        let (agent, (sender, answer)) = (agent.clone(), bounded(1));
        std::thread::Builder::new().name("unwritable".into()).spawn(move || {
            // Nobody may want to know any more.
            let _ = sender.send(look(&agent, by_topic));
        })?;
        self.answer = Some(answer);
        Ok(())
    }

    /// What the last look has found, once.
    pub fn take_answer(&mut self) -> Option<Found> {
        match self.answer.as_ref()?.try_recv() {
            Err(TryRecvError::Empty) => None,
            answer => {
                self.answer = None;
                answer.ok()
            }
        }
    }
}

/// Asks the leaders of all these partitions' changelog partitions for their ends, and the cluster for their replicas.
fn look(agent: &Agent, by_topic: BTreeMap<Arc<str>, Vec<i32>>) -> Found {
    let mut found = Found::new();
    // Without clients nothing is known.
    let Ok(reader) = PartitionReader::create(&agent.settings, Isolation::ReadUncommitted) else { return found };
    let admin = Admin::create(&agent.settings, CALL_TIMEOUT).ok();
    for (topic, partitions) in by_topic {
        let changelog: Arc<str> = changelog_topic(&agent.config.kafka.group_id, &topic).into();
        let places: Vec<_> = partitions.iter().map(|&number| TopicPartition::new(changelog.clone(), number)).collect();
        let ends = reader.ends_each(&places, CALL_TIMEOUT);
        let replicas = reader.replicas(&changelog, CALL_TIMEOUT).unwrap_or_default();
        let settings = admin.as_ref().and_then(|admin| agent.runtime.block_on(admin.topic_settings(&changelog)).ok());
        let least = settings.and_then(|settings| settings.get("min.insync.replicas")?.parse().ok());
        for place in places {
            let why = match ends.get(&place) {
                Some(Ok(_)) => too_few(replicas.get(&place.partition).copied(), least),
                Some(Err(error)) => Some(brief(error)),
                None => Some("no answer".to_owned()),
            };
            let why = why.map(|why| format!("{place}: {why}"));
            found.insert(TopicPartition::new(topic.clone(), place.partition), why);
        }
    }
    found
}

/// Pure: what is wrong with a partition that has so many replicas, and so many in sync, of a topic that takes writes with no
/// fewer than `least`. Kafka asks for no more than there are.
fn too_few(replicas: Option<(usize, usize)>, least: Option<usize>) -> Option<String> {
    let ((all, in_sync), least) = (replicas?, least?);
    (in_sync < least.min(all)).then(|| {
        format!("{in_sync} of its {all} replicas are in sync, and with fewer than {least} (min.insync.replicas) it takes no writes")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_with_fewer_replicas_in_sync_than_its_topic_asks_for_takes_no_writes() {
        assert!(too_few(Some((3, 1)), Some(2)).is_some_and(|why| why.contains("min.insync.replicas")));
        assert_eq!(too_few(Some((3, 2)), Some(2)), None);
        assert_eq!(too_few(Some((1, 1)), Some(2)), None, "it has no more");
        assert_eq!(too_few(None, Some(2)), None, "not known");
        assert_eq!(too_few(Some((3, 1)), None), None, "not known");
    }
}
