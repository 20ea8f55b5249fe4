//! The bookkeeping of a verification: which events were acknowledged, and which were found when the topic was read back.

use std::collections::HashMap;

/// What reading back has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// Different events of the test that were found.
    pub found: u64,
    /// Acknowledged and not found.
    pub lost: u64,
    /// Found again.
    pub duplicated: u64,
    /// Found behind an event of the same partition that was sent later.
    pub reordered: u64,
    /// Found, though no acknowledgement came.
    pub unacknowledged_found: u64,
}

impl Verification {
    pub fn holds(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.reordered == 0
    }
}

/// Two bits for each event.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: Bits,
    found: Bits,
    /// Highest number found in each partition.
    highest: HashMap<i32, u64>,
    duplicated: u64,
    reordered: u64,
}

impl Ledger {
    pub fn acknowledged(&mut self, number: u64) {
        self.acknowledged.set(number);
    }

    /// Event `number` was found in a partition, behind all that was found there before.
    pub fn found(&mut self, partition: i32, number: u64) {
        if !self.found.set(number) {
            self.duplicated += 1;
            return;
        }
        let highest = self.highest.entry(partition).or_insert(number);
        if number < *highest {
            self.reordered += 1;
        }
        *highest = number.max(*highest);
    }

    pub fn verification(&self) -> Verification {
        let both = self.acknowledged.and(&self.found);
        Verification {
            found: self.found.count(),
            lost: self.acknowledged.count() - both,
            duplicated: self.duplicated,
            reordered: self.reordered,
            unacknowledged_found: self.found.count() - both,
        }
    }
}

#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// `false` if it was set.
    fn set(&mut self, at: u64) -> bool {
        let (word, bit) = ((at / 64) as usize, 1 << (at % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let fresh = self.0[word] & bit == 0;
        self.0[word] |= bit;
        fresh
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    fn and(&self, other: &Bits) -> u64 {
        self.0.iter().zip(&other.0).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(acknowledged: &[u64], found: &[(i32, u64)]) -> Verification {
        let mut ledger = Ledger::default();
        acknowledged.iter().for_each(|number| ledger.acknowledged(*number));
        found.iter().for_each(|(partition, number)| ledger.found(*partition, *number));
        ledger.verification()
    }

    #[test]
    fn everything_in_its_place_holds() {
        let found = verify(&[0, 1, 2, 64, 200], &[(0, 1), (0, 64), (1, 0), (1, 2), (1, 200)]);
        assert_eq!(found, Verification { found: 5, ..Verification::default() });
        assert!(found.holds());
    }

    #[test]
    fn a_lost_event_is_one_that_was_acknowledged() {
        let found = verify(&[0, 1, 130], &[(0, 0)]);
        assert_eq!((found.lost, found.found), (2, 1));
        assert!(!found.holds());
    }

    #[test]
    fn an_event_without_acknowledgement_may_be_there() {
        let found = verify(&[0], &[(0, 0), (0, 1)]);
        assert_eq!((found.lost, found.unacknowledged_found), (0, 1));
        assert!(found.holds());
    }

    #[test]
    fn a_duplicate_is_counted_each_time_and_is_no_reordering() {
        let found = verify(&[0, 1], &[(0, 0), (0, 1), (0, 0), (1, 1)]);
        assert_eq!((found.duplicated, found.reordered, found.found), (2, 0, 2));
    }

    #[test]
    fn order_is_that_of_a_partition() {
        let found = verify(&[0, 1, 2, 3], &[(0, 2), (1, 0), (0, 1), (1, 3)]);
        assert_eq!((found.reordered, found.lost), (1, 0));
    }
}
