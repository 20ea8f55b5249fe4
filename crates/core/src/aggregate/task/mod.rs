//! The live state of one task (input partition): folding, and handing over what changed to be committed.
//!
//! Memory is a function of the input read so far. Committing takes shared copies of what is dirty; an aborted commit
//! only makes it dirty again.

mod closing;
mod idle;
mod state;
mod table;

use std::sync::Arc;

use super::cell::Cell;
use super::event::Event;
use super::key::{AggregateId, EntryKey, Pane};
use super::plan::{AggregatePlan, Plan};
use super::reason::{Rejection, Tally};
use state::AggregateState;

/// All aggregates of one task.
#[derive(Debug)]
pub struct TaskState {
    plan: Arc<Plan>,
    aggregates: Vec<AggregateState>,
    stream_time: Option<i64>,
    /// Expired entries of aborted epochs, whose tombstones are still to be written.
    unwritten_expired: Vec<EntryKey>,
}

/// What changed since the last freeze.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    /// New values.
    pub entries: Vec<(EntryKey, Arc<Cell>)>,
    /// Which of them, by position, begin to count with this freeze; ascending.
    begun: Vec<u32>,
    /// Entries that are no more. Some may never have been committed.
    pub expired: Vec<EntryKey>,
    pub stream_time: Option<i64>,
    /// One for each aggregate of the plan, as of this freeze.
    pub expiry: Vec<Expiry>,
}

/// What of an aggregate has expired. Both bounds only ever rise. `i64::MIN`: nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    pub aggregate: AggregateId,
    /// Panes that end at or before this.
    pub panes_before: i64,
    /// Totals that were last seen before this.
    pub keys_before: i64,
}

/// Events counted since the task's state was made. Not durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events that came after a window they belong to had closed.
    pub late_events: u64,
    /// Events that went to the overflow key.
    pub overflow_events: u64,
    /// Keys that have given their place to others at the limit, and their counts to the overflow key.
    pub replaced_keys: u64,
}

/// Whether an entry of the expiry's aggregate has expired: a function of the entry alone, so that whoever loads the
/// state drops just what its owner dropped.
pub fn is_expired(pane: Pane, last_seen: i64, expiry: &Expiry) -> bool {
    if pane == Pane::TOTAL { last_seen < expiry.keys_before } else { pane.end <= expiry.panes_before }
}

