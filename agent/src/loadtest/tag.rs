//! What rides with an event through the producer, in one word: its number, and the moment from which its latency counts.

use std::time::Duration;

/// The moment takes the low bits: microseconds that wrap after 18 minutes, far beyond any delivery timeout.
const BITS: u32 = 30;
const MASK: u64 = (1 << BITS) - 1;

/// Packs number and moment (since the test's start).
pub fn pack(number: u64, from: Duration) -> u64 {
    (number << BITS) | (from.as_micros() as u64 & MASK)
}

/// The event's number.
pub fn number(tag: u64) -> u64 {
    tag >> BITS
}

/// Microseconds from the event's moment to `now`.
pub fn micros_until(tag: u64, now: Duration) -> u64 {
    (now.as_micros() as u64).wrapping_sub(tag) & MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_latency_come_back_also_when_the_moment_wraps() {
        for (n, from, took) in
            [(0, 0, 0), (1, 25, 7_000), (9_999_999_999, 1_073_741_820, 120_000_000), (3, 5_000_000_000, 1)]
        {
            let from = Duration::from_micros(from);
            let tag = pack(n, from);
            assert_eq!(number(tag), n);
            assert_eq!(micros_until(tag, from + Duration::from_micros(took)), took);
        }
    }
}
