//! Counting again: every event, into every cell it belongs to.

use super::event::{Envelope, Event, Measured};
use super::published::{CellId, Published, around};
use super::registered::SchemaTexts;
use super::tally::Tally;
use super::usual::Usual;
use super::visits::Visits;
use crate::config::{Aggregate, Config, LabelField, Limits, Measure, MeasureKind, OnLimit, Source, Window};
use crate::kafka::TopicPartition;
use crate::measure::SessionRule;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What a check compares.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Everything since the topic's beginning.
    Totals,
    /// Closed windows that begin at `from` (Unix milliseconds) or later.
    Windows { window: Window, from: i64 },
}

/// One answer to be checked, with what was recounted for it.
#[derive(Debug)]
pub struct Check {
    pub aggregate: Aggregate,
    pub scope: Scope,
    pub published: Published,
    pub(super) cells: BTreeMap<CellId, Vec<Tally>>,
    /// Stream time of each partition at the answer's offset.
    pub(super) stream_times: BTreeMap<TopicPartition, i64>,
    /// Windows from here on are whole in what Kafka still has.
    pub(super) whole_from: i64,
    /// Reading began at the first record, so that it is known which keys came first.
    pub(super) keys_known: bool,
    /// Events counted.
    pub events: u64,
    /// Of each partition, events whose key may yet give its place, and its counts, to another.
    held: BTreeMap<TopicPartition, BTreeMap<Vec<String>, Held>>,
    /// The sessions of each key in each partition.
    visits: BTreeMap<(TopicPartition, CellId), Visits>,
}

/// The events of a key that has a place among a partition's keys.
#[derive(Debug)]
struct Held {
    seen: i64,
    visits: Visits,
    /// Time, stream time with it, and what is measured.
    events: Vec<(i64, i64, Vec<Option<Measured>>)>,
}

impl Check {
    pub fn new(aggregate: Aggregate, scope: Scope, published: Published) -> Check {
        Check {
            aggregate,
            scope,
            published,
            cells: BTreeMap::new(),
            stream_times: BTreeMap::new(),
            whole_from: i64::MIN,
            keys_known: true,
            events: 0,
            held: BTreeMap::new(),
            visits: BTreeMap::new(),
        }
    }

    /// Takes an event of an aggregate whose new keys replace the longest unseen ones.
    fn hold(
        &mut self,
        partition: &TopicPartition,
        labels: &[String],
        time: i64,
        stream_time: i64,
        values: &[Option<Measured>],
    ) {
        let held = self.held.entry(partition.clone()).or_default();
        if !held.contains_key(labels) && held.len() >= self.aggregate.key_limit {
            // Of several, the first in the order of the stored keys: lengths before letters.
            let order = |labels: &[String]| labels.iter().map(|l| (l.len(), l.clone())).collect::<Vec<_>>();
            let idle = held.iter().min_by_key(|(labels, key)| (key.seen, order(labels)));
            let idle = idle.map(|(labels, _)| labels.clone()).unwrap_or_default();
            if let Some(gone) = held.remove(&idle) {
                self.give_to_overflow(gone);
            }
        }
        let rule = self.session().map(|(_, rule)| rule);
        let held = self.held.entry(partition.clone()).or_default();
        let new = || Held { seen: i64::MIN, visits: Visits::default(), events: Vec::new() };
        let key = held.entry(labels.to_vec()).or_insert_with(new);
        key.seen = key.seen.max(time.min(stream_time));
        key.events.push((time, stream_time, values.to_vec()));
        if let Some(rule) = rule {
            key.visits.add(time, stream_time, &rule);
        }
    }

    /// A key that gives its place to another counts beyond the limit, where nothing can go on: its sessions end.
    fn give_to_overflow(&mut self, gone: Held) {
        let overflow = CellId { window: None, overflow: true, labels: Vec::new() };
        for (time, stream_time, values) in gone.events {
            self.add(&overflow, time, stream_time, &values);
        }
        self.count_visits_of(&overflow, gone.visits.all_ended());
    }

