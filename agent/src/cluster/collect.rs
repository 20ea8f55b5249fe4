//! One collection of lag. The ends of the logs are read once, whatever the number of groups; each group costs one more
//! request.

use super::filter::Filter;
use super::history::History;
use super::lag::{self, GroupLag, Logs};
use super::seen::Seen;
use crate::clock::{Clock, UnixMillis};
use crate::kafka::TopicPartition;
use crate::kafka::cluster::{CallError, ClusterClient, Committed, EARLIEST, GroupListed, LATEST, LogOffset};
use crate::kafka::{GroupDescription, TopicDescription};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How long ago, in seconds, high watermarks are asked for when lag reaches back before what was seen.
const LOOK_BACK: [i64; 7] = [30, 300, 3_600, 14_400, 43_200, 172_800, 604_800];
/// How often the time around an offset is halved then, and how close is close enough.
const HALVINGS: usize = 6;
const CLOSE: Duration = Duration::from_secs(2);
/// Partitions of which the rest is read in one collection: those whose rest is shortest.
const RESTS: usize = 256;
/// Collections between two looks at groups that are not of consumers: that look is dear.
const OTHERS_EVERY: u32 = 10;

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
    seen: &Mutex<Seen>,
    timeout: Duration,
) -> Result<Collected, CallError> {
    let began = clock.boot_time();
    let mut topics = client.topics(timeout)?;
    topics.retain(|topic| filter.topic(&topic.name));
    let listed = client.groups(timeout)?;
    let mut collected = Collected { incomplete: listed.incomplete, ..Collected::default() };
    let mut groups = listed.groups;
    let others = other_groups(client, &groups, seen, timeout);
    groups.extend(others);
    groups.retain(|group| filter.group(&group.name));
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    let names = |wanted: fn(&GroupListed) -> bool| -> Vec<String> {
        groups.iter().filter(|group| wanted(group)).map(|group| group.name.clone()).collect()
    };
    let described = client.describe_groups(&names(GroupListed::is_of_consumers), false, timeout)?;
    let described: HashMap<&str, &GroupDescription> =
        described.iter().map(|group| (group.name.as_str(), group)).collect();
    // Groups first and ends after them: what was produced in between is lag, and never less than none.
    let mut logs = Logs::of(&topics);
    let readers = names(GroupListed::may_have_offsets);
    let mut read: HashMap<&str, Vec<Committed>> = HashMap::new();
    let mut refused = Vec::new();
    client.committed(&readers, timeout, |at, answer| match answer {
        Ok(mut offsets) => {
            offsets.shrink_to_fit();
            read.insert(&readers[at], offsets);
        }
        Err(error) => refused.push((at, error.to_string())),
    });
    let of_consumers: HashSet<_> = groups.iter().filter(|it| it.is_of_consumers()).map(|it| &it.name).collect();
    let refused = refused.into_iter().map(|(at, why)| (readers[at].clone(), why));
    collected.refused = refused.filter(|(name, _)| of_consumers.contains(name)).collect();
    let partitions = partitions(&topics);
    logs.set_high(&client.log_offsets(&partitions, LATEST, timeout)?);
    let now = clock.unix_millis();
    note(&mut seen.lock().history, &logs, &partitions, now);
    forget_topics(&mut seen.lock(), &logs);
    logs.set_oldest(&client.log_offsets(&partitions, EARLIEST, timeout)?);
    look_at_rests(client, seen, &logs, read.values().flatten(), timeout);
    look_back(client, seen, &logs, read.values().flatten(), now, timeout);
    let known = seen.lock();
    for group in &groups {
        let name = group.name.as_str();
        // Of others there may be no offsets to be had.
        let offsets = read.get(name).or_else(|| (!group.is_of_consumers()).then_some(const { &Vec::new() }));
        if let Some(offsets) = offsets {
            collected.groups.push(lag::group(group, described.get(name).copied(), offsets, &logs, &known, now));
        }
    }
    drop(known);
    (collected.topics, collected.logs, collected.at) = (topics.into(), logs, now);
    collected.took = clock.boot_time().since(began);
    Ok(collected)
}

