//! What is usual for a key, counted again: sums of values and of their squares, or what values weigh by their size, which
//! are other ways than the agent's.

use super::event::Measured;
use super::published::CellId;
use crate::config::{Aggregate, MeasureKind};
use crate::measure::{Beyond, Usual as Rule};
use std::collections::BTreeMap;

/// An aggregate, a measure and a key.
type Of = (String, String, CellId);

/// The values of the keys of one partition so far.
#[derive(Debug, Default)]
pub struct Usual {
    sums: BTreeMap<Of, Sums>,
    /// By the hour of the day, too.
    sizes: BTreeMap<(Of, i64), Sizes>,
}

/// Values less the first of them, so that squares of large ones do not swallow small differences.
#[derive(Debug)]
struct Sums {
    first: f64,
    values: u64,
    weight: f64,
    sum: f64,
    squares: f64,
    latest: i64,
}

/// How many values of each age, in half-lives, were of each size, in eighths of powers of two.
#[derive(Debug, Default)]
struct Sizes {
    values: u64,
    by_age: BTreeMap<i64, BTreeMap<i64, u64>>,
}

impl Usual {
    /// Puts 1 in the place of a value that is unusually large for its key, -1 for one that is unusually small, 0 for
    /// others.
    pub fn judge(&mut self, aggregate: &Aggregate, key: &CellId, time: i64, values: &mut [Option<Measured>]) {
        for (measure, measured) in aggregate.measures.iter().zip(values) {
            let (MeasureKind::Anomaly(usual), Some(measured)) = (&measure.kind, measured) else { continue };
            let id = (aggregate.name.clone(), measure.name.clone(), key.clone());
            let value = measured.value;
            measured.value = match usual.beyond {
                Beyond::Deviations(sigma) => {
                    let empty = Sums { first: value, values: 0, weight: 0.0, sum: 0.0, squares: 0.0, latest: time };
                    self.sums.entry(id).or_insert(empty).judge(value, time, sigma, usual)
                }
                Beyond::Quantile(q) => {
                    let hour = time.div_euclid(3_600_000).rem_euclid(24);
                    self.sizes.entry((id, hour)).or_default().judge(value, time, q, usual)
                }
            };
        }
    }
}

impl Sums {
    fn judge(&mut self, value: f64, time: i64, sigma: f64, usual: &Rule) -> f64 {
        let value = value - self.first;
        let mean = self.sum / self.weight;
        let deviation = (self.squares / self.weight - mean * mean).max(0.0).sqrt();
        let off = value - mean;
        let judged = self.values >= usual.min_count;
        let verdict = if judged && off.abs() > sigma * deviation { off.signum() } else { 0.0 };
        if usual.half_life_ms > 0 && time > self.latest {
            let left = 0.5f64.powf((time - self.latest) as f64 / usual.half_life_ms as f64);
            (self.weight, self.sum, self.squares) = (self.weight * left, self.sum * left, self.squares * left);
        }
        self.latest = self.latest.max(time);
        self.values += 1;
        self.weight += 1.0;
        self.sum += value;
        self.squares += value * value;
        verdict
    }
}

impl Sizes {
    fn judge(&mut self, value: f64, time: i64, q: f64, usual: &Rule) -> f64 {
        let age = if usual.half_life_ms > 0 { time.div_euclid(usual.half_life_ms) } else { 0 };
        let age = self.by_age.last_key_value().map_or(age, |(&latest, _)| latest.max(age));
        // A size is the least eighth power that is no smaller; the agent's ends are 2^-20 and 2^40.
        let size = if value > 0.0 { ((value.log2() * 8.0).ceil() as i64).clamp(-159, 320) } else { i64::MIN };
        let (mut below, mut all) = (0.0, 0.0);
        for (&of, sizes) in &self.by_age {
            // After twenty half-lives nothing is left of a value.
            let weight = if age - of > 20 { 0.0 } else { 0.5f64.powi((age - of) as i32) };
            below += weight * sizes.range(..size).map(|(_, count)| *count as f64).sum::<f64>();
            all += weight * sizes.values().map(|count| *count as f64).sum::<f64>();
        }
        let unusual = value > 0.0 && all > 0.0 && self.values >= usual.min_count && below >= q * all;
        self.values += 1;
        *self.by_age.entry(age).or_default().entry(size).or_default() += 1;
        f64::from(u8::from(unusual))
    }
}