    fn session(&self) -> Option<(usize, SessionRule)> {
        let measures = self.aggregate.measures.iter().enumerate();
        let mut rules = measures.filter_map(|(at, measure)| match measure.kind {
            MeasureKind::Sessions(rule) => Some((at, rule)),
            _ => None,
        });
        rules.next().filter(|_| self.scope == Scope::Totals)
    }

    /// An event of a key, which has sessions unless it is everything beyond the limit.
    fn visit(&mut self, partition: &TopicPartition, key: &CellId, time: i64, stream_time: i64) {
        if let Some((_, rule)) = self.session().filter(|_| !key.overflow) {
            self.visits.entry((partition.clone(), key.clone())).or_default().add(time, stream_time, &rule);
        }
    }

    fn count_visits(&mut self) {
        let Some((_, rule)) = self.session() else { return };
        for ((partition, key), mut visits) in std::mem::take(&mut self.visits) {
            visits.end(self.stream_times.get(&partition).copied().unwrap_or(i64::MIN), &rule);
            self.count_visits_of(&key, visits);
        }
    }

    fn count_visits_of(&mut self, key: &CellId, visits: Visits) {
        let Some((at, _)) = self.session() else { return };
        if let Some(tally) = self.cells.get_mut(key).and_then(|tallies| tallies.get_mut(at)) {
            tally.count += visits.closed;
            tally.open += visits.open();
            let newest = visits.newest.map(|at| (at, 0.0));
            if newest > tally.last {
                tally.last = newest;
            }
        }
    }

    /// Counts what still has its place.
    fn release(&mut self) {
        for (partition, held) in std::mem::take(&mut self.held) {
            for (labels, key) in held {
                let id = CellId { window: None, overflow: false, labels };
                for (time, stream_time, values) in key.events {
                    self.add(&id, time, stream_time, &values);
                }
                self.visits.insert((partition.clone(), id), key.visits);
            }
        }
    }

    /// Counts one event of a partition. `late_at`: the partition's stream time, with this event in it.
    fn add(&mut self, key: &CellId, time: i64, late_at: i64, values: &[Option<Measured>]) {
        self.events += 1;
        let (window, from) = match self.scope {
            Scope::Totals => return self.count(key.clone(), time, values),
            Scope::Windows { window, from } => (window, from),
        };
        let (size, hop) = (window.size.as_millis() as i64, window.hop.as_millis() as i64);
        let grace = self.aggregate.grace.as_millis() as i64;
        let mut start = time - time.rem_euclid(hop);
        while start + size > time {
            let end = start + size;
            if start >= from && late_at < end + grace {
                self.count(CellId { window: Some((start, end)), ..key.clone() }, time, values);
            }
            start -= hop;
        }
    }

    fn count(&mut self, id: CellId, time: i64, values: &[Option<Measured>]) {
        let (aggregate, published) = (&self.aggregate, &self.published);
        let tallies = self.cells.entry(id.clone()).or_insert_with(|| {
            let bounds = |name: &str| bounds(published.cells.get(&id).and_then(|values| values.get(name)));
            let tally = |measure: &Measure| {
                let target = if let MeasureKind::Apdex(target) = measure.kind {
                    vec![target.0, 4.0 * target.0]
                } else {
                    Vec::new()
                };
                Tally::new([bounds(&measure.name), target].concat())
            };
            aggregate.measures.iter().map(tally).collect()
        });
        for (tally, value) in tallies.iter_mut().zip(values) {
            if let Some(value) = value {
                tally.add(value, time);
            }
        }
    }
}

/// Every bound at which the answer says something: its buckets', and around its quantiles.
fn bounds(value: Option<&streamgauge_proto::v1::MeasureValue>) -> Vec<f64> {
    let Some(value) = value else { return Vec::new() };
    let mut bounds: Vec<f64> = value.buckets.iter().map(|bucket| bucket.upper_bound).collect();
    for quantile in &value.quantiles {
        bounds.extend(around(quantile.value, value.quantile_relative_error).into_iter().flatten());
    }
    bounds
}

