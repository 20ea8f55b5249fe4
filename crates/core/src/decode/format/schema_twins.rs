//! For the tests of formats with schemas: one schema by an id, and values that outlive what they were read from.

use std::sync::Arc;

use super::super::{Decoder, FoundSchema, Language, Record, Reference, Schema, Schemas};
use crate::aggregate::samples::source;
use crate::config::{FieldPath, Format, FormatKind, Source, Timestamp};
use crate::value::Value;

pub const ID: u32 = 0x0102_0304;

/// Knows one schema.
#[derive(Debug)]
pub struct One(pub Arc<Schema>);

impl Schemas for One {
    fn find(&self, id: u32) -> FoundSchema {
        match id {
            ID => FoundSchema::Known(self.0.clone()),
            0 => FoundSchema::NotYet("it is away".into()),
            _ => FoundSchema::Unknown("404".into()),
        }
    }
}

pub fn schema(language: Language, text: &str, references: &[(&str, &str)]) -> Arc<Schema> {
    let reference = |(name, text): &(&str, &str)| Reference { name: (*name).to_owned(), text: (*text).to_owned() };
    Arc::new(Schema { language, text: text.to_owned(), references: references.iter().map(reference).collect() })
}

pub fn decoder(kind: FormatKind, schema: &Arc<Schema>, paths: &[FieldPath]) -> Decoder {
    let source = Source { format: Format { kind, lines: false }, timestamp: Timestamp::Kafka, ..source() };
    Decoder::of(paths, &source, 1 << 20).with_schemas(Arc::new(One(schema.clone())))
}

/// The payload with its header.
pub fn framed(id: u32, payload: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], payload].concat()
}

/// What stands at the paths of an event, or the reason why it is none.
pub fn read(decoder: &mut Decoder, payload: &[u8]) -> Result<Vec<Owned>, &'static str> {
    let decoded = decoder.decode(payload, Record::at(Some(1))).map_err(|error| error.reason())?;
    Ok(decoded.values.iter().map(|&value| Owned::from(value)).collect())
}

/// A value by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Owned {
    Missing,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Composite,
}

impl From<Value<'_>> for Owned {
    fn from(value: Value<'_>) -> Owned {
        match value {
            Value::Missing => Owned::Missing,
            Value::Null => Owned::Null,
            Value::Bool(truth) => Owned::Bool(truth),
            Value::Int(number) => Owned::Int(number),
            Value::Float(number) => Owned::Float(number),
            Value::Digits(text) | Value::Str(text) => Owned::Text(text.to_owned()),
            Value::Composite => Owned::Composite,
        }
    }
}

impl Owned {
    pub fn float(number: f64) -> Owned {
        if number.is_finite() { Owned::Float(number) } else { Owned::Null }
    }

    pub fn bytes(bytes: &[u8]) -> Owned {
        String::from_utf8(bytes.to_vec()).map_or(Owned::Composite, Owned::Text)
    }
}
