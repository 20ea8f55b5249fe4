//! A field's value becomes a time. Finer times are cut off to the millisecond they lie in.
//!
//! Numbers may also stand in strings (`"1763657472123"`): several log shippers quote them, and nothing is ambiguous.

mod clf;
mod format;
mod parts;
mod text;
mod unix;
mod zone;

use super::Value;
use text::{Iso8601, Pattern};
use unix::Unit;
use zone::Zone;

pub use format::TimeFormat;
pub use text::{pattern_problem, utc_millis};
pub use zone::{is_abbreviation, is_zone, zone_names};

/// 9999-12-31T23:59:59.999Z: the last millisecond that RFC 3339 can write.
pub const LAST: i64 = 253_402_300_799_999;

/// Why a value is no event time; reads on from "field `x` …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    #[error("is {found}, but {expected} is expected")]
    WrongType { found: &'static str, expected: Box<str> },
    #[error("is `{text}`, which is not {expected}")]
    Unparsable { text: Box<str>, expected: Box<str> },
    #[error("is `{text}`, which the pattern of `match` does not match")]
    NoMatch { text: Box<str> },
    #[error("is in the zone `{zone}`, which is none or more than one: say which one is meant with `zone`")]
    UnclearZone { zone: Box<str> },
    #[error("lies {lies}, but as `{unit}` in {year}: is the time's format right?")]
    OtherUnit { lies: &'static str, unit: &'static str, year: i16 },
    #[error("lies before 1970")]
    Before1970,
    #[error("lies after the year 9999: is the time's format right?")]
    After9999,
}

/// Reads times that are written in one way.
#[derive(Clone, Debug)]
pub struct TimeReader {
    way: Way,
    expected: Box<str>,
}

#[derive(Clone, Debug)]
enum Way {
    Unix(Unit),
    /// The unit that makes a time of our days of the number.
    Magnitude,
    Rfc3339,
    Iso8601(Iso8601),
    Clf(Zone),
    Pattern(Box<Pattern>),
}

impl TimeReader {
    /// A reader of a checked format.
    pub fn new(format: &TimeFormat) -> TimeReader {
        let zone = |name: &str| Zone::named(name).unwrap_or_default();
        let way = match format {
            TimeFormat::UnixSeconds => Way::Unix(Unit::Seconds),
            TimeFormat::UnixMillis => Way::Unix(Unit::Millis),
            TimeFormat::UnixMicros => Way::Unix(Unit::Micros),
            TimeFormat::UnixNanos => Way::Unix(Unit::Nanos),
            TimeFormat::Unix => Way::Magnitude,
            TimeFormat::Rfc3339 => Way::Rfc3339,
            TimeFormat::Iso8601 { zone: name } => Way::Iso8601(Iso8601::new(zone(name))),
            TimeFormat::Clf { zone: name } => Way::Clf(zone(name)),
            TimeFormat::Pattern { pattern, zone: name } => Way::Pattern(Box::new(Pattern::new(pattern, zone(name)))),
        };
        TimeReader { way, expected: expected(format).into() }
    }

    /// The time `value` names, in Unix milliseconds; `value` is neither missing nor null.
    ///
    /// # Errors
    /// Why it is none.
    #[inline]
    pub fn millis(&self, value: Value<'_>) -> Result<i64, BadTime> {
        match (&self.way, value) {
            (Way::Unix(unit), Value::Int(n)) => unit.checked(unit.of_int(n), n as f64),
            (Way::Rfc3339, Value::Str(text)) => match utc_millis(text.as_bytes()) {
                Some(millis) => in_range(millis),
                None => self.unusual(value),
            },
            _ => self.unusual(value),
        }
    }

    #[inline(never)]
    fn unusual(&self, value: Value<'_>) -> Result<i64, BadTime> {
        match (&self.way, value) {
            (Way::Unix(unit), Value::Float(n)) => unit.checked(unit.of_float(n), n),
            (Way::Magnitude, Value::Int(n)) => in_range(Unit::of_magnitude(n as f64).of_int(n)),
            (Way::Magnitude, Value::Float(n)) => in_range(Unit::of_magnitude(n).of_float(n)),
            (Way::Unix(_) | Way::Magnitude, Value::Digits(digits)) => {
                self.unusual(Value::Float(digits.parse().unwrap_or(f64::INFINITY)))
            }
            (Way::Unix(_) | Way::Magnitude, Value::Str(text)) => match unix::number(text) {
                Some(number) => self.millis(number),
                None => Err(self.unparsable(text)),
            },
            (_, Value::Str(text)) => in_range(floor_millis(self.text_nanos(text)?)),
            (_, other) => Err(self.wrong_type(other)),
        }
    }

