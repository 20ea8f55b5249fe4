//! How often somebody may be wrong: failed attempts by where they come from. Pure; it is told the time.

use crate::clock::BootTime;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Failed attempts before an address is not listened to any more …
pub const MOST: u32 = 10;
/// … until this has passed since the first of them.
pub const PERIOD: Duration = Duration::from_secs(60);
/// Addresses that are remembered one by one; all further ones share one count.
const ADDRESSES: usize = 4096;
const ALL_OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The failed attempts of the last minute.
#[derive(Debug, Default)]
pub struct Attempts {
    failed: HashMap<IpAddr, Failed>,
}

#[derive(Debug)]
struct Failed {
    first: BootTime,
    count: u32,
}

impl Attempts {
    /// Whether this address has failed too often.
    pub fn is_locked_out(&self, from: IpAddr, now: BootTime) -> bool {
        let of = |key: &IpAddr| self.failed.get(key).filter(|failed| now.since(failed.first) < PERIOD);
        let known = of(&network(from)).or_else(|| (self.failed.len() > ADDRESSES).then(|| of(&ALL_OTHERS)).flatten());
        known.is_some_and(|failed| failed.count >= MOST)
    }

    /// Notes a failure, and says whether it is the one that locks the address out.
    pub fn failed(&mut self, from: IpAddr, now: BootTime) -> bool {
        let mut key = network(from);
        if self.failed.len() >= ADDRESSES && !self.failed.contains_key(&key) {
            self.failed.retain(|_, failed| now.since(failed.first) < PERIOD);
            if self.failed.len() >= ADDRESSES {
                key = ALL_OTHERS;
            }
        }
        let failed = self.failed.entry(key).or_insert(Failed { first: now, count: 0 });
        if now.since(failed.first) >= PERIOD {
            *failed = Failed { first: now, count: 0 };
        }
        failed.count = failed.count.saturating_add(1);
        failed.count == MOST
    }
}

/// One host has as many IPv6 addresses as it likes: its network counts.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn an_address_that_fails_too_often_is_locked_out_for_a_minute_and_no_other() {
        let mut attempts = Attempts::default();
        let at = |seconds: i64| BootTime::from_millis(seconds * 1000);
        let locking = (0..MOST).filter(|_| attempts.failed(v4(1), at(0))).count();
        assert_eq!(locking, 1, "it is told once");
        assert!(attempts.is_locked_out(v4(1), at(59)) && !attempts.is_locked_out(v4(2), at(59)));
        assert!(!attempts.is_locked_out(v4(1), at(60)));
        assert!(!attempts.failed(v4(1), at(60)), "the count began again");
        let [a, b, c]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        for _ in 0..MOST {
            attempts.failed(a, at(0));
        }
        assert!(attempts.is_locked_out(b, at(0)) && !attempts.is_locked_out(c, at(0)));
    }

    #[test]
    fn more_addresses_than_can_be_remembered_share_one_count() {
        let mut attempts = Attempts::default();
        let now = BootTime::from_millis(0);
        for number in 1..10_000 {
            attempts.failed(v4(number), now);
        }
        assert_eq!(attempts.failed.len(), ADDRESSES + 1);
        assert!(attempts.is_locked_out(v4(9_999), now) && !attempts.is_locked_out(v4(1), now));
    }
}
