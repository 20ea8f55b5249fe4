//! Reads single JSON values in place. `None` means "not the usual", never "wrong": serde_json then decides.
//!
//! What is accepted here, serde_json accepts with the same value; that is what the tests compare.

use super::index::Index;
use crate::value::Value;

/// Deeper than this is left to serde_json, which has a limit of its own.
const MAX_DEPTH: usize = 32;

/// Powers of ten that a float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

const WHOLE_POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// A document and where its strings can end.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a, 'i> {
    text: &'a str,
    pub bytes: &'a [u8],
    index: &'i Index,
}

impl<'a, 'i> Scan<'a, 'i> {
    /// `index` is that of `text`.
    pub fn new(text: &'a str, index: &'i Index) -> Scan<'a, 'i> {
        Scan { text, bytes: text.as_bytes(), index }
    }

    #[inline]
    pub fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    #[inline]
    pub fn space(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte(at) {
            at += 1;
        }
        at
    }

    /// The string that begins after its quote at `at`, if it has no escapes; and what follows it.
    #[inline]
    pub fn plain_string(&self, at: usize) -> Option<(&'a str, usize)> {
        let end = self.index.next(at);
        if self.byte(end)? != b'"' {
            return None;
        }
        Some((self.text.get(at..end)?, end + 1))
    }

    /// Goes past a string that has escapes, and appends its text to `out` if there is one.
    pub fn escaped_string(&self, mut at: usize, mut out: Option<&mut String>) -> Option<usize> {
        loop {
            let stop = self.index.next(at);
            let run = self.text.get(at..stop)?;
            if let Some(out) = &mut out {
                out.push_str(run);
            }
            match self.byte(stop)? {
                b'"' => return Some(stop + 1),
                b'\\' => {
                    let (c, next) = self.escape(stop + 1)?;
                    if let Some(out) = &mut out {
                        out.push(c);
                    }
                    at = next;
                }
                _ => return None,
            }
        }
    }

    /// The escape whose letter stands at `at`.
    fn escape(&self, at: usize) -> Option<(char, usize)> {
        let c = match self.byte(at)? {
            c @ (b'"' | b'\\' | b'/') => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(at + 1),
            _ => return None,
        };
        Some((c, at + 1))
    }

