//! How a key's values were spread so far, for each hour of the day: what [`super::anomaly`] compares with that knows no
//! mean.
//!
//! Values are told apart by buckets that grow by a factor of 2^(1/8), 9 %: one is beyond a quantile if its bucket is
//! beyond the quantile's. So what is beyond does exceed the exact quantile, and all that exceeds it by 9 % is beyond.

use super::exponential::{Dense, MAX_SCALE, index};
use streamgauge_proto::storage::v1 as pb;

const HOUR_MS: i64 = 3_600_000;
const HOURS: i64 = 24;
/// Buckets of a power of two: 2 to this.
const SCALE: i32 = 3;
/// Smaller values and larger ones, in powers of two, are in the first bucket and in the last: so many are there at most.
const POWERS: [i32; 2] = [-20, 40];
/// A value of its own time; it is halved at each half-life until nothing is left.
const WHOLE: u64 = 1 << 20;

/// Ascending by the hour; those that had values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hours(Vec<Hour>);

/// An hour of the day. Of two, the one with the latest values is the larger.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Hour {
    /// The half-life of the latest value, counted from 1970.
    age: i64,
    values: u64,
    /// What values of zero and below weigh, which have no bucket.
    low: u64,
    weights: Dense,
    /// 0 to 23, in UTC.
    hour: u32,
}

impl Hours {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a value is beyond the quantile of those before it at its hour of the day, if there were enough; and takes it
    /// among them. What comes late weighs as if it were of the latest time.
    pub fn judge(&mut self, value: f64, at: i64, quantile: f64, min_count: u64, half_life_ms: i64) -> bool {
        let hour = self.at(at.div_euclid(HOUR_MS).rem_euclid(HOURS) as u32);
        if half_life_ms > 0 {
            hour.grow_old(at.div_euclid(half_life_ms));
        }
        let bucket = (value > 0.0).then(|| bucket(value));
        let beyond = hour.values >= min_count.max(1) && bucket.is_some_and(|bucket| hour.is_beyond(bucket, quantile));
        hour.values = hour.values.saturating_add(1);
        match bucket {
            Some(bucket) => hour.weights.add(bucket, WHOLE),
            None => hour.low = hour.low.saturating_add(WHOLE),
        }
        beyond
    }

    fn at(&mut self, hour: u32) -> &mut Hour {
        let place = self.0.partition_point(|held| held.hour < hour);
        if self.0.get(place).is_none_or(|held| held.hour != hour) {
            self.0.insert(place, Hour { age: i64::MIN, hour, ..Hour::default() });
        }
        &mut self.0[place]
    }

    /// Of each hour the one with the latest values stays, so that merging has no order: merged keys are nobody's.
    pub fn merge(&mut self, other: &Hours) {
        for theirs in &other.0 {
            let mine = self.at(theirs.hour);
            if *theirs > *mine {
                mine.clone_from(theirs);
            }
        }
    }

    pub fn encode(&self) -> Vec<pb::HourOfDay> {
        let one = |hour: &Hour| pb::HourOfDay {
            hour: hour.hour,
            values: hour.values,
            age: (hour.age != i64::MIN).then_some(hour.age),
            low: hour.low,
            weights: hour.weights.range().map(|(offset, _)| {
                let counts = hour.weights.counts().to_vec();
                pb::BucketRange { offset, counts }
            }),
        };
        self.0.iter().map(one).collect()
    }

    /// The inverse of `encode`; `None` if it is not what that makes.
    pub fn decode(stored: Vec<pb::HourOfDay>) -> Option<Hours> {
        let one = |stored: pb::HourOfDay| {
            let pb::BucketRange { offset, counts } = stored.weights.unwrap_or_default();
            let weights = Dense::new(offset, counts)?;
            let [first, last] = POWERS.map(|power| power << SCALE);
            let sound = weights.range().is_none_or(|(low, high)| low >= first && high < last);
            let (hour, values, low) = (stored.hour, stored.values, stored.low);
            sound.then_some(Hour { age: stored.age.unwrap_or(i64::MIN), values, low, weights, hour })
        };
        let hours: Vec<Hour> = stored.into_iter().map(one).collect::<Option<_>>()?;
        let ascending = hours.is_sorted_by(|a, b| a.hour < b.hour);
        (ascending && hours.iter().all(|hour| i64::from(hour.hour) < HOURS)).then_some(Hours(hours))
    }
}

impl Hour {
    /// Halves all weights for each half-life that has passed.
    fn grow_old(&mut self, age: i64) {
        if age <= self.age {
            return;
        }
        let passed = u32::try_from(age.saturating_sub(self.age)).unwrap_or(u32::MAX).min(u64::BITS);
        self.age = age;
        self.low = self.low.checked_shr(passed).unwrap_or(0);
        self.weights.halve(passed);
    }

