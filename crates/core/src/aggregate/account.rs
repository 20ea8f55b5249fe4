//! What the aggregates make of one event, for somebody who wants to know why something is or is not counted. Folds nothing.

use super::Value;
use super::extract::Extract;
use super::key;
use super::plan::{AggregatePlan, MeasurePlan, Plan};
use super::reason::{About, Note, Rejection};
use crate::measure::{MeasureKind, Sample};

/// What one aggregate makes of one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Whether the event is the aggregate's.
    pub taken: bool,
    /// The labels' values, in the config's order; none if the event is not taken.
    pub labels: Vec<String>,
    /// What each measure records, in the exposed unit, in the config's order; `None` where it records nothing.
    pub samples: Vec<Option<f64>>,
    /// What could not be used as it was.
    pub remarks: Vec<Remark>,
}

/// Something of an event that one aggregate could not use as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    pub concerns: Concerns,
    /// What is wrong with which field.
    pub why: Rejection,
}

/// What of an aggregate a [`Remark`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concerns {
    Event,
    /// Position among the aggregate's labels.
    Label(usize),
    /// Position among its measures.
    Measure(usize),
}

/// A value that a measure judges by the earlier ones of its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub aggregate: String,
    pub measure: String,
    /// The labels' values, in the config's order.
    pub labels: Vec<String>,
    /// In the exposed unit.
    pub value: f64,
}

impl Plan {
    /// What of an event with these values is judged, by whichever aggregates.
    pub fn judged(&self, values: &[Value<'_>]) -> Vec<Judged> {
        let mut all = Vec::new();
        let mut extract = Extract::default();
        for aggregate in self.aggregates.iter().filter(|aggregate| aggregate.judges) {
            extract.read(self, aggregate, values);
            if !extract.taken {
                continue;
            }
            let labels: Vec<_> = key::labels(&extract.key).unwrap_or_default().into_iter().map(str::to_owned).collect();
            let measures = aggregate.config.measures.iter().zip(&extract.samples);
            let judging = measures.filter(|(measure, _)| matches!(measure.kind, MeasureKind::Anomaly(_)));
            all.extend(judging.filter_map(|(measure, sample)| {
                let (aggregate, measure) = (aggregate.config.name.clone(), measure.name.clone());
                Some(Judged { aggregate, measure, labels: labels.clone(), value: sample.as_ref()?.value })
            }));
        }
        all
    }

    /// What each aggregate, in the order of [`Plan::aggregates`], makes of an event with these values.
    ///
    /// # Errors
    /// The first fault, if the plan is strict: such an event is folded nowhere.
    pub fn accounts(&self, values: &[Value<'_>]) -> Result<Vec<Account>, Rejection> {
        let mut extract = Extract::default();
        let mut accounts = Vec::with_capacity(self.aggregates.len());
        for aggregate in &self.aggregates {
            extract.read(self, aggregate, values);
            let fault = extract.notes.iter().find(|note| note.reason.is_fault());
            if let Some(fault) = fault.filter(|_| self.strict) {
                return Err(Rejection::new(&self.fields, *fault));
            }
            accounts.push(self.account(aggregate, &extract));
        }
        Ok(accounts)
    }

    fn account(&self, aggregate: &AggregatePlan, extract: &Extract) -> Account {
        let remark = |note: &Note| {
            let concerns = match note.about {
                About::Event => Concerns::Event,
                About::Label(at) => Concerns::Label(at),
                About::Measure(at) => Concerns::Measure(at),
            };
            Remark { concerns, why: Rejection::new(&self.fields, *note) }
        };
        let mut labels = Vec::new();
        let mut samples = Vec::new();
        if extract.taken {
            labels = key::labels(&extract.key).unwrap_or_default().into_iter().map(str::to_owned).collect();
            // A count adds one, whatever its event holds.
            let value = |(sample, measure): (&Option<Sample>, &MeasurePlan)| match measure.field {
                None => sample.map(|_| 1.0),
                Some(_) => sample.map(|sample| sample.value),
            };
            samples = extract.samples.iter().zip(&aggregate.measures).map(value).collect();
        }
        debug_assert!(!extract.taken || labels.len() == aggregate.labels.len());
        Account { taken: extract.taken, labels, samples, remarks: extract.notes.iter().map(remark).collect() }
    }
}
