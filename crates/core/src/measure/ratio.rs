//! `ratio`: how many of some events were of some kind, as two counts of its own: merged as numerator and denominator.

use super::{Form, Known, Occurrence, Rules, Sample, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ratio {
    part: u64,
    whole: u64,
}

impl Ratio {
    /// What an event gives it that is of the part, of the whole, or of both.
    #[inline]
    pub fn sample(of_part: bool, of_whole: bool) -> Sample {
        Sample { value: f64::from(u8::from(of_part)), nanos: i128::from(of_whole) }
    }
}

impl Statistic for Ratio {
    type Stored = pb::Ratio;
    type Given = ();

    const RULES: Rules = Rules {
        word: "ratio",
        takes: Takes::Nothing,
        takes_sign: false,
        unit: Some("ratio"),
        form: Form::Gauge(None),
        shows: &[Known::Count, Known::Value],
        own: Known::Value,
        totals: &[Stat::Own],
        window: &[Stat::Own],
    };

    fn empty((): &()) -> Ratio {
        Ratio::default()
    }

    #[inline]
    fn record(&mut self, Occurrence { sample, .. }: Occurrence<'_>, (): &()) {
        self.part = self.part.wrapping_add(u64::from(sample.value > 0.0));
        self.whole = self.whole.wrapping_add(u64::from(sample.nanos > 0));
    }

    fn merge(&mut self, other: &Ratio) {
        self.part = self.part.wrapping_add(other.part);
        self.whole = self.whole.wrapping_add(other.whole);
    }

    fn encode(&self) -> pb::Ratio {
        pb::Ratio { part: self.part, whole: self.whole }
    }

    fn decode(pb::Ratio { part, whole }: pb::Ratio) -> Option<Ratio> {
        Some(Ratio { part, whole })
    }

    fn stats(&self) -> Stats {
        let ratio = (self.whole > 0).then(|| self.part as f64 / self.whole as f64);
        Stats { count: Some(self.whole), value: ratio, ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(self.stats().value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_of_parts_is_the_ratio_of_all() {
        let of = |events: &[(bool, bool)]| {
            let mut ratio = Ratio::default();
            for &(part, whole) in events {
                ratio.record(Occurrence { sample: Ratio::sample(part, whole), at: 0, item: b"", total: None }, &());
            }
            ratio
        };
        let (mut a, b) = (of(&[(true, true), (false, true), (true, false)]), of(&[(false, true), (false, true)]));
        assert_eq!((a.stats().value, of(&[(true, false)]).stats().value), (Some(1.0), None));
        a.merge(&b);
        assert_eq!((a.stats().value, a.stats().count), (Some(0.5), Some(4)));
        assert_eq!(Ratio::decode(a.encode()), Some(a));
    }
}
