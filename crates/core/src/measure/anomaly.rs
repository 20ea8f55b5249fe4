//! `anomaly`: how many values were unusual for their key: more than so many standard deviations away from its mean so
//! far, or beyond a quantile of its values so far at the same hour of the day.
//!
//! They are compared with the key's earlier values in its partition, in the order in which they were read; with a
//! half-life, older ones weigh less. A partition has one order, so a replay judges each value as before. What was so
//! far stands in the key's total, where every event comes by: panes only count what was found there. Merging adds
//! counts. The newest of the unusual values stand there, too, so that their events can be told.

use super::hours::Hours;
use super::{Exact, Form, Known, Occurrence, Rules, Sample, Stat, Statistic, Stats, Takes, Total};
use streamgauge_proto::storage::v1 as pb;

/// So many of the unusual values are told.
const RECENT: usize = 8;

/// What is unusual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// What is beyond this.
    pub beyond: Beyond,
    /// Before a key has had so many values, none is judged; with a quantile, at that hour of the day.
    pub min_count: u64,
    /// A value of this age weighs half, milliseconds of event time; 0: all weigh the same. With a quantile, weights are
    /// halved all at once whenever event time passes a multiple of this.
    pub half_life_ms: i64,
}

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beyond {
    /// So many standard deviations from the mean, on either side.
    Deviations(f64),
    /// This quantile of the values at the same hour of the day.
    Quantile(f64),
}

impl Default for Usual {
    fn default() -> Self {
        Usual { beyond: Beyond::Deviations(3.0), min_count: 100, half_life_ms: 0 }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Anomaly {
    count: u64,
    above: u64,
    below: u64,
    /// Of a total; panes have none.
    baseline: Option<Box<Baseline>>,
    /// The same, where a quantile is asked for.
    hours: Hours,
    /// Of a total: the newest values that were unusual, ascending.
    recent: Vec<Unusual>,
}

/// A value that was unusual for its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unusual {
    /// Time of its event, Unix milliseconds.
    pub at: i64,
    pub value: f64,
    /// Above what is usual; else below.
    pub above: bool,
}

impl Unusual {
    /// Some order in which no two different ones are the same.
    fn order(&self) -> (i64, u64, bool) {
        (self.at, self.value.to_bits(), self.above)
    }
}

/// The values of a key so far.
#[derive(Clone, Debug, PartialEq)]
struct Baseline {
    values: u64,
    /// What they weigh together, as of the latest of them.
    weight: f64,
    mean: f64,
    /// Weighted squares of their distances from the mean.
    squares: f64,
    /// Unix milliseconds.
    latest: i64,
}

/// What a value is: above what is usual, or below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Usual,
    Above,
    Below,
}

/// Verdicts go from a key's total to its pane as samples.
impl Verdict {
    fn sample(self) -> Sample {
        let value = match self {
            Verdict::Usual => 0.0,
            Verdict::Above => 1.0,
            Verdict::Below => -1.0,
        };
        Sample { value, nanos: 0 }
    }
}

impl Anomaly {
    /// Judges a value by those before it, and takes it among them; for a key's total.
    pub fn judge(&mut self, value: f64, at: i64, usual: &Usual) -> Sample {
        let verdict = match usual.beyond {
            Beyond::Deviations(sigma) => self.among_all(value, at, sigma, usual),
            Beyond::Quantile(q) => match self.hours.judge(value, at, q, usual.min_count, usual.half_life_ms) {
                true => Verdict::Above,
                false => Verdict::Usual,
            },
        };
        if verdict != Verdict::Usual {
            self.recent.push(Unusual { at, value, above: verdict == Verdict::Above });
            self.forget();
        }
        verdict.sample()
    }

    fn among_all(&mut self, value: f64, at: i64, sigma: f64, usual: &Usual) -> Verdict {
        let baseline = self
            .baseline
            .get_or_insert_with(|| Box::new(Baseline { values: 0, weight: 0.0, mean: 0.0, squares: 0.0, latest: at }));
        let verdict = baseline.verdict(value, sigma, usual.min_count);
        baseline.add(value, at, usual.half_life_ms);
        verdict
    }