/// The recount of one source for several checks.
pub struct Recount<'a> {
    source: &'a Source,
    /// Those of the config.
    sources: &'a [Source],
    /// All of the source, with their fields where it has them, whether they are checked or not.
    aggregates: Vec<Cow<'a, Aggregate>>,
    limits: &'a Limits,
    checks: Vec<Check>,
    partitions: BTreeMap<TopicPartition, Partition>,
    schemas: Box<SchemaTexts<'a>>,
}

/// What is remembered of a partition while it is read.
#[derive(Debug, Default)]
struct Partition {
    stream_time: Option<i64>,
    /// Keys seen, by aggregate: beyond the limit, new ones count as overflow.
    keys: BTreeMap<String, BTreeSet<Vec<String>>>,
    /// What is usual for which key.
    usual: Usual,
}

impl<'a> Recount<'a> {
    /// All of `checks` are of aggregates of `source`, and may have been counted in others of theirs before.
    pub fn new(config: &'a Config, source: &'a Source, checks: Vec<Check>) -> Recount<'a> {
        let own = config.aggregates.iter().filter(|aggregate| aggregate.reads(&source.name));
        let aggregates = own.map(|aggregate| aggregate.within(source)).collect();
        let (sources, limits, partitions) = (&config.sources, &config.limits, BTreeMap::new());
        Recount { source, sources, aggregates, limits, checks, partitions, schemas: Box::new(|_| None) }
    }

    /// The same with somebody who knows the schemas of records that begin with the id of theirs.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Box<SchemaTexts<'a>>) -> Recount<'a> {
        self.schemas = schemas;
        self
    }

    /// Whether a topic is the source's, and no earlier one's.
    fn reads(&self, topic: &str) -> bool {
        let mut selecting = self.sources.iter().filter(|source| source.topics.iter().any(|one| one.matches(topic)));
        selecting.next().is_some_and(|first| first.name == self.source.name)
    }

    /// Where reading of each partition ends: no check goes further.
    pub fn ends(&self) -> BTreeMap<TopicPartition, i64> {
        let mut ends = BTreeMap::new();
        let all = self.checks.iter().flat_map(|check| &check.published.as_of);
        for (partition, &offset) in all.filter(|(partition, _)| self.reads(&partition.topic)) {
            let end = ends.entry(partition.clone()).or_insert(offset);
            *end = offset.max(*end);
        }
        ends
    }

    /// Kafka no longer has the partition's beginning; its first record is of this time (Unix milliseconds).
    pub fn begins_late(&mut self, record_time: i64) {
        // An event may be dated ahead of its record, up to this: before that, windows may lack some.
        let whole_from = record_time.saturating_add(self.max_future_ms());
        for check in &mut self.checks {
            check.whole_from = check.whole_from.max(whole_from);
        }
    }

    /// Reading does not begin with the first record that ever was.
    pub fn begins_within(&mut self) {
        self.checks.iter_mut().for_each(|check| check.keys_known = false);
    }

    /// How long before an event's time its record may have been written, milliseconds.
    pub fn max_future_ms(&self) -> i64 {
        i64::try_from(self.source.max_future.as_millis()).unwrap_or(i64::MAX)
    }

    /// Counts the events of one record. Those of a partition must come in their order.
    pub fn record(&mut self, envelope: &Envelope, offset: i64, payload: Option<&[u8]>) {
        let payload = payload.unwrap_or_default();
        for event in Event::all(payload, envelope, self.source, self.limits.event_bytes, &*self.schemas) {
            self.event(envelope, offset, &event);
        }
    }

    fn event(&mut self, envelope: &Envelope, offset: i64, event: &Event) {
        let id = TopicPartition::new(envelope.topic.as_str(), envelope.partition);
        let read = |aggregate: &Cow<'_, Aggregate>| read(event, aggregate, self.limits.label_bytes);
        let mut all: Vec<Option<Read>> = self.aggregates.iter().map(read).collect();
        // One aggregate that cannot use it as it is makes it a strict source's dead letter, for all.
        if self.source.strict && self.aggregates.iter().any(|aggregate| !is_sound(event, aggregate, self.limits)) {
            return;
        }
        let state = self.partitions.entry(id.clone()).or_default();
        let stream_time = state.stream_time.map_or(event.reach, |time| time.max(event.reach));
        state.stream_time = Some(stream_time);
        let keys = self.aggregates.iter().zip(&all);
        let keys: Vec<Option<CellId>> =
            keys.map(|(aggregate, read)| read.as_ref().map(|(labels, _)| state.key(aggregate, labels))).collect();
        for ((aggregate, read), key) in self.aggregates.iter().zip(&mut all).zip(&keys) {
            if let (Some((_, values)), Some(key)) = (read, key) {
                state.usual.judge(aggregate, key, event.time, values);
            }
        }
        for check in &mut self.checks {
            let Some(at) = self.aggregates.iter().position(|a| a.name == check.aggregate.name) else { continue };
            if check.published.as_of.get(&id).is_none_or(|&end| offset >= end) {
                continue;
            }
            check.stream_times.insert(id.clone(), stream_time);
            if check.aggregate.on_limit == OnLimit::ReplaceIdle {
                if let Some((labels, values)) = &all[at] {
                    check.hold(&id, labels, event.time, stream_time, values);
                }
                continue;
            }
            if let (Some(key), Some((_, values))) = (&keys[at], &all[at]) {
                check.add(key, event.time, stream_time, values);
                check.visit(&id, key, event.time, stream_time);
            }
        }
    }

    /// The checks, counted.
    pub fn finish(mut self) -> Vec<Check> {
        self.checks.iter_mut().for_each(Check::release);
        self.checks.iter_mut().for_each(Check::count_visits);
        self.checks
    }
}

