//! The newest closed window of each kind: gauges, published once for the group.

use super::Series;
use super::text::{Number, Page, label};
use crate::aggregate::{AggregatePlan, Cell, WindowGrid, WindowSpan};
use crate::config::{Stat, Window, format_duration};
use crate::query::{Ask, Closing, Matchers, PartitionStatus, Reader, Source, gather, value};
use std::sync::Arc;

/// One kind of window.
struct Closed {
    /// `window="5m",hop="1m",instance=""`.
    labels: String,
    span: WindowSpan,
    series: Series,
}

/// Writes an aggregate's closed windows if this agent publishes them.
pub fn write(page: &mut Page, reader: &Reader, source: &Source, plan: &AggregatePlan) {
    if !source.publisher(&reader.registry).is_some_and(|task| task.is_published()) {
        return;
    }
    let tasks = source.tasks(&reader.registry);
    let now = reader.clock.unix_millis();
    let status = tasks.iter().map(|task| PartitionStatus::of(task, plan.config.idle_timeout, now).progress());
    let closing = Closing::of(status);
    let complete = source.missing(&reader.registry, &tasks).is_empty() && tasks.iter().all(|task| task.is_published());
    let closed = |window: &Window| {
        let grid = WindowGrid::from(*window);
        let span = grid.span(closing.newest_closed(grid, plan.grace_ms)?);
        let labels = window_labels(window);
        let series = series(plan, span, &labels, &tasks);
        Some(Closed { labels, span, series })
    };
    let windows: Vec<Closed> = plan.config.windows.iter().filter_map(closed).collect();
    if windows.is_empty() {
        return;
    }
    for (at, measure) in plan.config.measures.iter().enumerate() {
        for (stat, family) in plan.config.window_families(measure) {
            page.family(&family);
            for (labels, cell) in windows.iter().flat_map(|window| window.series.iter()) {
                let state = &cell.measures[at];
                // A key without a value of this measure has no sample, rather than a made-up one.
                let number = match (stat, state.count()) {
                    (Stat::Value, Some(count)) => Some(Number::Int(count)),
                    (Stat::Value, None) if state.sum_nanos().is_some() => state.sum_nanos().map(Number::Nanos),
                    _ => value(state, &measure.kind, stat).map(Number::Float),
                };
                if let Some(number) = number {
                    page.sample(&family.name, "", labels, number);
                }
            }
        }
    }
    let end = plan.config.window_end_family();
    page.family(&end);
    for window in &windows {
        page.sample(&end.name, "", &window.labels, Number::Nanos(i128::from(window.span.end) * 1_000_000));
    }
    let family = plan.config.window_complete_family();
    page.family(&family);
    for window in &windows {
        page.sample(&family.name, "", &window.labels, Number::Int(u64::from(complete)));
    }
}

fn window_labels(window: &Window) -> String {
    let mut labels = String::new();
    label(&mut labels, "window", &format_duration(window.size));
    labels.push(',');
    label(&mut labels, "hop", &format_duration(window.hop));
    labels.push(',');
    label(&mut labels, "instance", "");
    labels
}

fn series(plan: &AggregatePlan, span: WindowSpan, more: &str, tasks: &[Arc<crate::state::Task>]) -> Series {
    let mut series = Series::default();
    let Ok(matchers) = Matchers::new(&[], plan) else { return series };
    let measures: Vec<usize> = (0..plan.measures.len()).collect();
    let spans = [span];
    let ask = Ask {
        plan,
        spans: Some(&spans),
        matchers: &matchers,
        group_by: None,
        measures: &measures,
        limit: usize::MAX,
    };
    let Ok(gathered) = gather(&ask, tasks) else { return series };
    let mut rows: Vec<_> = gathered.cells.into_iter().map(|((group, _), states)| (group as usize, states)).collect();
    rows.sort_unstable_by(|(a, _), (b, _)| gathered.groups[*a].cmp(&gathered.groups[*b]));
    for (group, measures) in rows {
        series.push(plan, &gathered.groups[group], more, Arc::new(Cell { measures, last_seen: i64::MIN }));
    }
    series
}
