//! JSON with what some programs write that is none: halves of surrogate pairs, `NaN` and `Infinity`, and numbers beyond a
//! float's range. It is read when serde_json has refused a document. Such a number is `null`, half a pair `\u{fffd}`.

use super::super::full;
use super::super::wanted::{Sink, Wanted};
use super::walk::Walk;
use crate::value::Value;

/// Reads one document into `sink`. `None`: this is no JSON either.
pub(super) fn read(text: &str, wanted: &Wanted, sink: &mut Sink<'_, '_>) -> Option<()> {
    let mended = mended(text)?;
    let mut values = vec![Value::Missing; sink.values.len()];
    let (mut scratch, mut unescaped) = (String::new(), Vec::new());
    let mut own = Sink { values: &mut values, scratch: &mut scratch, unescaped: &mut unescaped, record_time: None };
    full::read(&mended, wanted, &mut own).ok()?;
    for (slot, range) in unescaped {
        values[slot] = Value::Str(scratch.get(range)?);
    }
    for (slot, value) in values.into_iter().enumerate() {
        let text = match value {
            Value::Missing => continue,
            // Digits as text are the same label, and the same number.
            Value::Str(text) | Value::Digits(text) => text,
            Value::Null => {
                sink.values[slot] = Value::Null;
                continue;
            }
            Value::Bool(value) => {
                sink.values[slot] = Value::Bool(value);
                continue;
            }
            Value::Int(value) => {
                sink.values[slot] = Value::Int(value);
                continue;
            }
            Value::Float(value) => {
                sink.values[slot] = Value::Float(value);
                continue;
            }
            Value::Composite => {
                sink.values[slot] = Value::Composite;
                continue;
            }
        };
        let start = sink.scratch.len();
        sink.scratch.push_str(text);
        sink.unescaped.push((slot, start..sink.scratch.len()));
    }
    Some(())
}

/// The text with `null` for what is no number to JSON, and whole characters for halves; `None` if nothing was to be mended.
pub(in super::super) fn mended(text: &str) -> Option<String> {
    let cursor = Cursor::new(text);
    let mut out = String::with_capacity(text.len() + 16);
    let (mut at, mut copied) = (0, 0);
    let mut changed = false;
    while let Some(byte) = cursor.byte(at) {
        let (end, instead) = match byte {
            b'"' => {
                let end = cursor.string(at, |escape, half| {
                    if half {
                        out.push_str(text.get(copied..escape).unwrap_or_default());
                        out.push_str("\\ufffd");
                        copied = escape + 6;
                        changed = true;
                    }
                })?;
                at = end;
                continue;
            }
            b'N' | b'I' => (cursor.word(at)?, true),
            b'-' | b'0'..=b'9' => {
                let end = cursor.word(at).or_else(|| cursor.number(at))?;
                let number = text.get(at..end)?.parse::<f64>();
                (end, !number.is_ok_and(f64::is_finite))
            }
            _ => (at + 1, false),
        };
        if instead {
            out.push_str(text.get(copied..at)?);
            out.push_str("null");
            copied = end;
            changed = true;
        }
        at = end;
    }
    out.push_str(text.get(copied..)?);
    changed.then_some(out)
}

/// As deep as serde_json goes.
const MAX_DEPTH: usize = 127;

/// A text that is walked through byte by byte.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
}

impl Walk for Cursor<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn space(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte(at) {
            at += 1;
        }
        at
    }

    fn skip(&self, at: usize) -> Option<usize> {
        self.skip_at_depth(at, 0)
    }

    fn key(&self, at: usize, name: &str) -> Option<(bool, usize)> {
        let end = self.string(at, |_, _| {})?;
        let colon = self.space(end);
        let key = self.text.get(at..end)?;
        let same = match key.contains('\\') {
            true => serde_json::from_str::<String>(key).is_ok_and(|key| key == name),
            false => key.get(1..key.len() - 1) == Some(name),
        };
        (self.byte(colon)? == b':').then(|| (same, self.space(colon + 1)))
    }
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text }
    }

    fn skip_at_depth(&self, at: usize, depth: usize) -> Option<usize> {
        match self.byte(at)? {
            b'"' => self.string(at, |_, _| {}),
            b'{' => self.members(at, b'}', depth + 1),
            b'[' => self.members(at, b']', depth + 1),
            b'-' | b'0'..=b'9' | b'N' | b'I' => self.word(at).or_else(|| self.number(at)),
            _ => {
                let rest = self.text.as_bytes().get(at..)?;
                ["true", "false", "null"]
                    .iter()
                    .find(|word| rest.starts_with(word.as_bytes()))
                    .map(|word| at + word.len())
            }
        }
    }

    /// Goes past an object or array up to and with its `close`.
    fn members(&self, at: usize, close: u8, depth: usize) -> Option<usize> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut at = self.space(at + 1);
        if self.byte(at)? == close {
            return Some(at + 1);
        }
        loop {
            if close == b'}' {
                let colon = self.space(self.string(at, |_, _| {})?);
                at = (self.byte(colon)? == b':').then(|| self.space(colon + 1))?;
            }
            at = self.space(self.skip_at_depth(at, depth)?);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                c if c == close => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Goes past what other languages take for a number.
    fn word(&self, at: usize) -> Option<usize> {
        let rest = self.text.as_bytes().get(at..)?;
        let words: [&[u8]; 4] = [b"NaN", b"Infinity", b"-NaN", b"-Infinity"];
        words.iter().find(|word| rest.starts_with(word)).map(|word| at + word.len())
    }

    fn number(&self, at: usize) -> Option<usize> {
        let digits = |mut at: usize| {
            let start = at;
            while self.byte(at).is_some_and(|c| c.is_ascii_digit()) {
                at += 1;
            }
            (at > start).then_some(at)
        };
        let start = at + usize::from(self.byte(at)? == b'-');
        let mut end = digits(start)?;
        if self.byte(start)? == b'0' && end > start + 1 {
            return None;
        }
        if self.byte(end) == Some(b'.') {
            end = digits(end + 1)?;
        }
        if let Some(b'e' | b'E') = self.byte(end) {
            end = digits(end + 1 + usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-'))))?;
        }
        Some(end)
    }

    /// Goes past the string whose quote stands at `at`. `each` is told of every `\u` where it stands, and whether it is
    /// half a pair by itself.
    fn string(&self, at: usize, mut each: impl FnMut(usize, bool)) -> Option<usize> {
        if self.byte(at)? != b'"' {
            return None;
        }
        let mut at = at + 1;
        loop {
            match self.byte(at)? {
                b'"' => return Some(at + 1),
                b'\\' => match self.byte(at + 1)? {
                    b'u' => {
                        let first = self.hex(at + 2)?;
                        let second = match self.text.as_bytes().get(at + 6..at + 8) {
                            Some(br"\u") => self.hex(at + 8),
                            _ => None,
                        };
                        let pair = matches!((first, second), (0xd800..0xdc00, Some(0xdc00..0xe000)));
                        each(at, !pair && (0xd800..0xe000).contains(&first));
                        at += if pair { 12 } else { 6 };
                    }
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                    _ => return None,
                },
                ..0x20 => return None,
                _ => at += 1,
            }
        }
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.as_bytes().get(at..at + 4)?;
        digits.iter().try_fold(0, |n, &c| Some(n * 16 + char::from(c).to_digit(16)?))
    }
}
