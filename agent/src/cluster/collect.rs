//! One collection of lag. The ends of the logs are read once, whatever the number of groups; each group costs one more
//! request.

use super::filter::Filter;
use super::history::History;
use super::lag::{self, GroupLag, Logs};
use crate::clock::{Clock, UnixMillis};
use crate::kafka::TopicPartition;
use crate::kafka::cluster::{CallError, ClusterClient, EARLIEST, LATEST, LogOffset};
use crate::kafka::{GroupDescription, TopicDescription};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How long ago, in seconds, high watermarks are asked for when lag reaches back before what was seen.
const LOOK_BACK: [i64; 7] = [30, 300, 3_600, 14_400, 43_200, 172_800, 604_800];
/// How often the time around an offset is halved then, and how close is close enough.
const HALVINGS: usize = 6;
const CLOSE: Duration = Duration::from_secs(2);

/// What a collection found.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Number of the collection; 0: none yet.
    pub number: u64,
    /// Unix milliseconds.
    pub at: i64,
    pub took: Duration,
    /// Brokers did not answer: there may be more groups.
    pub incomplete: bool,
    /// The topics that the filter lets through.
    pub topics: Arc<[TopicDescription]>,
    pub logs: Logs,
    /// By name.
    pub groups: Vec<GroupLag>,
    /// Groups whose offsets could not be read, and why.
    pub refused: Vec<(String, String)>,
}

/// Collects the lag of all groups that `filter` lets through. `timeout` bounds each of the questions.
///
/// # Errors
/// If no broker answers, or this user may not ask.
pub fn collect(
    client: &ClusterClient,
    clock: &Clock,
    filter: &Filter,
    history: &Mutex<History>,
    timeout: Duration,
) -> Result<Collected, CallError> {
    let began = clock.boot_time();
    let mut topics = client.topics(timeout)?;
    topics.retain(|topic| filter.topic(&topic.name));
    let listed = client.groups(timeout)?;
    let names: Vec<String> = listed.names.into_iter().filter(|name| filter.group(name)).collect();
    let seen = client.describe_groups(&names, false, timeout)?;
    let seen: HashMap<&str, &GroupDescription> = seen.iter().map(|group| (group.name.as_str(), group)).collect();
    // Groups first and ends after them: what was produced in between is lag, and never less than none.
    let mut logs = Logs::of(&topics);
    let mut collected = Collected { incomplete: listed.incomplete, ..Collected::default() };
    let mut read = Vec::with_capacity(names.len());
    client.committed(&names, timeout, |at, answer| match answer {
        Ok(mut offsets) => {
            offsets.shrink_to_fit();
            read.push((at, offsets));
        }
        Err(error) => collected.refused.push((names[at].clone(), error.to_string())),
    });
    let partitions = partitions(&topics);
    logs.set_high(&client.log_offsets(&partitions, LATEST, timeout)?);
    let now = clock.unix_millis();
    note(&mut history.lock(), &logs, &partitions, now);
    history.lock().keep(|topic| logs.log(topic, 0).is_some());
    logs.set_oldest(&client.log_offsets(&partitions, EARLIEST, timeout)?);
    let wanted = read.iter().flat_map(|(_, offsets)| offsets).map(|c| (&c.topic, c.partition, c.offset));
    look_back(client, history, &logs, wanted, now, timeout);
    read.sort_unstable_by_key(|(at, _)| *at);
    let known = history.lock();
    for (at, offsets) in read {
        let name = names[at].as_str();
        collected.groups.push(lag::group(name, seen.get(name).copied(), &offsets, &logs, &known, now));
    }
    drop(known);
    (collected.topics, collected.logs, collected.at) = (topics.into(), logs, now);
    collected.took = clock.boot_time().since(began);
    Ok(collected)
}