    /// The newest values that were unusual, ascending by time.
    pub fn told(&self) -> &[Unusual] {
        &self.recent
    }

    fn forget(&mut self) {
        self.recent.sort_unstable_by_key(Unusual::order);
        let old = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..old);
    }
}

impl Baseline {
    fn verdict(&self, value: f64, sigma: f64, min_count: u64) -> Verdict {
        if self.values < min_count.max(1) {
            return Verdict::Usual;
        }
        let off = value - self.mean;
        // Squared on both sides: a root would round once more.
        if off * off * self.weight <= sigma * sigma * self.squares {
            Verdict::Usual
        } else if off > 0.0 {
            Verdict::Above
        } else {
            Verdict::Below
        }
    }

    /// Welford's and West's update, after what is there has become older. What comes late weighs as if it were of the
    /// latest time.
    fn add(&mut self, value: f64, at: i64, half_life: i64) {
        if half_life > 0 && at > self.latest {
            let left = halved(at.saturating_sub(self.latest) as f64 / half_life as f64);
            self.weight *= left;
            self.squares *= left;
        }
        self.latest = self.latest.max(at);
        self.values = self.values.saturating_add(1);
        self.weight += 1.0;
        let off = value - self.mean;
        self.mean += off / self.weight;
        self.squares += off * (value - self.mean);
    }

    /// Some order in which no two different ones are the same.
    fn order(&self) -> (i64, u64, [u64; 3]) {
        (self.latest, self.values, [self.weight, self.mean, self.squares].map(f64::to_bits))
    }
}

/// `2^-x` for `x ≥ 0`. Of additions and multiplications alone, which every machine rounds alike; libraries' own do not.
fn halved(x: f64) -> f64 {
    if x >= 1_000.0 {
        return 0.0;
    }
    let whole = x.floor();
    // e^-y for y below ln 2, by its series: the term after the last is below 2^-53.
    let y = (x - whole) * std::f64::consts::LN_2;
    let series = (1..=17).rev().fold(1.0, |sum, n| 1.0 - sum * y / f64::from(n));
    // A power of two, exactly.
    let power = f64::from_bits((1023 - whole as u64) << 52);
    series * power
}

impl Statistic for Anomaly {
    type Stored = pb::Anomaly;
    type Given = Usual;

    const RULES: Rules = Rules {
        word: "anomaly",
        takes: Takes::Number,
        takes_sign: false,
        unit: Some(""),
        form: Form::Counters,
        shows: &[Known::Count, Known::Value, Known::Above, Known::Below],
        own: Known::Value,
        totals: &[Stat::Known(Known::Above), Stat::Known(Known::Below)],
        window: &[Stat::Known(Known::Above), Stat::Known(Known::Below)],
    };

    fn empty(_: &Usual) -> Anomaly {
        Anomaly::default()
    }

    /// The sample is the verdict.
    #[inline]
    fn record(&mut self, Occurrence { sample, .. }: Occurrence<'_>, _: &Usual) {
        self.count = self.count.wrapping_add(1);
        self.above = self.above.wrapping_add(u64::from(sample.value > 0.0));
        self.below = self.below.wrapping_add(u64::from(sample.value < 0.0));
    }

    /// The baseline of merged keys is nobody's: of two, the one with the latest value stays, so that merging has no
    /// order.
    fn merge(&mut self, other: &Anomaly) {
        self.count = self.count.wrapping_add(other.count);
        self.above = self.above.wrapping_add(other.above);
        self.below = self.below.wrapping_add(other.below);
        let later = |theirs: &Baseline| self.baseline.as_ref().is_none_or(|mine| theirs.order() > mine.order());
        if other.baseline.as_deref().is_some_and(later) {
            self.baseline.clone_from(&other.baseline);
        }
        self.hours.merge(&other.hours);
        self.recent.extend_from_slice(&other.recent);
        self.forget();
    }

