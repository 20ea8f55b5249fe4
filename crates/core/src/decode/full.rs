//! The full way to read a document: serde_json, visiting every value and keeping the wanted ones.
//!
//! It decides what is JSON. Values that nobody wants are visited rather than ignored, for serde_json's ignoring is
//! laxer than its reading: it lets lone surrogates, numbers beyond a float's range and any depth pass.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::digits;
use super::error::DecodeError;
use super::wanted::{Sink, Wanted};
use crate::aggregate::Value;

/// Reads one document into `sink`.
///
/// # Errors
/// If the text is not JSON by serde_json's measure, or is no object.
pub(super) fn read<'a>(text: &'a str, wanted: &Wanted, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Read { wanted, node: Some(0), sink }.deserialize(&mut json)?;
    json.end()?;
    if sink.values.iter().any(|value| matches!(value, Value::Digits(_))) {
        digits::read(text, wanted, sink.values);
    }
    match found {
        Kind::Object => Ok(()),
        Kind::Other(found) => Err(DecodeError::NotAnObject { found }),
    }
}

/// The first integer that an `i64` does not hold, as a float.
const FIRST_BEYOND: f64 = 9_223_372_036_854_775_808.0;

enum Kind {
    Object,
    Other(&'static str),
}

/// Reads one value; `node` is `None` where nothing is wanted.
struct Read<'w, 'r, 'a, 's> {
    wanted: &'w Wanted,
    node: Option<usize>,
    sink: &'r mut Sink<'a, 's>,
}

impl<'a> Read<'_, '_, 'a, '_> {
    fn set(self, value: Value<'a>) {
        if let Some(node) = self.node {
            self.sink.set(&self.wanted.nodes[node], value);
        }
    }
}

impl<'a> DeserializeSeed<'a> for Read<'_, '_, 'a, '_> {
    type Value = Kind;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Read<'_, '_, 'a, '_> {
    type Value = Kind;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        self.set(Value::Null);
        Ok(Kind::Other("null"))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Kind, E> {
        self.set(Value::Bool(value));
        Ok(Kind::Other("a boolean"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Kind, E> {
        self.set(Value::Int(value));
        Ok(Kind::Other("a number"))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Kind, E> {
        self.set(i64::try_from(value).map_or(Value::Digits(""), Value::Int));
        Ok(Kind::Other("a number"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Kind, E> {
        // It may be an integer, whose digits serde_json does not tell.
        self.set(if value.abs() < FIRST_BEYOND { Value::Float(value) } else { Value::Digits("") });
        Ok(Kind::Other("a number"))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'a str) -> Result<Kind, E> {
        self.set(Value::Str(value));
        Ok(Kind::Other("a string"))
    }

    /// A string that had escapes.
    fn visit_str<E: Error>(self, value: &str) -> Result<Kind, E> {
        if let Some(node) = self.node {
            let start = self.sink.scratch.len();
            self.sink.scratch.push_str(value);
            self.sink.set_unescaped(&self.wanted.nodes[node], start);
        }
        Ok(Kind::Other("a string"))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<Kind, A::Error> {
        let Read { wanted, node, sink } = self;
        Read { wanted, node, sink: &mut *sink }.set(Value::Composite);
        while items.next_element_seed(Read { wanted, node: None, sink: &mut *sink })?.is_some() {}
        Ok(Kind::Other("an array"))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Kind, A::Error> {
        let Read { wanted, node, sink } = self;
        Read { wanted, node, sink: &mut *sink }.set(Value::Composite);
        while let Some(child) = members.next_key_seed(Key { wanted, node })? {
            members.next_value_seed(Read { wanted, node: child, sink: &mut *sink })?;
        }
        Ok(Kind::Object)
    }
}

/// Reads a key of the object at `node`, and tells the node of its value.
struct Key<'w> {
    wanted: &'w Wanted,
    node: Option<usize>,
}

impl<'a> DeserializeSeed<'a> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.node.and_then(|node| self.wanted.child(node, key)))
    }
}
