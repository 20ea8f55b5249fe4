//! How often one address may call: a token bucket for each.

use crate::server::network;
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Addresses that are told apart; all further ones share a bucket.
const ADDRESSES: usize = 16_384;
/// Calls after which buckets that are full again are forgotten.
const FORGET_AFTER: usize = 4_096;
const ALL_OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The buckets of one kind of call.
pub struct Rate {
    /// `None`: any number of calls.
    limiter: Option<DefaultKeyedRateLimiter<IpAddr>>,
    calls: AtomicUsize,
}

impl Rate {
    /// So many calls a second; 0: any number.
    pub fn new(per_second: u32) -> Rate {
        let limiter = NonZeroU32::new(per_second).map(|rate| RateLimiter::keyed(Quota::per_second(rate)));
        Rate { limiter, calls: AtomicUsize::new(0) }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long to wait for the next one.
    pub fn take(&self, from: IpAddr) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if self.calls.fetch_add(1, Ordering::Relaxed) % FORGET_AFTER == FORGET_AFTER - 1 {
            limiter.retain_recent();
        }
        let key = if limiter.len() < ADDRESSES { network(from) } else { ALL_OTHERS };
        limiter.check_key(&key).map_err(|refused| refused.wait_time_from(limiter.clock().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn each_address_has_a_bucket_of_its_own_and_is_told_how_long_to_wait() {
        let rate = Rate::new(2);
        assert!(rate.take(address(1)).is_ok() && rate.take(address(1)).is_ok());
        let wait = rate.take(address(1)).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(500), "{wait:?}");
        assert!(rate.take(address(2)).is_ok());
        let (one, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        assert!(rate.take(one).is_ok() && rate.take(other).is_ok());
        assert!(rate.take(one).is_err(), "one network is one caller");
        let any = Rate::new(0);
        assert!((0..10_000).all(|_| any.take(address(1)).is_ok()));
    }

    #[test]
    fn addresses_without_number_take_no_memory_without_end() {
        let rate = Rate::new(1);
        for number in 1..100_000 {
            let _ = rate.take(address(number));
        }
        assert!(rate.limiter.as_ref().unwrap().len() <= ADDRESSES + 1);
    }
}
