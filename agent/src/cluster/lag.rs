//! Lag from offsets. Never negative, and `None` where it is not known; a topic that is gone has none.

use super::history::History;
use crate::clock::UnixMillis;
use crate::kafka::TopicPartition;
use crate::kafka::cluster::{Committed, LogOffset};
use crate::kafka::{GroupDescription, TopicDescription};
use std::collections::HashMap;
use std::sync::Arc;

/// First and next offset of a partition, where its leader told them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub oldest: Option<i64>,
    pub high: Option<i64>,
}

/// The logs of the topics that are looked at. Read once for all groups.
#[derive(Clone, Debug, Default)]
pub struct Logs(HashMap<Arc<str>, Vec<Log>>);

impl Logs {
    /// Logs without offsets, one for each partition.
    pub fn of<'a>(topics: impl IntoIterator<Item = &'a TopicDescription>) -> Logs {
        let logs = topics.into_iter().map(|topic| {
            let count = topic.partitions.last().map_or(0, |last| last.id + 1);
            (topic.name.clone(), vec![Log::default(); usize::try_from(count).unwrap_or(0)])
        });
        Logs(logs.collect())
    }

    pub fn set_oldest(&mut self, found: &[LogOffset]) {
        found.iter().for_each(|f| self.log_mut(f).into_iter().for_each(|log| log.oldest = f.offset));
    }

    pub fn set_high(&mut self, found: &[LogOffset]) {
        found.iter().for_each(|f| self.log_mut(f).into_iter().for_each(|log| log.high = f.offset));
    }

    fn log_mut(&mut self, found: &LogOffset) -> Option<&mut Log> {
        self.0.get_mut(&found.of.topic)?.get_mut(usize::try_from(found.of.partition).ok()?)
    }

    /// `None`: there is no such partition (any more).
    pub fn log(&self, topic: &str, partition: i32) -> Option<Log> {
        self.0.get(topic)?.get(usize::try_from(partition).ok()?).copied()
    }

    /// The topic's name as it is kept here, so that it is kept once.
    fn topic(&self, name: &str) -> Option<Arc<str>> {
        self.0.get_key_value(name).map(|(name, _)| name.clone())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionLag {
    pub partition: i32,
    /// `None`: assigned, but nothing committed.
    pub committed: Option<i64>,
    pub high: Option<i64>,
    /// Messages.
    pub lag: Option<u64>,
    pub seconds: Option<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TopicLag {
    pub topic: Arc<str>,
    /// By number.
    pub partitions: Vec<PartitionLag>,
}

/// A group, as far as it is kept: without members' names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupLag {
    pub name: String,
    pub state: String,
    pub members: Option<usize>,
    /// By name.
    pub topics: Vec<TopicLag>,
}

impl TopicLag {
    /// Messages in all partitions; `None` if that is not known for one that has an offset committed.
    pub fn lag(&self) -> Option<u64> {
        self.committed().map(|p| p.lag).sum()
    }

    /// Age of the oldest message not committed; `None` if not known for one.
    pub fn seconds(&self) -> Option<f32> {
        worst(self.committed().map(|p| p.seconds))
    }

    /// Sum of the committed offsets.
    pub fn offset_sum(&self) -> i64 {
        self.committed().filter_map(|p| p.committed).sum()
    }

    fn committed(&self) -> impl Iterator<Item = &PartitionLag> {
        self.partitions.iter().filter(|p| p.committed.is_some())
    }
}

impl GroupLag {
    pub fn lag(&self) -> Option<u64> {
        self.topics.iter().map(TopicLag::lag).sum()
    }

    pub fn seconds(&self) -> Option<f32> {
        worst(self.topics.iter().map(TopicLag::seconds))
    }
}

fn worst(mut all: impl Iterator<Item = Option<f32>>) -> Option<f32> {
    all.try_fold(0.0, |worst: f32, seconds| Some(worst.max(seconds?)))
}

/// A group's lag at `now` (Unix milliseconds). Partitions that are not in `logs` are left out.
pub fn group(
    name: &str,
    seen: Option<&GroupDescription>,
    committed: &[Committed],
    logs: &Logs,
    history: &History,
    now: i64,
) -> GroupLag {
    let mut topics: Vec<TopicLag> = Vec::new();
    for Committed { topic, partition, offset } in committed {
        let Some(log) = logs.log(topic, *partition) else { continue };
        let lag = partition_lag(*partition, Some(*offset), log, |offset| {
            let UnixMillis(at) = history.of(topic, *partition)?.produced_at(offset)?;
            Some(now.saturating_sub(at).max(0) as f32 / 1e3)
        });
        match topics.last_mut().filter(|last| last.topic == *topic) {
            Some(last) => last.partitions.push(lag),
            None => {
                let topic = logs.topic(topic).unwrap_or_else(|| topic.clone());
                topics.push(TopicLag { topic, partitions: vec![lag] });
            }
        }
    }
    let (state, members) =
        seen.map_or_else(|| ("Unknown".to_owned(), None), |s| (s.state.clone(), Some(s.members.len())));
    let mut group = GroupLag { name: name.to_owned(), state, members, topics };
    group.sort();
    group
}

impl GroupLag {
    /// Adds partitions that a member has and of which nothing is committed.
    pub fn add_assigned(&mut self, seen: &GroupDescription, logs: &Logs) {
        for TopicPartition { topic, partition } in seen.members.iter().flat_map(|member| &member.partitions) {
            let Some(log) = logs.log(topic, *partition) else { continue };
            let empty = partition_lag(*partition, None, log, |_| None);
            match self.topics.iter_mut().find(|t| t.topic == *topic) {
                Some(known) if known.partitions.iter().any(|p| p.partition == *partition) => {}
                Some(known) => known.partitions.push(empty),
                None => self.topics.push(TopicLag { topic: topic.clone(), partitions: vec![empty] }),
            }
        }
        self.sort();
    }

    /// Kafka answers in no certain order.
    fn sort(&mut self) {
        self.topics.sort_by(|a, b| a.topic.cmp(&b.topic));
        self.topics.dedup_by(|b, a| {
            a.topic == b.topic && {
                a.partitions.append(&mut b.partitions);
                true
            }
        });
        for topic in &mut self.topics {
            topic.partitions.sort_unstable_by_key(|p| p.partition);
            topic.partitions.shrink_to_fit();
        }
    }
}

fn partition_lag(
    partition: i32,
    committed: Option<i64>,
    log: Log,
    age_of: impl Fn(i64) -> Option<f32>,
) -> PartitionLag {
    // The group may be beyond the watermark that was read before: it has caught up.
    let lag = log.high.zip(committed).map(|(high, offset)| u64::try_from(high - offset).unwrap_or(0));
    let seconds = match (lag, committed) {
        (Some(0), _) => Some(0.0),
        (Some(_), Some(offset)) => age_of(offset),
        _ => None,
    };
    PartitionLag { partition, committed, high: log.high, lag, seconds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{GroupMember, PartitionDescription, TopicPartition};

    fn topic(name: &str, partitions: i32) -> TopicDescription {
        let partitions = (0..partitions).map(|id| PartitionDescription { id, ..Default::default() }).collect();
        TopicDescription { name: name.into(), partitions, ..Default::default() }
    }

    fn logs(high: &[Option<i64>]) -> Logs {
        let mut logs = Logs::of([&topic("t", high.len() as i32), &topic("u", 1)]);
        let found = high.iter().enumerate();
        let found = found.map(|(at, offset)| LogOffset { of: TopicPartition::new("t", at as i32), offset: *offset });
        logs.set_high(&found.collect::<Vec<_>>());
        logs
    }

    fn committed(offsets: &[(&str, i32, i64)]) -> Vec<Committed> {
        offsets
            .iter()
            .map(|(t, partition, offset)| Committed { topic: (*t).into(), partition: *partition, offset: *offset })
            .collect()
    }

    #[test]
    fn lag_is_never_negative_and_absent_when_unknown() {
        let logs = logs(&[Some(10), Some(10), None]);
        let committed = committed(&[("t", 2, 5), ("t", 1, 12), ("t", 0, 4)]);
        let group = group("g", None, &committed, &logs, &History::default(), 0);
        let lags: Vec<_> = group.topics[0].partitions.iter().map(|p| (p.partition, p.lag, p.seconds)).collect();
        assert_eq!(lags, [(0, Some(6), None), (1, Some(0), Some(0.0)), (2, None, None)]);
        assert_eq!((group.lag(), group.seconds()), (None, None), "a sum with an unknown part is unknown");
    }

    #[test]
    fn a_topic_that_is_gone_has_no_lag() {
        let committed = committed(&[("gone", 0, 5), ("t", 0, 4), ("t", 7, 1)]);
        let group = group("g", None, &committed, &logs(&[Some(10)]), &History::default(), 0);
        assert_eq!(group.topics.len(), 1);
        assert_eq!(group.topics[0].partitions.len(), 1);
        assert_eq!(group.lag(), Some(6));
    }

    #[test]
    fn lag_in_seconds_is_the_age_of_the_oldest_message_left() {
        let mut history = History::default();
        for (at, high) in [(0, 0), (10_000, 10), (20_000, 30)] {
            history.of_mut(&"t".into(), 0).note(UnixMillis(at), high);
        }
        let seconds = |offset| {
            let committed = committed(&[("t", 0, offset)]);
            group("g", None, &committed, &logs(&[Some(30)]), &history, 25_000).seconds()
        };
        assert_eq!([seconds(30), seconds(9), seconds(19)], [Some(0.0), Some(15.0), Some(10.0)]);
    }

    #[test]
    fn what_is_assigned_without_an_offset_is_listed_without_a_lag() {
        let members =
            vec![GroupMember { partitions: [1, 0].map(|p| TopicPartition::new("t", p)).into(), ..Default::default() }];
        let seen = GroupDescription { name: "g".into(), state: "Stable".into(), members, ..Default::default() };
        let logs = logs(&[Some(10), Some(3)]);
        let mut group = group("g", Some(&seen), &committed(&[("t", 0, 4)]), &logs, &History::default(), 0);
        group.add_assigned(&seen, &logs);
        let offsets: Vec<_> = group.topics[0].partitions.iter().map(|p| (p.partition, p.committed, p.high)).collect();
        assert_eq!(offsets, [(0, Some(4), Some(10)), (1, None, Some(3))]);
        assert_eq!(group.lag(), Some(6), "nothing is known to be wanted from a partition without an offset");
    }
}
