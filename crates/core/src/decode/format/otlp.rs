//! OpenTelemetry's logs. In JSON they are JSON whose attributes are lists, which is a matter of paths alone; in protobuf they are
//! walked through field by field, and nothing is built of them.

use std::ops::Range;

use super::super::ahead::Step as Taken;
use super::super::error::DecodeError;
use super::super::wanted::{Sink, Wanted};
use super::json::Elements;
use super::wire::{Fields, Wire};
use super::{Records, not_in};
use crate::config::{FormatKind, Step};
use crate::value::Value;

/// The arrays of a record in JSON: resources, their scopes, and the log records of those.
pub(in super::super) const ARRAYS: [&str; 3] = ["resourceLogs", "scopeLogs", "logRecords"];
const RESOURCE: usize = 1;
const SCOPE: usize = 2;
const RECORD: usize = 3;
/// What a value is in, by its type.
const TYPES: [&str; 4] = ["stringValue", "intValue", "doubleValue", "boolValue"];

/// Where a field stands: at which level, and what leads to it from there. The first place that has it counts: an attribute
/// may be the record's, its scope's or its resource's.
pub(in super::super) fn places(steps: &[Step]) -> Vec<(usize, Vec<Step>)> {
    let key = |name: &str| Step::Key(name.to_owned());
    let at = |level, steps: &[Step]| vec![(level, steps.to_vec())];
    match steps {
        [Step::Key(first), ..] if first == "resource" => at(RESOURCE, steps),
        [Step::Key(first), ..] if first == "scope" => at(SCOPE, steps),
        [Step::Key(first), rest @ ..] if first == "attributes" && !rest.is_empty() => {
            let of = |owner: &str| [&[key(owner)], steps].concat();
            vec![(RECORD, steps.to_vec()), (SCOPE, of("scope")), (RESOURCE, of("resource"))]
        }
        _ => at(RECORD, steps),
    }
}

/// Whether a field has a time, of which zero says that there is none.
pub(in super::super) fn is_time(format: &FormatKind, steps: &[Step]) -> bool {
    let named = matches!(steps, [Step::Key(name)] if name == "timeUnixNano" || name == "observedTimeUnixNano");
    *format == FormatKind::OtlpJson && named
}

/// The same in JSON, where attributes are a list of keys and values, and each value is in a field of its type's name.
pub(in super::super) fn json_places(steps: &[Step]) -> Vec<(usize, Vec<Step>)> {
    let typed = |(level, steps): (usize, Vec<Step>)| -> Vec<(usize, Vec<Step>)> {
        let spelled = spelled(&steps);
        match spelled {
            Some(value) => {
                TYPES.iter().map(|name| (level, [&value[..], &[Step::Key((*name).into())]].concat())).collect()
            }
            None => vec![(level, steps)],
        }
    };
    places(steps).into_iter().flat_map(typed).collect()
}

/// The steps to a value's object, if that is where they lead.
fn spelled(steps: &[Step]) -> Option<Vec<Step>> {
    let key = |name: &str| Step::Key(name.to_owned());
    let item = |step: &Step| match step {
        Step::Key(name) => Some([Step::Item { name: "key".into(), value: name.clone() }, key("value")]),
        _ => None,
    };
    let at = steps.iter().position(|step| matches!(step, Step::Key(name) if name == "attributes" || name == "body"))?;
    let (head, mut rest) = (steps.get(..=at)?.to_vec(), steps.get(at + 1..)?);
    let mut spelled = head;
    if matches!(&steps[at], Step::Key(name) if name == "attributes") {
        let (first, after) = rest.split_first()?;
        spelled.extend(item(first)?);
        rest = after;
    }
    for step in rest {
        match step {
            Step::Key(_) => {
                spelled.extend([key("kvlistValue"), key("values")]);
                spelled.extend(item(step)?);
            }
            other => spelled.extend([key("arrayValue"), key("values"), other.clone()]),
        }
    }
    Some(spelled)
}

/// Reads `ExportLogsServiceRequest`, and `LogsData`, which is written in the same way.
#[derive(Debug)]
pub(in super::super) struct OtlpProto {
    /// What is wanted of the request, a resource's logs, a scope's logs, and a record.
    pub levels: Vec<Wanted>,
}

