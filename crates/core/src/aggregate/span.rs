//! The time between two of an event's fields, to the nanosecond.

use super::reason::Reason;
use super::sample::scale_exactly;
use crate::measure::{Sample, nanos_to_f64};
use crate::value::time::TimeReader;
use crate::value::{Value, number};

/// No time is as far away as this, in whatever unit.
const LARGEST: f64 = 9.2e18;

/// Seconds from one time to another.
#[inline(never)]
pub(super) fn between(from: Value<'_>, to: Value<'_>, times: &TimeReader) -> Result<Sample, Reason> {
    let nanos = nanos(to, times)? - nanos(from, times)?;
    Ok(Sample { value: nanos_to_f64(nanos), nanos })
}

/// Nanoseconds since 1970.
fn nanos(value: Value<'_>, times: &TimeReader) -> Result<i128, Reason> {
    if value.is_nothing() || matches!(value, Value::Str("-")) {
        return Err(Reason::MissingValue);
    }
    let value = match value {
        Value::Str(text) if times.is_numeric() => number::number(text).ok_or(Reason::ValueType)?,
        other => other,
    };
    let Some(unit) = times.unit(value) else {
        return times.nanos(value).ok().flatten().ok_or(Reason::ValueType);
    };
    match value {
        Value::Int(number) => Ok(i128::from(number) * i128::from(unit)),
        // Larger than what is measured: nanoseconds since 1970 are.
        Value::Float(number) if number.abs() < LARGEST => Ok(scale_exactly(number, unit)),
        Value::Float(_) | Value::Digits(_) => Err(Reason::ValueOutOfRange),
        _ => Err(Reason::ValueType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::time::TimeFormat;

    #[test]
    fn the_time_between_two_fields_is_exact_and_signed() {
        let of = |from, to, format| between(from, to, &TimeReader::new(&format));
        let rfc = |from, to| of(Value::Str(from), Value::Str(to), TimeFormat::Rfc3339);
        let sample = rfc("2026-11-20T10:00:00.123456Z", "2026-11-20T11:00:00.223457001+01:00").unwrap();
        assert_eq!((sample.nanos, sample.value), (100_001_001, 0.100_001_001));
        assert_eq!(rfc("2026-11-20T10:00:01Z", "2026-11-20T10:00:00Z").unwrap().value, -1.0);
        assert_eq!(rfc("-", "2026-11-20T10:00:00Z"), Err(Reason::MissingValue));
        assert_eq!(rfc("2026-11-20T10:00:00Z", "soon"), Err(Reason::ValueType));
        let (from, to) = (Value::Int(1_763_657_472_123), Value::Str("1763657472625"));
        assert_eq!(of(from, to, TimeFormat::UnixMillis).unwrap().nanos, 502_000_000);
        assert_eq!(of(from, Value::Float(1_763_657_473.5), TimeFormat::Unix).unwrap().nanos, 1_377_000_000);
        assert_eq!(of(Value::Int(5), Value::Int(7), TimeFormat::UnixMicros).unwrap().nanos, 2_000);
        let (from, to) = (Value::Int(1_712_790_000_100_000_135), Value::Str("1712790000123001495"));
        assert_eq!(of(from, to, TimeFormat::UnixNanos).unwrap().nanos, 23_001_360);
        assert_eq!(of(from, Value::Float(1e19), TimeFormat::UnixNanos), Err(Reason::ValueOutOfRange));
        assert_eq!(of(Value::Null, Value::Int(1), TimeFormat::UnixMillis), Err(Reason::MissingValue));
        assert_eq!(of(Value::Str("x"), Value::Int(1), TimeFormat::UnixMillis), Err(Reason::ValueType));
        let clf = TimeFormat::Clf { zone: "Europe/Berlin".into() };
        let (from, to) = (Value::Str("15/Jun/2026:12:11:18.838"), Value::Str("15/Jun/2026:12:11:19 +0200"));
        assert_eq!(of(from, to, clf).unwrap().nanos, 162_000_000);
    }
}
