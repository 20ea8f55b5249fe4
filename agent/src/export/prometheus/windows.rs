//! The newest closed window of each kind: gauges, published once for the group.

use super::page::{Labels, Page};
use super::point::{Number, Point};
use super::{Format, Series};
use crate::aggregate::{AggregatePlan, WindowSpan};
use crate::config::{Measure, Window, format_duration};
use crate::measure::{MeasureState, Ranked, Stat, Total};
use crate::publish::{ClosedWindow, Publisher};
use crate::query::{Inputs, value};

/// One kind of window.
struct Closed {
    /// `window="5m",hop="1m",instance=""`.
    labels: Labels,
    span: WindowSpan,
    series: Series,
    is_whole: bool,
}

/// Writes an aggregate's closed windows if this agent publishes them.
pub fn write(page: &mut Page<'_>, publisher: &Publisher, inputs: &Inputs, plan: &AggregatePlan) {
    let Some(newest) = publisher.closed_windows(inputs, plan) else { return };
    let format = page.style.format;
    let closed = |closed: &ClosedWindow| {
        let labels = window_labels(&closed.window, format);
        let mut series = Series::new(format);
        closed.rows.iter().for_each(|(key, states)| series.push_states(plan, key, &labels, states, None));
        Closed { labels, span: closed.span, series, is_whole: closed.is_whole }
    };
    let windows: Vec<Closed> = newest.iter().map(closed).collect();
    if windows.is_empty() {
        return;
    }
    for (at, measure) in plan.config.measures.iter().enumerate() {
        write_measure(page, plan, &windows, at, measure);
    }
    let end = plan.config.window_end_family();
    page.family(end);
    for window in &windows {
        let end = Number::Nanos(i128::from(window.span.end) * 1_000_000);
        page.point(&window.labels.bytes, None, &Point::Value(end));
    }
    page.family(plan.config.window_complete_family());
    for window in &windows {
        page.point(&window.labels.bytes, None, &Point::Value(Number::Int(u64::from(window.is_whole))));
    }
}

fn write_measure(page: &mut Page<'_>, plan: &AggregatePlan, windows: &[Closed], at: usize, measure: &Measure) {
    for (stat, family) in plan.config.window_families(measure) {
        page.family(family);
        for (labels, shown) in windows.iter().flat_map(|window| window.series.iter()) {
            if let Total::Ranking(top) = shown.cell.measures[at].total() {
                for Ranked { item, weight } in top.ranked().0 {
                    let labels = Labels::with(page.style.format, labels, (&measure.label, &item));
                    page.point(&labels.bytes, None, &Point::Value(weight.into()));
                }
                continue;
            }
            // A key without a value of this measure has no sample, rather than a made-up one.
            if let Some(number) = number(&shown.cell.measures[at], measure, stat) {
                page.point(labels, None, &Point::Value(number));
            }
        }
    }
}

/// Counts and sums exactly, everything else as a float.
pub fn number(state: &MeasureState, measure: &Measure, stat: Stat) -> Option<Number> {
    if let Total::Sum(number) = state.total_of(stat) {
        return Some(number.into());
    }
    value(state, &measure.kind, stat).map(Number::Float)
}

fn window_labels(window: &Window, format: Format) -> Labels {
    let (size, hop) = (format_duration(window.size), format_duration(window.hop));
    Labels::of(format, &[("window", &size), ("hop", &hop), ("instance", "")])
}
