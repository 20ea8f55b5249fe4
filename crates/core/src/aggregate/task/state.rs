//! One aggregate of one task.

use std::sync::Arc;

use super::closing::Closing;
use super::idle::Idle;
use super::table::{KeyTable, Record};
use super::{Counters, Expiry, Frozen, is_expired};
use crate::aggregate::cell::Cell;
use crate::aggregate::extract::Extract;
use crate::aggregate::key::{EntryKey, KeyBytes, Pane, is_overflow, overflow_key};
use crate::aggregate::plan::AggregatePlan;
use crate::aggregate::reason::Tally;
use crate::config::OnLimit;
use crate::measure::{MeasureKind, MeasureState, Occurrence, SessionRule};

/// Where a cell that changed stands. Sixteen bytes, as a first commit may hold millions.
#[derive(Clone, Copy, Debug)]
struct Dirty {
    end: i64,
    number: u32,
    late: u16,
}

impl Dirty {
    fn new(number: u32, pane: Pane) -> Dirty {
        Dirty { end: pane.end, number, late: pane.late }
    }

    fn pane(self) -> Pane {
        Pane { end: self.end, late: self.late }
    }
}

/// Live cells of one aggregate, and which of them changed since the last freeze.
#[derive(Debug)]
pub(super) struct AggregateState {
    pub plan: Arc<AggregatePlan>,
    pub extract: Extract,
    pub table: KeyTable,
    pub counters: Counters,
    pub tally: Tally,
    /// Events pass by it.
    pub muted: bool,
    has_overflow: bool,
    idle: Idle,
    closing: Closing,
    /// Entries of keys that have given their place to others, since the last freeze.
    replaced: Vec<EntryKey>,
    dirty: Vec<Dirty>,
    /// No pane ends before this.
    lowest_end: i64,
    /// Panes that end at or before this have been dropped, whatever the retention says now.
    expired_through: i64,
    /// Totals last seen before this have been dropped.
    keys_before: i64,
}

impl AggregateState {
    pub fn new(plan: Arc<AggregatePlan>) -> AggregateState {
        AggregateState {
            tally: plan.tally(),
            plan,
            extract: Extract::default(),
            table: KeyTable::default(),
            counters: Counters::default(),
            muted: false,
            has_overflow: false,
            idle: Idle::default(),
            closing: Closing::default(),
            replaced: Vec::new(),
            dirty: Vec::new(),
            lowest_end: i64::MAX,
            expired_through: i64::MIN,
            keys_before: i64::MIN,
        }
    }

    /// Goes on from what a committed state had dropped.
    pub fn restore(&mut self, expiry: &Expiry) {
        self.expired_through = self.expired_through.max(expiry.panes_before);
        self.keys_before = self.keys_before.max(expiry.keys_before);
    }

    /// The same state under another plan of the same id: only what is not in the id differs.
    pub fn with_plan(self, plan: Arc<AggregatePlan>) -> AggregateState {
        // Sessions may close at other times under it.
        AggregateState { tally: plan.tally(), plan, closing: Closing::default(), ..self }
    }

    pub fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Every live entry, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (EntryKey, &Arc<Cell>)> {
        self.table.records().iter().flat_map(|record| {
            let entry = |pane| EntryKey { aggregate: self.plan.id, pane, key: record.key.clone() };
            record.cells().map(move |(pane, cell)| (entry(pane), cell))
        })
    }

    /// Keys, without the overflow key.
    pub fn keys(&self) -> usize {
        self.table.len() - usize::from(self.has_overflow)
    }

    pub fn load(&mut self, entry: EntryKey, cell: Arc<Cell>) {
        self.has_overflow |= is_overflow(&entry.key);
        let number = self.table.find_or_insert(entry.key);
        if entry.pane != Pane::TOTAL {
            self.lowest_end = self.lowest_end.min(entry.pane.end);
        }
        let (slot, _) = self.table.record_mut(number).cell_mut(entry.pane, || cell.clone());
        *slot = cell;
        self.closing = Closing::default();
    }

    /// Folds what was extracted from an event of that time. `stream_time` has the event in it, and may be before it.
    #[inline]
    pub fn fold(&mut self, time: i64, stream_time: i64) {
        self.tally.taken += 1;
        let pane = self.pane(time, stream_time);
        // A key is not kept longer for an event that is dated ahead.
        let seen = time.min(stream_time);
        let number = match self.table.find(&self.extract.key) {
            Some(number) => number,
            None => self.new_key(seen),
        };
        if self.plan.judges {
            self.judge(number, time);
        }
        let is_session_key = self.plan.sessions.is_some() && !is_overflow(&self.table.record(number).key);
        let total = is_session_key.then_some(stream_time);
        self.add(number, Pane::TOTAL, (time, total), seen);
        if let Some(rule) = self.plan.sessions {
            self.closing.add(self.table.record(number), &rule);
        }
        if let Some(pane) = pane {
            self.lowest_end = self.lowest_end.min(pane.end);
            self.add(number, pane, (time, None), seen);
        }
    }

