//! The only place that reads a clock. Everything else is handed a [`Clock`], so that tests can own time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Wall time and a monotonic time that goes on while the machine is suspended.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clocks.
    #[default]
    System,
    /// A clock that stands still until a test moves it (milliseconds, used for both times).
    Manual(Arc<AtomicI64>),
}

/// How far this process's wall clock has been set off by [`jump`], in milliseconds.
static OFF: AtomicI64 = AtomicI64::new(0);

/// Sets this process's wall clock forward, or back, as an administrator or a bad time server would. Only for failpoints.
pub fn jump(millis: i64) {
    OFF.fetch_add(millis, Ordering::Relaxed);
}

/// Wall time in milliseconds since 1970, where an offset or another number that is no time stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub i64);

/// A moment on `CLOCK_BOOTTIME`. Leases are measured on it, because a process that was stopped or a machine that was
/// suspended must see the time that passed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

impl BootTime {
    /// Time passed from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: BootTime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment so much later.
    pub fn after(self, time: Duration) -> BootTime {
        BootTime(self.0.saturating_add(time))
    }

    /// Milliseconds since boot.
    pub fn as_millis(self) -> i64 {
        self.0.as_millis() as i64
    }

    /// The moment `millis` after boot.
    pub fn from_millis(millis: i64) -> Self {
        BootTime(Duration::from_millis(millis.max(0) as u64))
    }
}

/// Both times at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub boot: BootTime,
    pub unix_millis: i64,
}

impl Clock {
    /// A manual clock that shows `millis`.
    pub fn manual(millis: i64) -> Self {
        Clock::Manual(Arc::new(AtomicI64::new(millis)))
    }

    /// Wall time in Unix milliseconds.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn unix_millis(&self) -> i64 {
        match self {
            Clock::System => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                now.map_or(0, |d| d.as_millis() as i64) + OFF.load(Ordering::Relaxed)
            }
            Clock::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// Now, by both.
    pub fn now(&self) -> Moment {
        Moment { boot: self.boot_time(), unix_millis: self.unix_millis() }
    }

    /// Now, on `CLOCK_BOOTTIME`.
    pub fn boot_time(&self) -> BootTime {
        match self {
            Clock::System => {
                let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                // SAFETY: `t` is a valid timespec to write to; CLOCK_BOOTTIME exists since Linux 2.6.39.
                unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut t) };
                BootTime(Duration::new(t.tv_sec as u64, t.tv_nsec as u32))
            }
            Clock::Manual(now) => BootTime::from_millis(now.load(Ordering::Relaxed)),
        }
    }
}
