//! Lag from offsets: what a group has left to read. Never negative, and `None` where it is not known; a topic that is gone
//! has none. It counts neither records that the log no longer has nor a rest that holds no record (a transaction's marker).

use super::seen::Seen;
use crate::clock::UnixMillis;
use crate::kafka::TopicPartition;
use crate::kafka::cluster::{Committed, GroupListed, LogOffset};
use crate::kafka::{GroupDescription, TopicDescription};
use std::collections::HashMap;
use std::sync::Arc;

/// First and next offset of a partition, where its leader told them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub oldest: Option<i64>,
    pub high: Option<i64>,
}

impl Log {
    /// The first record that a group can still read which goes on at `offset`.
    pub fn first_from(&self, offset: i64) -> i64 {
        self.oldest.map_or(offset, |oldest| oldest.max(offset))
    }
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
    /// Messages that were deleted before the group committed them.
    pub lost: u64,
    /// The log ends before the committed offset: the topic was made again, or lost its end.
    pub beyond_end: bool,
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
    /// See [`GroupListed::kind`].
    pub kind: Arc<str>,
    /// It has no offsets that can be asked for, so that its lag is unknown.
    pub without_offsets: bool,
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
        self.has_offsets()?.iter().map(TopicLag::lag).sum()
    }

    pub fn seconds(&self) -> Option<f32> {
        worst(self.has_offsets()?.iter().map(TopicLag::seconds))
    }

    fn has_offsets(&self) -> Option<&[TopicLag]> {
        (!self.without_offsets).then_some(&self.topics)
    }
}

fn worst(mut all: impl Iterator<Item = Option<f32>>) -> Option<f32> {
    all.try_fold(0.0, |worst: f32, seconds| Some(worst.max(seconds?)))
}

/// A group's lag at `now` (Unix milliseconds). Partitions that are not in `logs` are left out.
pub fn group(
    listed: &GroupListed,
    described: Option<&GroupDescription>,
    committed: &[Committed],
    logs: &Logs,
    seen: &Seen,
    now: i64,
) -> GroupLag {
    let mut topics: Vec<TopicLag> = Vec::new();
    for Committed { topic, partition, offset } in committed {
        let Some(log) = logs.log(topic, *partition) else { continue };
        let mut lag = partition_lag(*partition, Some(*offset), log);
        let first = log.first_from(*offset);
        let rest = TopicPartition::new(topic.clone(), *partition);
        if lag.lag.is_some_and(|lag| lag > 0) && seen.tails.is_known_empty(&rest, first, log.high) {
            lag.lag = Some(0);
        }
        lag.seconds = match lag.lag {
            Some(0) => Some(0.0),
            Some(_) => age_of(seen, topic, *partition, first, now),
            None => None,
        };
        match topics.last_mut().filter(|last| last.topic == *topic) {
            Some(last) => last.partitions.push(lag),
            None => {
                let topic = logs.topic(topic).unwrap_or_else(|| topic.clone());
                topics.push(TopicLag { topic, partitions: vec![lag] });
            }
        }
    }
    let (state, members) =
        described.map_or_else(|| (listed.state.clone(), None), |s| (s.state.clone(), Some(s.members.len())));
    let name = listed.name.clone();
    let without_offsets = !listed.is_of_consumers() && committed.is_empty();
    let mut group = GroupLag { name, kind: listed.kind.clone(), without_offsets, state, members, topics };
    group.sort();
    group
}

/// Age of the record at `offset`, in seconds.
fn age_of(seen: &Seen, topic: &str, partition: i32, offset: i64, now: i64) -> Option<f32> {
    let UnixMillis(at) = seen.history.of(topic, partition)?.produced_at(offset)?;
    Some(now.saturating_sub(at).max(0) as f32 / 1e3)
}

