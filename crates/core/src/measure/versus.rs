//! `versus`: events, or the sum of a field, by those of the same window some time ago.

use super::portion::{Amount, Portion, Relation};

/// What a window is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    pub amount: Amount,
    /// How long before. Milliseconds.
    pub ago_ms: i64,
}

impl Default for Earlier {
    fn default() -> Earlier {
        Earlier { amount: Amount::Events, ago_ms: 86_400_000 }
    }
}

pub type Versus = Portion<ToEarlier>;

/// To what the same row had in an earlier window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToEarlier;

impl Relation for ToEarlier {
    type Given = Earlier;

    const WORD: &'static str = "versus";
    const UNIT: &'static str = "ratio";

    fn amount(earlier: &Earlier) -> Amount {
        earlier.amount
    }
}
