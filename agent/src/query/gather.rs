//! Merging committed cells of many partitions into what a query or a page shows: one merged state per group and window.

use super::error::QueryError;
use super::matcher::Matchers;
use crate::aggregate::{AggregatePlan, KeyBytes, MeasureState, Pane, WindowSpan, encode_labels, is_overflow, labels};
use crate::state::{AggregateView, Committed, Task, View};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Merged states of the measures asked for.
pub type States = SmallVec<[MeasureState; 3]>;

/// What to merge.
#[derive(Debug)]
pub struct Ask<'a> {
    pub plan: &'a AggregatePlan,
    /// `None`: totals.
    pub spans: Option<Cow<'a, [WindowSpan]>>,
    pub matchers: &'a Matchers,
    /// Positions of the labels that make a group; `None`: every key is one.
    pub group_by: Option<&'a [usize]>,
    /// Positions of the measures.
    pub measures: &'a [usize],
    /// More merged cells than this are refused.
    pub limit: usize,
}

/// The merged cells.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Labels of each group, in a key's form.
    pub groups: Vec<KeyBytes>,
    /// By group and window (position among the spans; 0 for totals).
    pub cells: FxHashMap<(u32, u32), States>,
    /// Of totals: since when each group counts, Unix milliseconds; the earliest of its keys.
    pub since: Vec<Option<i64>>,
    /// How far each task was when its cells were read.
    pub as_of: Vec<AsOf>,
    /// Positions among the groups, as far as somebody has asked.
    by_labels: FxHashMap<KeyBytes, u32>,
}

/// How far a task is, as far as its cells of one aggregate go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    pub next_offset: i64,
    pub stream_time: Option<i64>,
    /// Panes that end at or before this are gone.
    pub expired_before: Option<i64>,
}

impl AsOf {
    pub fn of(plan: &AggregatePlan, view: &View) -> AsOf {
        let record = view.record();
        let progress = record.aggregates.iter().find(|progress| progress.id == plan.id.0);
        let expired = progress.map(|progress| progress.panes_expired_before);
        AsOf {
            next_offset: record.next_offset,
            stream_time: record.stream_time,
            expired_before: expired.filter(|&before| before > i64::MIN),
        }
    }
}

struct Gatherer<'a> {
    ask: &'a Ask<'a>,
    gathered: Gathered,
    by_labels: FxHashMap<KeyBytes, u32>,
    /// Group of each key seen; `None`: does not match. Matching and grouping are done once per key, not once per pane.
    by_key: FxHashMap<KeyBytes, Option<u32>>,
    /// Since when the task counts whose view is being read.
    task_since: Option<i64>,
}

/// Merges the views of `tasks`, one after the other: each is as of its own commit.
pub fn gather(ask: &Ask<'_>, tasks: &[Arc<Task>]) -> Result<Gathered, QueryError> {
    let only_key: Option<KeyBytes> = ask.matchers.only_key().map(KeyBytes::from);
    let mut gatherer = Gatherer {
        ask,
        gathered: Gathered::default(),
        by_labels: FxHashMap::default(),
        by_key: FxHashMap::default(),
        task_since: None,
    };
    for task in tasks {
        let view = task.view.read();
        gatherer.gathered.as_of.push(AsOf::of(ask.plan, &view));
        if let Some(aggregate) = view.aggregate(ask.plan.id) {
            gatherer.task_since = view.start_time(ask.plan.id);
            gatherer.add(aggregate, only_key.as_ref())?;
        }
    }
    Ok(gatherer.gathered)
}

