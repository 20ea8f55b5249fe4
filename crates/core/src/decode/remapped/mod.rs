//! Events that a program makes of a source's records (`remap`): each is read whole, the program is run on it, and what it
//! leaves is read as any other event.
//!
//! A program that leaves an array makes as many events as that has elements: all of them count, or none. One that has no
//! usable time makes a dead letter of the event that the program was given, so that the letter can be replayed.

mod whole;

use super::error::DecodeError;
use super::records::{Outcome, Part, Run, Scratch, as_long_as_asked};
use super::scan::reads;
use super::wanted::{Pick, Sink, Values, Wanted};
use super::{Kind, Record};
use crate::config::{FieldPath, Format, RecordField};
use crate::remap::{Failure, KeyString, ObjectMap, Program, Value as Made};
use crate::value::Value;
use whole::Whole;

/// Reads the records of a source with a program.
#[derive(Debug)]
pub(super) struct Remapped {
    whole: Whole,
    /// The config has been checked, so that it is there.
    program: Option<Program>,
    /// What the program asks for of the record.
    of_record: Vec<RecordField>,
    /// What is wanted of the events that it makes.
    wanted: Wanted,
    scratch: Scratch,
}

impl Remapped {
    pub fn new(format: &Format, program: &str, wanted: Wanted) -> Remapped {
        let program = Program::compile(program).ok();
        let field = |path: &String| match FieldPath::parse(path) {
            Ok(FieldPath::Record(field)) => Some(field),
            _ => None,
        };
        let of_record = program.iter().flat_map(Program::record_paths).filter_map(field).collect();
        Remapped { whole: Whole::new(format), program, of_record, wanted, scratch: Scratch::default() }
    }

    /// How the payload is read before the program gets it.
    pub fn kind(&self) -> &Kind {
        self.whole.kind()
    }

    /// Runs the program on one event: what it made of it, in an array if that are several.
    fn run(&mut self, event: Made, record: Record<'_, '_>) -> Result<Made, DecodeError> {
        let about = about(&self.of_record, record);
        let failed = |why: String| DecodeError::RemapFailed { why: why.into() };
        let program = self.program.as_mut().ok_or_else(|| failed("it cannot be compiled".to_owned()))?;
        program.run(event, about).map_err(|failure| match failure {
            Failure::Aborted => DecodeError::Aborted,
            Failure::Error(why) => failed(why),
        })
    }
}

/// What `%` is to a program: of the record only what the program asks for.
fn about(fields: &[RecordField], record: Record<'_, '_>) -> Made {
    let mut about = ObjectMap::new();
    let mut headers = ObjectMap::new();
    for field in fields {
        let Some(value) = made_of(record.field(field)) else { continue };
        let name: KeyString = match field {
            RecordField::Header(name) => {
                headers.insert(name.as_str().into(), value);
                continue;
            }
            RecordField::Topic => "topic".into(),
            RecordField::Partition => "partition".into(),
            RecordField::Key => "key".into(),
            RecordField::Timestamp => "timestamp".into(),
        };
        about.insert(name, value);
    }
    if !headers.is_empty() {
        about.insert("headers".into(), headers.into());
    }
    about.into()
}

/// A value as programs have it; `None` if it is missing, or not known whole.
fn made_of(value: Value<'_>) -> Option<Made> {
    match value {
        Value::Missing | Value::Composite => None,
        Value::Null => Some(Made::Null),
        Value::Bool(truth) => Some(truth.into()),
        Value::Int(number) => Some(number.into()),
        // No float there holds its digits.
        Value::Digits(text) | Value::Str(text) => Some(text.into()),
        Value::Float(number) => Some(Made::from_f64_or_zero(number)),
    }
}