    /// Four hex digits at `at`, or eight with another `\u` between them for what needs a pair of surrogates.
    fn unicode_escape(&self, at: usize) -> Option<(char, usize)> {
        let first = self.hex(at)?;
        if !(0xd800..0xdc00).contains(&first) {
            return Some((char::from_u32(first)?, at + 4));
        }
        if self.bytes.get(at + 4..at + 6)? != br"\u" {
            return None;
        }
        let second = self.hex(at + 6)?;
        let low = second.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
        Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)?, at + 10))
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 4)?;
        digits.iter().try_fold(0, |n, &c| Some(n * 16 + (c as char).to_digit(16)?))
    }

    /// The number at `at` and what follows it.
    #[inline]
    pub fn number(&self, at: usize) -> Option<(Value<'a>, usize)> {
        let negative = self.byte(at)? == b'-';
        let start = at + usize::from(negative);
        let (mantissa, mut end) = self.digits(start, 0);
        let whole = end - start;
        if whole == 0 || (whole > 1 && self.byte(start) == Some(b'0')) {
            return None;
        }
        let mut mantissa = mantissa;
        let mut decimals = 0;
        if self.byte(end) == Some(b'.') {
            (mantissa, end) = self.digits(end + 1, mantissa);
            decimals = end - start - whole - 1;
            if decimals == 0 {
                return None;
            }
        }
        // Up to 18 digits fit the mantissa; and one division of exact floats rounds correctly.
        if whole + decimals > 18 || matches!(self.byte(end), Some(b'e' | b'E')) {
            return self.unusual_number(at, end, decimals > 0);
        }
        if decimals == 0 {
            let value = match (negative, mantissa as i64) {
                (false, n) => Value::Int(n),
                (true, 0) => Value::Float(-0.0),
                (true, n) => Value::Int(-n),
            };
            return Some((value, end));
        }
        if mantissa > 1 << 53 {
            return self.unusual_number(at, end, true);
        }
        let float = mantissa as f64 / POWERS[decimals];
        Some((Value::Float(if negative { -float } else { float }), end))
    }

    /// Continues `n` with the digits at `at`; wraps around after 19 or so.
    #[inline]
    fn digits(&self, mut at: usize, mut n: u64) -> (u64, usize) {
        while let Some(chunk) = self.bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            let (value, count) = leading_digits(u64::from_le_bytes(*chunk));
            n = n.wrapping_mul(WHOLE_POWERS[count]).wrapping_add(value);
            at += count;
            if count < 8 {
                return (n, at);
            }
        }
        while let Some(c @ b'0'..=b'9') = self.byte(at) {
            n = n.wrapping_mul(10).wrapping_add(u64::from(c - b'0'));
            at += 1;
        }
        (n, at)
    }

    /// A number whose digits end at `end`, left to the standard library; perhaps with an exponent.
    #[cold]
    fn unusual_number(&self, at: usize, mut end: usize, mut float: bool) -> Option<(Value<'a>, usize)> {
        if let Some(b'e' | b'E') = self.byte(end) {
            let signed = matches!(self.byte(end + 1), Some(b'+' | b'-'));
            let digits = end + 1 + usize::from(signed);
            (_, end) = self.digits(digits, 0);
            if end == digits {
                return None;
            }
            float = true;
        }
        let text = self.text.get(at..end)?;
        // serde_json refuses what a float cannot hold, digits or not.
        let rounded = text.parse::<f64>().ok().filter(|n| n.is_finite())?;
        let value = match text.parse() {
            _ if float => Value::Float(rounded),
            Ok(n) => Value::Int(n),
            Err(_) => Value::Digits(text),
        };
        Some((value, end))
    }

    /// `true`, `false` or `null` at `at`.
    pub fn word(&self, at: usize) -> Option<(Value<'static>, usize)> {
        let rest = self.bytes.get(at..)?;
        [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
            .into_iter()
            .find(|(word, _)| rest.starts_with(word.as_bytes()))
            .map(|(word, value)| (value, at + word.len()))
    }

    /// Goes past the value at `at`, checking all of it.
    #[inline]
    pub fn skip(&self, at: usize) -> Option<usize> {
        match self.byte(at)? {
            // Most of what nobody wants is text.
            b'"' => self.skip_string(at + 1),
            _ => self.skip_at_depth(at, 0),
        }
    }

    fn skip_at_depth(&self, at: usize, depth: usize) -> Option<usize> {
        match self.byte(at)? {
            b'"' => self.skip_string(at + 1),
            b'-' | b'0'..=b'9' => Some(self.number(at)?.1),
            b'{' => self.skip_members(at + 1, b'}', depth + 1),
            b'[' => self.skip_members(at + 1, b']', depth + 1),
            _ => Some(self.word(at)?.1),
        }
    }

    #[inline]
    fn skip_string(&self, at: usize) -> Option<usize> {
        let end = self.index.next(at);
        if self.byte(end)? == b'"' { Some(end + 1) } else { self.escaped_string(at, None) }
    }

    /// Goes past the rest of an object or array up to and with its `close`.
    fn skip_members(&self, at: usize, close: u8, depth: usize) -> Option<usize> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut at = self.space(at);
        if self.byte(at)? == close {
            return Some(at + 1);
        }
        loop {
            if close == b'}' {
                at = self.key_end(at)?.1;
            }
            at = self.space(self.skip_at_depth(at, depth)?);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                c if c == close => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Where each item of the array at `at` begins, and what follows it.
    pub fn items(&self, at: usize) -> Option<(Vec<usize>, usize)> {
        let mut starts = Vec::new();
        let mut at = self.space(at + 1);
        if self.byte(at)? == b']' {
            return Some((starts, at + 1));
        }
        loop {
            starts.push(at);
            at = self.space(self.skip(at)?);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                b']' => return Some((starts, at + 1)),
                _ => return None,
            }
        }
    }

    /// Whether the field `name` of the object whose brace is before `at` reads `value`; of duplicates the last one counts.
    pub fn reads(&self, at: usize, name: &str, value: &str) -> Option<bool> {
        let (mut at, mut reads) = (self.space(at), false);
        if self.byte(at)? == b'}' {
            return Some(false);
        }
        loop {
            let (key, start) = self.key_end(at)?;
            if key == name {
                reads = self.says(start, value)?;
            }
            at = self.space(self.skip(start)?);
            match self.byte(at)? {
                b',' => at = self.space(at + 1),
                b'}' => return Some(reads),
                _ => return None,
            }
        }
    }

    /// Whether a label made of the value at `at` would be `text`.
    fn says(&self, at: usize, text: &str) -> Option<bool> {
        let value = match self.byte(at)? {
            b'"' => match self.plain_string(at + 1) {
                Some((found, _)) => return Some(found == text),
                None => {
                    let mut found = String::new();
                    self.escaped_string(at + 1, Some(&mut found))?;
                    return Some(found == text);
                }
            },
            b'{' | b'[' => return Some(false),
            b'-' | b'0'..=b'9' => self.number(at)?.0,
            _ => self.word(at)?.0,
        };
        Some(reads(value, text))
    }

    /// The key whose quote stands at `at`, if it has no escapes, and where its value begins.
    pub fn key_end(&self, at: usize) -> Option<(&'a str, usize)> {
        if self.byte(at)? != b'"' {
            return None;
        }
        let (key, next) = self.plain_string(at + 1)?;
        let colon = self.space(next);
        (self.byte(colon)? == b':').then(|| (key, self.space(colon + 1)))
    }
}

