//! Why a query is refused. Every message says what to do.

use crate::config::format_duration;
use std::time::Duration;

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum QueryError {
    #[error("no aggregate `{name}`; there are: {}", list(known))]
    UnknownAggregate { name: String, known: Vec<String> },
    #[error("aggregate `{aggregate}` has no label `{label}`; it has: {}", list(known))]
    UnknownLabel { label: String, aggregate: String, known: Vec<String> },
    #[error("aggregate `{aggregate}` has no measure `{measure}`; it has: {}", list(known))]
    UnknownMeasure { measure: String, aggregate: String, known: Vec<String> },
    #[error("`{label}`: not a regular expression: {problem}")]
    BadRegex { label: String, problem: String },
    #[error("{what} is {}, which is not a multiple of the pane of `{aggregate}`: use a multiple of {}",
        format_duration(*given), format_duration(*pane))]
    NotAMultiple { what: &'static str, given: Duration, aggregate: String, pane: Duration },
    #[error("{0}")]
    Invalid(String),
    #[error(
        "the answer has more than {limit} cells: narrow it with matchers, fewer windows or group_by, \
         or raise limits.query_cells"
    )]
    TooManyCells { limit: usize },
    #[error("page_token does not belong to this query; ask for the first page again")]
    BadPageToken,
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
