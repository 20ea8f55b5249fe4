//! What follows the reading of an event's fields: text in fields is parsed, the time read, the fields put in order.

use std::ops::Range;

use super::Record;
use super::error::DecodeError;
use super::event_time::EventTime;
use super::format::{self, Format};
use super::wanted::{Sink, Values, Wanted};
use crate::config::{FieldPath, Parse, RecordField, Timestamp};
use crate::value::Value;

/// The slots that are wanted: one for each distinct path.
#[derive(Debug, Default)]
pub(super) struct Slots(pub Vec<FieldPath>);

impl Slots {
    pub fn of(&mut self, path: &FieldPath) -> usize {
        self.0.iter().position(|known| known == path).unwrap_or_else(|| {
            self.0.push(path.clone());
            self.0.len() - 1
        })
    }
}

/// What is done with the values of an event once they are read.
#[derive(Debug)]
pub(super) struct Tail {
    /// Fields that may stand in several places.
    first_of: Vec<FirstOf>,
    stages: Vec<Stage>,
    time: EventTime,
    /// What is wanted of the record, and where it goes.
    of_record: Vec<(usize, RecordField)>,
    /// The slot of each field that was asked for, if that is not simply the order of the slots.
    order: Option<Vec<usize>>,
    fields: usize,
    slots: usize,
}

/// A slot that gets the first of these values that is there.
#[derive(Debug)]
struct FirstOf {
    slot: usize,
    from: Vec<usize>,
    /// Zero is what is not there.
    zero_is_none: bool,
}

/// A field whose text is parsed.
#[derive(Debug)]
struct Stage {
    path: FieldPath,
    slot: usize,
    /// The slots of what is wanted below the field.
    below: Vec<usize>,
    /// The first that the text is written in.
    formats: Vec<Box<dyn Format>>,
    scratch: String,
    unescaped: Vec<(usize, Range<usize>)>,
    /// Texts that were not in the format since the last look.
    unparsed: u64,
}

impl Tail {
    /// Notes all slots in `slots`: `fields` first.
    pub fn new(fields: &[FieldPath], timestamp: &Timestamp, parse: &[Parse], slots: &mut Slots) -> Tail {
        let order: Vec<usize> = fields.iter().map(|path| slots.of(path)).collect();
        let in_order = order.iter().enumerate().all(|(i, &slot)| i == slot);
        let time = EventTime::new(timestamp, &mut |path| slots.of(path));
        let mut rules: Vec<&Parse> = parse.iter().collect();
        // What is found by one may be parsed by the next.
        rules.sort_by_key(|rule| rule.path.steps().len());
        for rule in &rules {
            slots.of(&rule.path);
        }
        let stages = rules.chunk_by(|one, next| one.path == next.path);
        let stages = stages.filter_map(|rules| Stage::new(rules, slots)).collect();
        let of_record = |(slot, path): (usize, &FieldPath)| match path {
            FieldPath::Record(field) => Some((slot, field.clone())),
            FieldPath::Event(_) => None,
        };
        let of_record = slots.0.iter().enumerate().filter_map(of_record).collect();
        Tail {
            first_of: Vec::new(),
            stages,
            time,
            of_record,
            order: (!in_order).then_some(order),
            fields: fields.len(),
            slots: slots.0.len(),
        }
    }

    /// A slot that is no field's.
    pub fn another_slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    /// The slot gets the first of these values that is there.
    pub fn first_of(&mut self, slot: usize, from: Vec<usize>, zero_is_none: bool) {
        self.first_of.push(FirstOf { slot, from, zero_is_none });
    }

    pub fn slots(&self) -> usize {
        self.slots
    }

    /// How many of the slots are fields that were asked for, once they are in order.
    pub fn fields(&self) -> usize {
        self.fields
    }

    /// Gives the event's time, or why it has none.
    #[inline]
    pub fn finish<'a>(&'a mut self, values: &mut Values<'a>, record: Record<'_, 'a>) -> Result<i64, DecodeError> {
        for (slot, field) in &self.of_record {
            values[*slot] = record.field(field);
        }
        for FirstOf { slot, from, zero_is_none } in &self.first_of {
            let there = |value: &Value<'_>| match value {
                Value::Missing => false,
                Value::Int(0) | Value::Str("0") => !zero_is_none,
                _ => true,
            };
            values[*slot] = from.iter().map(|&slot| values[slot]).find(there).unwrap_or_default();
        }
        for stage in &mut self.stages {
            stage.parse(values, record.time);
        }
        let time = self.time.read(values, record.time);
        if let Some(order) = &self.order {
            *values = order.iter().map(|&slot| values[slot]).collect();
        }
        time
    }

    /// How many texts could not be parsed so far, for [`Tail::count_unparsed_from`].
    #[cfg(feature = "vrl")]
    pub fn unparsed_so_far(&self) -> Vec<u64> {
        self.stages.iter().map(|stage| stage.unparsed).collect()
    }

    /// Takes back what was counted since then, as it is going to be read once more.
    #[cfg(feature = "vrl")]
    pub fn count_unparsed_from(&mut self, before: &[u64]) {
        self.stages.iter_mut().zip(before).for_each(|(stage, before)| stage.unparsed = *before);
    }

    /// For each field whose text is parsed, how many texts could not be since the last call.
    pub fn unparsed(&mut self) -> impl Iterator<Item = (&FieldPath, u64)> {
        self.stages.iter_mut().map(|stage| (&stage.path, std::mem::take(&mut stage.unparsed)))
    }
}

impl Stage {
    /// `rules` are of one field; `None` if nothing below it is wanted.
    fn new(rules: &[&Parse], slots: &Slots) -> Option<Stage> {
        let path = &rules.first()?.path;
        let mut below = Vec::new();
        for (slot, found) in slots.0.iter().enumerate() {
            if let Some(steps) = found.steps().strip_prefix(path.steps()).filter(|steps| !steps.is_empty()) {
                below.push((slot, steps));
            }
        }
        let reader = |rule: &&Parse| {
            let mut wanted = Wanted::new();
            for (slot, steps) in &below {
                wanted.put(steps, *slot);
            }
            format::reader(&rule.format, wanted)
        };
        let slot = slots.0.iter().position(|found| found == path)?;
        (!below.is_empty()).then(|| Stage {
            path: path.clone(),
            slot,
            formats: rules.iter().map(reader).collect(),
            below: below.iter().map(|(slot, _)| *slot).collect(),
            scratch: String::new(),
            unescaped: Vec::new(),
            unparsed: 0,
        })
    }

    fn parse<'a>(&'a mut self, values: &mut [Value<'a>], record_time: Option<i64>) {
        let Value::Str(text) = values[self.slot] else { return };
        let fits = self.formats.iter_mut().any(|format| {
            self.scratch.clear();
            self.unescaped.clear();
            let (scratch, unescaped) = (&mut self.scratch, &mut self.unescaped);
            let mut sink = Sink { values: &mut *values, scratch, unescaped, record_time };
            let read = format.read(text, &mut sink).is_ok();
            if !read {
                // What was read before it was clear that the text is not in the format.
                self.below.iter().for_each(|&slot| values[slot] = Value::Missing);
            }
            read
        });
        if !fits {
            self.unparsed += 1;
            return;
        }
        for (slot, range) in &self.unescaped {
            values[*slot] = Value::Str(&self.scratch[range.clone()]);
        }
    }
}
