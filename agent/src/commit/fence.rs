//! The two fences that keep a stalled owner from committing over its successor.
//!
//! The broker checks a committer's member and generation, not who owns the partition. So an epoch carries the
//! *assignment number* it was frozen under, which every revocation bumps; and the *member id* that the worker had when its
//! partitions were given to it. A group gives each member that joins an id of its own, and forgets it with the member: as
//! long as the id is the same, the member was never put out, and nobody was given what it has before it gave that up,
//! however many generations went by. Another id means that it was put out and has joined again, which librdkafka does
//! without a word for a static member: others may have owned, and written, its partitions in between.

use crate::kafka::GroupMetadata;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the worker's assignments. Whatever was frozen under an older number must not be committed.
#[derive(Debug, Default)]
pub struct AssignmentNumber(AtomicU64);

impl AssignmentNumber {
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Makes everything frozen so far uncommittable.
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// The id that a group has given one of its members.
pub type MemberId = Arc<str>;

/// Whom the group takes us for, by metadata fetched just now; `None` while we are in no generation. librdkafka keeps the
/// generation when the group forgets the id, and the id when it forgets the generation.
pub fn member_of(metadata: Option<&GroupMetadata>) -> Option<MemberId> {
    member(metadata?.member(), metadata?.generation())
}

fn member(id: &str, generation: i32) -> Option<MemberId> {
    (generation >= 0 && !id.is_empty()).then(|| id.into())
}

/// What may be done with partitions that were given to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// We are who we were when they were given to us.
    Same,
    /// We are in no generation: nothing may be committed, and nothing is decided yet.
    Outside,
    /// We are another member by now: everything held counts as lost.
    PutOut,
}

/// Compares whom partitions were given to with whom the group takes us for now.
pub fn standing(given_to: &str, now: Option<&str>) -> Standing {
    match now {
        None => Standing::Outside,
        Some(now) if now == given_to => Standing::Same,
        Some(_) => Standing::PutOut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_member_that_was_given_the_partitions_may_commit_for_them() {
        assert_eq!(standing("a", Some("a")), Standing::Same);
        assert_eq!(standing("a", Some("b")), Standing::PutOut);
        assert_eq!(standing("a", None), Standing::Outside);
    }

    #[test]
    fn whoever_lacks_an_id_or_a_generation_is_nobody_to_the_group() {
        for (id, generation, expect) in [
            ("a", 5, Some("a")),
            ("a", 0, Some("a")),
            // The group has forgotten the generation: a rebalance went on without us.
            ("a", -1, None),
            // It has forgotten the member, and librdkafka still has the last generation.
            ("", 5, None),
            ("", -1, None),
        ] {
            assert_eq!(member(id, generation).as_deref(), expect, "{id:?} in {generation}");
        }
    }
}