    /// Judges values by the key's earlier ones, which its total has: what is added then is the verdict.
    fn judge(&mut self, number: u32, time: i64) {
        let plan = &self.plan;
        let (cell, _) = self.table.record_mut(number).cell_mut(Pane::TOTAL, || empty(plan, Pane::TOTAL));
        let states = Arc::make_mut(cell).measures.iter_mut().zip(&plan.measures);
        for ((state, measure), sample) in states.zip(&mut self.extract.samples) {
            if let (MeasureState::Anomaly(state), MeasureKind::Anomaly(usual), Some(sample)) =
                (state, &measure.kind, sample)
            {
                *sample = state.judge(sample.value, time, usual);
            }
        }
    }

    /// The pane that an event of that time goes to, if there is a window left that it is not too late for.
    #[inline]
    fn pane(&mut self, time: i64, stream_time: i64) -> Option<Pane> {
        let max_late = self.plan.max_late?;
        let pane_ms = self.plan.pane_ms;
        let end = floor(time, pane_ms).saturating_add(pane_ms).min(i64::MAX - 1);
        let closes = end.saturating_add(self.plan.grace_ms);
        if stream_time < closes {
            return Some(Pane { end, late: 0 });
        }
        self.counters.late_events += 1;
        let late = stream_time.saturating_sub(closes) / pane_ms + 1;
        let late = u16::try_from(late).ok().filter(|&late| late <= max_late)?;
        // An expired pane must not come back: whoever loads the state would drop it again.
        (end > self.panes_before(stream_time)).then_some(Pane { end, late })
    }

    #[cold]
    fn new_key(&mut self, seen: i64) -> u32 {
        if self.keys() < self.plan.config.key_limit {
            let key: KeyBytes = self.extract.key.as_slice().into();
            self.idle.add(&key, seen);
            return self.table.insert(key);
        }
        if self.plan.config.on_limit == OnLimit::ReplaceIdle
            && let Some(number) = self.idle.take_longest(&self.table)
        {
            let key: KeyBytes = self.extract.key.as_slice().into();
            self.idle.add(&key, seen);
            // In its place: what is dirty is known by numbers.
            let old = self.table.replace(number, key);
            self.give_to_overflow(&old);
            return number;
        }
        self.counters.overflow_events += 1;
        self.has_overflow = true;
        self.table.find_or_insert(overflow_key())
    }

    /// Moves all that a key has counted to the overflow key, whose own beginning stays what it is.
    fn give_to_overflow(&mut self, old: &Record) {
        self.counters.replaced_keys += 1;
        self.has_overflow = true;
        let number = self.table.find_or_insert(overflow_key());
        for (pane, given) in old.cells() {
            self.replaced.push(EntryKey { aggregate: self.plan.id, pane, key: old.key.clone() });
            let plan = &self.plan;
            let (cell, dirty) = self.table.record_mut(number).cell_mut(pane, || empty(plan, pane));
            let cell = Arc::make_mut(cell);
            let since = cell.since;
            let mut given = Cell::clone(given);
            close_all(&mut given);
            cell.merge(&given);
            cell.since = since;
            if !std::mem::replace(dirty, true) {
                self.dirty.push(Dirty::new(number, pane));
            }
        }
    }

    /// Closes the sessions that stream time has passed.
    fn close_sessions(&mut self, stream_time: i64, rule: &SessionRule) {
        while let Some(number) = self.closing.take_due(&self.table, stream_time, rule) {
            let Some((cell, dirty)) = self.table.record_mut(number).existing_mut(Pane::TOTAL) else { continue };
            for state in Arc::make_mut(cell).measures.iter_mut() {
                if let MeasureState::Sessions(sessions) = state {
                    sessions.close(stream_time, rule);
                }
            }
            if !std::mem::replace(dirty, true) {
                self.dirty.push(Dirty::new(number, Pane::TOTAL));
            }
            self.closing.add(self.table.record(number), rule);
        }
    }

    #[inline]
    fn add(&mut self, number: u32, pane: Pane, (at, total): (i64, Option<i64>), seen: i64) {
        let plan = &self.plan;
        let (cell, dirty) = self.table.record_mut(number).cell_mut(pane, || empty(plan, pane));
        // The committed view and the committer share this cell: the first touch in an epoch copies it.
        let cell = Arc::make_mut(cell);
        cell.last_seen = cell.last_seen.max(seen);
        let states = cell.measures.iter_mut().zip(&plan.measures).zip(&self.extract.samples);
        if plan.takes_items {
            for (((state, measure), sample), item) in states.zip(self.extract.items.iter()) {
                if let Some(sample) = sample {
                    state.record(Occurrence { sample: *sample, at, item, total }, &measure.kind);
                }
            }
        } else {
            for ((state, measure), sample) in states {
                if let Some(sample) = sample {
                    state.record(Occurrence { sample: *sample, at, item: &[], total }, &measure.kind);
                }
            }
        }
        if !*dirty {
            *dirty = true;
            self.dirty.push(Dirty::new(number, pane));
        }
    }

