//! The pacer: how many events are due, and how long to wait for the next. It decides; the caller sleeps and sends.

use std::time::Duration;

/// Shorter sleeps cost more CPU in wake-ups than they gain in evenness.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// The most events to send before asking again, so that a caller looks at its stop signal now and then.
const BURST: u64 = 1_000;

/// Nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// A steady rate kept by schedule: event `n` is due at `n / rate` after the start. What a stall delayed is caught up
/// with, and rounding never adds up to drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    schedule: Schedule,
    /// Events that are due at one moment, together.
    batch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schedule {
    None,
    /// Events a second.
    PerSecond(u64),
    /// Between two batches. Nanoseconds.
    Every(u64),
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// This many events are due (at least one).
    Send(u64),
    /// Nothing is due for this long.
    Sleep(Duration),
}

impl Rate {
    /// `per_second` events a second; a rate of 0 is taken for 1.
    pub fn steady(per_second: u64) -> Self {
        Rate { schedule: Schedule::PerSecond(per_second.max(1)), batch: 1 }
    }

    /// One event, or batch of events, each time this has passed; it is a nanosecond at least.
    pub fn every(interval: Duration) -> Self {
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Rate { schedule: Schedule::Every(nanos.max(1)), batch: 1 }
    }

    /// The same, but so many events at a time; 0 is taken for 1.
    pub fn in_batches(self, of: u64) -> Self {
        Rate { batch: of.max(1), ..self }
    }

    /// As fast as the caller can.
    pub fn unlimited() -> Self {
        Rate { schedule: Schedule::None, batch: 1 }
    }

    /// When event `n` is due, counted from the start; `None` if there is no schedule.
    pub fn due(&self, n: u64) -> Option<Duration> {
        let first = n - n % self.batch;
        match self.schedule {
            Schedule::None => None,
            // Seconds and the rest apart: exact, and without overflow for any n.
            Schedule::PerSecond(rate) => {
                let nanos = u128::from(first % rate) * SECOND / u128::from(rate);
                Some(Duration::new(first / rate, nanos as u32))
            }
            Schedule::Every(interval) => {
                let nanos = u128::from(n / self.batch) * u128::from(interval);
                Some(Duration::new(u64::try_from(nanos / SECOND).unwrap_or(u64::MAX), (nanos % SECOND) as u32))
            }
        }
    }

    /// What a caller that has sent `sent` events, `elapsed` after the start, should do.
    pub fn pace(&self, sent: u64, elapsed: Duration) -> Pace {
        let Some(due) = self.due(sent) else { return Pace::Send(BURST) };
        if due > elapsed {
            return Pace::Sleep((due - elapsed).max(MIN_SLEEP));
        }
        Pace::Send(self.due_by(elapsed).saturating_sub(sent).clamp(1, BURST))
    }

    /// How many events are due by `elapsed`; event 0 is due at once.
    fn due_by(&self, elapsed: Duration) -> u64 {
        let (nanos, batch) = (elapsed.as_nanos(), u128::from(self.batch));
        let batches = match self.schedule {
            Schedule::None => return u64::MAX,
            Schedule::PerSecond(rate) => nanos.saturating_mul(u128::from(rate)) / (SECOND * batch),
            Schedule::Every(interval) => nanos / u128::from(interval),
        };
        u64::try_from((batches + 1).saturating_mul(batch)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the pacer on a simulated clock: a send takes `cost`, and each sleep overshoots by 100 µs.
    fn simulate(rate: Rate, until: Duration, cost: Duration, stall: Option<(Duration, Duration)>) -> (u64, Duration) {
        let (mut now, mut sent, mut worst) = (Duration::ZERO, 0, Duration::ZERO);
        let mut stall = stall;
        while now < until {
            match rate.pace(sent, now) {
                Pace::Send(count) => {
                    for _ in 0..count {
                        let due = rate.due(sent).unwrap();
                        assert!(due <= now, "event {sent} was sent before it was due");
                        worst = worst.max(now - due);
                        sent += 1;
                        now += cost;
                    }
                }
                Pace::Sleep(time) => {
                    assert!(time >= MIN_SLEEP);
                    now += time + Duration::from_micros(100);
                }
            }
            if let Some((at, length)) = stall
                && now >= at
            {
                now += length;
                stall = None;
            }
        }
        (sent, worst)
    }

    #[test]
    fn a_steady_rate_is_kept_to_the_event() {
        for per_second in [1, 3, 999, 40_000, 1_000_000] {
            let (sent, worst) = simulate(Rate::steady(per_second), Duration::from_secs(10), Duration::ZERO, None);
            let expected = per_second * 10;
            assert!(sent >= expected - per_second.div_ceil(500) && sent <= expected + per_second.div_ceil(500) + 1);
            assert!(worst <= Duration::from_micros(1_200), "{per_second}/s: an event waited {worst:?}");
        }
    }

    #[test]
    fn a_stall_is_caught_up_with() {
        let stall = Some((Duration::from_secs(2), Duration::from_secs(3)));
        let (sent, worst) = simulate(Rate::steady(40_000), Duration::from_secs(10), Duration::from_micros(1), stall);
        assert!(sent.abs_diff(400_000) <= 100, "{sent}");
        assert!(worst >= Duration::from_secs(2) && worst <= Duration::from_secs(4), "{worst:?}");
    }

    #[test]
    fn the_schedule_is_exact_far_from_the_start() {
        let rate = Rate::steady(40_000);
        assert_eq!(rate.due(0), Some(Duration::ZERO));
        assert_eq!(rate.due(1), Some(Duration::from_micros(25)));
        assert_eq!(rate.due(40_000 * 1_000_000), Some(Duration::from_secs(1_000_000)));
        assert!(rate.due(u64::MAX).is_some());
        assert_eq!(rate.pace(0, Duration::MAX), Pace::Send(BURST));
        assert_eq!(rate.pace(0, Duration::ZERO), Pace::Send(1));
        assert_eq!(rate.pace(1, Duration::from_micros(24)), Pace::Sleep(MIN_SLEEP));
        assert_eq!(Rate::steady(1).pace(1, Duration::ZERO), Pace::Sleep(Duration::from_secs(1)));
    }

    #[test]
    fn a_batch_is_due_at_once_and_the_next_one_when_its_turn_has_come() {
        let ms = Duration::from_millis;
        let rate = Rate::every(ms(2_000)).in_batches(3);
        assert_eq!([0, 2, 3, 5, 6].map(|n| rate.due(n).unwrap()), [ms(0), ms(0), ms(2_000), ms(2_000), ms(4_000)]);
        assert_eq!((rate.pace(0, ms(0)), rate.pace(2, ms(1))), (Pace::Send(3), Pace::Send(1)));
        assert_eq!(rate.pace(3, ms(500)), Pace::Sleep(ms(1_500)));
        assert_eq!(rate.pace(3, ms(6_100)), Pace::Send(9), "what was missed is caught up with");
        let rate = Rate::steady(100).in_batches(50);
        assert_eq!([0, 49, 50, 149].map(|n| rate.due(n).unwrap()), [ms(0), ms(0), ms(500), ms(1_000)]);
        assert_eq!((rate.pace(50, ms(499)), rate.pace(50, ms(500))), (Pace::Sleep(MIN_SLEEP), Pace::Send(50)));
    }

    #[test]
    fn no_limit_always_sends() {
        assert_eq!(Rate::unlimited().pace(u64::MAX, Duration::ZERO), Pace::Send(BURST));
        assert_eq!(Rate::unlimited().due(5), None);
    }
}
