//! `first`, `last` and `last_seen`: by the events' own time, whatever the order in which they are read.

use std::cmp::Ordering;

use super::{Form, Known, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

/// A value and when it was; `None` before the first one.
type Timed = Option<(i64, f64)>;

/// Of several values at the same time one is as good as the other: the numbers' own order decides, so that merging has
/// none.
fn order(a: &(i64, f64), b: &(i64, f64)) -> Ordering {
    a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
}

fn encode(timed: Timed) -> pb::Timed {
    pb::Timed { value: timed.map(|(_, value)| value), at_ms: timed.map_or(0, |(at, _)| at) }
}

fn decode(stored: &pb::Timed) -> Timed {
    stored.value.map(|value| (stored.at_ms, value))
}

fn stats(timed: Timed) -> Stats {
    Stats { value: timed.map(|(_, value)| value), ..Stats::default() }
}

/// The value of the earliest event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct First(Timed);

/// The value of the latest event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Last(Timed);

/// When the latest event was, Unix milliseconds; `i64::MIN` before the first one.
#[derive(Clone, Debug, PartialEq)]
pub struct LastSeen(i64);

impl First {
    fn take(&mut self, other: Timed) {
        self.0 = [self.0, other].into_iter().flatten().min_by(order);
    }
}

impl Last {
    fn take(&mut self, other: Timed) {
        self.0 = [self.0, other].into_iter().flatten().max_by(order);
    }
}

impl LastSeen {
    fn seconds(&self) -> Option<f64> {
        (self.0 != i64::MIN).then_some(self.0 as f64 / 1_000.0)
    }
}

impl Statistic for First {
    type Stored = pb::Timed;
    type Given = ();

    const RULES: Rules = Rules {
        word: "first",
        takes: Takes::Number,
        takes_sign: false,
        unit: None,
        form: Form::Gauge(None),
        shows: &[Known::Value],
        own: Known::Value,
        totals: &[Stat::Own],
        window: &[Stat::Own],
    };

    fn empty((): &()) -> First {
        First::default()
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, at, .. }: Occurrence<'_>, (): &()) {
        self.take(Some((at, sample.value)));
    }

    fn merge(&mut self, other: &First) {
        self.take(other.0);
    }

    fn encode(&self) -> pb::Timed {
        encode(self.0)
    }

    fn decode(stored: pb::Timed) -> Option<First> {
        Some(First(decode(&stored)))
    }

    fn stats(&self) -> Stats {
        stats(self.0)
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(self.stats().value)
    }
}

impl Statistic for Last {
    type Stored = pb::Timed;
    type Given = ();

    const RULES: Rules = Rules { word: "last", ..First::RULES };

    fn empty((): &()) -> Last {
        Last::default()
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, at, .. }: Occurrence<'_>, (): &()) {
        self.take(Some((at, sample.value)));
    }

    fn merge(&mut self, other: &Last) {
        self.take(other.0);
    }

    fn encode(&self) -> pb::Timed {
        encode(self.0)
    }

    fn decode(stored: pb::Timed) -> Option<Last> {
        Some(Last(decode(&stored)))
    }

    fn stats(&self) -> Stats {
        stats(self.0)
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(self.stats().value)
    }
}

impl Statistic for LastSeen {
    type Stored = pb::Instant;
    type Given = ();

    const RULES: Rules = Rules {
        word: "last_seen",
        takes: Takes::Time,
        unit: Some("timestamp_seconds"),
        form: Form::Gauge(Some("max")),
        ..First::RULES
    };

    fn empty((): &()) -> LastSeen {
        LastSeen(i64::MIN)
    }

    #[inline]
    fn record(&mut self, Occurrence { at, .. }: Occurrence<'_>, (): &()) {
        self.0 = self.0.max(at);
    }

    fn merge(&mut self, other: &LastSeen) {
        self.0 = self.0.max(other.0);
    }

    fn encode(&self) -> pb::Instant {
        pb::Instant { at_ms: Some(self.0).filter(|&at| at != i64::MIN) }
    }

    fn decode(stored: pb::Instant) -> Option<LastSeen> {
        Some(LastSeen(stored.at_ms.unwrap_or(i64::MIN)))
    }

    fn stats(&self) -> Stats {
        Stats { value: self.seconds(), ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(self.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;

    fn event(at: i64, value: f64) -> Occurrence<'static> {
        Occurrence { sample: Sample { value, nanos: 0 }, at, item: b"", total: None }
    }

    #[test]
    fn time_decides_and_not_the_order_of_reading() {
        let (mut first, mut last, mut seen) = (First::empty(&()), Last::empty(&()), LastSeen::empty(&()));
        assert_eq!((first.stats().value, last.stats().value, seen.stats().value), (None, None, None));
        for (at, value) in [(2_000, 20.0), (1_000, -10.0), (3_500, 35.0), (3_000, 30.0)] {
            first.record(event(at, value), &());
            last.record(event(at, value), &());
            seen.record(event(at, value), &());
        }
        assert_eq!((first.stats().value, last.stats().value), (Some(-10.0), Some(35.0)));
        assert_eq!(seen.stats().value, Some(3.5));
    }

    #[test]
    fn at_the_same_time_the_smallest_is_the_first_and_the_largest_the_last() {
        for values in [[1.0, -2.0, 3.0], [3.0, 1.0, -2.0], [-2.0, 3.0, 1.0]] {
            let (mut first, mut last) = (First::empty(&()), Last::empty(&()));
            values.iter().for_each(|&value| {
                first.record(event(7, value), &());
                last.record(event(7, value), &());
            });
            assert_eq!((first.stats().value, last.stats().value), (Some(-2.0), Some(3.0)));
        }
    }
}
