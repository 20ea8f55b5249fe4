//! Changelog partitions, what is written to them, and how they are read.
//!
//! Records of aborted transactions are taken out when their marker arrives, and whoever holds a position beyond them is
//! moved: no reader can tell the difference, and histories that differ in nothing else become one.

/// Nothing: no offset, no position.
pub const NONE: u8 = u8::MAX;

/// How often each of a partition's first four input records was counted, two bits each. It stands for the whole state of
/// a task: a correct one has counted each record from its beginning to its offset once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts(u8);

impl Counts {
    /// What has counted each record of `from..to` once.
    pub fn of(from: u8, to: u8) -> Counts {
        (from..to).fold(Counts::default(), Counts::fold)
    }

    /// Counts one more record. Thrice is as wrong as four times.
    pub fn fold(self, offset: u8) -> Counts {
        let shift = 2 * offset;
        if (self.0 >> shift) & 3 == 3 { self } else { Counts(self.0 + (1 << shift)) }
    }

    /// These counts, but those of `keys` from `other`.
    pub fn with(self, keys: u8, other: Counts) -> Counts {
        let bits = [0b0011_0011, 0b1100_1100].iter().enumerate();
        let bits = bits.filter(|(key, _)| keys & (1 << key) != 0).fold(0, |all, (_, bits)| all | bits);
        Counts(self.0 & !bits | other.0 & bits)
    }
}

/// The key of an input record, as a bit: even offsets have one, odd offsets the other.
pub fn key_of(offset: u8) -> u8 {
    1 << (offset % 2)
}

/// The offset record: the last record of a task in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The next input offset.
    pub next: u8,
    /// The state that all entries before it lead to: what the fingerprint is in life.
    pub fingerprint: Counts,
    /// How many windows have been published.
    pub published: u8,
    /// How many partitions the topic had when the group began.
    pub birth: u8,
    /// Where the input of partition 1 ended then; [`NONE`]: there was none.
    pub since: u8,
}

/// What is written to a changelog partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// New values of some keys.
    Entries {
        keys: u8,
        counts: Counts,
    },
    Record(Record),
}

/// An item as it lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    pub item: Item,
    /// Whose transaction it is of.
    pub writer: u8,
    /// No marker has arrived yet.
    pub open: bool,
}

/// One partition of the changelog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Changelog {
    pub items: Vec<Stored>,
}

impl Changelog {
    pub fn high_watermark(&self) -> u8 {
        self.items.len() as u8
    }

    /// Where the first open transaction begins.
    pub fn last_stable(&self) -> u8 {
        self.items.iter().position(|stored| stored.open).unwrap_or(self.items.len()) as u8
    }
}

/// A changelog partition as far as it has been read: a state file, a replica, a restore, a committed view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Replay {
    /// The next position to read.
    pub at: u8,
    pub counts: Counts,
    /// The last offset record read; without one there is no state.
    pub record: Option<Record>,
    /// Keys of a commit that is not whole yet, and their values.
    pub open_keys: u8,
    pub open: Counts,
}

impl Replay {
    /// Takes the next item. `whole`: entries wait for their offset record.
    pub fn take(&mut self, item: Item, whole: bool) {
        self.at += 1;
        match item {
            Item::Entries { keys, counts } if whole => {
                self.open = self.open.with(keys, counts);
                self.open_keys |= keys;
            }
            Item::Entries { keys, counts } => self.counts = self.counts.with(keys, counts),
            Item::Record(record) => {
                self.counts = self.counts.with(self.open_keys, self.open);
                (self.open, self.open_keys) = (Counts::default(), 0);
                self.record = Some(record);
            }
        }
    }

    /// Forgets what came after the last whole commit, which has one record of entries in this model.
    pub fn rewind(&mut self) {
        if self.open_keys != 0 {
            (self.at, self.open_keys, self.open) = (self.at - 1, 0, Counts::default());
        }
    }

    /// Whether the entries are what the offset record vouches for.
    pub fn adds_up(&self) -> bool {
        self.record.is_none_or(|record| record.fingerprint == self.counts)
    }

    /// The next input offset.
    pub fn next(&self) -> Option<u8> {
        self.record.map(|record| record.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_remember_what_was_counted_twice() {
        assert_eq!(Counts::of(0, 3), Counts::of(1, 3).fold(0));
        assert_ne!(Counts::of(0, 2).fold(1), Counts::of(0, 2));
        let both = Counts::of(0, 4);
        assert_eq!(Counts::default().with(1, both).with(2, both), both);
        assert_eq!(Counts::default().with(key_of(1), both), Counts::default().fold(1).fold(3));
    }

    #[test]
    fn entries_wait_for_their_offset_record() {
        let counts = Counts::of(0, 2);
        let mut replay = Replay::default();
        replay.take(Item::Entries { keys: 3, counts }, true);
        assert_eq!(replay.counts, Counts::default());
        replay.take(Item::Record(Record { next: 2, fingerprint: counts, published: 0, birth: 1, since: NONE }), true);
        assert!(replay.adds_up() && replay.counts == counts && replay.next() == Some(2));
    }
}