impl GroupLag {
    /// Adds partitions that a member has and of which nothing is committed.
    pub fn add_assigned(&mut self, seen: &GroupDescription, logs: &Logs) {
        for TopicPartition { topic, partition } in seen.members.iter().flat_map(|member| &member.partitions) {
            let Some(log) = logs.log(topic, *partition) else { continue };
            let empty = partition_lag(*partition, None, log);
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

/// The lag in messages as far as offsets tell it, without its age.
fn partition_lag(partition: i32, committed: Option<i64>, log: Log) -> PartitionLag {
    let high = log.high;
    // Ends are read after the offsets, so that a group that is beyond an end cannot have read its way there.
    let beyond_end = committed.zip(high).is_some_and(|(committed, high)| committed > high);
    let first = committed.map(|committed| log.first_from(committed));
    let left = high.zip(first).map(|(high, first)| u64::try_from(high - first).unwrap_or(0));
    let lost = first.zip(committed).and_then(|(first, committed)| u64::try_from(first - committed).ok());
    let lag = left.filter(|_| !beyond_end);
    PartitionLag { partition, committed, high, lag, seconds: None, lost: lost.unwrap_or(0), beyond_end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::cluster::Rest;
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

    fn listed() -> GroupListed {
        GroupListed { name: "g".into(), kind: "classic".into(), state: "Stable".into() }
    }

    #[test]
    fn lag_is_absent_when_unknown_and_in_sums_with_an_unknown_part() {
        let logs = logs(&[Some(10), Some(10), None]);
        let committed = committed(&[("t", 2, 5), ("t", 1, 10), ("t", 0, 4)]);
        let group = group(&listed(), None, &committed, &logs, &Seen::default(), 0);
        let lags: Vec<_> = group.topics[0].partitions.iter().map(|p| (p.partition, p.lag, p.seconds)).collect();
        assert_eq!(lags, [(0, Some(6), None), (1, Some(0), Some(0.0)), (2, None, None)]);
        assert_eq!((group.lag(), group.seconds()), (None, None));
    }

    #[test]
    fn an_offset_beyond_the_end_is_flagged_and_has_no_lag() {
        let group = group(&listed(), None, &committed(&[("t", 0, 12)]), &logs(&[Some(10)]), &Seen::default(), 0);
        let partition = group.topics[0].partitions[0];
        assert_eq!((partition.beyond_end, partition.lag, partition.seconds), (true, None, None));
        assert_eq!(group.lag(), None);
    }

    #[test]
    fn deleted_records_are_lost_and_no_lag() {
        let mut logs = logs(&[Some(100), Some(100)]);
        let oldest = [(0, 100), (1, 40)].map(|(p, at)| LogOffset { of: TopicPartition::new("t", p), offset: Some(at) });
        logs.set_oldest(&oldest);
        let group = group(&listed(), None, &committed(&[("t", 0, 0), ("t", 1, 50)]), &logs, &Seen::default(), 0);
        let lags: Vec<_> = group.topics[0].partitions.iter().map(|p| (p.lag, p.lost, p.beyond_end)).collect();
        assert_eq!(lags, [(Some(0), 100, false), (Some(50), 0, false)]);
    }

    #[test]
    fn a_rest_without_a_record_is_no_lag_and_has_no_age() {
        let (logs, committed, place) = (logs(&[Some(11)]), committed(&[("t", 0, 10)]), TopicPartition::new("t", 0));
        let mut seen = Seen::default();
        seen.history.of_mut(&"t".into(), 0).note(UnixMillis(0), 0);
        seen.history.of_mut(&"t".into(), 0).note(UnixMillis(1_000), 11);
        let lag = |seen: &Seen| group(&listed(), None, &committed, &logs, seen, 60_000).topics[0].partitions[0];
        assert_eq!((lag(&seen).lag, lag(&seen).seconds), (Some(1), Some(59.0)));
        seen.tails.learn(&place, 10, Rest::NothingBefore(11));
        assert_eq!((lag(&seen).lag, lag(&seen).seconds), (Some(0), Some(0.0)));
    }

    #[test]
    fn a_group_that_is_not_of_consumers_has_no_lag_without_offsets() {
        let other = GroupListed { kind: "other".into(), ..listed() };
        let group = group(&other, None, &[], &logs(&[Some(10)]), &Seen::default(), 0);
        assert_eq!((group.lag(), group.seconds(), &*group.state), (None, None, "Stable"));
    }

    #[test]
    fn a_topic_that_is_gone_has_no_lag() {
        let committed = committed(&[("gone", 0, 5), ("t", 0, 4), ("t", 7, 1)]);
        let group = group(&listed(), None, &committed, &logs(&[Some(10)]), &Seen::default(), 0);
        assert_eq!(group.topics.len(), 1);
        assert_eq!(group.topics[0].partitions.len(), 1);
        assert_eq!(group.lag(), Some(6));
    }

    #[test]
    fn lag_in_seconds_is_the_age_of_the_oldest_message_left() {
        let mut seen = Seen::default();
        for (at, high) in [(0, 0), (10_000, 10), (20_000, 30)] {
            seen.history.of_mut(&"t".into(), 0).note(UnixMillis(at), high);
        }
        let seconds = |offset| {
            let committed = committed(&[("t", 0, offset)]);
            group(&listed(), None, &committed, &logs(&[Some(30)]), &seen, 25_000).seconds()
        };
        assert_eq!([seconds(30), seconds(9), seconds(19)], [Some(0.0), Some(15.0), Some(10.0)]);
    }

    #[test]
    fn what_is_assigned_without_an_offset_is_listed_without_a_lag() {
        let members =
            vec![GroupMember { partitions: [1, 0].map(|p| TopicPartition::new("t", p)).into(), ..Default::default() }];
        let seen = GroupDescription { name: "g".into(), state: "Stable".into(), members, ..Default::default() };
        let logs = logs(&[Some(10), Some(3)]);
        let mut group = group(&listed(), Some(&seen), &committed(&[("t", 0, 4)]), &logs, &Seen::default(), 0);
        group.add_assigned(&seen, &logs);
        let offsets: Vec<_> = group.topics[0].partitions.iter().map(|p| (p.partition, p.committed, p.high)).collect();
        assert_eq!(offsets, [(0, Some(4), Some(10)), (1, None, Some(3))]);
        assert_eq!(group.lag(), Some(6), "nothing is known to be wanted from a partition without an offset");
    }
}
