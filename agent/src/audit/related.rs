//! Rates, shares and comparisons, found from recounted cells: they are no number of one cell.

use super::published::{CellId, TOLERANCE};
use super::recount::Check;
use super::tally::{Tally, Unequal};
use crate::config::MeasureKind;
use crate::measure::{Amount, Known};
use streamgauge_proto::v1 as pb;

/// What of such a measure is not as it was published; `None` for all other measures. `at`: its position; `from`: windows
/// that begin earlier were not recounted.
pub fn differing(
    check: &Check,
    id: &CellId,
    at: usize,
    value: &pb::MeasureValue,
    from: i64,
) -> Option<Option<Unequal>> {
    let (amount, to) = match check.aggregate.measures[at].kind {
        MeasureKind::Rate(amount) => (amount, id.window.map(|(start, end)| (end - start) as f64 / 1_000.0)),
        MeasureKind::Share(amount) => {
            let same = check.cells.iter().filter(|(other, _)| other.window == id.window);
            (amount, Some(same.map(|(_, tallies)| amount_of(&tallies[at], amount)).sum()))
        }
        MeasureKind::Versus(earlier) => {
            let then = id.window.map(|(start, end)| (start - earlier.ago_ms, end - earlier.ago_ms));
            if then.is_some_and(|(start, _)| start < from) {
                return Some(None);
            }
            let then = then.and_then(|window| check.cells.get(&CellId { window: Some(window), ..id.clone() }));
            (earlier.amount, then.map(|tallies| amount_of(&tallies[at], earlier.amount)))
        }
        _ => return None,
    };
    let recounted = check.cells.get(id).map(|tallies| amount_of(&tallies[at], amount)).zip(to);
    let recounted = recounted.filter(|(_, to)| *to != 0.0).map(|(amount, to)| amount / to);
    let published = Known::Value.published(value);
    let same = match (published, recounted) {
        (Some(published), Some(recounted)) => (published - recounted).abs() <= TOLERANCE * recounted.abs().max(1.0),
        (published, recounted) => published == recounted,
    };
    let text = |number: Option<f64>, without: &str| number.map_or(without.to_owned(), |number| number.to_string());
    Some((!same).then(|| (Known::Value.word().to_owned(), text(published, "missing"), text(recounted, "none"))))
}

fn amount_of(tally: &Tally, amount: Amount) -> f64 {
    match amount {
        Amount::Events => tally.count as f64,
        Amount::Values => tally.nanos as f64 / 1e9,
    }
}