/// What a message's field is.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Hex,
    Number,
    Fixed,
    Any,
    Attributes,
    Message(&'static [Field]),
}

type Field = (u32, &'static str, Kind);

const RESOURCE_FIELDS: &[Field] = &[(1, "attributes", Kind::Attributes), (2, "droppedAttributesCount", Kind::Number)];
const SCOPE_FIELDS: &[Field] = &[
    (1, "name", Kind::Text),
    (2, "version", Kind::Text),
    (3, "attributes", Kind::Attributes),
    (4, "droppedAttributesCount", Kind::Number),
];
const LEVELS: [&[Field]; 4] = [
    &[],
    &[(1, "resource", Kind::Message(RESOURCE_FIELDS)), (3, "schemaUrl", Kind::Text)],
    &[(1, "scope", Kind::Message(SCOPE_FIELDS)), (3, "schemaUrl", Kind::Text)],
    &[
        (1, "timeUnixNano", Kind::Fixed),
        (2, "severityNumber", Kind::Number),
        (3, "severityText", Kind::Text),
        (5, "body", Kind::Any),
        (6, "attributes", Kind::Attributes),
        (7, "droppedAttributesCount", Kind::Number),
        (8, "flags", Kind::Fixed),
        (9, "traceId", Kind::Hex),
        (10, "spanId", Kind::Hex),
        (11, "observedTimeUnixNano", Kind::Fixed),
        (12, "eventName", Kind::Text),
    ],
];
/// The field of each level that has the elements of the next.
const ELEMENTS: [u32; 3] = [1, 2, 2];
/// Values in values in values: deeper than this nobody asks.
const DEEPEST: usize = 16;

/// Reads the fields of a message that are wanted below `node`.
fn message<'a>(bytes: &'a [u8], schema: &[Field], wanted: &Wanted, node: usize, sink: &mut Sink<'a, '_>) -> Option<()> {
    let mut fields = Fields::of(bytes);
    while let Some((number, wire)) = fields.next()? {
        let Some((_, name, kind)) = schema.iter().find(|(known, ..)| *known == number) else { continue };
        let Some(child) = wanted.child(node, name) else { continue };
        let place = &wanted.nodes[child];
        match (kind, wire) {
            (Kind::Text, Wire::Bytes(bytes)) => text(bytes, wanted, child, sink),
            (Kind::Hex, Wire::Bytes(bytes)) => {
                let start = sink.scratch.len();
                let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
                sink.scratch.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
                sink.set_unescaped(place, start);
            }
            // Zero is what is not there.
            (Kind::Number | Kind::Fixed, Wire::Number(0) | Wire::Fixed(0)) => {}
            (Kind::Number | Kind::Fixed, Wire::Number(number) | Wire::Fixed(number)) => match i64::try_from(number) {
                Ok(number) => sink.set(place, Value::Int(number)),
                Err(_) => sink.set(place, Value::Float(number as f64)),
            },
            (Kind::Any, Wire::Bytes(bytes)) => any(bytes, wanted, child, sink, 0)?,
            (Kind::Attributes, Wire::Bytes(bytes)) => attribute(bytes, wanted, child, sink, 0)?,
            (Kind::Message(schema), Wire::Bytes(bytes)) => {
                sink.mark(place);
                message(bytes, schema, wanted, child, sink)?;
            }
            _ => return None,
        }
    }
    Some(())
}

/// Reads a key and its value, if it is wanted below `node`.
fn attribute<'a>(bytes: &'a [u8], wanted: &Wanted, node: usize, sink: &mut Sink<'a, '_>, depth: usize) -> Option<()> {
    let (mut key, mut value) = (&b""[..], None);
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = Some(bytes),
            _ => {}
        }
    }
    sink.mark(&wanted.nodes[node]);
    let child = std::str::from_utf8(key).ok().and_then(|key| wanted.child(node, key));
    match (child, value) {
        (Some(child), Some(value)) => any(value, wanted, child, sink, depth),
        _ => Some(()),
    }
}