/// One group, asked for now, with its members; `None`: there is no such group.
///
/// # Errors
/// If its coordinator or the leaders do not answer, or this user may not ask.
pub fn one(
    client: &ClusterClient,
    clock: &Clock,
    name: &str,
    history: &Mutex<History>,
    timeout: Duration,
) -> Result<Option<(GroupLag, GroupDescription)>, CallError> {
    let names = [name.to_owned()];
    let mut offsets = Ok(Vec::new());
    client.committed(&names, timeout, |_, answer| offsets = answer);
    let offsets = offsets?;
    let seen = client.describe_groups(&names, true, timeout)?.pop();
    let Some(seen) = seen.filter(|seen| seen.state != "Dead" || !offsets.is_empty()) else { return Ok(None) };
    let assigned = seen.members.iter().flat_map(|member| &member.partitions).map(|of| &of.topic);
    let concerned: BTreeSet<_> = offsets.iter().map(|c| &c.topic).chain(assigned).collect();
    let mut topics = client.topics(timeout)?;
    topics.retain(|topic| concerned.contains(&topic.name));
    let (mut logs, partitions) = (Logs::of(&topics), partitions(&topics));
    logs.set_high(&client.log_offsets(&partitions, LATEST, timeout)?);
    let now = clock.unix_millis();
    note(&mut history.lock(), &logs, &partitions, now);
    look_back(client, history, &logs, offsets.iter().map(|c| (&c.topic, c.partition, c.offset)), now, timeout);
    let mut group = lag::group(name, Some(&seen), &offsets, &logs, &history.lock(), now);
    group.add_assigned(&seen, &logs);
    Ok(Some((group, seen)))
}

fn partitions(topics: &[TopicDescription]) -> Vec<TopicPartition> {
    let of = |topic: &TopicDescription| {
        topic.partitions.iter().map(|p| TopicPartition::new(topic.name.clone(), p.id)).collect::<Vec<_>>()
    };
    topics.iter().flat_map(of).collect()
}

fn note(history: &mut History, logs: &Logs, partitions: &[TopicPartition], now: i64) {
    for TopicPartition { topic, partition } in partitions {
        if let Some(high) = logs.log(topic, *partition).and_then(|log| log.high) {
            history.of_mut(topic, *partition).note(UnixMillis(now), high);
        }
    }
}

/// Fills the history of partitions in which a group is behind what was seen, from the times of the records themselves:
/// first at certain ages, then halving the time around the oldest offset. What is not answered stays unknown.
fn look_back<'a>(
    client: &ClusterClient,
    history: &Mutex<History>,
    logs: &Logs,
    wanted: impl Iterator<Item = (&'a Arc<str>, i32, i64)>,
    now: i64,
    timeout: Duration,
) {
    let places = unknown(&mut history.lock(), logs, wanted);
    if places.is_empty() {
        return;
    }
    for seconds in LOOK_BACK.iter().rev() {
        let time = UnixMillis(now - seconds * 1_000);
        learn(client, history, logs, places.keys().map(|place| (place.clone(), time)).collect(), timeout);
    }
    for _ in 0..HALVINGS {
        let known = history.lock();
        let middle = |(place, offset): (&TopicPartition, &i64)| {
            let time = known.of(&place.topic, place.partition)?.between(*offset, CLOSE)?;
            Some((place.clone(), time))
        };
        let asked: Vec<_> = places.iter().filter_map(middle).collect();
        drop(known);
        learn(client, history, logs, asked, timeout);
    }
}

/// Partitions in which a group is behind what was seen, with the oldest offset; each is given once.
fn unknown<'a>(
    history: &mut History,
    logs: &Logs,
    wanted: impl Iterator<Item = (&'a Arc<str>, i32, i64)>,
) -> BTreeMap<TopicPartition, i64> {
    let mut places: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for (topic, partition, offset) in wanted {
        let behind = logs.log(topic, partition).and_then(|log| log.high).is_some_and(|high| offset < high);
        if behind && history.of(topic, partition).is_none_or(|points| !points.reaches(offset)) {
            let oldest = places.entry(TopicPartition::new(topic.clone(), partition)).or_insert(offset);
            *oldest = offset.min(*oldest);
        }
    }
    places.retain(|place, _| history.of_mut(&place.topic, place.partition).first_look_back());
    places
}

/// Asks what the high watermark was at a moment, for each partition its own.
fn learn(
    client: &ClusterClient,
    history: &Mutex<History>,
    logs: &Logs,
    asked: Vec<(TopicPartition, UnixMillis)>,
    timeout: Duration,
) {
    let times: HashMap<_, _> = asked.iter().cloned().collect();
    let at: Vec<_> = asked.into_iter().map(|(place, time)| (place, time.0)).collect();
    let Ok(found) = client.log_offsets_at(&at, timeout) else { return };
    let mut known = history.lock();
    for LogOffset { of, offset } in found {
        // No record since then: the high watermark was what it is.
        let high = offset.or_else(|| logs.log(&of.topic, of.partition)?.high);
        if let (Some(high), Some(time)) = (high, times.get(&of)) {
            known.of_mut(&of.topic, of.partition).add(vec![(*time, high)]);
        }
    }
}
