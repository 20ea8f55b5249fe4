//! Measured numbers, and sums of them that are exact.

use streamgauge_proto::storage::v1 as pb;

/// One measured number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// In the exposed unit.
    pub value: f64,
    /// In billionths of the exposed unit.
    pub nanos: i128,
}

/// A sum in billionths of the exposed unit. Fixed point, so that adding is exact in any order; 120 bits, so that it
/// fits beside its enum's tag. Values are at most 1e18, so that it would take 6e8 of the largest to wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nanos([u8; 15]);

impl Nanos {
    #[inline]
    pub fn new(value: i128) -> Nanos {
        let mut bytes = [0; 15];
        bytes.copy_from_slice(&value.to_le_bytes()[..15]);
        Nanos(bytes)
    }

    #[inline]
    pub fn get(self) -> i128 {
        let mut bytes = [0; 16];
        bytes[1..].copy_from_slice(&self.0);
        // The shift brings the sign back.
        i128::from_le_bytes(bytes) >> 8
    }

    #[inline]
    pub(super) fn add(&mut self, other: i128) {
        *self = Nanos::new(self.get().wrapping_add(other));
    }

    /// In the exposed unit, rounded.
    pub fn to_f64(self) -> f64 {
        nanos_to_f64(self.get())
    }

    pub(super) fn encode(self) -> pb::Nanos {
        nanos_to_proto(self.get())
    }

    pub(super) fn decode(stored: &pb::Nanos) -> Nanos {
        Nanos::new(nanos_from_proto(stored))
    }
}

/// A number without a rounding error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exact {
    Int(u64),
    /// Billionths of the exposed unit.
    Nanos(i128),
}

impl Exact {
    pub fn to_f64(self) -> f64 {
        match self {
            Exact::Int(number) => number as f64,
            Exact::Nanos(nanos) => nanos_to_f64(nanos),
        }
    }
}

/// A sum of billionths in the exposed unit, rounded.
pub fn nanos_to_f64(nanos: i128) -> f64 {
    const NANOS: i128 = 1_000_000_000;
    let (whole, rest) = (nanos / NANOS, nanos % NANOS);
    // One division when it is exact enough, so that 0.1 s stays 0.1 s.
    if nanos.unsigned_abs() < 1 << 53 { nanos as f64 / 1e9 } else { whole as f64 + rest as f64 / 1e9 }
}

pub(super) fn nanos_to_proto(nanos: i128) -> pb::Nanos {
    let zigzag = ((nanos << 1) ^ (nanos >> 127)) as u128;
    pb::Nanos { zigzag_low: zigzag as u64, zigzag_high: (zigzag >> 64) as u64 }
}

pub(super) fn nanos_from_proto(nanos: &pb::Nanos) -> i128 {
    let zigzag = u128::from(nanos.zigzag_high) << 64 | u128::from(nanos.zigzag_low);
    (zigzag >> 1) as i128 ^ -((zigzag & 1) as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_their_sign_and_size() {
        for value in [0, 1, -1, 10i128.pow(27), -(10i128.pow(27)), (1 << 119) - 1, -(1 << 119)] {
            assert_eq!(Nanos::new(value).get(), value);
        }
    }
}