impl Partition {
    /// The key of an event's cells: its labels, or the overflow's if the aggregate has as many keys as it may.
    fn key(&mut self, aggregate: &Aggregate, labels: &[String]) -> CellId {
        let keys = self.keys.entry(aggregate.name.clone()).or_default();
        if !keys.contains(labels) && keys.len() >= aggregate.key_limit {
            return CellId { window: None, overflow: true, labels: Vec::new() };
        }
        keys.insert(labels.to_vec());
        CellId { window: None, overflow: false, labels: labels.to_vec() }
    }
}

type Read = (Vec<String>, Vec<Option<Measured>>);

/// Labels and measured values; `None`: it is not the aggregate's.
fn read(event: &Event, aggregate: &Aggregate, label_bytes: usize) -> Option<Read> {
    if !event.passes(&aggregate.filter) {
        return None;
    }
    let labels = aggregate.by.iter().map(|by| event.label(by, label_bytes)).collect::<Option<_>>()?;
    Some((
        labels,
        aggregate.measures.iter().map(|measure| event.measured(measure, label_bytes).unwrap_or(None)).collect(),
    ))
}

/// Whether an aggregate can use all of the event as it is.
fn is_sound(event: &Event, aggregate: &Aggregate, limits: &Limits) -> bool {
    let Some((labels, _)) = read(event, aggregate, limits.label_bytes) else { return true };
    let whole = |(by, label): (&LabelField, &String)| event.label(by, usize::MAX).as_ref() == Some(label);
    let there = |by: &LabelField| by.default.is_some() || event.has_label(by);
    aggregate.by.iter().zip(&labels).all(whole)
        && aggregate.by.iter().all(there)
        && aggregate.measures.iter().all(|measure| event.measured(measure, limits.label_bytes).is_ok())
}
