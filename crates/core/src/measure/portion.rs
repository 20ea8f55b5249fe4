//! What a rate, a share and a comparison have in common: an amount, and what it is divided by once both are known.

use super::{Form, Known, Nanos, Occurrence, Rules, Stat, Statistic, Stats, Takes, Total};
use std::marker::PhantomData;
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

/// What an amount is divided by makes a kind of measure.
pub trait Relation {
    /// What the config gives it besides a field.
    type Given;
    /// As the config spells it.
    const WORD: &'static str;
    /// What the quotient is in.
    const UNIT: &'static str;

    /// What is added up.
    fn amount(given: &Self::Given) -> Amount;
}

/// An amount. What it is divided by is in no single state: it is found when a row of an answer is made, and is not stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Portion<R> {
    amount: Nanos,
    value: Option<f64>,
    relation: PhantomData<R>,
}

impl<R: Relation> Statistic for Portion<R> {
    type Stored = pb::Nanos;
    type Given = R::Given;

    const RULES: Rules = Rules {
        word: R::WORD,
        takes: Takes::Amount,
        takes_sign: true,
        unit: Some(R::UNIT),
        form: Form::Estimate,
        shows: &[Known::Value],
        own: Known::Value,
        // It is of a window.
        totals: &[],
        window: &[Stat::Own],
    };

    fn empty(_: &R::Given) -> Portion<R> {
        Portion { amount: Nanos::default(), value: None, relation: PhantomData }
    }

    #[inline]
    fn record(&mut self, event: Occurrence<'_>, given: &R::Given) {
        self.amount.add(match R::amount(given) {
            Amount::Events => 1_000_000_000,
            Amount::Values => event.sample.nanos,
        });
    }

    fn merge(&mut self, other: &Portion<R>) {
        self.amount.add(other.amount.get());
        self.value = None;
    }

    fn encode(&self) -> pb::Nanos {
        self.amount.encode()
    }

    fn decode(stored: pb::Nanos) -> Option<Portion<R>> {
        Some(Portion { amount: Nanos::decode(&stored), value: None, relation: PhantomData })
    }

    fn stats(&self) -> Stats {
        Stats { value: self.value, ..Stats::default() }
    }

    fn total(&self) -> Total<'_> {
        Total::Gauge(self.value)
    }

    fn amount(&self) -> Option<f64> {
        Some(super::nanos_to_f64(self.amount.get()))
    }

    fn relate(&mut self, to: f64) {
        self.value = self.amount().filter(|_| to != 0.0).map(|amount| amount / to);
    }
}
