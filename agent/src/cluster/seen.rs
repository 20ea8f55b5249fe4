//! What earlier looks at the cluster have found, and later ones build on.

use super::history::History;
use crate::kafka::TopicPartition;
use crate::kafka::cluster::{GroupListed, Rest};
use std::collections::HashMap;

/// Kept between collections.
#[derive(Debug, Default)]
pub struct Seen {
    pub history: History,
    pub tails: Tails,
    /// The groups that are not listed as consumers, as of the last look.
    pub others: Vec<GroupListed>,
    /// Collections since that look.
    pub since_others: u32,
}

/// What the ends of partitions hold. After a transaction the last offset of a partition is that of its marker, which no
/// consumer is given: a group that has read everything stays one offset before the log's end, and only reading tells.
#[derive(Debug, Default)]
pub struct Tails(HashMap<TopicPartition, Tail>);

#[derive(Clone, Copy, Debug)]
struct Tail {
    from: i64,
    rest: Rest,
}

impl Tails {
    /// A reading of `place` from offset `from` on came to `rest`.
    pub fn learn(&mut self, place: &TopicPartition, from: i64, rest: Rest) {
        self.0.insert(place.clone(), Tail { from, rest });
    }

    /// Whether nothing between `from` and the log's end is a record, as far as that was read.
    pub fn is_known_empty(&self, place: &TopicPartition, from: i64, high: Option<i64>) -> bool {
        self.about(place, from, high) == Some(true)
    }

    /// Whether a reading from `from` on would tell something new.
    pub fn is_unknown(&self, place: &TopicPartition, from: i64, high: Option<i64>) -> bool {
        self.about(place, from, high).is_none()
    }

    fn about(&self, place: &TopicPartition, from: i64, high: Option<i64>) -> Option<bool> {
        let tail = self.0.get(place)?;
        match tail.rest {
            Rest::Record(at) => (from <= at).then_some(false),
            Rest::NothingBefore(end) => (from >= tail.from && high.is_some_and(|high| high <= end)).then_some(true),
        }
    }

    /// Forgets topics that are gone.
    pub fn keep(&mut self, exists: impl Fn(&str) -> bool) {
        self.0.retain(|place, _| exists(&place.topic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_tells_of_the_offsets_it_covers_and_of_no_others() {
        let place = TopicPartition::new("t", 0);
        let mut tails = Tails::default();
        let empty = |tails: &Tails, from, high| tails.about(&place, from, Some(high));
        assert_eq!(empty(&tails, 10, 11), None);
        tails.learn(&place, 10, Rest::NothingBefore(11));
        assert_eq!(
            [(10, 11), (11, 11), (9, 11), (10, 12)].map(|(from, high)| empty(&tails, from, high)),
            [Some(true), Some(true), None, None]
        );
        tails.learn(&place, 10, Rest::Record(12));
        assert_eq!(
            [(10, 20), (5, 20), (12, 20), (13, 20)].map(|(from, high)| empty(&tails, from, high)),
            [Some(false), Some(false), Some(false), None]
        );
        tails.keep(|topic| topic != "t");
        assert!(tails.is_unknown(&place, 10, Some(11)));
    }
}