/// The groups that are not of consumers, as of the last look at them.
fn other_groups(
    client: &ClusterClient,
    consumers: &[GroupListed],
    seen: &Mutex<Seen>,
    timeout: Duration,
) -> Vec<GroupListed> {
    let due = {
        let mut seen = seen.lock();
        let due = seen.since_others == 0;
        seen.since_others = (seen.since_others + 1) % OTHERS_EVERY;
        due
    };
    if due {
        match client.other_groups(consumers, timeout) {
            Ok(groups) => seen.lock().others = groups,
            Err(error) => {
                tracing::debug!("groups that are not of consumers: {error}");
                seen.lock().since_others = 0;
            }
        }
    }
    seen.lock().others.clone()
}

fn forget_topics(seen: &mut Seen, logs: &Logs) {
    let exists = |topic: &str| logs.log(topic, 0).is_some();
    seen.history.keep(exists);
    seen.tails.keep(exists);
}

/// One group, asked for now, with its members; `None`: there is no such group.
///
/// # Errors
/// If its coordinator or the leaders do not answer, or this user may not ask.
pub fn one(
    client: &ClusterClient,
    clock: &Clock,
    name: &str,
    seen: &Mutex<Seen>,
    timeout: Duration,
) -> Result<Option<(GroupLag, GroupDescription)>, CallError> {
    let consumers = client.groups(timeout)?.groups;
    let named = |groups: &[GroupListed]| groups.iter().find(|group| group.name == name).cloned();
    let listed = match named(&consumers) {
        Some(listed) => listed,
        None => match named(&client.other_groups(&consumers, timeout)?) {
            Some(listed) => listed,
            None => return Ok(None),
        },
    };
    let names = [name.to_owned()];
    let mut offsets = Ok(Vec::new());
    if listed.may_have_offsets() {
        client.committed(&names, timeout, |_, answer| offsets = answer);
    }
    let offsets = if listed.is_of_consumers() { offsets? } else { offsets.unwrap_or_default() };
    let described = match listed.is_of_consumers() {
        true => client.describe_groups(&names, true, timeout)?.pop(),
        false => Some(GroupDescription { name: name.to_owned(), state: listed.state.clone(), ..Default::default() }),
    };
    let Some(described) = described.filter(|it| it.state != "Dead" || !offsets.is_empty()) else { return Ok(None) };
    let assigned = described.members.iter().flat_map(|member| &member.partitions).map(|of| &of.topic);
    let concerned: BTreeSet<_> = offsets.iter().map(|c| &c.topic).chain(assigned).collect();
    let mut topics = client.topics(timeout)?;
    topics.retain(|topic| concerned.contains(&topic.name));
    let (mut logs, partitions) = (Logs::of(&topics), partitions(&topics));
    logs.set_high(&client.log_offsets(&partitions, LATEST, timeout)?);
    let now = clock.unix_millis();
    note(&mut seen.lock().history, &logs, &partitions, now);
    logs.set_oldest(&client.log_offsets(&partitions, EARLIEST, timeout)?);
    look_at_rests(client, seen, &logs, offsets.iter(), timeout);
    look_back(client, seen, &logs, offsets.iter(), now, timeout);
    let mut group = lag::group(&listed, Some(&described), &offsets, &logs, &seen.lock(), now);
    group.add_assigned(&described, &logs);
    Ok(Some((group, described)))
}

