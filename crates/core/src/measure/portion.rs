//! What a rate, a share and a comparison have in common: an amount, and what it is divided by once both are known.

use super::{Nanos, Occurrence, Stats};
use streamgauge_proto::storage::v1 as pb;

/// What is added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Amount {
    /// One for each event.
    #[default]
    Events,
    /// The value of a field.
    Values,
}

/// An amount. What it is divided by is in no single state: it is found when a row of an answer is made, and is not stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Portion {
    amount: Nanos,
    value: Option<f64>,
}

impl Portion {
    #[inline]
    pub fn record(&mut self, event: &Occurrence<'_>, amount: Amount) {
        self.amount.add(match amount {
            Amount::Events => 1_000_000_000,
            Amount::Values => event.sample.nanos,
        });
    }

    pub fn merge(&mut self, other: &Portion) {
        self.amount.add(other.amount.get());
        self.value = None;
    }

    /// In the exposed unit.
    pub fn amount(&self) -> f64 {
        super::nanos_to_f64(self.amount.get())
    }

    /// Divides it.
    pub fn relate(&mut self, to: f64) {
        self.value = (to != 0.0).then(|| self.amount() / to);
    }

    pub fn encode(&self) -> pb::Nanos {
        self.amount.encode()
    }

    pub fn decode(stored: &pb::Nanos) -> Portion {
        Portion { amount: Nanos::decode(stored), value: None }
    }

    pub fn stats(&self) -> Stats {
        Stats { value: self.value, ..Stats::default() }
    }
}
