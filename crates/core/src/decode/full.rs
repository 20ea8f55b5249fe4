//! The full way to read a document: serde_json visits every value to decide whether it is JSON; then the wanted ones are read
//! out of the text.
//!
//! Values that nobody wants are visited rather than ignored, for serde_json's ignoring is laxer than its reading: it lets
//! lone surrogates, numbers beyond a float's range and any depth pass.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::DecodeError;
use super::scan::reads;
use super::wanted::{Pick, Sink, Wanted};
use crate::value::Value;

/// Reads one document into `sink`.
///
/// # Errors
/// If the text is not JSON by serde_json's measure, or is no object.
pub(super) fn read<'a>(text: &'a str, wanted: &Wanted, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Kind::deserialize(&mut json)?;
    json.end()?;
    match found {
        Kind::Object => Ok(Pass { wanted, sink }.members(text, 0)?),
        Kind::Other(found) => Err(DecodeError::NotAnObject { found }),
    }
}

/// What a value is, all of which has been looked at.
enum Kind {
    Object,
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::Other("null"))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Kind, E> {
        Ok(Kind::Other("a boolean"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Kind, E> {
        Ok(Kind::Other("a number"))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Kind, E> {
        Ok(Kind::Other("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Other("a number"))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Kind, E> {
        Ok(Kind::Other("a string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        while items.next_element::<Kind>()?.is_some() {}
        Ok(Kind::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Kind, A::Error> {
        while members.next_key::<Key<'_>>()?.is_some() {
            members.next_value::<Kind>()?;
        }
        Ok(Kind::Object)
    }
}

/// Takes the wanted values out of a text that is JSON for sure.
struct Pass<'w, 'r, 'a, 's> {
    wanted: &'w Wanted,
    sink: &'r mut Sink<'a, 's>,
}

impl<'a> Pass<'_, '_, 'a, '_> {
    /// Takes what is wanted of the object at `node`.
    fn members(&mut self, text: &'a str, node: usize) -> serde_json::Result<()> {
        let Pass { wanted, sink } = self;
        each_member(text, |key, value| match wanted.child(node, key) {
            Some(child) => Pass { wanted, sink }.value(value, child),
            None => Ok(()),
        })
    }

    /// Takes a value and what is wanted below it, over what an earlier one of the same key left.
    fn value(&mut self, text: &'a str, node: usize) -> serde_json::Result<()> {
        let place = &self.wanted.nodes[node];
        if text.starts_with('"') {
            match plain(text) {
                Some(plain) => self.sink.set(place, Value::Str(plain)),
                None => {
                    let start = self.sink.scratch.len();
                    self.sink.scratch.push_str(&serde_json::from_str::<String>(text)?);
                    self.sink.set_unescaped(place, start);
                }
            }
            return Ok(());
        }
        self.sink.set(place, scalar(text));
        match text.as_bytes().first() {
            Some(b'{') if !place.children.is_empty() => self.members(text, node),
            Some(b'[') if !place.items.is_empty() => self.items(text, node),
            _ => Ok(()),
        }
    }

    /// Takes the wanted items of the array at `node`.
    fn items(&mut self, text: &'a str, node: usize) -> serde_json::Result<()> {
        let items: Vec<&'a RawValue> = serde_json::from_str(text)?;
        for (pick, child) in &self.wanted.nodes[node].items {
            let mut found = None;
            match pick {
                Pick::At(index) => found = Pick::position(*index, items.len()),
                Pick::Where { name, value } => {
                    for (at, item) in items.iter().enumerate() {
                        if field_reads(item.get(), name, value)? {
                            found = Some(at);
                            break;
                        }
                    }
                }
            }
            if let Some(found) = found {
                self.value(items[found].get(), *child)?;
            }
        }
        Ok(())
    }
}

/// Whether `text` is an object whose field `name` reads `value`; of duplicates the last one counts.
fn field_reads(text: &str, name: &str, value: &str) -> serde_json::Result<bool> {
    let mut said = false;
    if text.starts_with('{') {
        each_member(text, |key, found| {
            if key == name {
                said = match found.starts_with('"') {
                    true => serde_json::from_str::<String>(found)? == value,
                    false => reads(scalar(found), value),
                };
            }
            Ok(())
        })?;
    }
    Ok(said)
}

/// The text of a string that has no escapes.
fn plain(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inside.contains('\\')).then_some(inside)
}

/// A value that is no string.
pub(super) fn scalar(text: &str) -> Value<'_> {
    match text.as_bytes().first() {
        Some(b'{' | b'[') => return Value::Composite,
        Some(b't') => return Value::Bool(true),
        Some(b'f') => return Value::Bool(false),
        Some(b'n') => return Value::Null,
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let float = || Value::Float(text.parse().unwrap_or(f64::INFINITY));
    if text == "-0" || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return float();
    }
    text.parse().map_or(Value::Digits(text), Value::Int)
}

/// Calls `each` with every key of an object and the text of its value.
pub(super) fn each_member<'a>(
    text: &'a str,
    each: impl FnMut(&str, &'a str) -> serde_json::Result<()>,
) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_str(text);
    Members(each).deserialize(&mut json)
}

struct Members<F>(F);

impl<'a, F: FnMut(&str, &'a str) -> serde_json::Result<()>> DeserializeSeed<'a> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, F: FnMut(&str, &'a str) -> serde_json::Result<()>> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = members.next_key()? {
            let value: &'a RawValue = members.next_value()?;
            (self.0)(&key, value.get()).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// A key, copied only if it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);