    fn encode(&self) -> pb::Anomaly {
        let baseline = |baseline: &Baseline| {
            let Baseline { values, weight, mean, squares, latest } = *baseline;
            pb::Baseline { values, weight, mean, squares, latest_ms: latest }
        };
        let Anomaly { count, above, below, .. } = *self;
        let hours = self.hours.encode();
        let unusual = |&Unusual { at, value, above }: &Unusual| pb::UnusualValue { at_ms: at, value, above };
        let recent = self.recent.iter().map(unusual).collect();
        pb::Anomaly { count, above, below, baseline: self.baseline.as_deref().map(baseline), hours, recent }
    }

    fn decode(stored: pb::Anomaly) -> Option<Anomaly> {
        let baseline = |stored: pb::Baseline| {
            let pb::Baseline { values, weight, mean, squares, latest_ms: latest } = stored;
            Box::new(Baseline { values, weight, mean, squares, latest })
        };
        let pb::Anomaly { count, above, below, baseline: stored, hours, recent } = stored;
        let hours = Hours::decode(hours)?;
        let sound = stored.is_none_or(|b| b.weight >= 0.0 && b.squares >= 0.0 && b.mean.is_finite());
        let unusual = |stored: pb::UnusualValue| {
            let pb::UnusualValue { at_ms: at, value, above } = stored;
            Unusual { at, value, above }
        };
        let recent: Vec<Unusual> = recent.into_iter().map(unusual).collect();
        let sound = sound && recent.len() <= RECENT && recent.is_sorted_by_key(Unusual::order);
        sound.then(|| Anomaly { count, above, below, baseline: stored.map(baseline), hours, recent })
    }

    fn fits(&self, usual: &Usual) -> bool {
        match usual.beyond {
            Beyond::Deviations(_) => self.hours.is_empty(),
            Beyond::Quantile(_) => self.baseline.is_none(),
        }
    }

