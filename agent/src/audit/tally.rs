//! What a naive recount knows of a measure in one cell, and what of the published numbers is not that.

use super::published::{TOLERANCE, around};
use crate::config::Measure;
use crate::measure::Known;
use streamgauge_proto::v1 as pb;

/// A measure's values in one cell. Numbers that depend on the values' distribution are asked for in the form "how many
/// were at most this", for the bounds that the answer has.
#[derive(Clone, Debug)]
pub struct Tally {
    pub count: u64,
    /// Billionths of the exposed unit.
    pub nanos: i128,
    pub min: f64,
    pub max: f64,
    /// Bounds and how many values were at most that.
    pub at_most: Vec<(f64, u64)>,
}

/// What differs: what of a measure, published, recounted.
pub type Unequal = (String, String, String);

impl Tally {
    pub fn new(bounds: Vec<f64>) -> Tally {
        let at_most = bounds.into_iter().map(|bound| (bound, 0)).collect();
        Tally { count: 0, nanos: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, at_most }
    }

    /// Adds a value, whose event is of this time.
    pub fn add(&mut self, value: f64, _time: i64) {
        self.count += 1;
        self.nanos += (value * 1e9).round() as i128;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        for (bound, count) in &mut self.at_most {
            *count += u64::from(value <= *bound);
        }
    }

    /// What of a measure is not as it was published.
    pub fn differing(&self, measure: &Measure, value: &pb::MeasureValue) -> Vec<Unequal> {
        let rules = measure.kind.rules();
        // A mean that is not all a measure is of follows from its sum and its count.
        let compared = rules.shows.iter().filter(|&&known| known != Known::Avg || rules.own == Known::Avg);
        let known = compared.filter_map(|&known| self.differs(known, value));
        known.chain(distribution(value, self)).collect()
    }

    fn differs(&self, known: Known, value: &pb::MeasureValue) -> Option<Unequal> {
        let published = known.published(value);
        let sum = self.nanos as f64 / 1e9;
        let (recounted, same) = match known {
            Known::Count => {
                let same = value.count == Some(self.count);
                let text = value.count.map_or_else(|| "missing".to_owned(), |count| count.to_string());
                return (!same).then(|| (known.word().to_owned(), text, self.count.to_string()));
            }
            Known::Sum => (Some(sum), published.is_some_and(|published| is_close(published, sum, self.count))),
            Known::Avg if self.count == 0 => (None, published.is_none()),
            Known::Avg => {
                let mean = sum / self.count as f64;
                (Some(mean), published.is_some_and(|published| is_close(published, mean, 1)))
            }
            Known::Min => (finite(self.min), published == finite(self.min)),
            Known::Max => (finite(self.max), published == finite(self.max)),
        };
        let text = |number: Option<f64>, without: &str| number.map_or(without.to_owned(), |number| number.to_string());
        (!same).then(|| (known.word().to_owned(), text(published, "missing"), text(recounted, "none")))
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Buckets and quantiles that do not agree.
fn distribution(value: &pb::MeasureValue, tally: &Tally) -> Vec<Unequal> {
    let mut found = Vec::new();
    let at_most = |bound: f64| tally.at_most.iter().find(|(b, _)| *b == bound).map_or(0, |(_, count)| *count);
    for bucket in &value.buckets {
        let recounted = at_most(bucket.upper_bound);
        if recounted != bucket.count {
            let what = format!("values up to {}", bucket.upper_bound);
            found.push((what, bucket.count.to_string(), recounted.to_string()));
        }
    }
    for quantile in &value.quantiles {
        let Some([low, high]) = around(quantile.value, value.quantile_relative_error) else { continue };
        let rank = ((quantile.quantile * tally.count as f64).ceil() as u64).clamp(1, tally.count.max(1));
        if at_most(low) >= rank || at_most(high) < rank {
            let (what, published) = (format!("quantile {}", quantile.quantile), quantile.value.to_string());
            let recounted = format!("rank {rank}; {} are below {low}, {} up to {high}", at_most(low), at_most(high));
            found.push((what, published, recounted));
        }
    }
    found
}

fn is_close(a: f64, b: f64, values: u64) -> bool {
    (a - b).abs() <= TOLERANCE * (a.abs().max(b.abs()) + values as f64)
}
