//! The two fences that keep a stalled owner from committing over its successor.
//!
//! The broker checks a committer's member and generation, not who owns the partition. So an epoch carries the
//! *assignment number* it was frozen under, which every revocation bumps; and every *generation* of the group that the
//! worker sees must be the last one or that plus one. A static member that lost its place rejoins silently, without its
//! assignment being marked lost: a group that rebalanced without us is at G+1 and our join makes at least G+2.

use parking_lot::Mutex;
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

/// What a sighting of a generation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The last one, or the next.
    Continuous,
    /// Others may have owned our partitions in between: everything held counts as lost.
    Broken,
}

/// Remembers the last generation seen.
#[derive(Debug, Default)]
pub struct GenerationFence(Mutex<Option<i32>>);

impl GenerationFence {
    /// Notes a generation; `None` or a negative one means that this member is in no generation.
    pub fn observe(&self, generation: Option<i32>) -> Generation {
        let mut last = self.0.lock();
        let now = generation.filter(|&generation| generation >= 0);
        let verdict = match (*last, now) {
            (None, _) => Generation::Continuous,
            (Some(_), None) => Generation::Broken,
            (Some(before), Some(now)) if now == before || now == before.wrapping_add(1) => Generation::Continuous,
            _ => Generation::Broken,
        };
        // After a break only the generation that comes next counts: what was held is dropped by then.
        *last = now;
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Generation::{Broken, Continuous};

    #[test]
    fn only_the_same_generation_or_the_next_is_continuous() {
        for (seen, expect) in [
            (vec![Some(5), Some(5), Some(6)], vec![Continuous, Continuous, Continuous]),
            (vec![Some(5), Some(7), Some(7)], vec![Continuous, Broken, Continuous]),
            (vec![Some(5), Some(4)], vec![Continuous, Broken]),
            (vec![Some(5), Some(-1), Some(6)], vec![Continuous, Broken, Continuous]),
            (vec![None, Some(3), None, None], vec![Continuous, Continuous, Broken, Continuous]),
        ] {
            let fence = GenerationFence::default();
            let verdicts: Vec<_> = seen.iter().map(|&generation| fence.observe(generation)).collect();
            assert_eq!(verdicts, expect, "{seen:?}");
        }
    }
}
