//! The fields that a format has, and which of them are wanted.

use super::super::wanted::{Sink, Wanted};
use crate::value::Value;

/// Fields of fixed names, by their places.
#[derive(Debug)]
pub(super) struct Names<const N: usize> {
    pub wanted: Wanted,
    nodes: [Option<usize>; N],
}

impl<const N: usize> Names<N> {
    pub fn new(wanted: Wanted, names: [&str; N]) -> Names<N> {
        Names { nodes: names.map(|name| wanted.child(0, name)), wanted }
    }

    /// Whether anybody wants the field at that place.
    #[inline]
    pub fn wants(&self, at: usize) -> bool {
        self.nodes[at].is_some()
    }

    #[inline]
    pub fn set<'a>(&self, at: usize, value: Value<'a>, sink: &mut Sink<'a, '_>) {
        if let Some(node) = self.nodes[at] {
            sink.set(&self.wanted.nodes[node], value);
        }
    }

    /// Sets the field at that place to what `write` appends to the scratch.
    pub fn write(&self, at: usize, sink: &mut Sink<'_, '_>, write: impl FnOnce(&mut String)) {
        if let Some(node) = self.nodes[at] {
            let start = sink.scratch.len();
            write(sink.scratch);
            sink.set_unescaped(&self.wanted.nodes[node], start);
        }
    }
}

/// A text that was cut off a line; `-` is none.
#[inline]
pub(super) fn dash(text: &str) -> Value<'_> {
    if text == "-" { Value::Missing } else { Value::Str(text) }
}

/// The text up to the first space, and what follows that space and those behind it.
#[inline]
pub(super) fn word(text: &str) -> Option<(&str, &str)> {
    if text.is_empty() {
        return None;
    }
    match text.as_bytes().iter().position(|&c| c == b' ') {
        Some(end) => Some((&text[..end], text[end..].trim_start_matches(' '))),
        None => Some((text, "")),
    }
}

/// Where the quote is that ends the text from `start` on, if none with a backslash before it counts.
#[inline]
pub(super) fn quote(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = start;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
