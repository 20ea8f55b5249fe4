//! Numbers as text has them.
//!
//! A number is written as in JSON, but for leading zeros, a plus, and digits on one side of the point only. A decimal comma
//! or a separator of thousands is not guessed.

use super::Value;

/// Powers of ten that a float holds exactly, as far as 18 digits need them.
const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// The number that all of `text` is, but for space around it.
#[inline]
pub fn number(text: &str) -> Option<Value<'_>> {
    let bytes = text.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    let (mut mantissa, mut digits, mut decimals, mut point) = (0u64, 0, 0, false);
    for &byte in &bytes[usize::from(negative)..] {
        match byte {
            b'0'..=b'9' if digits < 18 => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                digits += 1;
                decimals += usize::from(point);
            }
            b'.' if !point => point = true,
            _ => return unusual_number(text.trim_ascii()),
        }
    }
    // One division of exact floats rounds correctly.
    if digits == 0 || (point && mantissa > 1 << 53) {
        return unusual_number(text.trim_ascii());
    }
    let sign = if negative { -1 } else { 1 };
    if !point {
        return Some(Value::Int(sign * mantissa as i64));
    }
    Some(Value::Float(sign as f64 * (mantissa as f64 / POWERS[decimals])))
}

/// What the standard library reads as a number, without its words (`inf`, `NaN`).
#[inline(never)]
fn unusual_number(text: &str) -> Option<Value<'_>> {
    if !text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E')) {
        return None;
    }
    let float = text.parse::<f64>().ok()?;
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.bytes().all(|c| c.is_ascii_digit()) {
        return Some(text.parse().map_or(Value::Digits(text), Value::Int));
    }
    Some(Value::Float(float))
}

/// A number without sign and exponent at the beginning of `text`, and what follows it.
pub fn leading(text: &str) -> Option<(Value<'_>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((number(&text[..end])?, &text[end..]))
}

/// A number with its sign, then one word.
pub fn with_suffix(text: &str) -> Option<(Value<'_>, &str)> {
    let start = usize::from(text.starts_with(['-', '+']));
    let (_, suffix) = leading(&text[start..])?;
    Some((number(&text[..text.len() - suffix.len()])?, suffix.trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_what_a_float_is_written_as_without_words() {
        for (text, value) in [
            ("0", Value::Int(0)),
            ("007", Value::Int(7)),
            ("-12", Value::Int(-12)),
            ("+12", Value::Int(12)),
            (" 12 ", Value::Int(12)),
            ("12.50", Value::Float(12.5)),
            ("-0.1", Value::Float(-0.1)),
            (".5", Value::Float(0.5)),
            ("5.", Value::Float(5.0)),
            ("1e3", Value::Float(1000.0)),
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("9223372036854775808", Value::Digits("9223372036854775808")),
        ] {
            assert_eq!(number(text), Some(value), "{text:?}");
        }
        for text in ["", "-", ".", "1,5", "1 000", "1_000", "0x10", "inf", "NaN", "1e", "--1", "1.2.3", "12ms", "١"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    proptest! {
        /// What the standard library says, for whatever looks like a number.
        #[test]
        fn numbers_are_read_as_floats_are(text in "[ +-]?[0-9]{0,22}[.]?[0-9]{0,22}(e[+-]?[0-9]{1,3})?") {
            let found = match number(&text) {
                Some(Value::Int(n)) => Some(n as f64),
                Some(Value::Float(n)) => Some(n),
                Some(Value::Digits(digits)) => digits.parse().ok(),
                _ => None,
            };
            // There is one zero.
            prop_assert_eq!(found.map(|n| n + 0.0), text.trim_ascii().parse::<f64>().ok().map(|n| n + 0.0));
        }
    }
}
