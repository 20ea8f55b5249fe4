//! Numbers and quantities as text has them: `12.5`, `231.02ms`, `1h2m3.5s`, `PT1.5S`, `1.5MiB`.
//!
//! A number is written as in JSON, but for leading zeros, a plus, and digits on one side of the point only. A decimal comma
//! or a separator of thousands is not guessed.

use super::event::Value;
use super::measure::nanos_to_f64;
use super::reason::Reason;
use super::units::{Sample, Scaling};

/// Powers of ten that a float holds exactly, as far as 18 digits need them.
const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

const NANOSECOND: Scaling = Scaling::times(1, 1_000_000_000);
const MICROSECOND: Scaling = Scaling::times(1, 1_000_000);
const MILLISECOND: Scaling = Scaling::times(1, 1_000);
const SECOND: Scaling = Scaling::times(1, 1);
const MINUTE: Scaling = Scaling::times(60, 1);
const HOUR: Scaling = Scaling::times(3_600, 1);
const DAY: Scaling = Scaling::times(86_400, 1);

const BYTE: Scaling = Scaling::times(1, 1);
const KILO: Scaling = Scaling::times(1_000, 1);
const MEGA: Scaling = Scaling::times(1_000_000, 1);
const KIBI: Scaling = Scaling::times(1 << 10, 1);
const MEBI: Scaling = Scaling::times(1 << 20, 1);

const PERCENT: Scaling = Scaling::times(1, 100);

/// The number that all of `text` is, but for space around it.
#[inline]
pub(super) fn number(text: &str) -> Option<Value<'_>> {
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
fn leading(text: &str) -> Option<(Value<'_>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((number(&text[..end])?, &text[end..]))
}

/// A number with its sign, then one word.
fn with_suffix(text: &str) -> Option<(Value<'_>, &str)> {
    let start = usize::from(text.starts_with(['-', '+']));
    let (_, suffix) = leading(&text[start..])?;
    Some((number(&text[..text.len() - suffix.len()])?, suffix.trim_ascii_start()))
}

type Read = Option<Result<Sample, Reason>>;

/// A duration as Go writes it (`1h2m3.5s`, `231.02ms`), or ISO 8601 (`PT1.5S`); `None` if it is none.
pub(super) fn duration(text: &str) -> Read {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let parts = match unsigned.strip_prefix('P') {
        Some(rest) => iso_parts(rest)?,
        None => go_parts(unsigned)?,
    };
    let mut sum = Sample { value: 0.0, nanos: 0 };
    for (number, unit) in &parts {
        match unit.sample(*number) {
            Ok(part) => sum = Sample { value: sum.value + part.value, nanos: sum.nanos + part.nanos },
            Err(reason) => return Some(Err(reason)),
        }
    }
    // Of several parts the sum of floats would have rounded more than once.
    let value = if parts.len() > 1 { nanos_to_f64(sum.nanos) } else { sum.value };
    let sign = if negative { -1 } else { 1 };
    Some(Ok(Sample { value: f64::from(sign) * value + 0.0, nanos: i128::from(sign) * sum.nanos }))
}

type Parts<'a> = Vec<(Value<'a>, Scaling)>;

fn go_parts(mut text: &str) -> Option<Parts<'_>> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let (number, rest) = leading(text)?;
        let rest = rest.trim_ascii_start();
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        parts.push((number, time_unit(&rest[..end])?));
        text = &rest[end..];
    }
    (!parts.is_empty()).then_some(parts)
}

