//! The time between two of an event's fields, to the nanosecond.

use super::event::Value;
use super::measure::nanos_to_f64;
use super::reason::Reason;
use super::units::{Sample, Scaling};
use crate::config::{TimeFormat, Unit};

/// Seconds from one time to another.
#[inline(never)]
pub(super) fn between(from: Value<'_>, to: Value<'_>, format: TimeFormat) -> Result<Sample, Reason> {
    let nanos = nanos(to, format)? - nanos(from, format)?;
    Ok(Sample { value: nanos_to_f64(nanos), nanos })
}

/// Nanoseconds since 1970.
fn nanos(value: Value<'_>, format: TimeFormat) -> Result<i128, Reason> {
    let unit = match format {
        TimeFormat::UnixSeconds => Unit::Seconds,
        TimeFormat::UnixMillis => Unit::Milliseconds,
        TimeFormat::UnixNanos => Unit::Nanoseconds,
        TimeFormat::Rfc3339 => {
            return match value {
                Value::Missing | Value::Null | Value::Str("" | "-") => Err(Reason::MissingValue),
                Value::Str(text) => match text.parse::<jiff::Timestamp>() {
                    Ok(time) => Ok(time.as_nanosecond()),
                    Err(_) => Err(Reason::ValueType),
                },
                _ => Err(Reason::ValueType),
            };
        }
    };
    // A time is a quantity of that unit; and a nanosecond a billionth of the base unit.
    Scaling::new(unit).sample(value).map(|sample| sample.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_two_fields_is_exact_and_signed() {
        let rfc = |from, to| between(Value::Str(from), Value::Str(to), TimeFormat::Rfc3339);
        let sample = rfc("2026-11-20T10:00:00.123456Z", "2026-11-20T11:00:00.223457001+01:00").unwrap();
        assert_eq!((sample.nanos, sample.value), (100_001_001, 0.100_001_001));
        assert_eq!(rfc("2026-11-20T10:00:01Z", "2026-11-20T10:00:00Z").unwrap().value, -1.0);
        assert_eq!(rfc("-", "2026-11-20T10:00:00Z"), Err(Reason::MissingValue));
        assert_eq!(rfc("2026-11-20T10:00:00Z", "soon"), Err(Reason::ValueType));
        let millis = between(Value::Int(1_763_657_472_123), Value::Str("1763657472625"), TimeFormat::UnixMillis);
        assert_eq!(millis.unwrap().nanos, 502_000_000);
        assert_eq!(between(Value::Null, Value::Int(1), TimeFormat::UnixMillis), Err(Reason::MissingValue));
    }
}
