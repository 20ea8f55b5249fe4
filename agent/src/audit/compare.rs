//! Published against recounted, number by number. Counts have to be equal; sums may differ by what floats cannot hold.

use super::published::CellId;
use super::recount::{Check, Scope};
use super::related;
use crate::config::{Measure, MeasureKind, OnLimit};
use std::collections::BTreeSet;
use streamgauge_proto::v1 as pb;

/// A number that is not what it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub cell: CellId,
    /// The measure, and what of it: `requests count`.
    pub what: String,
    pub published: String,
    pub recounted: String,
}

/// The outcome of one check.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub cells: usize,
    pub windows: usize,
    pub differences: Vec<Difference>,
    /// Why nothing could be compared.
    pub left_out: Option<String>,
}

/// Compares all cells that are in the published answer, or ought to be.
pub fn compare(check: &Check) -> Comparison {
    if let Some(why) = incomparable(check) {
        return Comparison { left_out: Some(why), ..Comparison::default() };
    }
    let due = Due::of(check);
    let published = check.published.cells.keys().filter(|id| due.is_whole(id));
    let recounted = check.cells.keys().filter(|id| due.is_whole(id) && due.is_closed(id));
    let cells: BTreeSet<&CellId> = published.chain(recounted).collect();
    let windows: BTreeSet<_> = cells.iter().filter_map(|id| id.window).collect();
    let mut comparison = Comparison { cells: cells.len(), windows: windows.len(), ..Comparison::default() };
    for id in cells {
        compare_cell(check, id, due.from, &mut comparison.differences);
    }
    comparison
}

/// Why this check says nothing.
fn incomparable(check: &Check) -> Option<String> {
    let totals = check.scope == Scope::Totals;
    let overflow = check.published.cells.keys().chain(check.cells.keys()).any(|id| id.overflow);
    let ttl = check.aggregate.key_ttl.is_some();
    if totals && check.whole_from > i64::MIN {
        Some("Kafka no longer has the topic's beginning, and totals count from there".to_owned())
    } else if totals && ttl {
        Some("key_ttl has dropped totals of keys that came back later".to_owned())
    } else if overflow && (ttl || !check.keys_known) {
        Some("which keys were beyond the limit depends on the whole topic; try --all".to_owned())
    } else {
        None
    }
}

/// Which windows can be compared.
struct Due {
    from: i64,
    /// Windows that end here or earlier are closed.
    closed_through: i64,
}

impl Due {
    fn of(check: &Check) -> Due {
        let Scope::Windows { window, from } = check.scope else {
            return Due { from: i64::MIN, closed_through: i64::MAX };
        };
        let aggregate = &check.aggregate;
        let (pane, retention) = (aggregate.pane.as_millis() as i64, aggregate.retention.as_millis() as i64);
        // Each partition drops what is older than the retention, by its own stream time.
        let newest = check.stream_times.values().max().copied().unwrap_or(i64::MIN);
        let retained = newest.saturating_sub(retention).div_euclid(pane).saturating_mul(pane);
        let mut closed_through = check.published.cells.keys().filter_map(|id| id.window).map(|(_, end)| end).max();
        // When every partition has passed a window's end and the grace, it has to be there.
        let partitions = check.published.as_of.keys();
        let slowest = partitions.map(|partition| check.stream_times.get(partition).copied()).min().flatten();
        if let Some(slowest) = slowest {
            let (size, hop) = (window.size.as_millis() as i64, window.hop.as_millis() as i64);
            let passed = slowest.saturating_sub(aggregate.grace.as_millis() as i64 + size);
            closed_through = closed_through.max(Some(passed.div_euclid(hop).saturating_mul(hop).saturating_add(size)));
        }
        Due { from: from.max(retained).max(check.whole_from), closed_through: closed_through.unwrap_or(i64::MIN) }
    }

    fn is_whole(&self, id: &CellId) -> bool {
        id.window.is_none_or(|(start, _)| start >= self.from)
    }

    fn is_closed(&self, id: &CellId) -> bool {
        id.window.is_none_or(|(_, end)| end <= self.closed_through)
    }
}

fn compare_cell(check: &Check, id: &CellId, from: i64, differences: &mut Vec<Difference>) {
    let (published, recounted) = (check.published.cells.get(id), check.cells.get(id));
    let (Some(published), Some(recounted)) = (published, recounted) else {
        let there = |there: bool| if there { "there" } else { "missing" }.to_owned();
        differences.push(Difference {
            cell: id.clone(),
            what: "row".into(),
            published: there(published.is_some()),
            recounted: there(recounted.is_some()),
        });
        return;
    };
    // Where a key begins anew, or its beginning was not read, it is not known what had been usual for it, or was
    // under way. A key that has given its place to another begins anew, too, but its sessions were recounted.
    let whole = check.keys_known && check.aggregate.key_ttl.is_none();
    let judged = |measure: &Measure| match measure.kind {
        MeasureKind::Sessions(_) => whole,
        MeasureKind::Anomaly(_) => whole && check.aggregate.on_limit != OnLimit::ReplaceIdle,
        _ => true,
    };
    let measures = check.aggregate.measures.iter().zip(recounted).enumerate();
    for (at, (measure, tally)) in measures.filter(|(_, (measure, _))| judged(measure)) {
        let absent = pb::MeasureValue::default();
        let value = published.get(&measure.name).unwrap_or(&absent);
        let unequal = match related::differing(check, id, at, value, from) {
            Some(unequal) => unequal.into_iter().collect(),
            None => tally.differing(measure, value),
        };
        for (what, published, recounted) in unequal {
            let what = format!("{} {what}", measure.name);
            differences.push(Difference { cell: id.clone(), what, published, recounted });
        }
    }
}
