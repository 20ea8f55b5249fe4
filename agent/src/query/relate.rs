//! Numbers that a row's own events do not give: rates need the window's length, shares the sum of all rows, comparisons an
//! earlier window. They are found here, after everything is merged, for queries and for what is published.

use super::gather::{Gathered, States};
use super::status::Known;
use crate::aggregate::{AggregatePlan, WindowSpan};
use crate::measure::MeasureKind;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// What to gather for windows: these first, and then, for each time ago that a measure compares with, the same that long ago.
pub fn with_earlier(plan: &AggregatePlan, measures: &[usize], spans: &[WindowSpan]) -> Vec<WindowSpan> {
    let earlier = agos(plan, measures).into_iter().flat_map(|ago| spans.iter().map(move |span| before(*span, ago)));
    spans.iter().copied().chain(earlier).collect()
}

/// How long ago the measures look back, each once, ascending. Milliseconds.
fn agos(plan: &AggregatePlan, measures: &[usize]) -> Vec<i64> {
    let ago = |&at: &usize| match plan.measures[at].kind {
        MeasureKind::Versus(earlier) => Some(earlier.ago_ms),
        _ => None,
    };
    let mut agos: Vec<i64> = measures.iter().filter_map(ago).collect();
    agos.sort_unstable();
    agos.dedup();
    agos
}

fn before(span: WindowSpan, ago_ms: i64) -> WindowSpan {
    WindowSpan { start: span.start.saturating_sub(ago_ms), end: span.end.saturating_sub(ago_ms) }
}

/// Relates the rows of the windows asked for, and drops those of earlier ones. `spans`: without the earlier ones; `None`:
/// totals. What begins before `dropped_before` is not whole any more, and nothing is compared with it.
pub fn relate(
    gathered: &mut Gathered,
    plan: &AggregatePlan,
    measures: &[usize],
    spans: Option<&[WindowSpan]>,
    dropped_before: Option<i64>,
) {
    let related: Vec<(usize, &MeasureKind)> = measures
        .iter()
        .map(|&at| &plan.measures[at].kind)
        .enumerate()
        .filter(|(_, kind)| matches!(kind, MeasureKind::Rate(_) | MeasureKind::Share(_) | MeasureKind::Versus(_)))
        .collect();
    if related.is_empty() {
        return;
    }
    let asked = spans.map_or(1, <[_]>::len);
    let earlier = take_earlier(gathered, asked);
    let agos = agos(plan, measures);
    for (at, kind) in related {
        match kind {
            MeasureKind::Rate(_) => relate_all(gathered, at, |_, span| {
                let span = spans?.get(span as usize)?;
                Some((span.end - span.start) as f64 / 1_000.0)
            }),
            MeasureKind::Share(_) => {
                let wholes = wholes(gathered, at);
                relate_all(gathered, at, |_, span| wholes.get(&span).copied());
            }
            MeasureKind::Versus(versus) => {
                let back = agos.iter().position(|ago| *ago == versus.ago_ms).unwrap_or_default();
                relate_all(gathered, at, |group, span| {
                    let then = before(*spans?.get(span as usize)?, versus.ago_ms);
                    let is_kept = dropped_before.is_none_or(|dropped| then.start >= dropped);
                    let states = earlier.get(&(group, (asked * (1 + back)) as u32 + span)).filter(|_| is_kept)?;
                    states[at].amount()
                });
            }
            _ => {}
        }
    }
}

/// Before which time not all of these partitions have all panes any more.
pub fn dropped_before(known: &[Known]) -> Option<i64> {
    known.iter().filter_map(|known| known.expired_before).max()
}

/// Divides one measure of every row by what `to` has for its group and window, if it has something.
fn relate_all(gathered: &mut Gathered, at: usize, to: impl Fn(u32, u32) -> Option<f64>) {
    for (&(group, span), states) in &mut gathered.cells {
        if let Some(to) = to(group, span) {
            states[at].relate(to);
        }
    }
}