    fn is_beyond(&self, bucket: i32, quantile: f64) -> bool {
        let (mut below, mut all) = (self.low, self.low);
        for (at, weight) in self.weights.iter() {
            all = all.saturating_add(weight);
            if at < bucket {
                below = below.saturating_add(weight);
            }
        }
        below as f64 >= quantile * all as f64 && all > 0
    }
}

fn bucket(value: f64) -> i32 {
    let [first, last] = POWERS.map(|power| power << SCALE);
    (index(value) >> (MAX_SCALE - SCALE)).clamp(first, last - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const Q: f64 = 0.9;

    fn judged(values: &[(i64, f64)], half_life: i64) -> (Hours, Vec<bool>) {
        let mut hours = Hours::default();
        let verdicts = values.iter().map(|&(at, value)| hours.judge(value, at, Q, 10, half_life)).collect();
        (hours, verdicts)
    }

    #[test]
    fn each_hour_of_the_day_has_its_own_quantile() {
        // Slow at night, fast by day: what is usual at night is unusual by day.
        let day = |n: i64| n * 24 * HOUR_MS;
        let night = (0..20).map(|n| (day(n), 8.0));
        let noon = (0..20).map(|n| (day(n) + 12 * HOUR_MS, 1.0));
        let last = [(day(30) + 1, 8.0), (day(30) + 12 * HOUR_MS, 8.0), (day(30) + 6 * HOUR_MS, 8.0)];
        let values: Vec<_> = night.chain(noon).chain(last).collect();
        let (hours, verdicts) = judged(&values, 0);
        assert_eq!(verdicts[40..], [false, true, false], "at six there was nothing to compare with");
        assert!(verdicts[..40].iter().all(|beyond| !beyond));
        assert_eq!(hours.0.iter().map(|hour| hour.hour).collect::<Vec<_>>(), [0, 6, 12]);
    }

    #[test]
    fn with_a_half_life_a_new_level_becomes_usual() {
        let level = |n: i64| if n < 1_000 { 1.0 } else { 8.0 };
        let values: Vec<_> = (0..1_200).map(|n| (n / 100 * 24 * HOUR_MS, level(n))).collect();
        let later = |half_life| judged(&values, half_life).1[1_100..].iter().filter(|beyond| **beyond).count();
        assert_eq!((later(24 * HOUR_MS), later(0)), (0, 12));
        // What is very old is forgotten.
        let (hours, verdicts) = judged(&[values.clone(), vec![(400 * 24 * HOUR_MS, 64.0)]].concat(), 24 * HOUR_MS);
        assert_eq!((verdicts.last(), hours.0[0].weights.total()), (Some(&false), WHOLE));
    }

    proptest! {
        #[test]
        fn what_is_beyond_exceeds_the_exact_quantile_and_what_exceeds_it_by_a_bucket_is_beyond(
            values in proptest::collection::vec(prop_oneof![-1.0f64..1.0, 0.001f64..1e6], 1..80),
        ) {
            let stream: Vec<_> = values.iter().map(|&value| (0, value)).collect();
            let (_, verdicts) = judged(&stream, 0);
            for (n, (&value, beyond)) in values.iter().zip(verdicts).enumerate() {
                let mut before = values[..n].to_vec();
                before.sort_by(f64::total_cmp);
                let exact = before.get(((Q * n as f64).ceil() as usize).max(1) - 1).copied().filter(|_| n >= 10);
                let exceeds = |factor: f64| exact.is_some_and(|exact| value > exact.max(0.0) * factor);
                prop_assert!(!beyond || exceeds(1.0), "{value} {exact:?}");
                prop_assert!(beyond || !exceeds(1.091), "{value} {exact:?}");
            }
        }

        #[test]
        fn merging_has_no_order_and_what_is_stored_comes_back(
            parts in proptest::collection::vec(
                proptest::collection::vec((0i64..90 * HOUR_MS, -1.0f64..1e9), 0..40), 3),
            half_life in prop_oneof![Just(0), Just(HOUR_MS), Just(30 * HOUR_MS)],
        ) {
            let [a, b, c] = [0, 1, 2].map(|n| judged(&parts[n], half_life).0);
            let merged = |a: &Hours, b: &Hours| { let mut merged = a.clone(); merged.merge(b); merged };
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            let whole = merged(&merged(&a, &b), &c);
            prop_assert_eq!(&whole, &merged(&a, &merged(&b, &c)));
            prop_assert_eq!(Hours::decode(whole.encode()), Some(whole));
        }
    }
}