/// Whether a label made of `value` would be `text`.
pub(super) fn reads(value: Value<'_>, text: &str) -> bool {
    match value {
        Value::Str(found) | Value::Digits(found) => found == text,
        Value::Int(number) => number.to_string() == text,
        Value::Float(number) => number.to_string() == text,
        Value::Bool(truth) => truth.to_string() == text,
        Value::Missing | Value::Null | Value::Composite => false,
    }
}

/// The number that the digits at the beginning of eight bytes make, and how many they are. Without a loop, as the
/// number of digits is what a processor guesses wrong.
#[inline]
fn leading_digits(chunk: u64) -> (u64, usize) {
    let digits = chunk ^ 0x3030_3030_3030_3030;
    // A byte above 9 gets its high bit set, at least the first of them; carries only reach later bytes.
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let count = others.trailing_zeros() as usize / 8;
    // The digits go to the end, with zeros before them; then neighbours are joined: digits, pairs, fours.
    let aligned = digits.checked_shl(64 - 8 * count as u32).unwrap_or(0);
    let pairs = aligned.wrapping_mul(10).wrapping_add(aligned >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_digits_are_read_to_the_first_other_byte() {
        for (text, value, count) in [
            ("12345678", 12_345_678, 8),
            ("99999999", 99_999_999, 8),
            ("1234567,", 1_234_567, 7),
            ("007, \"99", 7, 3),
            ("9}999999", 9, 1),
            (",1234567", 0, 0),
            ("12/45678", 12, 2),
            ("12:45678", 12, 2),
            ("12\u{7f}\u{7f}5678", 12, 2),
            ("1é345678", 1, 1),
        ] {
            let chunk = u64::from_le_bytes(*text.as_bytes().first_chunk().unwrap());
            assert_eq!(leading_digits(chunk), (value, count), "{text}");
        }
    }
}
