//! The `/metrics` page: totals, closed windows, and what Streamgauge tells of itself.
//!
//! Totals and windows go on as the same series when a partition moves to another agent: they carry an empty `instance`,
//! which with `honor_labels: true` in the scrape config takes the place of the agent's own. They show only under a lease.

mod cluster;
mod format;
mod own;
mod own_families;
mod page;
mod point;
mod protobuf;
mod text;
mod totals;
mod windows;

#[cfg(test)]
mod tests;

pub use format::{Format, accepts_gzip};
pub use own_families::{OwnFamily, OwnValue};
pub use point::{Number, Style};
pub use windows::number as window_number;

use crate::aggregate::{AggregatePlan, Cell, is_overflow, labels};
use crate::cluster::View;
use crate::config::Histograms;
use crate::publish::Publisher;
use crate::query::{States, aggregates};
use crate::telemetry::{Metrics, ProcessStats};
use own_families::families;
use page::{Labels, Page};
use std::io::{self, Write};
use std::sync::Arc;

/// Writes the page as of the last commits, piece by piece. No lock is held while `sink` takes one.
///
/// # Errors
/// If `sink` fails.
pub fn render(
    publisher: &Publisher,
    metrics: &Metrics,
    cluster: &View,
    process: Option<&ProcessStats>,
    style: Style,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(style, sink);
    for (inputs, plan) in aggregates(&publisher.reader().sources.now()) {
        totals::write(&mut page, publisher, inputs, plan);
        windows::write(&mut page, publisher, inputs, plan);
    }
    own::write(&mut page, publisher);
    cluster::write(&mut page, cluster);
    let since = process.map(|process| (process.start_seconds * 1_000.0) as i64);
    page.own(families(&metrics.encode(process)), since);
    page.finish()
}

/// What this agent tells of itself and of its cluster, as values.
pub fn own_families(
    publisher: &Publisher,
    metrics: &Metrics,
    view: &View,
    process: Option<&ProcessStats>,
) -> Vec<OwnFamily> {
    let mut encoded = Vec::new();
    let style = Style { format: Format::Protobuf, histograms: Histograms::Classic, created: false };
    let mut page = Page::new(style, &mut encoded);
    own::write(&mut page, publisher);
    cluster::write(&mut page, view);
    // Writing to a vector cannot fail.
    let _ = page.finish();
    encoded.extend(metrics.encode(process));
    families(&encoded)
}

/// Cells to show, each with its labels, which are written once and used by every family.
#[derive(Debug)]
struct Series {
    labels: Labels,
    cells: Vec<Shown>,
}

#[derive(Debug)]
struct Shown {
    /// Where its labels end.
    end: usize,
    cell: Arc<Cell>,
    /// When what it counts began, Unix milliseconds.
    since: Option<i64>,
}

impl Series {
    fn new(format: Format) -> Series {
        Series { labels: Labels::new(format), cells: Vec::new() }
    }

    /// Adds a cell; `more` are labels besides the aggregate's own, already written.
    fn push(&mut self, plan: &AggregatePlan, key: &[u8], more: &Labels, cell: Arc<Cell>, since: Option<i64>) {
        let values = labels(key).unwrap_or_default();
        if is_overflow(key) {
            self.labels.push("otel_metric_overflow", "true");
        }
        for (by, value) in plan.config.by.iter().zip(values) {
            self.labels.push(&by.label, value);
        }
        self.labels.append(more);
        self.cells.push(Shown { end: self.labels.end(), cell, since });
    }

    /// Adds merged states; `since`: when what they count began, Unix milliseconds.
    fn push_states(&mut self, plan: &AggregatePlan, key: &[u8], more: &Labels, states: &States, since: Option<i64>) {
        let cell = Cell { measures: states.iter().cloned().collect(), last_seen: i64::MIN, since: 0 };
        self.push(plan, key, more, Arc::new(cell), since);
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &Shown)> {
        let mut start = 0;
        self.cells.iter().map(move |shown| {
            let labels = &self.labels.bytes[start..shown.end];
            start = shown.end;
            (labels, shown)
        })
    }

    fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}
