//! What the demo shows, read from the agent's committed state as any query is.

use crate::query::{self, OrderBy, QueryError, Reader, Request};

/// Totals of one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    pub name: String,
    pub requests: u64,
    pub errors: u64,
    /// p50, p95 and p99 of the response times, seconds.
    pub quantiles: [Option<f64>; 3],
}

impl Line {
    /// Errors over requests; zero without any.
    pub fn error_rate(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.errors as f64 / self.requests as f64 }
    }
}

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    pub endpoints: Vec<Line>,
    pub regions: Vec<Line>,
    pub all: Line,
}

impl Numbers {
    /// Reads the aggregates of the example config.
    pub fn read(reader: &Reader) -> Result<Numbers, QueryError> {
        let mut all = lines(reader, "http", Some(Vec::new()))?;
        let mut regions = lines(reader, "http_region", None)?;
        // They are about as frequent as one another, and would change places all the time.
        regions.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Numbers { endpoints: lines(reader, "http", None)?, regions, all: all.pop().unwrap_or_default() })
    }
}

/// Totals, the most frequent first.
fn lines(reader: &Reader, aggregate: &str, group_by: Option<Vec<String>>) -> Result<Vec<Line>, QueryError> {
    let order_by = OrderBy { measure: "requests".into(), stat: String::new(), ascending: false };
    let request = Request { aggregate: aggregate.into(), group_by, order_by: Some(order_by), ..Request::default() };
    let answer = reader.query(&request)?;
    let measure = |name: &str| answer.measures.iter().position(|&at| answer.plan.config.measures[at].name == name);
    let (requests, errors, duration) = (measure("requests"), measure("errors"), measure("duration"));
    let line = |row: query::Row| {
        let count = |at: Option<usize>| at.and_then(|at| row.states[at].count()).unwrap_or(0);
        let quantile = |q| {
            let at = duration?;
            query::quantile(&row.states[at], &answer.plan.measures[answer.measures[at]].kind, q)
        };
        Line {
            name: row.labels.join(" "),
            requests: count(requests),
            errors: count(errors),
            quantiles: [0.5, 0.95, 0.99].map(quantile),
        }
    };
    Ok(answer.rows.into_iter().map(line).collect())
}
