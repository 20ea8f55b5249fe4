//! `apdex`: how satisfied those were who waited, from 0 to 1 (Application Performance Index, Apdex Alliance, 2007):
//! who waited at most for the target counts as one, who waited at most four times as long as a half, others as
//! nothing. Exact.

use super::{Form, Known, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

/// In the exposed unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target(pub f64);

impl Default for Target {
    fn default() -> Self {
        Target(0.5)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apdex {
    count: u64,
    satisfied: u64,
    tolerating: u64,
}

impl Statistic for Apdex {
    type Stored = pb::Apdex;
    type Given = Target;

    const RULES: Rules = Rules {
        word: "apdex",
        takes: Takes::Number,
        takes_sign: true,
        unit: Some(""),
        form: Form::Gauge(None),
        shows: &[Known::Count, Known::Value],
        own: Known::Value,
        totals: &[Stat::Own],
        window: &[Stat::Own],
    };

    fn empty(_: &Target) -> Apdex {
        Apdex::default()
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, .. }: Occurrence<'_>, target: &Target) {
        let satisfied = sample.value <= target.0;
        self.count = self.count.wrapping_add(1);
        self.satisfied = self.satisfied.wrapping_add(u64::from(satisfied));
        self.tolerating = self.tolerating.wrapping_add(u64::from(!satisfied && sample.value <= 4.0 * target.0));
    }

    fn merge(&mut self, other: &Apdex) {
        self.count = self.count.wrapping_add(other.count);
        self.satisfied = self.satisfied.wrapping_add(other.satisfied);
        self.tolerating = self.tolerating.wrapping_add(other.tolerating);
    }

    fn encode(&self) -> pb::Apdex {
        let Apdex { count, satisfied, tolerating } = *self;
        pb::Apdex { count, satisfied, tolerating }
    }

    fn decode(pb::Apdex { count, satisfied, tolerating }: pb::Apdex) -> Option<Apdex> {
        Some(Apdex { count, satisfied, tolerating })
    }

    fn stats(&self) -> Stats {
        let score = (self.satisfied as f64 + self.tolerating as f64 / 2.0) / self.count as f64;
        Stats { count: Some(self.count), value: (self.count > 0).then_some(score), ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(self.stats().value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;

    #[test]
    fn the_score_is_the_standards_and_its_bounds_are_inclusive() {
        let mut apdex = Apdex::default();
        assert_eq!(apdex.stats().value, None);
        for value in [0.1, 0.5, 0.500_001, 2.0, 2.000_001, 9.0] {
            apdex
                .record(Occurrence { sample: Sample { value, nanos: 0 }, at: 0, item: b"", total: None }, &Target(0.5));
        }
        assert_eq!((apdex.satisfied, apdex.tolerating, apdex.stats().value), (2, 2, Some(0.5)));
        let mut twice = apdex.clone();
        twice.merge(&apdex);
        assert_eq!((twice.count, twice.stats().value), (12, Some(0.5)));
    }
}
