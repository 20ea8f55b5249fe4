//! From a field's number to the exposed unit: exactly where possible, rounded once where not.

use super::event::Value;
use super::quantity;
use super::reason::Reason;
use crate::config::Unit;

/// Larger magnitudes are rejected, so that sums stay far from their range's end.
const MAX_MAGNITUDE: f64 = 1e18;
const NANOS: i64 = 1_000_000_000;

/// One measured number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// In the exposed unit.
    pub value: f64,
    /// In billionths of the exposed unit.
    pub nanos: i128,
}

/// Conversion from one unit to its base unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    numerator: f64,
    denominator: f64,
    /// Billionths of the base unit per unit: a whole number for every unit there is.
    nanos_per_unit: i64,
    dimension: Dimension,
}

/// What a unit is one of: tells which suffixes a value may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
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
        Scaling { dimension: Dimension::of(unit), ..Scaling::times(numerator, denominator) }
    }

    /// The base unit times `numerator / denominator`.
    pub(super) const fn times(numerator: i64, denominator: i64) -> Scaling {
        Scaling {
            numerator: numerator as f64,
            denominator: denominator as f64,
            nanos_per_unit: numerator * (NANOS / denominator),
            dimension: Dimension::None,
        }
    }

    /// Reads and converts a field's value.
    ///
    /// # Errors
    /// Why there is nothing to measure.
    #[inline]
    pub fn sample(&self, value: Value<'_>) -> Result<Sample, Reason> {
        match value {
            Value::Float(raw) => {
                let value = self.checked(raw)?;
                Ok(Sample { value, nanos: scale_exactly(raw, self.nanos_per_unit) })
            }
            Value::Int(raw) => {
                let value = self.checked(raw as f64)?;
                Ok(Sample { value, nanos: i128::from(raw) * i128::from(self.nanos_per_unit) })
            }
            Value::Str(text) => self.text(text),
            Value::Missing | Value::Null => Err(Reason::MissingValue),
            // Beyond what an i64 holds is beyond what is measured.
            Value::Digits(_) => Err(Reason::ValueOutOfRange),
            Value::Bool(_) | Value::Composite => Err(Reason::ValueType),
        }
    }

    fn text(&self, text: &str) -> Result<Sample, Reason> {
        match quantity::number(text) {
            Some(Value::Str(_)) | None => self.quantity(text.trim_ascii()),
            Some(number) => self.sample(number),
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

    /// The value in the exposed unit. One of the factor's sides is always 1, so this rounds once.
    #[inline]
    fn checked(&self, raw: f64) -> Result<f64, Reason> {
        let value = raw * self.numerator / self.denominator;
        // NaN fails both comparisons. Adding zero turns -0 into 0: there is one zero, whatever the order of merging.
        if raw.abs() <= MAX_MAGNITUDE && value.abs() <= MAX_MAGNITUDE {
            Ok(value + 0.0)
        } else {
            Err(Reason::ValueOutOfRange)
        }
    }
}

/// `value * factor`, rounded once, half away from zero. For `|value| ≤ 1e18` and `|factor| ≤ 1e15`.
#[inline]
fn scale_exactly(value: f64, factor: i64) -> i128 {
    const FRACTION: u64 = (1 << 52) - 1;
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    // |value| = mantissa * 2^(exponent - 1075), but for subnormals, which are nothing here anyway.
    let mantissa = (bits & FRACTION) | (u64::from(exponent != 0) << 52);
    let product = i128::from(mantissa) * i128::from(factor);
    let shift = 1075 - exponent;
    let magnitude = if shift <= 0 {
        // |value| ≤ 1e18 < 2^60, so the shift is at most 7 of a product of at most 103 bits.
        product << -shift
    } else if shift < 127 {
        ((product >> (shift - 1)) + 1) >> 1
    } else {
        0
    };
    if bits >> 63 == 0 { magnitude } else { -magnitude }
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