impl TaskState {
    pub fn new(plan: Arc<Plan>) -> TaskState {
        let aggregates = plan.aggregates.iter().map(|aggregate| AggregateState::new(aggregate.clone())).collect();
        TaskState { plan, aggregates, stream_time: None, unwritten_expired: Vec::new() }
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The largest [`Event::reach`] of all events folded: the largest event time, but for events dated too far ahead.
    /// Unix milliseconds.
    pub fn stream_time(&self) -> Option<i64> {
        self.stream_time
    }

    /// Goes on from a committed state: its stream time, and what it had dropped.
    pub fn restore(&mut self, stream_time: Option<i64>, expiry: &[Expiry]) {
        self.stream_time = stream_time;
        for expiry in expiry {
            if let Some(aggregate) = self.aggregate_mut(expiry.aggregate) {
                aggregate.restore(expiry);
            }
        }
    }

    /// Makes room for so many keys of an aggregate.
    pub fn reserve(&mut self, aggregate: AggregateId, keys: usize) {
        if let Some(aggregate) = self.aggregate_mut(aggregate) {
            aggregate.table.reserve(keys);
        }
    }

    /// Puts in a committed entry. One of an aggregate that is not in the plan is left out.
    pub fn load(&mut self, entry: EntryKey, cell: Arc<Cell>) {
        if let Some(aggregate) = self.aggregate_mut(entry.aggregate) {
            aggregate.load(entry, cell);
        }
    }

    /// Folds an event into every aggregate that can use it. What one of them cannot use concerns that one alone, and
    /// is counted in its [`Tally`].
    ///
    /// # Errors Only of a strict source: if one aggregate cannot use all of the event as it is. Then nothing has
    /// changed, not even stream time.
    pub fn fold(&mut self, event: &Event<'_>) -> Result<(), Rejection> {
        if self.plan.strict {
            self.refuse(event)?;
        }
        let stream_time = self.stream_time.map_or(event.reach, |now| now.max(event.reach));
        self.stream_time = Some(stream_time);
        for aggregate in self.aggregates.iter_mut().filter(|aggregate| !aggregate.muted) {
            aggregate.extract.read(&self.plan, &aggregate.plan, event.values);
            if !aggregate.extract.notes.is_empty() {
                aggregate.tally.count(&aggregate.extract.notes);
            }
            if aggregate.extract.taken {
                aggregate.fold(event.time, stream_time);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, event: &Event<'_>) -> Result<(), Rejection> {
        for aggregate in &mut self.aggregates {
            aggregate.extract.read(&self.plan, &aggregate.plan, event.values);
            if let Some(note) = aggregate.extract.notes.iter().find(|note| note.reason.is_fault()) {
                return Err(Rejection::new(&self.plan.fields, *note));
            }
        }
        Ok(())
    }

    /// Takes what changed since the last freeze, after dropping what has expired. Cells are shared, not copied. Keys
    /// that no commit has shown yet count since `now`, wall time, Unix milliseconds.
    pub fn freeze(&mut self, now: i64) -> Frozen {
        let mut frozen = Frozen { stream_time: self.stream_time, ..Frozen::default() };
        self.aggregates.iter_mut().for_each(|aggregate| aggregate.freeze(now, &mut frozen));
        if !self.unwritten_expired.is_empty() {
            // What came back in between is live again, and dirty.
            let again = std::mem::take(&mut self.unwritten_expired);
            frozen.expired.extend(again.into_iter().filter(|entry| !self.contains(entry)));
            frozen.expired.sort_unstable();
            frozen.expired.dedup();
        }
        frozen
    }

    /// Takes an aborted epoch back: its entries are dirty again, with the values they have by now, and its expired ones
    /// expire again.
    pub fn unfreeze(&mut self, frozen: Frozen) {
        let mut begun = frozen.begun.into_iter().peekable();
        for (at, (entry, cell)) in frozen.entries.into_iter().enumerate() {
            // Dropped first: a cell that nobody shares can be written to as it is.
            drop(cell);
            let begun = begun.next_if_eq(&(at as u32)).is_some();
            if let Some(aggregate) = self.aggregate_mut(entry.aggregate) {
                aggregate.take_back(&entry, begun);
            }
        }
        self.unwritten_expired.extend(frozen.expired);
    }

    /// Goes on under another plan of the same source. Aggregates that both plans have keep their state; new ones begin
    /// empty; the entries of those that are gone expire with the next freeze. Returns the ids of the latter.
    pub fn replan(&mut self, plan: Arc<Plan>) -> Vec<AggregateId> {
        let mut before = std::mem::take(&mut self.aggregates);
        self.aggregates = plan
            .aggregates
            .iter()
            .map(|new| match before.iter().position(|old| old.plan.id == new.id) {
                Some(at) => before.swap_remove(at).with_plan(new.clone()),
                None => AggregateState::new(new.clone()),
            })
            .collect();
        self.plan = plan;
        for gone in &mut before {
            self.unwritten_expired.extend(gone.take_replaced());
            self.unwritten_expired.extend(gone.entries().map(|(entry, _)| entry));
        }
        before.into_iter().map(|gone| gone.plan.id).collect()
    }

    /// Only these aggregates are folded from here on; a strict source still refuses an event for any of them all.
    pub fn mute_all_but(&mut self, ids: &[AggregateId]) {
        self.aggregates.iter_mut().for_each(|aggregate| aggregate.muted = !ids.contains(&aggregate.plan.id));
    }

    /// Takes over the aggregates that `other`, of the same plan, has folded without being muted; all of them are dirty.
    pub fn adopt(&mut self, other: TaskState) {
        self.stream_time = self.stream_time.max(other.stream_time);
        for folded in other.aggregates.into_iter().filter(|aggregate| !aggregate.muted) {
            if let Some(mine) = self.aggregate_mut(folded.plan.id) {
                *mine = folded;
            }
        }
    }

    /// Cells that changed since the last freeze.
    pub fn dirty(&self) -> usize {
        self.aggregates.iter().map(AggregateState::dirty).sum()
    }

    /// Lets stored entries that are not live here expire with the next freeze.
    pub fn forget(&mut self, entries: impl IntoIterator<Item = EntryKey>) {
        self.unwritten_expired.extend(entries);
    }

    /// Live keys of an aggregate, without the overflow key.
    pub fn keys(&self, aggregate: AggregateId) -> usize {
        self.aggregate(aggregate).map_or(0, AggregateState::keys)
    }

    /// Every live entry, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (EntryKey, &Arc<Cell>)> {
        self.aggregates.iter().flat_map(AggregateState::entries)
    }

    /// What was counted for each aggregate of the plan.
    pub fn counters(&self) -> impl Iterator<Item = (&Arc<AggregatePlan>, Counters)> {
        self.aggregates.iter().map(|aggregate| (&aggregate.plan, aggregate.counters))
    }

    /// Hands out what each aggregate has counted since the last call.
    pub fn take_tallies(&mut self, mut each: impl FnMut(&AggregatePlan, &Tally)) {
        for aggregate in &mut self.aggregates {
            each(&aggregate.plan, &aggregate.tally);
            aggregate.tally = aggregate.plan.tally();
        }
    }

    fn contains(&self, entry: &EntryKey) -> bool {
        self.aggregate(entry.aggregate).is_some_and(|aggregate| aggregate.contains(entry))
    }

    fn aggregate(&self, id: AggregateId) -> Option<&AggregateState> {
        self.aggregates.iter().find(|aggregate| aggregate.plan.id == id)
    }

    fn aggregate_mut(&mut self, id: AggregateId) -> Option<&mut AggregateState> {
        self.aggregates.iter_mut().find(|aggregate| aggregate.plan.id == id)
    }
}
