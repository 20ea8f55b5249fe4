//! The right to show group-wide series: it ends by itself when commits stop succeeding.

use crate::clock::{BootTime, Clock, Moment};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A worker's lease. It holds while its last successful commit *began* less than `length` ago on `CLOCK_BOOTTIME`; shorter
/// than the group's session timeout, so that a cut-off or resumed owner is silent before a successor can speak. The wall
/// clock has to say so, too: a machine whose hypervisor paused it does not see that in its boot time. A wall clock that is
/// set forward costs no more than the time to the next commit.
#[derive(Debug)]
pub struct Lease {
    clock: Clock,
    length: Duration,
    /// Boot time, in milliseconds, at which the last successful commit began; negative: none yet.
    renewed: AtomicI64,
    /// The same by the wall clock, Unix milliseconds.
    renewed_wall: AtomicI64,
    /// Boot time, in milliseconds, at which the lease was last ended: commits that began before it count no more.
    ended: AtomicI64,
}

impl Lease {
    /// A lease that does not hold yet.
    pub fn new(clock: Clock, length: Duration) -> Self {
        Lease { clock, length, renewed: AtomicI64::new(-1), renewed_wall: AtomicI64::new(0), ended: AtomicI64::new(-1) }
    }

    /// For how long one commit lets totals be shown.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// A commit that began at `began` succeeded.
    pub fn renew(&self, began: Moment) {
        if began.boot.as_millis() <= self.ended.load(Ordering::Acquire) {
            return;
        }
        self.renewed_wall.store(began.unix_millis, Ordering::Release);
        self.renewed.fetch_max(began.boot.as_millis(), Ordering::Release);
    }

    /// Ends the lease now: ownership was lost.
    pub fn end(&self) {
        self.ended.store(self.clock.boot_time().as_millis(), Ordering::Release);
        self.renewed.store(-1, Ordering::Release);
    }

    /// Whether group-wide series may be shown now.
    pub fn holds(&self) -> bool {
        self.age().is_some_and(|age| age < self.length)
    }

    /// How often its holder shows that it is alive, at least.
    pub fn renewal(&self) -> Duration {
        self.length / 3
    }

    /// Whether a third of the lease has passed since the last commit, so that an idle worker should renew it.
    pub fn wants_renewal(&self) -> bool {
        self.age().is_none_or(|age| age >= self.length / 3)
    }

    fn age(&self) -> Option<Duration> {
        let renewed = self.renewed.load(Ordering::Acquire);
        (renewed >= 0).then(|| {
            let now = self.clock.now();
            let wall = now.unix_millis.saturating_sub(self.renewed_wall.load(Ordering::Acquire)).max(0);
            now.boot.since(BootTime::from_millis(renewed)).max(Duration::from_millis(wall as u64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Moment {
        Moment { boot: BootTime::from_millis(millis), unix_millis: millis }
    }

    #[test]
    fn a_pause_that_the_boot_time_does_not_see_ends_the_lease_by_the_wall_clock() {
        let Clock::Manual(now) = Clock::manual(10_000) else { unreachable!() };
        let lease = Lease::new(Clock::Manual(now), Duration::from_millis(900));
        // Both clocks of a test are one: to the lease, the boot time stood still while the wall clock went on by 900 ms.
        lease.renew(Moment { unix_millis: 9_101, ..at(10_000) });
        assert!(lease.holds() && lease.wants_renewal());
        lease.renew(Moment { unix_millis: 9_100, ..at(10_000) });
        assert!(!lease.holds() && lease.wants_renewal());
        // A wall clock that was set back meanwhile says nothing.
        lease.renew(Moment { unix_millis: 50_000, ..at(10_000) });
        assert!(lease.holds());
    }

    #[test]
    fn a_lease_holds_from_the_first_commit_for_its_length_and_not_longer() {
        let Clock::Manual(now) = Clock::manual(1_000) else { unreachable!() };
        let lease = Lease::new(Clock::Manual(now.clone()), Duration::from_millis(900));
        assert!(!lease.holds() && lease.wants_renewal());
        lease.renew(at(1_000));
        assert!(lease.holds() && !lease.wants_renewal());
        now.store(1_300, Ordering::Relaxed);
        assert!(lease.holds() && lease.wants_renewal());
        now.store(1_900, Ordering::Relaxed);
        assert!(!lease.holds());
        lease.renew(at(1_850));
        assert!(lease.holds());
        lease.end();
        assert!(!lease.holds());
        lease.renew(at(1_850));
        assert!(!lease.holds(), "what began before the end renews nothing");
        now.store(1_950, Ordering::Relaxed);
        lease.renew(at(1_950));
        assert!(lease.holds());
    }
}
