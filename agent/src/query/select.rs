//! From a request's time selection to the windows that answer it. Pure.

use super::closing::Closing;
use super::error::QueryError;
use super::request::{Request, Time};
use crate::aggregate::{AggregatePlan, WindowGrid, WindowSpan};
use std::time::Duration;

/// What a query is about: totals, or these windows, ascending.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    Totals,
    Windows { grid: WindowGrid, spans: Vec<WindowSpan> },
}

impl Selection {
    /// `None`: totals.
    pub fn spans(&self) -> Option<&[WindowSpan]> {
        match self {
            Selection::Totals => None,
            Selection::Windows { spans, .. } => Some(spans),
        }
    }

    pub fn grid(&self) -> Option<WindowGrid> {
        match self {
            Selection::Totals => None,
            Selection::Windows { grid, .. } => Some(*grid),
        }
    }
}

/// Whether a request is about totals, whatever there is in the state.
pub fn is_totals(request: &Request) -> bool {
    request.window.is_none() && request.time.is_none() && request.hop.is_none() && !request.closed_only
}

/// What of event time there is in the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// Highest stream time of any partition.
    pub newest: Option<i64>,
    /// End of the oldest pane.
    pub oldest_end: Option<i64>,
    pub closing: Closing,
}

/// # Errors
/// If a duration is not a multiple of the pane, the selection makes no sense, or it is more than `limit` windows.
pub fn select(request: &Request, plan: &AggregatePlan, extent: Extent, limit: usize) -> Result<Selection, QueryError> {
    let grid = match (request.window, request.time) {
        _ if is_totals(request) => return Ok(Selection::Totals),
        (Some(size), _) => grid(size, request.hop, plan)?,
        (None, Some(Time::Last(length))) => sliding(multiple("last", length, plan)?, plan),
        (None, Some(Time::Range { start, end })) => return whole_range(start, end, request, plan, extent),
        (None, _) => return Err(invalid("last_n, hop and closed_only are about windows: set `window` too")),
    };
    let Some(newest) = extent.newest else { return Ok(Selection::Windows { grid, spans: Vec::new() }) };
    let closed = extent.closing.newest_closed(grid, plan.grace_ms);
    let ends_next = grid.last_end(newest).saturating_add(grid.hop_ms);
    let last = if request.closed_only { closed.unwrap_or(i64::MIN).min(ends_next) } else { ends_next };
    let (after, through) = match request.time {
        None => (last.saturating_sub(1), last),
        Some(Time::LastN(0)) => return Err(invalid("last_n has to be at least 1")),
        Some(Time::LastN(n)) => (last.saturating_sub(i64::from(n).saturating_mul(grid.hop_ms)), last),
        Some(Time::Last(_)) if request.window.is_none() => (last.saturating_sub(1), last),
        Some(Time::Last(length)) => (last.saturating_sub(multiple("last", length, plan)?), last),
        Some(Time::Range { start, end }) => {
            // The last window begins at stream time. One that only events dated ahead are in is told of if its time is
            // asked for.
            let begins_at = |time: i64| grid.last_end(time.saturating_add(grid.size_ms));
            let through = match end {
                _ if request.closed_only => end.unwrap_or(last).min(last),
                Some(end) => end.min(begins_at(newest.saturating_add(plan.ahead_ms))),
                None => begins_at(newest),
            };
            (start.saturating_add(grid.size_ms - 1), through)
        }
    };
    spans(grid, after, through, extent.oldest_end, limit)
}

/// Windows that end in `(after, through]`, but for those that end before the oldest pane does.
pub fn spans(
    grid: WindowGrid,
    after: i64,
    through: i64,
    oldest_end: Option<i64>,
    limit: usize,
) -> Result<Selection, QueryError> {
    let after = after.max(oldest_end.unwrap_or(i64::MIN + 1).saturating_sub(1));
    let spans: Vec<_> = grid.ends(after, through).take(limit + 1).map(|end| grid.span(end)).collect();
    if spans.len() > limit {
        return Err(QueryError::TooManyCells { limit });
    }
    Ok(Selection::Windows { grid, spans })
}

fn grid(size: Duration, hop: Option<Duration>, plan: &AggregatePlan) -> Result<WindowGrid, QueryError> {
    let size_ms = multiple("window", size, plan)?;
    let configured = plan.config.windows.iter().filter(|window| window.size == size).map(|window| window.hop).min();
    let hop_ms = multiple("hop", hop.or(configured).unwrap_or(size), plan)?;
    if hop_ms > size_ms {
        return Err(invalid("hop is longer than the window: events between two windows would be in none"));
    }
    Ok(WindowGrid { size_ms, hop_ms })
}

/// Windows of that length that end with every pane.
fn sliding(size_ms: i64, plan: &AggregatePlan) -> WindowGrid {
    WindowGrid { size_ms, hop_ms: plan.pane_ms }
}

/// One window from start to end, widened to whole panes.
fn whole_range(
    start: i64,
    end: Option<i64>,
    request: &Request,
    plan: &AggregatePlan,
    extent: Extent,
) -> Result<Selection, QueryError> {
    if request.hop.is_some() {
        return Err(invalid("hop is about windows: set `window` too"));
    }
    let floor = |time: i64| time.div_euclid(plan.pane_ms).saturating_mul(plan.pane_ms);
    let start = floor(start);
    let newest_end = extent.newest.map(|newest| floor(newest).saturating_add(plan.pane_ms));
    let Some(end) = end.map(|end| floor(end.saturating_add(plan.pane_ms - 1))).or(newest_end) else {
        return Ok(Selection::Windows { grid: sliding(plan.pane_ms, plan), spans: Vec::new() });
    };
    let size_ms = end.saturating_sub(start);
    if size_ms <= 0 {
        return Err(invalid("range.end has to be after range.start"));
    }
    let grid = sliding(size_ms, plan);
    let closed = extent.closing.newest_closed(grid, plan.grace_ms);
    let left_out = request.closed_only && closed.is_none_or(|closed| end > closed);
    let spans = if left_out { Vec::new() } else { vec![WindowSpan { start, end }] };
    Ok(Selection::Windows { grid, spans })
}

/// Milliseconds of a duration that has to be a multiple of the pane.
fn multiple(what: &'static str, given: Duration, plan: &AggregatePlan) -> Result<i64, QueryError> {
    let pane = plan.config.pane;
    let whole = !given.is_zero() && pane.as_nanos() > 0 && given.as_nanos().is_multiple_of(pane.as_nanos());
    match i64::try_from(given.as_millis()) {
        // Far beyond any retention, and far from overflow.
        Ok(millis) if whole && millis < i64::MAX / 1_000 => Ok(millis),
        _ => Err(QueryError::NotAMultiple { what, given, aggregate: plan.config.name.clone(), pane }),
    }
}

fn invalid(message: &str) -> QueryError {
    QueryError::Invalid(message.to_owned())
}
