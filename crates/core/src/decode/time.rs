//! A timestamp field's value becomes Unix milliseconds. Finer times are cut off to the millisecond they lie in.
//!
//! Numbers may also stand in strings (`"1763657472123"`): several log shippers quote them, and nothing is ambiguous.

use crate::aggregate::Value;
use crate::config::TimeFormat;

/// 9999-12-31T23:59:59.999Z: the last millisecond that RFC 3339 can write.
const LAST: i64 = 253_402_300_799_999;

/// Why a value is no event time; reads on from "field `x` …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    #[error("is {found}, but {expected} is expected")]
    WrongType { found: &'static str, expected: &'static str },
    #[error("is `{text}`, which is not {expected}")]
    Unparsable { text: Box<str>, expected: &'static str },
    #[error("lies before 1970")]
    Before1970,
    #[error("lies after the year 9999: is the time's format right?")]
    After9999,
}

/// The time `value` names, in Unix milliseconds; `value` is neither missing nor null.
pub(super) fn to_millis(value: Value<'_>, format: TimeFormat) -> Result<i64, BadTime> {
    match (format, value) {
        (TimeFormat::Rfc3339, Value::Str(text)) => rfc3339(text),
        (TimeFormat::Rfc3339, other) => Err(wrong_type(other, format)),
        (_, Value::Int(n)) => in_range(from_int(n, format)),
        (_, Value::Float(n)) => from_float(n, format),
        (_, Value::Str(text)) => from_text(text, format),
        (_, other) => Err(wrong_type(other, format)),
    }
}

/// Checks that a time lies in 1970–9999.
pub(super) fn in_range(millis: i64) -> Result<i64, BadTime> {
    match millis {
        ..0 => Err(BadTime::Before1970),
        0..=LAST => Ok(millis),
        _ => Err(BadTime::After9999),
    }
}

fn from_int(n: i64, format: TimeFormat) -> i64 {
    match format {
        TimeFormat::UnixSeconds => n.saturating_mul(1_000),
        TimeFormat::UnixNanos => n.div_euclid(1_000_000),
        TimeFormat::UnixMillis | TimeFormat::Rfc3339 => n,
    }
}

/// Seconds are taken to the microsecond first: `1763657472.123` is 2⁻²² or so below itself as a float, and must not
/// become the millisecond before.
fn from_float(n: f64, format: TimeFormat) -> Result<i64, BadTime> {
    let millis = match format {
        TimeFormat::UnixSeconds => ((n * 1e6).round() / 1e3).floor(),
        TimeFormat::UnixNanos => (n / 1e6).floor(),
        TimeFormat::UnixMillis | TimeFormat::Rfc3339 => n.floor(),
    };
    // The cast saturates, and in_range refuses both ends.
    in_range(millis as i64)
}

fn from_text(text: &str, format: TimeFormat) -> Result<i64, BadTime> {
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    if let (true, Ok(n)) = (numeric, text.parse::<i64>()) {
        return in_range(from_int(n, format));
    }
    match text.parse::<f64>() {
        Ok(n) if numeric && n.is_finite() => from_float(n, format),
        _ => Err(unparsable(text, format)),
    }
}

fn rfc3339(text: &str) -> Result<i64, BadTime> {
    if let Some(millis) = utc(text.as_bytes()) {
        return in_range(millis);
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => in_range(time.as_nanosecond().div_euclid(1_000_000) as i64),
        Err(_) => Err(unparsable(text, TimeFormat::Rfc3339)),
    }
}

