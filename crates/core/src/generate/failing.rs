//! Events that cannot be used, for those who want to see what becomes of them.

use super::random::Draws;

/// Tells the draws for it from those for an event's content.
const PURPOSE: u64 = 3;

/// A share of the events is cut off in the middle: no JSON any more.
#[derive(Clone, Copy, Debug)]
pub struct Failing {
    pub seed: u64,
    /// 0 to 1.
    pub fraction: f64,
}

impl Failing {
    /// Whether event `n` is one of them.
    pub fn is_one(&self, n: u64) -> bool {
        self.fraction > 0.0 && Draws::new(self.seed, n, PURPOSE).unit() < self.fraction
    }

    /// Cuts event `n` off, if it is one of them.
    pub fn spoil(&self, n: u64, event: &mut Vec<u8>) {
        if self.is_one(n) {
            event.truncate(event.len() / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asked_for_share_is_spoilt_and_the_same_ones_each_time() {
        let failing = Failing { seed: 1, fraction: 0.1 };
        let count = (0..100_000).filter(|&n| failing.is_one(n)).count();
        assert!((9_500..=10_500).contains(&count), "{count}");
        for n in 0..1_000 {
            let mut event = b"{\"a\": 1}".to_vec();
            failing.spoil(n, &mut event);
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&event).is_err(), failing.is_one(n));
        }
        assert!((0..1_000).all(|n| !Failing { seed: 1, fraction: 0.0 }.is_one(n)));
    }
}
