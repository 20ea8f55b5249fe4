//! CEF, the events of security products: a heading of seven fields, and keys with values behind it.

use super::super::error::DecodeError;
use super::super::wanted::{Sink, Wanted};
use super::{Format, not_in};
use crate::value::Value;

const HEADING: [&str; 7] =
    ["cefVersion", "deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity"];

/// `CEF:0|vendor|product|version|id|name|severity|key=value key=value`, perhaps with syslog's heading before it.
#[derive(Debug)]
pub(super) struct Cef(pub Wanted);

impl Cef {
    fn fields<'a>(&self, event: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        let start = event.find("CEF:")?;
        let mut rest = event.get(start + 4..)?;
        for name in HEADING {
            let end = pipe(rest)?;
            self.set(name, rest[..end].trim(), false, sink);
            rest = &rest[end + 1..];
        }
        self.extension(rest, sink)
    }

    /// Keys and values. A value goes on until the next key, so that it may have spaces.
    fn extension<'a>(&self, text: &'a str, sink: &mut Sink<'a, '_>) -> Option<()> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Some(());
        }
        let mut equals = equals(rest, 0)?;
        let mut key = rest.get(..equals).filter(|key| is_key(key))?;
        loop {
            let value = &rest[equals + 1..];
            let mut from = 0;
            // The next `=` that has a key before it.
            let next = loop {
                let Some(at) = self::equals(value, from) else { break None };
                // A key has no `=` in it, so that it is looked for behind the last one.
                let begin = value[from..at].rfind(' ').map(|space| from + space + 1);
                match begin.filter(|&begin| is_key(&value[begin..at])) {
                    Some(begin) => break Some((begin, at)),
                    None => from = at + 1,
                }
            };
            let Some((begin, at)) = next else {
                self.set(key, value.trim_end(), true, sink);
                return Some(());
            };
            self.set(key, value[..begin].trim_end(), true, sink);
            key = &value[begin..at];
            rest = value;
            equals = at;
        }
    }

    fn set<'a>(&self, key: &str, text: &'a str, extension: bool, sink: &mut Sink<'a, '_>) {
        let Some(node) = self.0.child(0, key) else { return };
        let place = &self.0.nodes[node];
        if !text.contains('\\') {
            return sink.set(place, Value::Str(text));
        }
        let start = sink.scratch.len();
        unescape(text, extension, sink.scratch);
        sink.set_unescaped(place, start);
    }
}

/// Where the next `|` is that has no backslash before it.
fn pipe(text: &str) -> Option<usize> {
    unescaped(text, 0, b'|')
}

fn equals(text: &str, from: usize) -> Option<usize> {
    unescaped(text, from, b'=')
}

fn unescaped(text: &str, mut at: usize, wanted: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            &byte if byte == wanted => return Some(at),
            _ => at += 1,
        }
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-' | b'[' | b']'))
}

fn unescape(text: &str, extension: bool, out: &mut String) {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, characters.as_str().chars().next()) {
            ('\\', Some(next @ ('\\' | '|' | '='))) => {
                out.push(next);
                characters.next();
            }
            ('\\', Some('n' | 'r')) if extension => {
                out.push('\n');
                characters.next();
            }
            (c, _) => out.push(c),
        }
    }
}

impl Format for Cef {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        self.fields(event, sink).ok_or_else(|| not_in("cef", event))
    }
}
