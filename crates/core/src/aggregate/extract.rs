//! From an event's fields to an aggregate's key and samples, and what of them could not be used.

use crate::measure::{MeasureKind, Ratio, Sample};
use std::io::Write;

use super::plan::{AggregatePlan, ItemPlan, LabelPlan, MeasurePlan, Plan};
use super::reason::{About, Note, Reason};
use super::span;
use crate::value::Value;

/// What an aggregate folds of one event. Reused from event to event.
#[derive(Debug, Default)]
pub(super) struct Extract {
    /// Laid out as [`super::KeyBytes`].
    pub key: Vec<u8>,
    /// One per measure; `None` where its filter does not hold, or where there is no usable value.
    pub samples: Vec<Option<Sample>>,
    /// The items of the measures that take some; empty if the aggregate has none of those.
    pub items: Items,
    /// Whether the event is the aggregate's at all.
    pub taken: bool,
    /// What could not be used as it was. Mostly nothing.
    pub notes: Vec<Note>,
}

impl Extract {
    /// Reads one event, in the order of [`Plan::fields`]; whether it is the aggregate's is in `taken`.
    pub fn read(&mut self, plan: &Plan, aggregate: &AggregatePlan, values: &[Value<'_>]) {
        self.notes.clear();
        self.key.clear();
        self.key.push(super::key::USUAL);
        self.taken = false;
        if !aggregate.filter.holds(values) {
            self.notes.push(Note { about: About::Event, slot: 0, reason: Reason::Where });
            return;
        }
        for (at, label) in aggregate.labels.iter().enumerate() {
            if !self.push_label(at, label, label.value(values), plan.label_bytes) {
                return;
            }
        }
        self.samples.clear();
        for (at, measure) in aggregate.measures.iter().enumerate() {
            let sample = match sample(measure, values) {
                Ok(sample) => sample,
                Err(reason) => {
                    self.note(About::Measure(at), measure.field.unwrap_or_default(), reason);
                    None
                }
            };
            self.samples.push(sample);
        }
        if aggregate.takes_items {
            self.read_items(aggregate, values, plan.label_bytes);
        }
        self.taken = true;
    }

    /// Reads the items of measures that have a sample; one without an item has none.
    #[inline(never)]
    fn read_items(&mut self, aggregate: &AggregatePlan, values: &[Value<'_>], limit: usize) {
        self.items.clear();
        for (at, measure) in aggregate.measures.iter().enumerate() {
            if let (Some(item), Some(Some(_))) = (&measure.item, self.samples.get(at))
                && let Err(reason) = self.items.push(item.value(values))
            {
                self.samples[at] = None;
                self.note(About::Measure(at), item.slot, reason);
            }
            if let MeasureKind::Top(_) = measure.kind {
                self.items.cut(limit);
            }
            self.items.end();
        }
    }

    #[cold]
    fn note(&mut self, about: About, slot: usize, reason: Reason) {
        self.notes.push(Note { about, slot, reason });
    }

    /// Appends a label to the key; `false`: without it, the event is not the aggregate's.
    #[inline]
    fn push_label(&mut self, at: usize, label: &LabelPlan, value: Value<'_>, limit: usize) -> bool {
        let start = self.key.len();
        self.key.extend_from_slice(&[0; 4]);
        match value {
            value if label.making.is_some() => {
                if !self.push_made(at, label, value) {
                    return false;
                }
            }
            Value::Str(text) if !text.is_empty() => self.key.extend_from_slice(text.as_bytes()),
            Value::Int(number) => self.push_digits(number),
            other => {
                if !self.push_unusual(at, label, other) {
                    return false;
                }
            }
        }
        let begins = start + 4;
        if self.key.len() - begins > limit {
            cut(&mut self.key, begins, limit);
            self.note(About::Label(at), label.slot, Reason::LabelTooLong);
        }
        let length = (self.key.len() - begins) as u32;
        self.key[start..begins].copy_from_slice(&length.to_be_bytes());
        true
    }

    /// Appends what the label makes of the value; `false` if that is nothing and the label is required.
    #[inline(never)]
    fn push_made(&mut self, at: usize, label: &LabelPlan, value: Value<'_>) -> bool {
        let number;
        let text = match value {
            Value::Str(text) | Value::Digits(text) => text,
            Value::Bool(truth) => {
                if truth {
                    "true"
                } else {
                    "false"
                }
            }
            Value::Int(whole) => {
                number = whole.to_string();
                &number
            }
            Value::Float(float) => {
                number = float.to_string();
                &number
            }
            Value::Missing | Value::Null | Value::Composite => return self.push_unusual(at, label, value),
        };
        let begins = self.key.len();
        let Some(making) = label.making.as_ref().filter(|_| !text.is_empty()) else {
            return self.push_unusual(at, label, Value::Str(""));
        };
        if !making.make(text, &mut self.key) && !label.required && !label.has_default {
            self.note(About::Label(at), label.slot, Reason::LabelNoMatch);
        }
        // What is made may be nothing.
        self.key.len() > begins || self.push_unusual(at, label, Value::Str(""))
    }

    /// Appends what is neither text nor an integer; `false` if it is nothing and the label is required.
    #[inline(never)]
    fn push_unusual(&mut self, at: usize, label: &LabelPlan, value: Value<'_>) -> bool {
        // Writing to a Vec cannot fail.
        let _ = match value {
            Value::Float(number) => write!(self.key, "{number}"),
            Value::Bool(truth) => write!(self.key, "{truth}"),
            Value::Digits(digits) | Value::Str(digits) if !digits.is_empty() => write!(self.key, "{digits}"),
            _ if label.required => {
                self.note(About::Event, label.slot, Reason::RequiredLabel);
                return false;
            }
            nothing => {
                match nothing {
                    Value::Composite => self.note(About::Label(at), label.slot, Reason::LabelType),
                    Value::Missing | Value::Null if !label.has_default => {
                        self.note(About::Label(at), label.slot, Reason::MissingLabel);
                    }
                    _ => {}
                }
                write!(self.key, "{}", label.default)
            }
        };
        true
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

/// Cuts the label that begins there to the limit, on a character boundary. What is cut off leaves a mark that tells
/// long labels apart: `~` and the CRC-32 of the whole.
#[cold]
fn cut(text: &mut Vec<u8>, begins: usize, limit: usize) {
    let mark = format!("~{:08x}", crc32(&text[begins..]));
    let mut end = begins + limit.saturating_sub(mark.len());
    // A byte that continues a character is 10xxxxxx.
    while end > begins && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    text.truncate(end);
    text.extend(mark.bytes().take(limit));
}

/// The items of one event, one after the other.
#[derive(Debug, Default)]
pub(super) struct Items {
    text: Vec<u8>,
    /// Where the item of each measure ends.
    ends: Vec<usize>,
}

impl Items {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Appends a value as the text that a label would be.
    fn push(&mut self, value: Value<'_>) -> Result<(), Reason> {
        // Writing to a Vec cannot fail.
        let _ = match value {
            Value::Missing | Value::Null | Value::Str("") => return Err(Reason::MissingValue),
            Value::Composite => return Err(Reason::ValueType),
            Value::Str(text) | Value::Digits(text) => self.text.write_all(text.as_bytes()),
            Value::Int(number) => write!(self.text, "{number}"),
            Value::Float(number) => write!(self.text, "{number}"),
            Value::Bool(truth) => write!(self.text, "{truth}"),
        };
        Ok(())
    }

    /// Cuts the item that has not ended, as a label is.
    fn cut(&mut self, limit: usize) {
        let begins = self.ends.last().copied().unwrap_or_default();
        if self.text.len() - begins > limit {
            cut(&mut self.text, begins, limit);
        }
    }

    fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    /// The item of each measure, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let item = self.text.get(start..end).unwrap_or_default();
            start = end;
            item
        })
    }
}

/// The CRC-32 that zlib and PNG have, so that anyone can compute a cut label.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[inline]
fn sample(measure: &MeasurePlan, values: &[Value<'_>]) -> Result<Option<Sample>, Reason> {
    if !measure.filter.holds(values) {
        let is_part = measure.part.as_ref().is_some_and(|part| part.holds(values));
        return Ok(is_part.then(|| Ratio::sample(true, false)));
    }
    let Some(slot) = measure.field else {
        return Ok(Some(match &measure.part {
            Some(part) => Ratio::sample(part.holds(values), true),
            None => Sample { value: 0.0, nanos: 0 },
        }));
    };
    let sample = match &measure.since {
        None => measure.scaling.sample(first(values, slot, &measure.or))?,
        Some((from, times)) => span::between(value(values, *from), value(values, slot), times)?,
    };
    if sample.value < 0.0 && measure.refuses_negative { Err(Reason::NegativeValue) } else { Ok(Some(sample)) }
}

impl LabelPlan {
    /// The value of its field, or of the first of the others that has one.
    #[inline]
    fn value<'a>(&self, values: &[Value<'a>]) -> Value<'a> {
        first(values, self.slot, &self.or)
    }
}

impl ItemPlan {
    fn value<'a>(&self, values: &[Value<'a>]) -> Value<'a> {
        first(values, self.slot, &self.or)
    }
}

/// The value in a slot, or in the first of the others that has one.
#[inline]
fn first<'a>(values: &[Value<'a>], slot: usize, or: &[usize]) -> Value<'a> {
    let own = value(values, slot);
    if or.is_empty() || !own.is_nothing() {
        return own;
    }
    or.iter().map(|&slot| value(values, slot)).find(|other| !other.is_nothing()).unwrap_or(own)
}

#[inline]
fn value<'a>(values: &[Value<'a>], slot: usize) -> Value<'a> {
    values.get(slot).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_a_cut_label_is_zlibs_crc() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
