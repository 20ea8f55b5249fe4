//! From an event's fields to an aggregate's key and samples; or why the event can't be folded.

use std::io::Write;

use super::event::Value;
use super::filter::holds;
use super::plan::{AggregatePlan, MeasurePlan, Plan};
use super::units::{BadNumber, Sample};
use crate::config::FieldPath;

/// Why an event was folded into no aggregate at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}` {reason}")]
pub struct Rejection {
    pub field: FieldPath,
    pub reason: RejectionReason,
}

/// What is wrong with the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RejectionReason {
    #[error("is missing, and a label is made of it")]
    MissingLabel,
    #[error("is null, an array or an object, and a label is made of it")]
    LabelType,
    #[error("is longer than a label may be")]
    LabelTooLong,
    #[error("is missing, and it is measured")]
    MissingValue,
    #[error("is not a number, and it is measured")]
    ValueType,
    #[error("is not finite, or larger than 1e18")]
    ValueOutOfRange,
}

impl RejectionReason {
    /// The value of a metric's `reason` label.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectionReason::MissingLabel => "missing_label",
            RejectionReason::LabelType => "label_type",
            RejectionReason::LabelTooLong => "label_too_long",
            RejectionReason::MissingValue => "missing_value",
            RejectionReason::ValueType => "value_type",
            RejectionReason::ValueOutOfRange => "value_out_of_range",
        }
    }
}

impl From<BadNumber> for RejectionReason {
    fn from(problem: BadNumber) -> Self {
        match problem {
            BadNumber::Missing => RejectionReason::MissingValue,
            BadNumber::WrongType => RejectionReason::ValueType,
            BadNumber::OutOfRange => RejectionReason::ValueOutOfRange,
        }
    }
}

/// What an aggregate folds of one event. Reused from event to event.
#[derive(Debug, Default)]
pub(super) struct Extract {
    /// Laid out as [`super::KeyBytes`].
    pub key: Vec<u8>,
    /// One per measure; `None` where its filter does not hold.
    pub samples: Vec<Option<Sample>>,
}

impl Extract {
    /// Reads one event, in the order of [`Plan::fields`].
    pub fn read(&mut self, plan: &Plan, aggregate: &AggregatePlan, values: &[Value<'_>]) -> Result<(), Rejection> {
        self.key.clear();
        self.key.push(super::key::USUAL);
        for &slot in &aggregate.labels {
            self.push_label(value(values, slot), plan.label_bytes).map_err(|reason| rejection(plan, slot, reason))?;
        }
        self.samples.clear();
        for measure in &aggregate.measures {
            let sample = sample(measure, values)
                .map_err(|problem| rejection(plan, measure.field.unwrap_or_default(), problem.into()))?;
            self.samples.push(sample);
        }
        Ok(())
    }

    #[inline]
    fn push_label(&mut self, value: Value<'_>, limit: usize) -> Result<(), RejectionReason> {
        let start = self.key.len();
        self.key.extend_from_slice(&[0; 4]);
        // Writing to a Vec cannot fail.
        let _ = match value {
            Value::Str(text) if text.len() > limit => return Err(RejectionReason::LabelTooLong),
            Value::Str(text) => {
                self.key.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Value::Int(number) => {
                self.push_digits(number);
                Ok(())
            }
            Value::Float(number) => write!(self.key, "{number}"),
            Value::Bool(truth) => write!(self.key, "{truth}"),
            Value::Missing => return Err(RejectionReason::MissingLabel),
            Value::Null | Value::Composite => return Err(RejectionReason::LabelType),
        };
        let length = self.key.len() - start - 4;
        match u32::try_from(length) {
            Ok(prefix) if length <= limit => self.key[start..start + 4].copy_from_slice(&prefix.to_be_bytes()),
            _ => return Err(RejectionReason::LabelTooLong),
        }
        Ok(())
    }

    /// As `write!` does it, which took a tenth of folding: integers are the most usual labels after text.
    #[inline]
    fn push_digits(&mut self, number: i64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            digits[at] = b'-';
        }
        self.key.extend_from_slice(&digits[at..]);
    }
}

#[inline]
fn sample(measure: &MeasurePlan, values: &[Value<'_>]) -> Result<Option<Sample>, BadNumber> {
    if !measure.filter.iter().all(|(slot, test)| holds(test, value(values, *slot))) {
        return Ok(None);
    }
    match measure.field {
        Some(slot) => measure.scaling.sample(value(values, slot)).map(Some),
        None => Ok(Some(Sample { value: 0.0, nanos: 0 })),
    }
}

#[inline]
fn value<'a>(values: &[Value<'a>], slot: usize) -> Value<'a> {
    values.get(slot).copied().unwrap_or_default()
}

#[cold]
fn rejection(plan: &Plan, slot: usize, reason: RejectionReason) -> Rejection {
    Rejection { field: plan.fields[slot].clone(), reason }
}
