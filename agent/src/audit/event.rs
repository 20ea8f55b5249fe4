//! One record, read naively: as a whole, by the rules of the documentation.

use crate::config::{Condition, FieldPath, Measure, MeasureKind, Scalar, Source, Test, TimeFormat, Timestamp};
use serde_json::Value;

/// Largest magnitude that is measured.
const LARGEST: f64 = 1e18;
/// 9999-12-31T23:59:59.999Z.
const LAST_TIME: i64 = 253_402_300_799_999;

/// The event in a record.
#[derive(Debug)]
pub struct Event {
    /// Unix milliseconds.
    pub time: i64,
    /// How far the event moves stream time: to its time, at most `max_lead` beyond its record's. Unix milliseconds.
    pub reach: i64,
    json: Value,
}

impl Event {
    /// `None`: the record is a dead letter.
    pub fn read(payload: &[u8], record_time: Option<i64>, source: &Source, most_bytes: usize) -> Option<Event> {
        if payload.len() > most_bytes {
            return None;
        }
        let json: Value = serde_json::from_slice(payload).ok()?;
        json.as_object()?;
        let time = match &source.timestamp {
            Timestamp::Kafka => record_time?,
            Timestamp::Field { path, format } => time(at(&json, path)?, *format)?,
        };
        let most = record_time.map_or(i64::MAX, |t| t.saturating_add(source.max_future.as_millis() as i64));
        let reach = record_time.map_or(time, |t| time.min(t.saturating_add(source.max_lead.as_millis() as i64)));
        ((0..=LAST_TIME).contains(&time) && time <= most).then_some(Event { time, reach, json })
    }

    /// The value of a label; `None`: the event cannot be counted.
    pub fn label(&self, path: &FieldPath, most_bytes: usize) -> Option<String> {
        let text = match at(&self.json, path)? {
            Value::String(text) => text.clone(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => whole.to_string(),
                None => number.as_f64()?.to_string(),
            },
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        (text.len() <= most_bytes).then_some(text)
    }

    /// What a measure measures of it, in the exposed unit: `Ok(None)` if its filter does not hold.
    pub fn measured(&self, measure: &Measure) -> Result<Option<f64>, Unusable> {
        if !measure.filter.iter().all(|condition| self.passes(condition)) {
            return Ok(None);
        }
        let path = match (&measure.kind, &measure.field) {
            (MeasureKind::Count, _) | (_, None) => return Ok(Some(0.0)),
            (_, Some(path)) => path,
        };
        let number = at(&self.json, path).and_then(Value::as_f64).ok_or(Unusable)?;
        let (numerator, denominator) = measure.unit.factor();
        let value = number * numerator as f64 / denominator as f64;
        if number.abs() <= LARGEST && value.abs() <= LARGEST { Ok(Some(value)) } else { Err(Unusable) }
    }

    fn passes(&self, condition: &Condition) -> bool {
        let value = at(&self.json, &condition.path);
        let number = value.and_then(Value::as_f64);
        match &condition.test {
            Test::Exists(wanted) => value.is_some() == *wanted,
            Test::Eq(operand) => value.and_then(|value| same(value, operand)) == Some(true),
            Test::Ne(operand) => value.and_then(|value| same(value, operand)) == Some(false),
            Test::In(operands) => {
                value.is_some_and(|value| operands.iter().any(|operand| same(value, operand) == Some(true)))
            }
            Test::Gt(bound) => number.is_some_and(|number| number > *bound),
            Test::Gte(bound) => number.is_some_and(|number| number >= *bound),
            Test::Lt(bound) => number.is_some_and(|number| number < *bound),
            Test::Lte(bound) => number.is_some_and(|number| number <= *bound),
            Test::Prefix(prefix) => value.and_then(Value::as_str).is_some_and(|text| text.starts_with(prefix)),
        }
    }
}

/// A field is measured that is missing, no number, or too large: the whole event is a dead letter.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable;

fn at<'a>(json: &'a Value, path: &FieldPath) -> Option<&'a Value> {
    path.0.iter().try_fold(json, |value, name| value.as_object()?.get(name))
}

/// `None` if the types differ.
fn same(value: &Value, operand: &Scalar) -> Option<bool> {
    match operand {
        Scalar::Bool(operand) => value.as_bool().map(|value| value == *operand),
        Scalar::Number(operand) => value.as_f64().map(|value| value == *operand),
        Scalar::Text(operand) => value.as_str().map(|value| value == operand),
    }
}

/// Unix milliseconds; numbers may stand in strings.
fn time(value: &Value, format: TimeFormat) -> Option<i64> {
    if format == TimeFormat::Rfc3339 {
        let time: jiff::Timestamp = value.as_str()?.parse().ok()?;
        return i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok();
    }
    let (whole, number) = match value {
        Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            (text.parse::<i64>().ok(), text.parse::<f64>().ok())
        }
        other => (other.as_i64(), other.as_f64()),
    };
    match (whole, number) {
        (Some(whole), _) => match format {
            TimeFormat::UnixSeconds => whole.checked_mul(1_000),
            TimeFormat::UnixNanos => Some(whole.div_euclid(1_000_000)),
            TimeFormat::UnixMillis | TimeFormat::Rfc3339 => Some(whole),
        },
        (None, Some(number)) => Some(match format {
            // To the microsecond first: a time with three decimals is not one millisecond less for being a float.
            TimeFormat::UnixSeconds => ((number * 1e6).round() / 1e3).floor() as i64,
            TimeFormat::UnixNanos => (number / 1e6).floor() as i64,
            TimeFormat::UnixMillis | TimeFormat::Rfc3339 => number.floor() as i64,
        }),
        (None, None) => None,
    }
}
