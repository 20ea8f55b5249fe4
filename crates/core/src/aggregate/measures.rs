//! The states of a cell's measures, kept small: there are millions of cells.

use std::ops::{Deref, DerefMut};

use crate::measure::{Count, MeasureState};

/// How many measures need no allocation of their own. Most aggregates have no more.
const FEW: usize = 3;

/// A list of measures' states in the order of the aggregate's config. 56 bytes; a `SmallVec` of as many takes 64, and the
/// difference is room for a date in every cell.
pub struct Measures(Held);

enum Held {
    /// So many of these; what is behind them means nothing.
    Few(u8, [MeasureState; FEW]),
    Many(Box<[MeasureState]>),
}

const NOTHING: MeasureState = MeasureState::Count(Count(0));

impl Deref for Measures {
    type Target = [MeasureState];

    #[inline]
    fn deref(&self) -> &[MeasureState] {
        match &self.0 {
            Held::Few(count, states) => &states[..usize::from(*count)],
            Held::Many(states) => states,
        }
    }
}

impl DerefMut for Measures {
    #[inline]
    fn deref_mut(&mut self) -> &mut [MeasureState] {
        match &mut self.0 {
            Held::Few(count, states) => &mut states[..usize::from(*count)],
            Held::Many(states) => states,
        }
    }
}

impl FromIterator<MeasureState> for Measures {
    fn from_iter<I: IntoIterator<Item = MeasureState>>(states: I) -> Measures {
        let mut rest = states.into_iter();
        let mut few = [NOTHING; FEW];
        for (at, slot) in few.iter_mut().enumerate() {
            let Some(state) = rest.next() else { return Measures(Held::Few(at as u8, few)) };
            *slot = state;
        }
        match rest.next() {
            None => Measures(Held::Few(FEW as u8, few)),
            Some(fourth) => Measures(Held::Many(few.into_iter().chain([fourth]).chain(rest).collect())),
        }
    }
}

impl Clone for Measures {
    /// The first touch of a cell after each commit does this: copied in place it takes 40 ns, derived 97 (`SmallVec`: 52).
    #[inline]
    fn clone(&self) -> Measures {
        match &self.0 {
            Held::Few(count, states) => {
                let mut copy = Measures(Held::Few(*count, [NOTHING; FEW]));
                if let Held::Few(_, slots) = &mut copy.0 {
                    for (slot, state) in slots.iter_mut().zip(&states[..usize::from(*count)]) {
                        slot.clone_from(state);
                    }
                }
                copy
            }
            Held::Many(states) => Measures(Held::Many(states.clone())),
        }
    }
}

impl PartialEq for Measures {
    fn eq(&self, other: &Measures) -> bool {
        self[..] == other[..]
    }
}

impl std::fmt::Debug for Measures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self[..].fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_states_as_were_put_in_come_out_in_their_order() {
        for count in 0..9 {
            let states = || (0..count).map(|n| MeasureState::Count(Count(n)));
            let mut measures: Measures = states().collect();
            assert_eq!(measures.to_vec(), states().collect::<Vec<_>>());
            assert_eq!(measures, measures.clone());
            if let Some(last) = measures.last_mut() {
                *last = MeasureState::Count(Count(100));
                assert_ne!(measures, states().collect());
            }
        }
    }

    #[test]
    fn they_take_56_bytes() {
        assert_eq!(size_of::<Measures>(), 56);
    }
}