impl Gatherer<'_> {
    fn add(&mut self, view: &AggregateView, only_key: Option<&KeyBytes>) -> Result<(), QueryError> {
        let Some(spans) = self.ask.spans.as_deref() else {
            return match only_key {
                Some(key) => view.get(Pane::TOTAL, key).map_or(Ok(()), |cell| self.merge(0, key, cell)),
                None => view.totals().try_for_each(|(key, cell)| self.merge(0, key, cell)),
            };
        };
        for (number, span) in spans.iter().enumerate() {
            let panes = view.panes_between(span.start, span.end);
            for (_, cells) in panes.filter(|&(pane, _)| span.contains(pane, self.ask.plan.pane_ms)) {
                match only_key {
                    Some(key) => cells.get(key).map_or(Ok(()), |cell| self.merge(number as u32, key, cell))?,
                    None => cells.iter().try_for_each(|(key, cell)| self.merge(number as u32, key, cell))?,
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, span: u32, key: &KeyBytes, committed: &Committed) -> Result<(), QueryError> {
        let group = match self.by_key.get(key) {
            Some(group) => *group,
            None => self.new_key(key),
        };
        let Some(group) = group else { return Ok(()) };
        let cell = &committed.cell;
        if self.ask.spans.is_none() {
            self.count_since(group, cell.began().or(self.task_since));
        }
        let limit = self.ask.limit;
        let merged = self.gathered.cells.len();
        match self.gathered.cells.entry((group, span)) {
            Entry::Occupied(mut entry) => {
                let states = entry.get_mut().iter_mut();
                states.zip(self.ask.measures).for_each(|(state, &at)| state.merge(&cell.measures[at]));
            }
            Entry::Vacant(_) if merged >= limit => return Err(QueryError::TooManyCells { limit }),
            Entry::Vacant(entry) => {
                entry.insert(self.ask.measures.iter().map(|&at| cell.measures[at].clone()).collect());
            }
        }
        Ok(())
    }

    fn count_since(&mut self, group: u32, since: Option<i64>) {
        let all = &mut self.gathered.since;
        all.resize(all.len().max(group as usize + 1), None);
        let known = &mut all[group as usize];
        *known = [*known, since].into_iter().flatten().min();
    }

    fn new_key(&mut self, key: &KeyBytes) -> Option<u32> {
        let group = self.ask.matchers.matches(key).then(|| self.group(key));
        self.by_key.insert(key.clone(), group);
        group
    }

    fn group(&mut self, key: &KeyBytes) -> u32 {
        let labels = group_labels(key, self.ask.group_by);
        let next = self.gathered.groups.len() as u32;
        *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            self.gathered.groups.push(labels.clone());
            next
        })
    }
}

impl Gathered {
    /// Adds what another agent has gathered for the same ask.
    ///
    /// # Errors
    /// If that makes more than `limit` cells.
    pub fn absorb(&mut self, other: Gathered, limit: usize) -> Result<(), QueryError> {
        if self.by_labels.len() < self.groups.len() {
            self.by_labels = self.groups.iter().cloned().zip(0..).collect();
        }
        let mut groups = Vec::with_capacity(other.groups.len());
        for labels in other.groups {
            let next = self.groups.len() as u32;
            let group = *self.by_labels.entry(labels).or_insert_with_key(|labels| {
                self.groups.push(labels.clone());
                next
            });
            groups.push(group);
        }
        for ((group, span), states) in other.cells {
            let merged = self.cells.len();
            match self.cells.entry((groups[group as usize], span)) {
                Entry::Occupied(mut entry) => {
                    entry.get_mut().iter_mut().zip(&states).for_each(|(mine, theirs)| mine.merge(theirs));
                }
                Entry::Vacant(_) if merged >= limit => return Err(QueryError::TooManyCells { limit }),
                Entry::Vacant(entry) => drop(entry.insert(states)),
            }
        }
        Ok(())
    }
}

/// What of a key makes its group. The overflow key stays apart, unless everything becomes one row.
fn group_labels(key: &KeyBytes, group_by: Option<&[usize]>) -> KeyBytes {
    let Some(group_by) = group_by else { return key.clone() };
    if is_overflow(key) && !group_by.is_empty() {
        return key.clone();
    }
    let values = labels(key).unwrap_or_default();
    let mut bytes = Vec::new();
    encode_labels(group_by.iter().map(|&at| values.get(at).copied().unwrap_or_default()), &mut bytes);
    bytes.into()
}