    /// The time `value` names, in nanoseconds since 1970; `None` for a number, whose unit is [`TimeReader::unit`].
    ///
    /// # Errors
    /// Why a text is no time.
    pub fn nanos(&self, value: Value<'_>) -> Result<Option<i128>, BadTime> {
        match (&self.way, value) {
            (Way::Unix(_) | Way::Magnitude, _) => Ok(None),
            (_, Value::Str(text)) => self.text_nanos(text).map(Some),
            (_, other) => Err(self.wrong_type(other)),
        }
    }

    /// Whether what it reads are numbers.
    pub fn is_numeric(&self) -> bool {
        matches!(self.way, Way::Unix(_) | Way::Magnitude)
    }

    /// How many billionths of a second the unit of a number is; `None` for what is no number.
    pub fn unit(&self, value: Value<'_>) -> Option<i64> {
        match (&self.way, value) {
            (Way::Unix(unit), _) => Some(unit.nanos()),
            (Way::Magnitude, Value::Int(n)) => Some(Unit::of_magnitude(n as f64).nanos()),
            (Way::Magnitude, Value::Float(n)) => Some(Unit::of_magnitude(n).nanos()),
            (Way::Magnitude, Value::Digits(_)) => Some(1),
            _ => None,
        }
    }

    fn text_nanos(&self, text: &str) -> Result<i128, BadTime> {
        let found = match &self.way {
            Way::Unix(_) | Way::Magnitude => None,
            Way::Rfc3339 => text::rfc3339(text),
            Way::Iso8601(iso) => iso.read(text)?,
            Way::Clf(zone) => clf::read(text, zone),
            Way::Pattern(pattern) => pattern.read(text)?,
        };
        found.ok_or_else(|| self.unparsable(text))
    }

    #[cold]
    fn wrong_type(&self, value: Value<'_>) -> BadTime {
        let found = match value {
            Value::Missing | Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Digits(_) | Value::Float(_) => "a number",
            Value::Str(_) => "a string",
            Value::Composite => "an array or object",
        };
        BadTime::WrongType { found, expected: self.expected.clone() }
    }

    #[cold]
    fn unparsable(&self, text: &str) -> BadTime {
        BadTime::Unparsable { text: shown(text), expected: self.expected.clone() }
    }
}

/// A text, as much of it as a message has room for.
pub fn shown(text: &str) -> Box<str> {
    text.chars().take(40).flat_map(char::escape_debug).collect::<String>().into()
}

/// Checks that a time lies in 1970–9999.
#[inline]
pub fn in_range(millis: i64) -> Result<i64, BadTime> {
    match millis {
        ..0 => Err(BadTime::Before1970),
        0..=LAST => Ok(millis),
        _ => Err(BadTime::After9999),
    }
}

fn floor_millis(nanos: i128) -> i64 {
    i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

fn expected(format: &TimeFormat) -> String {
    match format {
        TimeFormat::UnixSeconds => "a number of seconds since 1970".into(),
        TimeFormat::UnixMillis => "a number of milliseconds since 1970".into(),
        TimeFormat::UnixMicros => "a number of microseconds since 1970".into(),
        TimeFormat::UnixNanos => "a number of nanoseconds since 1970".into(),
        TimeFormat::Unix => "a number of seconds, or of a smaller unit, since 1970".into(),
        TimeFormat::Rfc3339 => "an RFC 3339 time such as 2025-11-20T16:57:52.123Z".into(),
        TimeFormat::Iso8601 { .. } => "an ISO 8601 time such as 2025-11-20T16:57:52.123".into(),
        TimeFormat::Clf { .. } => "a time such as 20/Nov/2025:16:57:52 +0000".into(),
        TimeFormat::Pattern { pattern, .. } => format!("a time written as `{pattern}`"),
    }
}

#[cfg(test)]
mod tests;
