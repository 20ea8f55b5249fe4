//! Which bucket a number is in: base-2 exponential buckets, upper bounds inclusive.
//!
//! All of it is integer arithmetic on the number's bits and a table, so that every platform agrees to the bit, and a
//! coarser scale's index is the finer one's, shifted.

/// The finest scale, Prometheus' finest schema: 256 buckets per power of two.
pub const MAX_SCALE: i32 = 8;
/// The coarsest scale that is accepted. Every finite number fits into 160 buckets at -4 already.
pub const MIN_SCALE: i32 = -10;

const STEPS: usize = 1 << MAX_SCALE;
const FRACTION_BITS: u32 = 52;
const FRACTION: u64 = (1 << FRACTION_BITS) - 1;
const BIAS: i32 = 1023;

/// Fraction bits of `2^(k / 256)` for each k, rounded to the nearest; two sentinels that nothing exceeds.
const BOUNDARIES: [u64; STEPS + 2] = boundaries();
/// For each value of a fraction's first eight bits: how many boundaries above the first lie below all such fractions.
const FIRST: [u8; STEPS] = first();

const fn boundaries() -> [u64; STEPS + 2] {
    // 2^(1/2), 2^(1/4), … 2^(1/256), with 63 bits after the point: each the root of the one before.
    let mut roots = [0u64; MAX_SCALE as usize];
    let mut square: u128 = 2 << 63;
    let mut i = 0;
    while i < roots.len() {
        roots[i] = (square << 63).isqrt() as u64;
        square = roots[i] as u128;
        i += 1;
    }
    let mut table = [u64::MAX; STEPS + 2];
    let mut k = 0;
    while k < STEPS {
        let mut power: u128 = 1 << 63;
        let mut bit = 0;
        while bit < roots.len() {
            if k & (STEPS >> (bit + 1)) != 0 {
                power = (power * roots[bit] as u128) >> 63;
            }
            bit += 1;
        }
        table[k] = (((power + (1 << 10)) >> 11) as u64) & FRACTION;
        k += 1;
    }
    table
}

const fn first() -> [u8; STEPS] {
    let mut table = [0; STEPS];
    let mut top = 0;
    while top < STEPS {
        let lowest = (top as u64) << (FRACTION_BITS - 8);
        let mut k = 0;
        while BOUNDARIES[k + 1] < lowest {
            k += 1;
        }
        table[top] = k as u8;
        top += 1;
    }
    table
}

/// Index at [`MAX_SCALE`] of the bucket `(2^(i/256), 2^((i+1)/256)]` that holds `value`, a finite number above 0.
#[inline]
pub fn index(value: f64) -> i32 {
    let mut bits = value.to_bits();
    let mut exponent = (bits >> FRACTION_BITS) as i32 - BIAS;
    if exponent == -BIAS {
        // Subnormal: the product is exact and normal.
        bits = (value * (1u64 << 54) as f64).to_bits();
        exponent = (bits >> FRACTION_BITS) as i32 - BIAS - 54;
    }
    let fraction = bits & FRACTION;
    let start = usize::from(FIRST[(fraction >> (FRACTION_BITS - 8)) as usize]);
    // A 256th of the mantissa's range spans two boundaries at most. Written without branches: they'd be mispredicted.
    let mut step = start as i32;
    step += i32::from(BOUNDARIES[start + 1] < fraction);
    step += i32::from(BOUNDARIES[start + 2] < fraction);
    // A power of two belongs to the bucket that it ends.
    step -= i32::from(fraction == 0);
    (exponent << MAX_SCALE) + step
}

/// The bound between bucket `index - 1` and bucket `index` at `scale`: `2^(index / 2^scale)`, at least the smallest
/// positive number and at most the largest finite one.
pub fn lower_bound(index: i32, scale: i32) -> f64 {
    let fine = i64::from(index) << (MAX_SCALE - scale);
    let exponent = fine >> MAX_SCALE;
    let fraction = BOUNDARIES[(fine & (STEPS as i64 - 1)) as usize];
    let mantissa = f64::from_bits(((BIAS as u64) << FRACTION_BITS) | fraction);
    if exponent > i64::from(BIAS) {
        f64::MAX
    } else if exponent >= 1 - i64::from(BIAS) {
        mantissa * f64::from_bits(((exponent + i64::from(BIAS)) as u64) << FRACTION_BITS)
    } else if exponent >= -1074 {
        // Two exact factors; the second product rounds into the subnormals.
        mantissa * f64::MIN_POSITIVE * f64::from_bits(((exponent + 1022 + i64::from(BIAS)) as u64) << FRACTION_BITS)
    } else {
        f64::from_bits(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn powers_of_two_end_their_bucket() {
        for exponent in -1074..=1023 {
            let power = lower_bound(exponent, 0);
            assert_eq!(index(power), (exponent << 8) - 1, "2^{exponent}");
            if exponent > -1022 {
                assert_eq!(index(power.next_up()), exponent << 8, "just above 2^{exponent}");
            }
        }
    }

    #[test]
    fn the_table_holds_the_powers_themselves() {
        for k in 0..STEPS {
            let expected = (k as f64 / STEPS as f64).exp2();
            let actual = lower_bound(k as i32, MAX_SCALE);
            assert!((actual - expected).abs() <= expected * f64::EPSILON, "{k}: {actual} {expected}");
        }
        assert!(BOUNDARIES[..STEPS].is_sorted());
    }

    proptest! {
        #[test]
        fn a_number_lies_within_its_buckets_bounds(bits in 1u64..0x7ff0_0000_0000_0000, scale in -4..=MAX_SCALE) {
            let value = f64::from_bits(bits);
            let at = index(value) >> (MAX_SCALE - scale);
            prop_assert!(lower_bound(at, scale) < value || bits == 1, "{} {}", at, value);
            // Beyond the largest finite number the bound saturates there.
            prop_assert!(value <= lower_bound(at + 1, scale));
        }
    }
}