/// Reads on where a group seems to be behind by little, to see whether there is a record at all.
fn look_at_rests<'a>(
    client: &ClusterClient,
    seen: &Mutex<Seen>,
    logs: &Logs,
    committed: impl Iterator<Item = &'a Committed>,
    timeout: Duration,
) {
    // Of several groups the one that has read furthest: if it finds a record, so would the others.
    let mut furthest: BTreeMap<TopicPartition, (i64, i64)> = BTreeMap::new();
    let known = seen.lock();
    for Committed { topic, partition, offset } in committed {
        let Some(log) = logs.log(topic, *partition) else { continue };
        let Some(high) = log.high else { continue };
        let first = log.first_from(*offset);
        let place = TopicPartition::new(topic.clone(), *partition);
        if first < high && known.tails.is_unknown(&place, first, Some(high)) {
            let at = furthest.entry(place).or_insert((first, high));
            at.0 = at.0.max(first);
        }
    }
    drop(known);
    let mut shortest: Vec<_> = furthest.into_iter().collect();
    shortest.sort_by_key(|(_, (from, high))| high - from);
    shortest.truncate(RESTS);
    let from: Vec<_> = shortest.into_iter().map(|(place, (from, _))| (place, from)).collect();
    match client.rests(&from, timeout) {
        Ok(rests) => {
            let mut known = seen.lock();
            for (place, offset) in &from {
                if let Some(rest) = rests.get(place) {
                    known.tails.learn(place, *offset, *rest);
                }
            }
        }
        Err(error) => tracing::debug!("{error}"),
    }
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
    seen: &Mutex<Seen>,
    logs: &Logs,
    committed: impl Iterator<Item = &'a Committed>,
    now: i64,
    timeout: Duration,
) {
    let places = unknown(&mut seen.lock().history, logs, committed);
    if places.is_empty() {
        return;
    }
    for seconds in LOOK_BACK.iter().rev() {
        let time = UnixMillis(now - seconds * 1_000);
        learn(client, seen, logs, places.keys().map(|place| (place.clone(), time)).collect(), timeout);
    }
    for _ in 0..HALVINGS {
        let known = seen.lock();
        let middle = |(place, offset): (&TopicPartition, &i64)| {
            let time = known.history.of(&place.topic, place.partition)?.between(*offset, CLOSE)?;
            Some((place.clone(), time))
        };
        let asked: Vec<_> = places.iter().filter_map(middle).collect();
        drop(known);
        learn(client, seen, logs, asked, timeout);
    }
}

/// Partitions in which a group is behind what was seen, with the oldest offset; each is given once.
fn unknown<'a>(
    history: &mut History,
    logs: &Logs,
    committed: impl Iterator<Item = &'a Committed>,
) -> BTreeMap<TopicPartition, i64> {
    let mut places: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for Committed { topic, partition, offset } in committed {
        let behind = logs.log(topic, *partition).and_then(|log| log.high).is_some_and(|high| *offset < high);
        if behind && history.of(topic, *partition).is_none_or(|points| !points.reaches(*offset)) {
            let oldest = places.entry(TopicPartition::new(topic.clone(), *partition)).or_insert(*offset);
            *oldest = (*oldest).min(*offset);
        }
    }
    places.retain(|place, _| history.of_mut(&place.topic, place.partition).first_look_back());
    places
}

/// Asks what the high watermark was at a moment, for each partition its own.
fn learn(
    client: &ClusterClient,
    seen: &Mutex<Seen>,
    logs: &Logs,
    asked: Vec<(TopicPartition, UnixMillis)>,
    timeout: Duration,
) {
    let times: HashMap<_, _> = asked.iter().cloned().collect();
    let at: Vec<_> = asked.into_iter().map(|(place, time)| (place, time.0)).collect();
    let Ok(found) = client.log_offsets_at(&at, timeout) else { return };
    let mut known = seen.lock();
    for LogOffset { of, offset } in found {
        // No record since then: the high watermark was what it is.
        let high = offset.or_else(|| logs.log(&of.topic, of.partition)?.high);
        if let (Some(high), Some(time)) = (high, times.get(&of)) {
            known.history.of_mut(&of.topic, of.partition).add(vec![(*time, high)]);
        }
    }
}
