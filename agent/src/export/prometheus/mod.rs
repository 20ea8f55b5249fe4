//! The `/metrics` page: totals, closed windows, and what Streamgauge tells of itself.
//!
//! Totals and windows go on as the same series when a partition moves to another agent: they carry an empty `instance`,
//! which with `honor_labels: true` in the scrape config takes the place of the agent's own. They show only under a lease.

mod cluster;
mod own;
mod text;
mod totals;
mod windows;

#[cfg(test)]
mod tests;

pub use text::Format;

use crate::aggregate::{AggregatePlan, Cell, WindowSpan, is_overflow, labels};
use crate::cluster::View;
use crate::query::{Ask, Gathered, Matchers, Reader, aggregates, gather};
use crate::state::Task;
use crate::telemetry::{Metrics, ProcessStats};
use std::sync::Arc;
use text::Page;

/// Writes the page as of the last commits.
pub fn render(
    reader: &Reader,
    metrics: &Metrics,
    cluster: &View,
    process: Option<&ProcessStats>,
    format: Format,
) -> String {
    let mut page = Page::new(format);
    for (source, plan) in aggregates(&reader.sources.now()) {
        totals::write(&mut page, reader, source, plan);
        windows::write(&mut page, reader, source, plan);
    }
    own::write(&mut page, reader);
    cluster::write(&mut page, cluster);
    page.openmetrics(&metrics.encode(process));
    page.finish()
}

/// Cells to show, each with its labels, which are written once and used by every family.
#[derive(Debug, Default)]
struct Series {
    /// `name="value",…` of all series, one after the other.
    text: String,
    /// Where each one's labels end, and its cell.
    cells: Vec<(usize, Arc<Cell>)>,
}

impl Series {
    /// Adds a cell; `more` are labels besides the aggregate's own, already written.
    fn push(&mut self, plan: &AggregatePlan, key: &[u8], more: &str, cell: Arc<Cell>) {
        let values = labels(key).unwrap_or_default();
        if is_overflow(key) {
            text::label(&mut self.text, "otel_metric_overflow", "true");
            self.text.push(',');
        }
        for (by, value) in plan.config.by.iter().zip(values) {
            text::label(&mut self.text, &by.label, value);
            self.text.push(',');
        }
        self.text.push_str(more);
        self.cells.push((self.text.len(), cell));
    }

    /// Merges the tasks' totals, or their panes in `span`, into one cell per key.
    fn merged(plan: &AggregatePlan, span: Option<WindowSpan>, more: &str, tasks: &[Arc<Task>]) -> Series {
        let mut series = Series::default();
        let measures: Vec<usize> = (0..plan.measures.len()).collect();
        let spans = span.as_slice();
        let ask = Ask {
            plan,
            spans: span.is_some().then_some(spans),
            matchers: &Matchers::default(),
            group_by: None,
            measures: &measures,
            limit: usize::MAX,
        };
        // Without a limit nothing is refused.
        let Ok(Gathered { groups, cells, .. }) = gather(&ask, tasks) else { return series };
        let mut rows: Vec<_> =
            cells.into_iter().map(|((group, _), measures)| (&groups[group as usize], measures)).collect();
        rows.sort_unstable_by_key(|&(key, _)| key);
        for (key, measures) in rows {
            series.push(plan, key, more, Arc::new(Cell { measures, last_seen: i64::MIN }));
        }
        series
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &Cell)> {
        let mut start = 0;
        self.cells.iter().map(move |(end, cell)| {
            let labels = &self.text[start..*end];
            start = *end;
            (labels, cell.as_ref())
        })
    }

    fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}