    fn stats(&self) -> Stats {
        let value = Some(self.above.wrapping_add(self.below) as f64);
        let (above, below) = (Some(self.above), Some(self.below));
        Stats { count: Some(self.count), value, above, below, ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Sum(Exact::Int(self.above.wrapping_add(self.below)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: Usual = Usual { beyond: Beyond::Deviations(3.0), min_count: 10, half_life_ms: 0 };
    const QUANTILE: Usual = Usual { beyond: Beyond::Quantile(0.9), ..USUAL };

    fn judged(values: impl IntoIterator<Item = (i64, f64)>, usual: &Usual) -> (Anomaly, Vec<f64>) {
        let mut total = Anomaly::empty(usual);
        let judge = |(at, value): (i64, f64)| {
            let sample = total.judge(value, at, usual);
            total.record(Occurrence { sample, at, item: b"", total: None }, usual);
            sample.value
        };
        let verdicts = values.into_iter().map(judge).collect();
        (total, verdicts)
    }

    #[test]
    fn a_value_far_from_those_before_it_is_unusual_on_its_side() {
        let values = (0..20).map(|n| f64::from(n % 5)).chain([100.0, -100.0, 2.0]);
        let (total, verdicts) = judged((0..).zip(values), &USUAL);
        assert_eq!(verdicts[20..], [1.0, -1.0, 0.0]);
        assert_eq!((total.count, total.above, total.below), (23, 1, 1));
        let told: Vec<_> = total.told().iter().map(|unusual| (unusual.at, unusual.value, unusual.above)).collect();
        assert_eq!(told, [(20, 100.0, true), (21, -100.0, false)]);
        assert_eq!(total.own_value(), 2.0);
    }

    #[test]
    fn beyond_a_quantile_there_is_only_above() {
        let values = (0..20).map(|n| f64::from(n % 5)).chain([100.0, -100.0, 2.0]);
        let (total, verdicts) = judged((0..).zip(values), &QUANTILE);
        assert_eq!(verdicts[20..], [1.0, 0.0, 0.0]);
        assert!(total.fits(&QUANTILE) && !total.fits(&USUAL) && Anomaly::default().fits(&USUAL));
        assert_eq!(Anomaly::decode(total.encode()), Some(total));
    }

    #[test]
    fn nothing_is_judged_before_there_are_enough_and_a_constant_makes_any_other_unusual() {
        let (_, verdicts) = judged((0..9).map(|at| (at, 0.1)).chain([(9, 7.0)]), &USUAL);
        assert!(verdicts.iter().all(|verdict| *verdict == 0.0));
        let (_, verdicts) = judged((0..1_000).map(|at| (at, 0.1)).chain([(9, 0.100_001), (10, 0.1)]), &USUAL);
        assert!(verdicts[..1_000].iter().all(|verdict| *verdict == 0.0));
        assert_eq!(verdicts[1_000], 1.0);
    }

    #[test]
    fn with_a_half_life_a_new_level_becomes_usual_and_without_it_does_not_soon() {
        let level = |n: i64| if n < 1_000 { 10.0 + (n % 3) as f64 } else { 30.0 + (n % 3) as f64 };
        let stream = || (0..1_100).map(|n| (n * 1_000, level(n)));
        let (_, with) = judged(stream(), &Usual { half_life_ms: 10_000, ..USUAL });
        let (_, without) = judged(stream(), &USUAL);
        assert!(with[1_000] == 1.0 && without[1_000] == 1.0);
        let (total, _) = judged(stream(), &USUAL);
        assert_eq!(total.told().len(), RECENT, "the newest of many");
        let later = |verdicts: &[f64]| verdicts[1_020..].iter().filter(|verdict| **verdict > 0.0).count();
        assert_eq!((later(&with), later(&without) > 0), (0, true));
    }

    proptest! {
        #[test]
        fn the_mean_and_the_deviation_are_those_of_the_values(
            values in proptest::collection::vec((0i64..5_000, -1e3f64..1e3), 1..60),
            half_life in prop_oneof![Just(0i64), 100i64..10_000],
        ) {
            let (total, _) = judged(values.iter().copied(), &Usual { half_life_ms: half_life, ..USUAL });
            let baseline = total.baseline.unwrap();
            // Each weighs as of the latest time there was when it came.
            let mut latest = i64::MIN;
            let mut dated = Vec::new();
            for &(at, value) in &values {
                latest = latest.max(at);
                dated.push((latest, value));
            }
            let age = |at: i64| if half_life > 0 { (latest - at) as f64 / half_life as f64 } else { 0.0 };
            let weighed: Vec<_> = dated.iter().map(|&(at, value)| ((-age(at)).exp2(), value)).collect();
            let weight: f64 = weighed.iter().map(|(weight, _)| weight).sum();
            let mean = weighed.iter().map(|(weight, value)| weight * value).sum::<f64>() / weight;
            let squares: f64 = weighed.iter().map(|(weight, value)| weight * (value - mean).powi(2)).sum();
            prop_assert!((baseline.weight - weight).abs() <= 1e-9 * weight);
            prop_assert!((baseline.mean - mean).abs() <= 1e-6, "{} {}", baseline.mean, mean);
            let off = (baseline.squares - squares).abs();
            prop_assert!(off <= 1e-6 * squares.max(1.0), "{} {}", baseline.squares, squares);
        }

        #[test]
        fn halves_are_as_the_library_has_them(x in prop_oneof![0.0f64..3.0, 0.0f64..1_100.0]) {
            let expected = (-x).exp2();
            prop_assert!((halved(x) - expected).abs() <= 4.0 * f64::EPSILON * expected + 1e-300, "{x}");
        }

        #[test]
        fn merging_adds_counts_and_has_no_order(
            a in proptest::collection::vec((0i64..500, -10f64..10.0), 0..40),
            b in proptest::collection::vec((0i64..500, -10f64..10.0), 0..40),
            c in proptest::collection::vec((0i64..500, -10f64..10.0), 0..40),
        ) {
            let [a, b, c] = [a, b, c].map(|values| judged(values, &USUAL).0);
            let merged = |a: &Anomaly, b: &Anomaly| { let mut merged = a.clone(); merged.merge(b); merged };
            let whole = merged(&merged(&a, &b), &c);
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(&whole, &merged(&a, &merged(&b, &c)));
            prop_assert_eq!(whole.above, a.above + b.above + c.above);
            prop_assert_eq!(Anomaly::decode(whole.encode()), Some(whole));
        }
    }

    impl Anomaly {
        fn own_value(&self) -> f64 {
            self.stats().value.unwrap()
        }
    }
}
