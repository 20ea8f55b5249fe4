//! What is usual for a key, counted again: sums of values and of their squares, which is another way than the agent's.

use super::event::Measured;
use super::published::CellId;
use crate::config::{Aggregate, MeasureKind};
use std::collections::BTreeMap;

/// The values of the keys of one partition so far, by aggregate, measure and key.
#[derive(Debug, Default)]
pub struct Usual(BTreeMap<(String, String, CellId), Sums>);

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

impl Usual {
    /// Puts 1 in the place of a value that is unusually large for its key, -1 for one that is unusually small, 0 for
    /// others.
    pub fn judge(&mut self, aggregate: &Aggregate, key: &CellId, time: i64, values: &mut [Option<Measured>]) {
        for (measure, measured) in aggregate.measures.iter().zip(values) {
            let (MeasureKind::Anomaly(usual), Some(measured)) = (&measure.kind, measured) else { continue };
            let id = (aggregate.name.clone(), measure.name.clone(), key.clone());
            let first = measured.value;
            let empty = Sums { first, values: 0, weight: 0.0, sum: 0.0, squares: 0.0, latest: time };
            let sums = self.0.entry(id).or_insert(empty);
            let value = measured.value - sums.first;
            let mean = sums.sum / sums.weight;
            let deviation = (sums.squares / sums.weight - mean * mean).max(0.0).sqrt();
            let off = value - mean;
            let judged = sums.values >= usual.min_count;
            measured.value = if judged && off.abs() > usual.sigma * deviation { off.signum() } else { 0.0 };
            if usual.half_life_ms > 0 && time > sums.latest {
                let left = 0.5f64.powf((time - sums.latest) as f64 / usual.half_life_ms as f64);
                (sums.weight, sums.sum, sums.squares) = (sums.weight * left, sums.sum * left, sums.squares * left);
            }
            sums.latest = sums.latest.max(time);
            sums.values += 1;
            sums.weight += 1.0;
            sums.sum += value;
            sums.squares += value * value;
        }
    }
}
