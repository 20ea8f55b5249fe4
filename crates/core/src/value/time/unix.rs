//! Numbers of seconds since 1970, or of a smaller unit.

use super::{BadTime, LAST, in_range};
use crate::value::Value;

/// Times that a log can be of: from 1980 to 2099, Unix milliseconds.
const OURS: std::ops::Range<f64> = 315_532_800_000.0..4_102_444_800_000.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    const ALL: [Unit; 4] = [Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos];

    /// The unit in which a number of our days has this many digits. Each but the first is right from 1973 to 5138; seconds
    /// are from 1970 on.
    pub fn of_magnitude(n: f64) -> Unit {
        match n.abs() {
            n if n < 1e11 => Unit::Seconds,
            n if n < 1e14 => Unit::Millis,
            n if n < 1e17 => Unit::Micros,
            _ => Unit::Nanos,
        }
    }

    pub fn nanos(self) -> i64 {
        match self {
            Unit::Seconds => 1_000_000_000,
            Unit::Millis => 1_000_000,
            Unit::Micros => 1_000,
            Unit::Nanos => 1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Unit::Seconds => "unix_s",
            Unit::Millis => "unix_ms",
            Unit::Micros => "unix_us",
            Unit::Nanos => "unix_ns",
        }
    }

    #[inline]
    pub fn of_int(self, n: i64) -> i64 {
        match self {
            Unit::Seconds => n.saturating_mul(1_000),
            Unit::Millis => n,
            Unit::Micros => n.div_euclid(1_000),
            Unit::Nanos => n.div_euclid(1_000_000),
        }
    }

    /// Seconds are taken to the microsecond first: `1763657472.123` is 2⁻²² or so below itself as a float, and must not
    /// become the millisecond before.
    pub fn of_float(self, n: f64) -> i64 {
        let millis = match self {
            Unit::Seconds => ((n * 1e6).round() / 1e3).floor(),
            Unit::Millis => n.floor(),
            Unit::Micros => (n / 1e3).floor(),
            Unit::Nanos => (n / 1e6).floor(),
        };
        // The cast saturates, which is out of range at both ends.
        millis as i64
    }

    /// The time, unless only another unit makes one of our days of its number.
    #[inline]
    pub fn checked(self, millis: i64, number: f64) -> Result<i64, BadTime> {
        if millis as f64 >= OURS.start && millis <= LAST { Ok(millis) } else { self.doubted(millis, number) }
    }

    #[cold]
    fn doubted(self, millis: i64, number: f64) -> Result<i64, BadTime> {
        let would_be = |unit: &Unit| number * unit.nanos() as f64 / 1e6;
        let other = Unit::ALL.iter().find(|unit| **unit != self && OURS.contains(&would_be(unit)));
        let Some(other) = other.filter(|_| millis >= 0) else { return in_range(millis) };
        let lies = if millis > LAST { "after the year 9999" } else { "in the 1970s" };
        let when = jiff::Timestamp::from_millisecond(would_be(other) as i64).unwrap_or_default();
        Err(BadTime::OtherUnit { lies, unit: other.name(), year: when.to_zoned(jiff::tz::TimeZone::UTC).year() })
    }
}

/// The number that a text is, as logs write times: no space, no plus.
pub(super) fn number(text: &str) -> Option<Value<'_>> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return None;
    }
    if let Ok(whole) = text.parse() {
        return Some(Value::Int(whole));
    }
    text.parse().ok().filter(|n: &f64| n.is_finite()).map(Value::Float)
}
