//! Columns with names from the config: `csv`, `tsv`, and `w3c`, whose columns are parted by spaces.

use super::super::error::DecodeError;
use super::super::wanted::{Sink, Wanted};
use super::names::dash;
use super::{Format, not_in};
use crate::value::Value;

/// How the columns of a line are parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// By this character; a value in quotes may have it, and quotes doubled.
    Quoted(char),
    /// By tabs, which no value has.
    Tabs,
    /// By tabs, in a line that has any, else by spaces outside quotes; `-` is no value, and a line that begins with `#` is none.
    W3c,
    /// The same, of a line with tabs.
    W3cTabs,
}

/// Reads lines whose columns have names. A line with fewer columns is not in the format; what stands behind the last named
/// one is nobody's.
#[derive(Debug)]
pub(super) struct Table {
    wanted: Wanted,
    columns: Columns,
    names: Vec<String>,
    nodes: Vec<Option<usize>>,
    /// Those of `date` and `time`, for `timestamp`, which is made of them.
    dated: Option<(usize, usize, usize)>,
    format: &'static str,
}

impl Table {
    pub fn new(wanted: Wanted, columns: Columns, names: &[String], format: &'static str) -> Table {
        let nodes = names.iter().map(|name| wanted.child(0, name)).collect();
        let column = |name: &str| names.iter().position(|known| known == name);
        let made = wanted.child(0, "timestamp").filter(|_| columns == Columns::W3c && column("timestamp").is_none());
        let dated = made.and_then(|node| Some((column("date")?, column("time")?, node)));
        Table { wanted, columns, names: names.to_vec(), nodes, dated, format }
    }

    fn line<'a>(&self, line: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        let columns = match self.columns {
            Columns::W3c if line.contains('\t') => Columns::W3cTabs,
            columns => columns,
        };
        let mut rest = Some(line);
        let (mut date, mut time) = ("", "");
        for (at, node) in self.nodes.iter().enumerate() {
            let start = sink.scratch.len();
            let Column { text, escaped, after } = column(columns, rest?, sink.scratch)?;
            rest = after;
            match *node {
                Some(node) if escaped => sink.set_unescaped(&self.wanted.nodes[node], start),
                Some(node) if self.columns == Columns::W3c => sink.set(&self.wanted.nodes[node], dash(text)),
                Some(node) => sink.set(&self.wanted.nodes[node], Value::Str(text)),
                None => sink.scratch.truncate(start),
            }
            match self.dated {
                Some((at_date, _, _)) if at == at_date => date = text,
                Some((_, at_time, _)) if at == at_time => time = text,
                _ => {}
            }
        }
        if let Some((_, _, node)) = self.dated {
            let start = sink.scratch.len();
            sink.scratch.extend([date, "T", time]);
            sink.set_unescaped(&self.wanted.nodes[node], start);
        }
        Some(())
    }
}

/// The first column of `text`; if quotes in it are doubled, its text goes to `scratch`.
fn column<'a>(columns: Columns, text: &'a str, scratch: &mut String) -> Option<Column<'a>> {
    let parted = |end: usize, width: usize| (end < text.len()).then(|| &text[end + width..]);
    let plain = |end: usize, width: usize| Column { text: &text[..end], escaped: false, after: parted(end, width) };
    let up_to_tab = || plain(text.find('\t').unwrap_or(text.len()), 1);
    match columns {
        Columns::Tabs => Some(up_to_tab()),
        Columns::Quoted(delimiter) => {
            if text.starts_with('"') {
                return quoted(text, scratch, |after| after.strip_prefix(delimiter).map(Some));
            }
            Some(plain(text.find(delimiter).unwrap_or(text.len()), delimiter.len_utf8()))
        }
        Columns::W3cTabs => {
            let start = scratch.len();
            let in_quotes =
                text.starts_with('"').then(|| quoted(text, scratch, |after| after.strip_prefix('\t').map(Some)));
            in_quotes.flatten().or_else(|| {
                // A quote that is a part of the value.
                scratch.truncate(start);
                Some(up_to_tab())
            })
        }
        Columns::W3c => {
            if text.starts_with('"') {
                return quoted(text, scratch, |after| {
                    after.strip_prefix(' ').map(|after| some(after.trim_start_matches(' ')))
                });
            }
            let end = text.find(' ').unwrap_or(text.len());
            let after = parted(end, 1).and_then(|after| some(after.trim_start_matches(' ')));
            (end > 0).then_some(Column { text: &text[..end], escaped: false, after })
        }
    }
}

struct Column<'a> {
    text: &'a str,
    /// The text is at the end of the scratch instead.
    escaped: bool,
    /// What follows the delimiter; `None` behind the last column.
    after: Option<&'a str>,
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The column in quotes that `text` begins with; `part` takes the delimiter off what follows.
fn quoted<'a>(
    text: &'a str,
    scratch: &mut String,
    part: impl Fn(&'a str) -> Option<Option<&'a str>>,
) -> Option<Column<'a>> {
    let mut rest = text.get(1..)?;
    let mut escaped = false;
    let first = rest;
    loop {
        let end = rest.find('"')?;
        let after = &rest[end + 1..];
        if let Some(more) = after.strip_prefix('"') {
            escaped = true;
            scratch.push_str(&rest[..=end]);
            rest = more;
            continue;
        }
        if escaped {
            scratch.push_str(&rest[..end]);
        }
        let after = if after.is_empty() { None } else { part(after)? };
        return Some(Column { text: if escaped { "" } else { &first[..end] }, escaped, after });
    }
}

impl Format for Table {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        if let (Columns::W3c, Some(comment)) = (self.columns, event.strip_prefix('#')) {
            return Err(if self.contradicts(comment) { not_in(self.format, event) } else { DecodeError::Comment });
        }
        if self.heads(event) {
            return Err(DecodeError::Comment);
        }
        self.line(event, sink).ok_or_else(|| not_in(self.format, event))
    }
}

impl Table {
    /// Whether a comment says what stands in the columns, and that one of the config's stands elsewhere: what follows would
    /// be read wrong.
    fn contradicts(&self, comment: &str) -> bool {
        let said = comment.strip_prefix("Fields:").or_else(|| comment.strip_prefix("fields\t"));
        let mut said = said.unwrap_or_default().split_ascii_whitespace().enumerate();
        said.any(|(at, name)| self.names.iter().position(|known| known == name).is_some_and(|known| known != at))
    }

    /// Whether the line is the heading, which says the names again.
    fn heads(&self, line: &str) -> bool {
        let Some(first) = self.names.first().filter(|_| self.columns != Columns::W3c) else { return false };
        if !line.trim_start_matches('"').starts_with(first.as_str()) {
            return false;
        }
        let mut rest = Some(line);
        let mut scratch = String::new();
        self.names.iter().all(|name| {
            scratch.clear();
            let column = rest.and_then(|text| column(self.columns, text, &mut scratch));
            column.is_some_and(|Column { text, escaped, after }| {
                rest = after;
                *name == if escaped { scratch.as_str() } else { text }
            })
        })
    }
}