/// What all rows of each window have of a measure. In the groups' order, because a sum of floats depends on it.
fn wholes(gathered: &Gathered, at: usize) -> BTreeMap<u32, f64> {
    let mut cells: Vec<_> = gathered.cells.iter().map(|(&(group, span), states)| (span, group, states)).collect();
    cells.sort_unstable_by_key(|(span, group, _)| (*span, *group));
    let mut wholes = BTreeMap::new();
    for (span, _, states) in cells {
        *wholes.entry(span).or_default() += states[at].amount().unwrap_or_default();
    }
    wholes
}

/// Takes out the cells of windows beyond the first `asked`.
fn take_earlier(gathered: &mut Gathered, asked: usize) -> FxHashMap<(u32, u32), States> {
    let is_earlier = |&(_, span): &(u32, u32)| span as usize >= asked;
    gathered.cells.extract_if(|at, _| is_earlier(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::samples::{aggregate, plan};
    use crate::aggregate::{KeyBytes, MeasureState};
    use crate::measure::{Occurrence, Sample};
    use std::sync::Arc;

    const SPAN: WindowSpan = WindowSpan { start: 1_000, end: 3_000 };

    /// Rows of keys in windows (position among the spans), of three measures that each have added up this much.
    fn gathered(plan: &AggregatePlan, measures: &[usize], rows: &[(u32, u32, i128)]) -> Gathered {
        let mut gathered = Gathered::default();
        for &(group, span, amount) in rows {
            gathered.groups = (0..3).map(|key: u8| KeyBytes::from([key].as_slice())).collect();
            let state = |&at: &usize| {
                let kind = &plan.measures[at].kind;
                let mut state = MeasureState::empty(kind);
                let sample = Sample { value: amount as f64, nanos: amount * 1_000_000_000 };
                let times = if matches!(kind, MeasureKind::Rate(_)) { amount } else { 1 };
                let event = Occurrence { sample, at: 0, item: b"", total: None };
                (0..times).for_each(|_| state.record(event, kind));
                state
            };
            gathered.cells.insert((group, span), measures.iter().map(state).collect());
        }
        gathered
    }

    fn related() -> (Arc<AggregatePlan>, Vec<usize>) {
        let plan = plan(aggregate()).aggregates[0].clone();
        let position = |name: &str| plan.config.measures.iter().position(|m| m.name == name).unwrap();
        let measures = ["pace", "part", "trend"].map(position).to_vec();
        (plan, measures)
    }

    fn values(gathered: &Gathered, at: (u32, u32)) -> Vec<Option<f64>> {
        gathered.cells[&at].iter().map(MeasureState::own).collect()
    }

    #[test]
    fn a_row_is_related_to_its_window_its_neighbours_and_its_past() {
        let (plan, measures) = related();
        let spans = with_earlier(&plan, &measures, &[SPAN]);
        assert_eq!(spans, [SPAN, WindowSpan { start: 950, end: 2_950 }]);
        let rows = [(0, 0, 6), (1, 0, 2), (0, 1, 4), (2, 1, 9)];
        let mut found = gathered(&plan, &measures, &rows);
        relate(&mut found, &plan, &measures, Some(&[SPAN]), Some(950));
        assert_eq!(values(&found, (0, 0)), [Some(3.0), Some(0.75), Some(1.5)]);
        assert_eq!(values(&found, (1, 0)), [Some(1.0), Some(0.25), None], "it is new");
        assert_eq!(found.cells.len(), 2, "earlier windows are no rows");
        let mut found = gathered(&plan, &measures, &rows);
        relate(&mut found, &plan, &measures, Some(&[SPAN]), Some(951));
        assert_eq!(values(&found, (0, 0)), [Some(3.0), Some(0.75), None], "the past is not whole any more");
    }

    #[test]
    fn totals_have_shares_and_neither_rate_nor_past() {
        let (plan, measures) = related();
        let mut found = gathered(&plan, &measures, &[(0, 0, 1), (1, 0, 3)]);
        relate(&mut found, &plan, &measures, None, None);
        assert_eq!(values(&found, (1, 0)), [None, Some(0.75), None]);
    }
}
