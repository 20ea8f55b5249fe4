//! Rows: their order, the first of each window, and pages of them.

use super::error::QueryError;
use super::gather::{Gathered, States};
use super::request::Request;
use super::value::value;
use crate::aggregate::{WindowSpan, is_overflow, labels};
use crate::measure::{MeasureKind, Stat};
use prost::Message;
use std::cmp::Ordering;

/// One row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Values of the labels asked for, in their order; empty for the overflow row.
    pub labels: Vec<String>,
    pub overflow: bool,
    /// `None`: totals.
    pub span: Option<WindowSpan>,
    pub closed: bool,
    /// States of the measures asked for.
    pub states: States,
    /// What it is ordered by.
    rank: Option<f64>,
}

/// How rows are ordered within a window: by one number, then by labels.
#[derive(Clone, Debug)]
pub struct Order {
    /// Position among the measures gathered, its kind, the stat, and whether the smallest comes first.
    pub by: Option<(usize, MeasureKind, Stat, bool)>,
}

impl Order {
    /// Makes rows and orders them: windows ascending.
    pub fn rows(
        &self,
        gathered: Gathered,
        spans: Option<&[WindowSpan]>,
        closed_through: Option<i64>,
        keep: usize,
    ) -> Vec<Row> {
        let groups = gathered.groups;
        let row = |((group, span), states): ((u32, u32), States)| {
            let key = &groups[group as usize];
            let span = spans.map(|spans| spans[span as usize]);
            let rank = self.by.as_ref().and_then(|(at, kind, stat, _)| value(&states[*at], kind, *stat));
            let values = labels(key).unwrap_or_default().into_iter().map(str::to_owned).collect();
            let closed = span.is_some_and(|span| closed_through.is_some_and(|through| span.end <= through));
            // A measure that is gathered only to order by does not show.
            let states = states.into_iter().take(keep).collect();
            Row { labels: values, overflow: is_overflow(key), span, closed, states, rank }
        };
        let mut rows: Vec<Row> = gathered.cells.into_iter().map(row).collect();
        rows.sort_unstable_by(|a, b| self.compare(&a.position(), &b.position()));
        rows
    }

    fn compare(&self, a: &Position, b: &Position) -> Ordering {
        let ascending = self.by.as_ref().is_some_and(|(.., ascending)| *ascending);
        let by_rank = match (a.rank, b.rank) {
            (Some(a), Some(b)) if ascending => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            // Rows without a value come last.
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        let by_labels = || (a.overflow, &a.labels).cmp(&(b.overflow, &b.labels));
        a.window_end.cmp(&b.window_end).then(by_rank).then_with(by_labels)
    }
}

impl Row {
    fn position(&self) -> Position {
        Position {
            window_end: self.span.map_or(0, |span| span.end),
            rank: self.rank,
            overflow: self.overflow,
            labels: self.labels.clone(),
        }
    }
}

/// Keeps the first `limit` rows of each window; rows come by window.
pub fn first_of_each_window(rows: &mut Vec<Row>, limit: usize) {
    let (mut window, mut kept) = (None, 0);
    rows.retain(|row| {
        if window != Some(row.span) {
            (window, kept) = (Some(row.span), 0);
        }
        kept += 1;
        kept <= limit
    });
}

/// Where a row stands in the order.
#[derive(Clone, PartialEq, Message)]
struct Position {
    #[prost(sint64, tag = "1")]
    window_end: i64,
    #[prost(double, optional, tag = "2")]
    rank: Option<f64>,
    #[prost(bool, tag = "3")]
    overflow: bool,
    #[prost(string, repeated, tag = "4")]
    labels: Vec<String>,
}

/// Where the next page begins: after the last row shown, in the same windows, however far event time has come since.
#[derive(Clone, PartialEq, Message)]
pub struct PageToken {
    /// Hash of the request.
    #[prost(fixed64, tag = "1")]
    request: u64,
    /// Ends of the first and the last window.
    #[prost(sint64, tag = "2")]
    pub first_end: i64,
    #[prost(sint64, tag = "3")]
    pub last_end: i64,
    #[prost(message, required, tag = "4")]
    after: Position,
    /// Length of the windows.
    #[prost(sint64, tag = "5")]
    pub size_ms: i64,
}

impl PageToken {
    /// Reads the token of a request; `None` on the first page.
    pub fn of(request: &Request) -> Result<Option<PageToken>, QueryError> {
        if request.page_token.is_empty() {
            return Ok(None);
        }
        let token = unhex(&request.page_token).and_then(|bytes| PageToken::decode(bytes.as_slice()).ok());
        token.filter(|token| token.request == hash(request)).map(Some).ok_or(QueryError::BadPageToken)
    }
}

/// Cuts the page out of all rows; returns the token of the next one, empty on the last.
pub fn page(
    rows: &mut Vec<Row>,
    order: &Order,
    request: &Request,
    token: Option<&PageToken>,
    spans: Option<&[WindowSpan]>,
) -> String {
    if let Some(token) = token {
        rows.retain(|row| order.compare(&row.position(), &token.after) == Ordering::Greater);
    }
    if request.page_size == 0 || rows.len() <= request.page_size {
        return String::new();
    }
    rows.truncate(request.page_size);
    let Some(last) = rows.last() else { return String::new() };
    let (first, through) = (spans.and_then(<[_]>::first), spans.and_then(<[_]>::last));
    let token = PageToken {
        request: hash(request),
        first_end: first.map_or(0, |span| span.end),
        last_end: through.map_or(0, |span| span.end),
        after: last.position(),
        size_ms: first.map_or(0, |span| span.end - span.start),
    };
    hex(&token.encode_to_vec())
}

/// Of everything but the page.
fn hash(request: &Request) -> u64 {
    let same = Request { page_size: 0, page_token: String::new(), ..request.clone() };
    xxhash_rust::xxh3::xxh3_64(format!("{same:?}").as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.1.is_empty().then(|| digits.0.iter().map(byte).collect())?
}