/// Reads a value of any type into `node`.
fn any<'a>(bytes: &'a [u8], wanted: &Wanted, node: usize, sink: &mut Sink<'a, '_>, depth: usize) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    let place = &wanted.nodes[node];
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Wire::Bytes(bytes)) => text(bytes, wanted, node, sink),
            (2, Wire::Number(truth)) => sink.set(place, Value::Bool(truth != 0)),
            (3, Wire::Number(number)) => sink.set(place, Value::Int(number as i64)),
            (4, Wire::Fixed(bits)) => {
                let number = f64::from_bits(bits);
                sink.set(place, if number.is_finite() { Value::Float(number) } else { Value::Null });
            }
            (5 | 7, Wire::Bytes(_)) => sink.set(place, Value::Composite),
            (6, Wire::Bytes(list)) => {
                sink.set(place, Value::Composite);
                let mut values = Fields::of(list);
                while let Some(value) = values.next()? {
                    if let (1, Wire::Bytes(pair)) = value {
                        attribute(pair, wanted, node, sink, depth + 1)?;
                    }
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// Puts a text into `node`; what is no text is mended.
fn text<'a>(bytes: &'a [u8], wanted: &Wanted, node: usize, sink: &mut Sink<'a, '_>) {
    let place = &wanted.nodes[node];
    match std::str::from_utf8(bytes) {
        Ok(text) => sink.set(place, Value::Str(text)),
        Err(_) => {
            let start = sink.scratch.len();
            sink.scratch.push_str(&String::from_utf8_lossy(bytes));
            sink.set_unescaped(place, start);
        }
    }
}

fn broken(payload: &[u8]) -> DecodeError {
    not_in("otlp_proto", &String::from_utf8_lossy(payload.get(..64).unwrap_or(payload)))
}

impl Records for OtlpProto {
    type Payload = [u8];

    fn open<'a>(&mut self, payload: &'a [u8], _: &'a mut String) -> Result<&'a [u8], DecodeError> {
        Ok(payload)
    }

    fn read<'a>(
        &mut self,
        level: usize,
        payload: &'a [u8],
        range: Range<usize>,
        sink: &mut Sink<'a, '_>,
    ) -> Result<(), DecodeError> {
        let wanted = &self.levels[level];
        if level < RECORD && wanted.is_empty() {
            return Ok(());
        }
        let bytes = payload.get(range).unwrap_or_default();
        message(bytes, LEVELS[level], wanted, 0, sink).ok_or_else(|| broken(bytes))
    }

    fn documents(&mut self, _: &[u8]) -> Option<Vec<Range<usize>>> {
        None
    }

    fn elements(&mut self, level: usize, payload: &[u8], range: Range<usize>) -> Result<Elements, DecodeError> {
        let bytes = payload.get(range.clone()).unwrap_or_default();
        let mut fields = Fields::of(bytes);
        let mut elements = Vec::new();
        loop {
            match fields.next() {
                Some(None) => return Ok((range, elements)),
                Some(Some((number, Wire::Bytes(element)))) if number == ELEMENTS[level] => {
                    let end = range.start + fields.at;
                    elements.push(end - element.len()..end);
                }
                Some(Some(_)) => {}
                None => return Err(broken(bytes)),
            }
        }
    }

    fn alone(payload: &[u8], document: Range<usize>, trail: &[Taken]) -> Vec<u8> {
        let of = |range: &Range<usize>| payload.get(range.clone()).unwrap_or_default();
        let Some(last) = trail.last() else { return of(&document).to_vec() };
        let mut inner = of(&last.element).to_vec();
        for level in (0..trail.len()).rev() {
            let outer = level.checked_sub(1).map_or(document.clone(), |above| trail[above].element.clone());
            inner = with_one(of(&outer), ELEMENTS[level], &inner);
        }
        inner
    }
}

/// The message with one element instead of all that it has in the field `number`.
fn with_one(message: &[u8], number: u32, element: &[u8]) -> Vec<u8> {
    let mut one = Vec::with_capacity(message.len());
    let mut fields = Fields::of(message);
    let mut start = 0;
    while let Some(Some((found, _))) = fields.next() {
        if found != number {
            one.extend_from_slice(&message[start..fields.at]);
        }
        start = fields.at;
    }
    let mut varint = |mut value: u64| {
        while value >= 0x80 {
            one.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        one.push(value as u8);
    };
    varint(u64::from(number) << 3 | 2);
    varint(element.len() as u64);
    one.extend_from_slice(element);
    one
}

#[cfg(test)]
#[path = "otlp_tests.rs"]
mod tests;