impl<K, T> Run<'_, '_, '_, K, T>
where
    K: Fn(&[Value<'_>]) -> bool,
    T: FnMut(&Part<'_>, Outcome<'_>),
{
    /// Hands out the events that the program makes of a payload.
    pub fn remapped(&mut self, remapped: &mut Remapped, payload: &[u8], spare: &mut String) -> Result<(), DecodeError> {
        let text = remapped.whole.open(payload, spare)?;
        let whole = match remapped.whole.is_in_lines() {
            true => Err(None),
            false => remapped.whole.read(text, self.record.time).map_err(Some),
        };
        let error = match whole {
            Ok(event) => {
                self.made(remapped, event, &Part::WHOLE);
                return Ok(());
            }
            Err(error) => error,
        };
        let documents = match (remapped.whole.documents(text), error) {
            (Some(documents), _) => documents,
            (None, Some(error)) => return Err(error),
            (None, None) => Vec::new(),
        };
        let is_json = remapped.whole.is_json();
        for (place, document) in documents.into_iter().enumerate() {
            let alone = || Some(Whole::alone(is_json, text, document.clone()));
            let part = Part { index: Some(place), alone: &alone };
            match remapped.whole.read(text.get(document.clone()).unwrap_or_default(), self.record.time) {
                Ok(event) => self.made(remapped, event, &part),
                Err(error) => self.hand_out(&part, Err(error)),
            }
        }
        Ok(())
    }

    /// Runs the program on one event, and hands out what it makes of it.
    fn made(&mut self, remapped: &mut Remapped, event: Made, part: &Part<'_>) {
        let bytes_of = as_long_as_asked(|field| (self.record.bytes_of)(field));
        let record = Record { time: self.record.time, bytes_of: &bytes_of, partition: self.record.partition };
        let made = match remapped.run(event, record) {
            Ok(made) => made,
            Err(error) => return self.hand_out(part, Err(error)),
        };
        let Remapped { wanted, scratch, .. } = remapped;
        let events = match &made {
            Made::Array(events) => events.as_slice(),
            event => std::slice::from_ref(event),
        };
        // All of them, or none: a letter of one would bring the others once more when it is replayed.
        if events.len() > 1 {
            let counted = self.tail.unparsed_so_far();
            let wrong = events.iter().find_map(|event| self.one(event, wanted, scratch, None));
            self.tail.count_unparsed_from(&counted);
            if let Some(error) = wrong {
                return self.hand_out(part, Err(error));
            }
        }
        for event in events {
            if let Some(error) = self.one(event, wanted, scratch, Some(part)) {
                self.hand_out(part, Err(error));
            }
        }
    }

    /// Reads one event that a program made, and hands it out as `part`. Without that it only says what would be wrong with it.
    fn one(
        &mut self,
        event: &Made,
        wanted: &Wanted,
        scratch: &mut Scratch,
        part: Option<&Part<'_>>,
    ) -> Option<DecodeError> {
        if let Some(found) = other_than_object(event) {
            return Some(DecodeError::NotAnObject { found });
        }
        let Run { tail, keep, take, next, record } = self;
        let bytes_of = as_long_as_asked(|field| (record.bytes_of)(field));
        let record = Record { time: record.time, bytes_of: &bytes_of, partition: record.partition };
        let fields = tail.fields();
        let mut values = Values::from_elem(Value::Missing, tail.slots());
        let (text, unescaped) = scratch.cleared();
        let mut sink = Sink { values: &mut values, scratch: text, unescaped, record_time: record.time };
        take_wanted(event, wanted, 0, &mut sink);
        for (slot, range) in unescaped.iter() {
            values[*slot] = Value::Str(&text[range.clone()]);
        }
        let Some(part) = part else {
            let time = tail.finish(&mut values, record);
            return time.err().filter(|_| keep(values.get(..fields).unwrap_or_default()));
        };
        let time = tail.finish(&mut values, record);
        let values = values.get(..fields).unwrap_or_default();
        *next += 1;
        if keep(values) {
            take(part, time.map(|time| Some(super::Found { time, values })));
        } else {
            take(part, Ok(None));
        }
        None
    }
}

/// What a program left that is no event, as one says it; `None` if it is one.
fn other_than_object(made: &Made) -> Option<&'static str> {
    match made {
        Made::Object(_) => None,
        Made::Array(_) => Some("an array in an array that `remap` left"),
        Made::Null => Some("null as `remap` left it"),
        Made::Boolean(_) => Some("a boolean that `remap` left"),
        Made::Integer(_) | Made::Float(_) => Some("a number that `remap` left"),
        Made::Timestamp(_) => Some("a time that `remap` left"),
        Made::Bytes(_) | Made::String(_) | Made::Regex(_) => Some("a string that `remap` left"),
    }
}

/// Takes what is wanted of a value, and of what is below it.
fn take_wanted<'a>(value: &'a Made, wanted: &Wanted, node: usize, sink: &mut Sink<'a, '_>) {
    let place = &wanted.nodes[node];
    match value {
        Made::Object(members) => {
            sink.set(place, Value::Composite);
            for (name, child) in &place.children {
                if let Some(value) = members.get(&**name) {
                    take_wanted(value, wanted, *child, sink);
                }
            }
        }
        Made::Array(items) => {
            sink.set(place, Value::Composite);
            for (pick, child) in &place.items {
                let found = match pick {
                    Pick::At(index) => Pick::position(*index, items.len()).and_then(|at| items.get(at)),
                    Pick::Where { name, value } => items.iter().find(|item| says(item, name, value)),
                };
                if let Some(item) = found {
                    take_wanted(item, wanted, *child, sink);
                }
            }
        }
        scalar => match plain(scalar) {
            Some(value) => sink.set(place, value),
            None => {
                let start = sink.scratch.len();
                sink.scratch.push_str(&scalar.to_string_lossy());
                sink.set_unescaped(place, start);
            }
        },
    }
}

/// Whether the field `name` of an object reads `wanted`.
fn says(item: &Made, name: &str, wanted: &str) -> bool {
    let field = if let Made::Object(members) = item { members.get(name) } else { None };
    field.is_some_and(|field| match plain(field) {
        Some(value) => reads(value, wanted),
        None => field.to_string_lossy() == wanted,
    })
}

/// A value that needs no text of its own: times, patterns and bytes that are no UTF-8 do.
fn plain(value: &Made) -> Option<Value<'_>> {
    match value {
        Made::Null => Some(Value::Null),
        Made::Boolean(truth) => Some(Value::Bool(*truth)),
        Made::Integer(number) => Some(Value::Int(*number)),
        Made::Float(number) => Some(Value::Float(number.into_inner())),
        Made::String(text) => Some(Value::Str(text)),
        Made::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Value::Str),
        Made::Object(_) | Made::Array(_) => Some(Value::Composite),
        Made::Timestamp(_) | Made::Regex(_) => None,
    }
}

#[cfg(test)]
mod tests;
