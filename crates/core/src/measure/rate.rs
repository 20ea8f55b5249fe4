//! `rate`: events, or the sum of a field, per second of the window.

use super::portion::{Amount, Portion, Relation};

pub type Rate = Portion<ToSeconds>;

/// To the length of the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToSeconds;

impl Relation for ToSeconds {
    type Given = Amount;

    const WORD: &'static str = "rate";
    const UNIT: &'static str = "per_second";

    fn amount(amount: &Amount) -> Amount {
        *amount
    }
}
