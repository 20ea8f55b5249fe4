//! Event time of a generated stream: in order at an even pace, but for a share of the events that come late.

use super::random::Draws;

/// Tells the draws for lateness from those for an event's content.
const PURPOSE: u64 = 1;

/// When each event happened.
#[derive(Clone, Copy, Debug)]
pub struct EventTime {
    /// Event time of event 0, Unix milliseconds.
    pub start: i64,
    /// Events per second of event time; 0 is taken for 1.
    pub per_second: u64,
    pub seed: u64,
    /// Share of the events that are dated back, 0 to 1.
    pub late_fraction: f64,
    /// They are dated back by 1 ms up to this, evenly distributed. Milliseconds.
    pub late_by: u32,
}

impl EventTime {
    /// The time of event `n`, Unix milliseconds.
    pub fn at(&self, n: u64) -> i64 {
        let millis = u128::from(n) * 1_000 / u128::from(self.per_second.max(1));
        self.dated_back(n, self.start.saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    /// `time`, or an earlier time if event `n` is one of those that come late.
    pub fn dated_back(&self, n: u64, time: i64) -> i64 {
        if self.late_fraction <= 0.0 || self.late_by == 0 {
            return time;
        }
        let mut draws = Draws::new(self.seed, n, PURPOSE);
        if draws.unit() < self.late_fraction {
            return time.saturating_sub(i64::from(draws.below(self.late_by)) + 1);
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_ORDER: EventTime =
        EventTime { start: 1_763_657_472_123, per_second: 40_000, seed: 1, late_fraction: 0.0, late_by: 0 };

    #[test]
    fn event_time_goes_on_at_the_given_rate() {
        assert_eq!(IN_ORDER.at(0), IN_ORDER.start);
        assert_eq!(IN_ORDER.at(39), IN_ORDER.start);
        assert_eq!(IN_ORDER.at(40), IN_ORDER.start + 1);
        assert_eq!(IN_ORDER.at(2_400_000), IN_ORDER.start + 60_000);
        assert_eq!(EventTime { per_second: 0, ..IN_ORDER }.at(u64::MAX), i64::MAX);
    }

    #[test]
    fn the_asked_for_share_is_late_by_at_most_the_asked_for_time() {
        let time = EventTime { late_fraction: 0.1, late_by: 5_000, ..IN_ORDER };
        let delays: Vec<i64> = (0..100_000).map(|n| IN_ORDER.at(n) - time.at(n)).collect();
        assert!(delays.iter().all(|delay| (0..=5_000).contains(delay)));
        let late: Vec<i64> = delays.into_iter().filter(|delay| *delay > 0).collect();
        assert!((9_500..=10_500).contains(&late.len()), "{}", late.len());
        let mean = late.iter().sum::<i64>() / late.len() as i64;
        assert!((2_400..=2_600).contains(&mean), "mean {mean} ms");
        assert!((0..1_000).all(|n| time.at(n) == time.at(n)));
    }
}
