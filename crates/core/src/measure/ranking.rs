//! What `top` counts with: a bounded number of items, each with a number.
//!
//! It keeps a bounded number of items, as Misra and Gries do (1982), weighted and merged as in Agarwal et al.,
//! "Mergeable summaries" (2012): when there are too many, all of them lose what the largest that has to go has, and
//! those that have nothing left go. So no item's number is ever too large, and none lacks more than the same `error`,
//! which is at most the sum of all weights divided by one more than the items kept.
//!
//! While nothing had to go, a state is a function of what was counted. From then on, numbers depend on what was
//! merged with what: the bounds hold in any order, the numbers within them need not be the same. It is the one
//! measure of which that is so; no summary of bounded size can do better.

use xxhash_rust::xxh3::xxh3_64;

use super::number::Exact;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// So many are shown.
    pub k: u32,
    /// By the sum of a number rather than by how often.
    pub sums: bool,
}

impl Default for Ranking {
    fn default() -> Self {
        Ranking { k: 10, sums: false }
    }
}

impl Ranking {
    pub const MOST: u32 = 100;

    /// So many items survive a clearance: enough for an error that is small against the numbers that are shown.
    pub fn kept(self) -> u32 {
        (8 * self.k).max(64)
    }
}

/// What is asked for is held by the state as well, as it is asked without its measure.
#[derive(Clone, Debug)]
pub struct Top {
    pub(super) ranking: Ranking,
    /// How many events were counted.
    pub(super) count: u64,
    /// What an item may lack.
    pub(super) error: u128,
    /// Ascending by hash, then text.
    pub(super) entries: Vec<Entry>,
    /// The items' text, in one piece: a cell is copied at its first touch after each commit.
    pub(super) text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Events, or billionths.
    weight: u128,
    hash: u64,
    start: u32,
    length: u32,
}

impl Entry {
    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..).and_then(|rest| rest.get(..self.length as usize)).unwrap_or_default()
    }
}

/// An item, and what it had at least.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    pub item: String,
    /// Events, or what was summed.
    pub weight: Exact,
}

impl Top {
    /// The first of them, the largest first, and how much more than its value each may have had at most.
    pub fn ranked(&self) -> (Vec<Ranked>, Exact) {
        let mut entries: Vec<(u128, &[u8])> = self.entries.iter().map(|e| (e.weight, e.of(&self.text))).collect();
        entries.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        entries.truncate(self.ranking.k as usize);
        let ranked = |(weight, item): (u128, &[u8])| Ranked {
            item: String::from_utf8_lossy(item).into_owned(),
            weight: self.shown(weight),
        };
        (entries.into_iter().map(ranked).collect(), self.shown(self.error))
    }

    fn shown(&self, weight: u128) -> Exact {
        if self.ranking.sums { Exact::Nanos(weight as i128) } else { Exact::Int(weight as u64) }
    }

    #[inline]
    pub(super) fn add(&mut self, item: &[u8], weight: u128) {
        let hash = xxh3_64(item);
        let at = self.entries.partition_point(|entry| (entry.hash, entry.of(&self.text)) < (hash, item));
        match self.entries.get_mut(at) {
            Some(entry) if entry.hash == hash && entry.of(&self.text) == item => {
                entry.weight = entry.weight.wrapping_add(weight);
            }
            _ => {
                let (start, length) = (self.text.len() as u32, item.len() as u32);
                self.text.extend_from_slice(item);
                self.entries.insert(at, Entry { weight, hash, start, length });
                self.clear();
            }
        }
    }

    /// Adds all of `other`.
    pub(super) fn absorb(&mut self, other: &Top) {
        self.count = self.count.wrapping_add(other.count);
        self.error = self.error.wrapping_add(other.error);
        let mine = std::mem::take(&mut self.entries).into_iter();
        let text = std::mem::take(&mut self.text);
        let mut all: Vec<(u64, &[u8], u128)> = mine.map(|e| (e.hash, e.of(&text), e.weight)).collect();
        all.extend(other.entries.iter().map(|e| (e.hash, e.of(&other.text), e.weight)));
        all.sort_unstable();
        for (hash, item, weight) in all {
            match self.entries.last_mut() {
                Some(last) if last.hash == hash && last.of(&self.text) == item => {
                    last.weight = last.weight.wrapping_add(weight);
                }
                _ => self.push(hash, item, weight),
            }
        }
        self.clear();
    }

    /// With twice as many items as are kept, the smaller ones go: not at every new item, so that each costs little.
    fn clear(&mut self) {
        let kept = self.ranking.kept() as usize;
        if self.entries.len() <= 2 * kept {
            return;
        }
        let mut weights: Vec<u128> = self.entries.iter().map(|entry| entry.weight).collect();
        let (_, &mut lost, _) = weights.select_nth_unstable_by(kept, |a, b| b.cmp(a));
        self.error = self.error.wrapping_add(lost);
        let before = std::mem::take(&mut self.text);
        self.entries.retain_mut(|entry| {
            let item = entry.of(&before);
            entry.start = self.text.len() as u32;
            entry.weight = entry.weight.saturating_sub(lost);
            if entry.weight > 0 {
                self.text.extend_from_slice(item);
            }
            entry.weight > 0
        });
    }

    /// Adds an item behind all that are there; `None` if it does not belong there.
    pub(super) fn append(&mut self, item: &[u8], weight: u128) -> Option<()> {
        let hash = xxh3_64(item);
        let before = |last: &Entry| (last.hash, last.of(&self.text)) < (hash, item);
        self.entries.last().is_none_or(before).then(|| self.push(hash, item, weight))
    }

    fn push(&mut self, hash: u64, item: &[u8], weight: u128) {
        let (start, length) = (self.text.len() as u32, item.len() as u32);
        self.text.extend_from_slice(item);
        self.entries.push(Entry { weight, hash, start, length });
    }

    pub(super) fn items(&self) -> impl Iterator<Item = (&[u8], u128)> {
        self.entries.iter().map(|entry| (entry.of(&self.text), entry.weight))
    }
}

/// The text may lie otherwise.
impl PartialEq for Top {
    fn eq(&self, other: &Top) -> bool {
        (self.ranking, self.count, self.error) == (other.ranking, other.count, other.error)
            && self.items().eq(other.items())
    }
}
