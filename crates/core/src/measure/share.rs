//! `share`: which part of the events, or of the sum of a field, a row has of all rows of its window.

use super::portion::{Amount, Portion, Relation};

pub type Share = Portion<ToAllRows>;

/// To what all rows of the window have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToAllRows;

impl Relation for ToAllRows {
    type Given = Amount;

    const WORD: &'static str = "share";
    const UNIT: &'static str = "ratio";

    fn amount(amount: &Amount) -> Amount {
        *amount
    }
}