/// The usual form, `2025-11-20T16:57:52Z` with up to nine decimals; `None` for all else, right or wrong.
fn utc(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let marks = [head[4], head[7], head[10], head[13], head[16]];
    if marks != *b"--T::" {
        return None;
    }
    let two = |at: usize| digits(&head[at..at + 2]);
    let (year, month, day) = (digits(&head[..4])?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let millis = decimals(tail)?;
    valid.then(|| ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + millis)
}

/// Milliseconds in what follows the seconds: `Z`, or a point, one to nine digits and `Z`.
fn decimals(tail: &[u8]) -> Option<i64> {
    let tail = tail.strip_suffix(b"Z")?;
    if tail.is_empty() {
        return Some(0);
    }
    let fraction = tail.strip_prefix(b".").filter(|f| (1..=9).contains(&f.len()))?;
    digits(fraction)?;
    Some(fraction.iter().chain(b"00").take(3).fold(0, |n, &c| n * 10 + i64::from(c - b'0')))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, &c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counting years from March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719_468 days lie between 0000-03-01 and 1970-01-01; (153 m + 2) / 5 are the days of m months from March on.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

fn wrong_type(value: Value<'_>, format: TimeFormat) -> BadTime {
    let found = match value {
        Value::Missing | Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::Digits(_) | Value::Float(_) => "a number",
        Value::Str(_) => "a string",
        Value::Composite => "an array or object",
    };
    BadTime::WrongType { found, expected: expected(format) }
}

fn unparsable(text: &str, format: TimeFormat) -> BadTime {
    let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    BadTime::Unparsable { text: shown.into(), expected: expected(format) }
}

fn expected(format: TimeFormat) -> &'static str {
    match format {
        TimeFormat::UnixSeconds => "a number of seconds since 1970",
        TimeFormat::UnixMillis => "a number of milliseconds since 1970",
        TimeFormat::UnixNanos => "a number of nanoseconds since 1970",
        TimeFormat::Rfc3339 => "an RFC 3339 time such as 2025-11-20T16:57:52.123Z",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TimeFormat::{Rfc3339, UnixMillis, UnixNanos, UnixSeconds};
    use proptest::prelude::*;

    #[test]
    fn every_format_names_the_same_millisecond() {
        let expect = 1_763_657_872_123;
        for (value, format) in [
            (Value::Int(expect), UnixMillis),
            (Value::Float(1_763_657_872_123.9), UnixMillis),
            (Value::Str("1763657872123"), UnixMillis),
            (Value::Float(1_763_657_872.123), UnixSeconds),
            (Value::Float(1_763_657_872.123_999), UnixSeconds),
            (Value::Str("1763657872.123"), UnixSeconds),
            (Value::Int(1_763_657_872_123_999_999), UnixNanos),
            (Value::Float(1.763_657_872_123_5e18), UnixNanos),
            (Value::Str("2025-11-20T16:57:52.123Z"), Rfc3339),
            (Value::Str("2025-11-20T16:57:52.123999999Z"), Rfc3339),
            (Value::Str("2025-11-20T17:57:52.123+01:00"), Rfc3339),
            (Value::Str("2025-11-20t16:57:52.123z"), Rfc3339),
        ] {
            assert_eq!(to_millis(value, format), Ok(expect), "{value:?} {format:?}");
        }
    }

    #[test]
    fn what_is_no_time_says_why() {
        for (value, format) in [
            (Value::Bool(true), UnixMillis),
            (Value::Composite, UnixSeconds),
            (Value::Int(1), Rfc3339),
            (Value::Str("yesterday"), Rfc3339),
            (Value::Str("2025-02-29T00:00:00Z"), Rfc3339),
            (Value::Str("2025-11-20T16:57:52.Z"), Rfc3339),
            (Value::Str(""), UnixMillis),
            (Value::Str("inf"), UnixMillis),
            (Value::Str("NaN"), UnixMillis),
            (Value::Str("-inf"), UnixMillis),
            (Value::Str("12 "), UnixMillis),
        ] {
            let why = to_millis(value, format).unwrap_err();
            assert!(matches!(why, BadTime::WrongType { .. } | BadTime::Unparsable { .. }), "{value:?}: {why}");
        }
    }

    #[test]
    fn only_1970_to_9999_are_times() {
        assert_eq!(to_millis(Value::Int(-1), UnixNanos), Err(BadTime::Before1970));
        assert_eq!(to_millis(Value::Str("1969-12-31T23:59:59.999Z"), Rfc3339), Err(BadTime::Before1970));
        assert_eq!(to_millis(Value::Int(i64::MAX), UnixSeconds), Err(BadTime::After9999));
        assert_eq!(to_millis(Value::Float(1e300), UnixMillis), Err(BadTime::After9999));
        assert_eq!(to_millis(Value::Float(-1e300), UnixMillis), Err(BadTime::Before1970));
        assert_eq!(to_millis(Value::Int(0), UnixMillis), Ok(0));
        assert_eq!(to_millis(Value::Str("9999-12-31T23:59:59.999Z"), Rfc3339), Ok(LAST));
    }

    proptest! {
        #[test]
        fn the_short_way_to_read_utc_agrees_with_the_long_one(millis in 0..=LAST, decimals in 0usize..=9) {
            let time = jiff::Timestamp::from_millisecond(millis).unwrap();
            let text = format!("{time:.*}", decimals);
            let parsed: jiff::Timestamp = text.parse().unwrap();
            prop_assert_eq!(utc(text.as_bytes()), Some(parsed.as_millisecond()), "{}", text);
        }

        #[test]
        fn the_short_way_takes_nothing_that_the_long_one_refuses(
            date in "[0-2][09][0-9]{2}-[01][0-9]-[0-3][0-9]",
            time in r"T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?Z",
        ) {
            let text = date + &time;
            if let Some(millis) = utc(text.as_bytes()) {
                let parsed = text.parse::<jiff::Timestamp>().map(|time| time.as_nanosecond().div_euclid(1_000_000));
                prop_assert_eq!(parsed.ok(), Some(millis.into()), "{}", text);
            }
        }
    }
}