fn time_unit(suffix: &str) -> Option<Scaling> {
    Some(match suffix {
        "ns" => NANOSECOND,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// What follows the `P`. Years and months have no length.
fn iso_parts(text: &str) -> Option<Parts<'_>> {
    let (days, time) = text.split_once('T').unwrap_or((text, ""));
    let mut parts = Vec::new();
    for (mut rest, units) in [(days, &[('W', 7), ('D', 1)][..]), (time, &[('H', 3_600), ('M', 60), ('S', 1)][..])] {
        let mut units = units.iter();
        while !rest.is_empty() {
            let (number, after) = leading(rest)?;
            let mut characters = after.chars();
            let unit = characters.next()?;
            // Larger ones come first, each at most once.
            let &(unit, length) = units.find(|(letter, _)| *letter == unit)?;
            let scaling = match unit {
                'W' | 'D' if length == 7 => Scaling::times(7 * 86_400, 1),
                'W' | 'D' => DAY,
                'H' => HOUR,
                'M' => MINUTE,
                _ => SECOND,
            };
            parts.push((number, scaling));
            rest = characters.as_str();
        }
    }
    (!parts.is_empty()).then_some(parts)
}

/// A size: `12kB`, `1.5MiB`; `None` if it is none.
pub(super) fn size(text: &str) -> Read {
    let (number, suffix) = with_suffix(text)?;
    // Beyond mega, a billionth of a byte times the factor would not fit; nobody measures billionths of terabytes.
    let (factor, unit) = match suffix {
        "B" => (1, BYTE),
        "kB" | "KB" => (1, KILO),
        "MB" => (1, MEGA),
        "GB" => (1_000, MEGA),
        "TB" => (1_000_000, MEGA),
        "KiB" => (1, KIBI),
        "MiB" => (1, MEBI),
        "GiB" => (1 << 10, MEBI),
        "TiB" => (1 << 20, MEBI),
        _ => return None,
    };
    let number = match number {
        Value::Int(whole) => whole.checked_mul(factor).map_or(Value::Float(f64::INFINITY), Value::Int),
        Value::Float(number) => Value::Float(number * factor as f64),
        other => other,
    };
    Some(unit.sample(number))
}

/// A share: `12.5%`; `None` if it is none.
pub(super) fn percent(text: &str) -> Read {
    let (number, suffix) = with_suffix(text)?;
    (suffix == "%").then(|| PERCENT.sample(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Unit;

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

    fn nanos(unit: Unit, text: &str) -> Result<i128, Reason> {
        Scaling::new(unit).sample(Value::Str(text)).map(|sample| sample.nanos)
    }

    #[test]
    fn a_duration_is_read_where_the_unit_is_of_time() {
        for (text, expected) in [
            ("231.023586ms", 231_023_586),
            ("1.263337456s", 1_263_337_456),
            ("1h2m3.5s", 3_723_500_000_000),
            ("-1.5s", -1_500_000_000),
            ("12 ms", 12_000_000),
            ("5us", 5_000),
            ("5µs", 5_000),
            ("5μs", 5_000),
            ("7ns", 7),
            ("0.055s", 55_000_000),
            ("PT1.5S", 1_500_000_000),
            ("-PT1M", -60_000_000_000),
            ("P1DT2H3M4.25S", 93_784_250_000_000),
            ("P2W", 1_209_600_000_000_000),
        ] {
            assert_eq!(nanos(Unit::Milliseconds, text), Ok(expected), "{text}");
            assert_eq!(nanos(Unit::Bytes, text), Err(Reason::ValueType), "{text}");
            assert_eq!(nanos(Unit::None, text), Err(Reason::ValueType), "{text}");
        }
        for text in ["5", "1.5.5s", "s", "5x", "5s3", "P", "PT", "P1Y", "PT1S1H", "1,5s", "1e3s", "5 s s", "ms5"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(nanos(Unit::Seconds, "1e18h"), Err(Reason::ValueType));
        assert_eq!(nanos(Unit::Seconds, "1000000000000000000h"), Err(Reason::ValueOutOfRange));
    }

    #[test]
    fn a_size_or_a_share_is_read_where_the_unit_is_one() {
        let byte = 1_000_000_000;
        for (text, bytes) in [
            ("12kB", 12_000),
            ("12 KB", 12_000),
            ("1.5MiB", 1_572_864),
            ("2GB", 2_000_000_000),
            ("1.5GiB", 1_610_612_736),
            ("1TiB", 1 << 40),
            ("7B", 7),
        ] {
            assert_eq!(nanos(Unit::Kilobytes, text), Ok(bytes * byte), "{text}");
            assert_eq!(nanos(Unit::Seconds, text), Err(Reason::ValueType), "{text}");
        }
        assert_eq!(nanos(Unit::Percent, "12.5%"), Ok(125_000_000));
        assert_eq!(nanos(Unit::Percent, "12.5"), Ok(125_000_000));
        assert_eq!(nanos(Unit::Bytes, "9000000000TiB"), Err(Reason::ValueOutOfRange));
    }

    #[test]
    fn a_plain_number_in_text_has_the_measures_unit_and_nothing_is_no_value() {
        assert_eq!(nanos(Unit::Milliseconds, "12.5"), Ok(12_500_000));
        for text in ["", "-", " ", " - "] {
            assert_eq!(nanos(Unit::Milliseconds, text), Err(Reason::MissingValue), "{text:?}");
        }
        assert_eq!(nanos(Unit::Milliseconds, "n/a"), Err(Reason::ValueType));
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