    /// Drops what has expired and collects what is dirty. Totals that are in no commit yet begin at `now`, wall time.
    pub fn freeze(&mut self, now: i64, frozen: &mut Frozen) {
        if let (Some(rule), Some(stream_time)) = (self.plan.sessions, frozen.stream_time) {
            self.close_sessions(stream_time, &rule);
        }
        let (expiry, swept) = self.expiry(frozen.stream_time);
        frozen.expiry.push(expiry);
        let mut sweep = swept || self.lowest_end <= expiry.panes_before;
        frozen.entries.reserve(self.dirty.len());
        // Taken rather than drained: a bulk load would leave a list behind that no later commit needs.
        for dirty in std::mem::take(&mut self.dirty) {
            let pane = dirty.pane();
            let record = self.table.record_mut(dirty.number);
            let entry = EntryKey { aggregate: expiry.aggregate, pane, key: record.key.clone() };
            let Some((cell, flag)) = record.existing_mut(pane) else { continue };
            // The number may have had another key's cells, which were dirty too.
            if !std::mem::take(flag) {
                continue;
            }
            if is_expired(pane, cell.last_seen, &expiry) {
                sweep = true;
                continue;
            }
            if cell.since == Cell::NEW {
                frozen.begun.push(frozen.entries.len() as u32);
                Arc::make_mut(cell).since = now;
            }
            frozen.entries.push((entry, cell.clone()));
        }
        if sweep {
            self.sweep(&expiry, &mut frozen.expired);
        }
        if !self.replaced.is_empty() {
            let mut replaced = self.take_replaced();
            // What came back in between is live again, and dirty.
            replaced.retain(|entry| !self.contains(entry));
            frozen.expired.append(&mut replaced);
        }
    }

    /// Entries of keys that have given their place to others, each once; some may be back.
    pub fn take_replaced(&mut self) -> Vec<EntryKey> {
        let mut replaced = std::mem::take(&mut self.replaced);
        replaced.sort_unstable();
        replaced.dedup();
        replaced
    }

    /// The rule as of now, and whether the time to live has moved on.
    fn expiry(&mut self, stream_time: Option<i64>) -> (Expiry, bool) {
        let panes_before = stream_time.map_or(self.expired_through, |now| self.panes_before(now));
        self.expired_through = panes_before;
        let mut swept = false;
        if let (Some(ttl), Some(now)) = (self.plan.key_ttl_ms, stream_time) {
            let wanted = now.saturating_sub(ttl);
            swept = wanted.saturating_sub(self.keys_before) >= self.plan.pane_ms;
            if swept {
                self.keys_before = wanted;
            }
        }
        (Expiry { aggregate: self.plan.id, panes_before, keys_before: self.keys_before }, swept)
    }

    fn panes_before(&self, stream_time: i64) -> i64 {
        floor(stream_time.saturating_sub(self.plan.retention_ms), self.plan.pane_ms).max(self.expired_through)
    }

    fn sweep(&mut self, expiry: &Expiry, expired: &mut Vec<EntryKey>) {
        let mut lowest_end = i64::MAX;
        self.table.retain(|key, pane, cell| {
            let keep = !is_expired(pane, cell.last_seen, expiry);
            if !keep {
                expired.push(EntryKey { aggregate: expiry.aggregate, pane, key: key.clone() });
            } else if pane != Pane::TOTAL {
                lowest_end = lowest_end.min(pane.end);
            }
            keep
        });
        self.lowest_end = lowest_end;
        self.idle.forget();
        self.has_overflow = self.has_overflow && self.table.find(&overflow_key()).is_some();
    }

    /// Takes an entry of an aborted epoch back, if it is still there: it is dirty again, and new again if it had
    /// `begun` with that epoch.
    pub fn take_back(&mut self, entry: &EntryKey, begun: bool) {
        let Some(number) = self.table.find(&entry.key) else { return };
        let Some((cell, dirty)) = self.table.record_mut(number).existing_mut(entry.pane) else { return };
        if begun {
            Arc::make_mut(cell).since = Cell::NEW;
        }
        if !*dirty {
            *dirty = true;
            self.dirty.push(Dirty::new(number, entry.pane));
        }
    }

    pub fn contains(&self, entry: &EntryKey) -> bool {
        self.table.find(&entry.key).is_some_and(|number| self.table.record(number).contains(entry.pane))
    }
}

/// A key that gives its place up has no sessions any more that could go on.
fn close_all(cell: &mut Cell) {
    for state in cell.measures.iter_mut() {
        if let MeasureState::Sessions(sessions) = state {
            sessions.close_all();
        }
    }
}

fn empty(plan: &AggregatePlan, pane: Pane) -> Arc<Cell> {
    Arc::new(if pane == Pane::TOTAL { Cell::empty(plan) } else { Cell::empty_pane(plan) })
}

/// The largest multiple of `step` that is not above `time`; saturating.
#[inline]
fn floor(time: i64, step: i64) -> i64 {
    time.div_euclid(step).saturating_mul(step)
}
