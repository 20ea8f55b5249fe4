//! What can be asked.

use super::matcher::Matcher;
use std::time::Duration;

/// One query.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub aggregate: String,
    pub matchers: Vec<Matcher>,
    /// `None`: totals, or one window as long as the stretch of time asked for.
    pub window: Option<Duration>,
    /// `None`: as the config has it for this window, else tumbling.
    pub hop: Option<Duration>,
    pub time: Option<Time>,
    pub closed_only: bool,
    /// None: all.
    pub measures: Vec<String>,
    /// `None`: every key is a row.
    pub group_by: Option<Vec<String>>,
    pub order_by: Option<OrderBy>,
    /// First rows of each window to keep; 0: all.
    pub limit: usize,
    /// Rows in an answer; 0: all.
    pub page_size: usize,
    /// Empty: the first page.
    pub page_token: String,
}

/// Which windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Time {
    /// The newest, this many.
    LastN(u32),
    /// The stretch that ends with the newest pane.
    Last(Duration),
    /// Unix milliseconds; without an end: up to the newest pane.
    Range { start: i64, end: Option<i64> },
}

/// Order of the rows within a window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderBy {
    pub measure: String,
    /// `count`, `sum`, `min`, `max`, `avg`, `p99` …; empty: the measure's own value.
    pub stat: String,
    pub ascending: bool,
}
