//! One measured number: exactly where possible, rounded once where not.

use super::reason::Reason;
use crate::measure::Sample;
use crate::value::Value;

/// Larger magnitudes are rejected, so that sums stay far from their range's end.
const MAX_MAGNITUDE: f64 = 1e18;
const NANOS: i64 = 1_000_000_000;

/// What a number is multiplied with to be in the exposed unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Factor {
    numerator: f64,
    denominator: f64,
    /// Billionths of the base unit per unit: a whole number for every unit there is.
    nanos_per_unit: i64,
}

impl Factor {
    /// The base unit times `numerator / denominator`.
    pub const fn times(numerator: i64, denominator: i64) -> Factor {
        Factor {
            numerator: numerator as f64,
            denominator: denominator as f64,
            nanos_per_unit: numerator * (NANOS / denominator),
        }
    }

    /// Converts a number.
    ///
    /// # Errors
    /// Why there is nothing to measure.
    #[inline]
    pub fn of(&self, value: Value<'_>) -> Result<Sample, Reason> {
        match value {
            Value::Float(raw) => {
                let value = self.checked(raw)?;
                Ok(Sample { value, nanos: scale_exactly(raw, self.nanos_per_unit) })
            }
            Value::Int(raw) => {
                let value = self.checked(raw as f64)?;
                Ok(Sample { value, nanos: i128::from(raw) * i128::from(self.nanos_per_unit) })
            }
            Value::Missing | Value::Null => Err(Reason::MissingValue),
            // Beyond what an i64 holds is beyond what is measured.
            Value::Digits(_) => Err(Reason::ValueOutOfRange),
            Value::Bool(_) | Value::Composite | Value::Str(_) => Err(Reason::ValueType),
        }
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

/// `value * factor`, rounded once, half away from zero. For `|value| < 2^63` and `|factor| ≤ 1e15`.
#[inline]
pub(super) fn scale_exactly(value: f64, factor: i64) -> i128 {
    const FRACTION: u64 = (1 << 52) - 1;
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    // |value| = mantissa * 2^(exponent - 1075), but for subnormals, which are nothing here anyway.
    let mantissa = (bits & FRACTION) | (u64::from(exponent != 0) << 52);
    let product = i128::from(mantissa) * i128::from(factor);
    let shift = 1075 - exponent;
    let magnitude = if shift <= 0 {
        // |value| < 2^63, so the shift is at most 10 of a product of at most 103 bits.
        product << -shift
    } else if shift < 127 {
        ((product >> (shift - 1)) + 1) >> 1
    } else {
        0
    };
    if bits >> 63 == 0 { magnitude } else { -magnitude }
}
