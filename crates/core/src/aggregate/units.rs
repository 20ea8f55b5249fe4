//! From a field's number to the exposed unit, whichever way the number is written.

use std::time::Duration;

use super::quantity;
use super::reason::Reason;
use super::sample::Factor;
use crate::config::Unit;
use crate::measure::Sample;
use crate::value::{Value, number};

/// Conversion from one unit to its base unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    factor: Factor,
    dimension: Dimension,
}

/// What a unit is one of: tells which suffixes a value may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    None,
    Time,
    Size,
    Ratio,
}

impl Dimension {
    fn of(unit: Unit) -> Dimension {
        match unit.base_name() {
            "seconds" => Dimension::Time,
            "bytes" => Dimension::Size,
            "ratio" => Dimension::Ratio,
            _ => Dimension::None,
        }
    }
}

impl Scaling {
    pub fn new(unit: Unit) -> Scaling {
        let (numerator, denominator) = unit.factor();
        Scaling { factor: Factor::times(numerator, denominator), dimension: Dimension::of(unit) }
    }

    /// Reads and converts a field's value.
    ///
    /// # Errors
    /// Why there is nothing to measure.
    #[inline]
    pub fn sample(&self, value: Value<'_>) -> Result<Sample, Reason> {
        match value {
            Value::Str(text) => self.text(text),
            other => self.factor.of(other),
        }
    }

    fn text(&self, text: &str) -> Result<Sample, Reason> {
        match number::number(text) {
            Some(number) => self.factor.of(number),
            None => self.quantity(text.trim_ascii()),
        }
    }

    /// A number with a suffix, or what stands for none.
    fn quantity(&self, text: &str) -> Result<Sample, Reason> {
        if matches!(text, "" | "-") {
            return Err(Reason::MissingValue);
        }
        let sample = match self.dimension {
            Dimension::None => None,
            Dimension::Time => quantity::duration(text),
            Dimension::Size => quantity::size(text),
            Dimension::Ratio => quantity::percent(text),
        };
        sample.unwrap_or(Err(Reason::ValueType))
    }
}

/// Whole milliseconds, at most `i64::MAX`.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(unit: Unit, value: Value<'_>) -> i128 {
        Scaling::new(unit).sample(value).unwrap().nanos
    }

    #[test]
    fn integers_convert_exactly() {
        assert_eq!(nanos(Unit::Milliseconds, Value::Int(123)), 123_000_000);
        assert_eq!(nanos(Unit::Nanoseconds, Value::Int(-7)), -7);
        assert_eq!(nanos(Unit::Megabytes, Value::Int(1_000_000_000_000)), 10i128.pow(27));
        assert_eq!(nanos(Unit::Percent, Value::Int(99)), 990_000_000);
        assert_eq!(nanos(Unit::None, Value::Int(999_999_999_999_999_999)), 999_999_999_999_999_999_000_000_000);
    }

    #[test]
    fn decimals_round_to_the_nearest_nano_unit() {
        assert_eq!(nanos(Unit::Milliseconds, Value::Float(123.4)), 123_400_000);
        assert_eq!(nanos(Unit::Seconds, Value::Float(0.1)), 100_000_000);
        assert_eq!(nanos(Unit::Seconds, Value::Float(-0.1)), -100_000_000);
        assert_eq!(nanos(Unit::Nanoseconds, Value::Float(0.5)), 1);
        assert_eq!(nanos(Unit::Nanoseconds, Value::Float(-0.5)), -1);
        assert_eq!(nanos(Unit::Nanoseconds, Value::Float(0.49)), 0);
        assert_eq!(nanos(Unit::Seconds, Value::Float(f64::MIN_POSITIVE / 8.0)), 0);
        assert_eq!(nanos(Unit::None, Value::Float(1e18)), 10i128.pow(27));
    }

    #[test]
    fn what_is_no_usable_number_is_refused() {
        let seconds = Scaling::new(Unit::Seconds);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.1e18, -1.1e18] {
            assert_eq!(seconds.sample(Value::Float(value)), Err(Reason::ValueOutOfRange), "{value}");
        }
        assert_eq!(seconds.sample(Value::Int(i64::MIN)), Err(Reason::ValueOutOfRange));
        assert_eq!(Scaling::new(Unit::Megabytes).sample(Value::Int(1 << 41)), Err(Reason::ValueOutOfRange));
        assert_eq!(seconds.sample(Value::Bool(true)), Err(Reason::ValueType));
        assert_eq!(seconds.sample(Value::Digits("9223372036854775808")), Err(Reason::ValueOutOfRange));
        assert_eq!(seconds.sample(Value::Null), Err(Reason::MissingValue));
        assert_eq!(seconds.sample(Value::Missing), Err(Reason::MissingValue));
    }

    #[test]
    fn there_is_one_zero() {
        let sample = Scaling::new(Unit::Seconds).sample(Value::Float(-0.0)).unwrap();
        assert_eq!(sample.value.to_bits(), 0.0f64.to_bits());
    }
}
