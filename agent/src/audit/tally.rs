//! What a naive recount knows of a measure in one cell, and what of the published numbers is not that.

use super::event::Measured;
use super::published::{TOLERANCE, around};
use crate::config::{Measure, MeasureKind};
use crate::measure::Known;
use std::collections::BTreeMap;
use streamgauge_proto::v1 as pb;

/// A measure's values in one cell. Numbers that depend on the values' distribution are asked for in the form "how many
/// were at most this", for the bounds that the answer has.
#[derive(Clone, Debug)]
pub struct Tally {
    pub count: u64,
    /// Billionths of the exposed unit.
    pub nanos: i128,
    /// Values above zero and below: verdicts, where these are the values.
    pub above: u64,
    pub below: u64,
    /// Sessions that have not ended.
    pub open: u64,
    pub min: f64,
    pub max: f64,
    /// Bounds and how many values were at most that.
    pub at_most: Vec<(f64, u64)>,
    /// The smallest value of the earliest event time, and the largest of the latest; of sessions, when the newest ended.
    pub first: Option<(i64, f64)>,
    pub last: Option<(i64, f64)>,
    /// How often there was what, and the sum of what was measured then.
    pub items: BTreeMap<String, (u64, i128)>,
}

/// An estimate further away than this many standard errors is wrong: of a billion right ones, two are.
const SIGMAS: f64 = 6.0;

/// What differs: what of a measure, published, recounted.
pub type Unequal = (String, String, String);

impl Tally {
    pub fn new(bounds: Vec<f64>) -> Tally {
        let at_most = bounds.into_iter().map(|bound| (bound, 0)).collect();
        Tally {
            count: 0,
            nanos: 0,
            above: 0,
            below: 0,
            open: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            at_most,
            first: None,
            last: None,
            items: BTreeMap::new(),
        }
    }

    /// Adds a value, whose event is of this time.
    pub fn add(&mut self, measured: &Measured, time: i64) {
        let value = measured.value;
        self.count += u64::from(!measured.uncounted);
        self.above += u64::from(value > 0.0);
        self.below += u64::from(value < 0.0);
        self.nanos += (value * 1e9).round() as i128;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        for (bound, count) in &mut self.at_most {
            *count += u64::from(value <= *bound);
        }
        if !measured.uncounted && self.first.is_none_or(|first| (time, value) < first) {
            self.first = Some((time, value));
        }
        if !measured.uncounted && self.last.is_none_or(|last| (time, value) > last) {
            self.last = Some((time, value));
        }
        if !measured.item.is_empty() {
            let (count, nanos) = self.items.entry(measured.item.clone()).or_default();
            *count += 1;
            *nanos += (value * 1e9).round() as i128;
        }
    }

    /// What of a measure is not as it was published.
    pub fn differing(&self, measure: &Measure, value: &pb::MeasureValue) -> Vec<Unequal> {
        let rules = measure.kind.rules();
        // A mean that is not all a measure is of follows from its sum and its count.
        let compared = rules.shows.iter().filter(|&&known| known != Known::Avg || rules.own == Known::Avg);
        let known = compared.filter_map(|&known| self.differs(known, measure, value));
        known.chain(distribution(value, self)).chain(self.ranking(measure, value)).collect()
    }

    fn differs(&self, known: Known, measure: &Measure, value: &pb::MeasureValue) -> Option<Unequal> {
        let published = known.published(value);
        // Windows and what is beyond the limit of keys have no sessions.
        if matches!(measure.kind, MeasureKind::Sessions(_)) && published.is_none() && self.count + self.open == 0 {
            return None;
        }
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
            Known::Above => (Some(self.above as f64), value.above == Some(self.above)),
            Known::Open => (Some(self.open as f64), value.open == Some(self.open)),
            Known::Below => (Some(self.below as f64), value.below == Some(self.below)),
            Known::Value => {
                let recounted = self.value(&measure.kind);
                let off = published.zip(recounted).map(|(published, recounted)| (published - recounted).abs());
                let error = value.value_relative_error.unwrap_or_default() * SIGMAS;
                // Seconds since 1970 with their thousandths.
                let rounds = matches!(
                    measure.kind,
                    MeasureKind::LastSeen | MeasureKind::Sessions(_) | MeasureKind::Apdex(_) | MeasureKind::Ratio
                );
                let rounding = if rounds { 1e-6 } else { 0.0 };
                let close = off.is_some_and(|off| off <= error * recounted.unwrap_or_default() + rounding);
                (recounted, close || published == recounted)
            }
        };
        let text = |number: Option<f64>, without: &str| number.map_or(without.to_owned(), |number| number.to_string());
        (!same).then(|| (known.word().to_owned(), text(published, "missing"), text(recounted, "none")))
    }
}

impl Tally {
    /// What of the items that had most cannot be so.
    fn ranking(&self, measure: &Measure, value: &pb::MeasureValue) -> Vec<Unequal> {
        let MeasureKind::Top(ranking) = measure.kind else { return Vec::new() };
        let weight = |&(count, nanos): &(u64, i128)| if ranking.sums { nanos as f64 / 1e9 } else { count as f64 };
        let error = value.top_error.unwrap_or_default();
        let all: f64 = self.items.values().map(weight).sum();
        let slack = TOLERANCE * (all + self.count as f64);
        let mut found = Vec::new();
        if error > all / (f64::from(ranking.kept()) + 1.0) + slack {
            found.push(("top error".to_owned(), error.to_string(), format!("{all} of all items")));
        }
        if value.top.len() < self.items.len().min(ranking.k as usize) && value.top_error == Some(0.0) {
            found.push(("top".to_owned(), format!("{} items", value.top.len()), format!("{} items", self.items.len())));
        }
        for item in &value.top {
            let has = self.items.get(&item.item).map(weight).unwrap_or_default();
            if item.value > has + slack || has > item.value + error + slack {
                found.push((format!("top {}", item.item), item.value.to_string(), has.to_string()));
            }
        }
        let least = value.top.last().map_or(0.0, |item| item.value) + error + slack;
        let missing = |(item, _): &(&String, _)| value.top.iter().all(|top| top.item != **item);
        let others = self.items.iter().filter(missing).map(|(item, has)| (item, weight(has)));
        for (item, has) in others.filter(|(_, has)| *has > least) {
            found.push((format!("top {item}"), "missing".to_owned(), has.to_string()));
        }
        found
    }

    /// What only this kind knows.
    fn value(&self, kind: &MeasureKind) -> Option<f64> {
        match kind {
            MeasureKind::First => self.first.map(|(_, value)| value),
            MeasureKind::Last => self.last.map(|(_, value)| value),
            MeasureKind::LastSeen | MeasureKind::Sessions(_) => self.last.map(|(time, _)| time as f64 / 1_000.0),
            MeasureKind::Anomaly(_) => Some((self.above + self.below) as f64),
            MeasureKind::Apdex(target) => {
                let at_most = |bound: f64| self.at_most.iter().find(|(b, _)| *b == bound).map_or(0, |(_, n)| *n) as f64;
                let (satisfied, patient) = (at_most(target.0), at_most(4.0 * target.0));
                (self.count > 0).then(|| (satisfied + patient) / 2.0 / self.count as f64)
            }
            MeasureKind::Ratio => (self.count > 0).then(|| self.nanos as f64 / 1e9 / self.count as f64),
            MeasureKind::Distinct(_) => Some(self.items.len() as f64),
            _ => None,
        }
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
