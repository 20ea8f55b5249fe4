//! The pacer: how many events are due, and how long to wait for the next. It decides; the caller sleeps and sends.

use std::time::Duration;

/// Shorter sleeps cost more CPU in wake-ups than they gain in evenness.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// The most events to send before asking again, so that a caller looks at its stop signal now and then.
const BURST: u64 = 1_000;

/// A steady rate kept by schedule: event `n` is due at `n / rate` after the start. What a stall delayed is caught up
/// with, and rounding never adds up to drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: Option<u64>,
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
        Rate { per_second: Some(per_second.max(1)) }
    }

    /// As fast as the caller can.
    pub fn unlimited() -> Self {
        Rate { per_second: None }
    }

    /// When event `n` is due, counted from the start; `None` if there is no schedule.
    pub fn due(&self, n: u64) -> Option<Duration> {
        let rate = self.per_second?;
        // Seconds and the rest apart: exact, and without overflow for any n.
        let nanos = u128::from(n % rate) * 1_000_000_000 / u128::from(rate);
        Some(Duration::new(n / rate, nanos as u32))
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
        let rate = u128::from(self.per_second.unwrap_or(u64::MAX));
        u64::try_from(elapsed.as_nanos() * rate / 1_000_000_000 + 1).unwrap_or(u64::MAX)
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
    fn no_limit_always_sends() {
        assert_eq!(Rate::unlimited().pace(u64::MAX, Duration::ZERO), Pace::Send(BURST));
        assert_eq!(Rate::unlimited().due(5), None);
    }
}
