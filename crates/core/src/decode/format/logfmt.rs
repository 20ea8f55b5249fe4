//! logfmt: `level=info msg="request handled" took=12ms`.

use super::super::error::DecodeError;
use super::super::wanted::{Sink, Wanted};
use super::names::quote;
use super::{Format, not_in};
use crate::value::Value;

/// Keys and values; a key by itself is true. A line without any `=` is no logfmt.
#[derive(Debug)]
pub(super) struct Logfmt(pub Wanted);

impl Logfmt {
    fn pairs<'a>(&self, line: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        let space = |c: char| c <= ' ';
        let mut rest = line.trim_start_matches(space);
        let mut any = false;
        while !rest.is_empty() {
            let end = rest.find(|c| c <= ' ' || c == '=' || c == '"').unwrap_or(rest.len());
            let key = &rest[..end];
            rest = &rest[end..];
            let node = self.0.child(0, key);
            match rest.strip_prefix('=') {
                Some(value) if !key.is_empty() => {
                    any = true;
                    rest = self.value(value, node, sink)?;
                }
                None if !key.is_empty() && !rest.starts_with('"') => {
                    if let Some(node) = node {
                        sink.set(&self.0.nodes[node], Value::Bool(true));
                    }
                }
                _ => return None,
            }
            rest = rest.trim_start_matches(space);
        }
        any.then_some(())
    }

    /// Reads the value at the beginning of `text`; gives what follows it.
    fn value<'a>(&self, text: &'a str, node: Option<usize>, sink: &mut Sink<'a, '_>) -> Option<&'a str> {
        let Some(quoted) = text.strip_prefix('"') else {
            let end = text.find(|c| c <= ' ').unwrap_or(text.len());
            if text[..end].contains('"') {
                return None;
            }
            if let Some(node) = node {
                sink.set(&self.0.nodes[node], Value::Str(&text[..end]));
            }
            return Some(&text[end..]);
        };
        let end = quote(quoted, 0)?;
        let (value, rest) = (&quoted[..end], &quoted[end + 1..]);
        if !rest.is_empty() && !rest.starts_with(|c| c <= ' ') {
            return None;
        }
        let Some(node) = node else { return Some(rest) };
        if value.contains('\\') {
            let start = sink.scratch.len();
            unescape(value, sink.scratch);
            sink.set_unescaped(&self.0.nodes[node], start);
        } else {
            sink.set(&self.0.nodes[node], Value::Str(value));
        }
        Some(rest)
    }
}

/// Go's escapes, or JSON's; what is none stays as it is.
fn unescape(text: &str, out: &mut String) {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let rest = characters.as_str();
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('u') => match rest.get(1..5).and_then(hex) {
                Some(c) => {
                    out.push(c);
                    characters = rest[5..].chars();
                }
                None => out.push_str("\\u"),
            },
            Some(c @ ('"' | '\\' | '/')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
}

fn hex(digits: &str) -> Option<char> {
    let all = digits.bytes().all(|c| c.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| all).and_then(char::from_u32)
}

impl Format for Logfmt {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        self.pairs(event, sink).ok_or_else(|| not_in("logfmt", event))
    }
}
