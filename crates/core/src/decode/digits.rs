//! A second look at a document that [`super::full`] has read: numbers beyond `i64` get the digits they were written with.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::wanted::Wanted;
use crate::aggregate::Value;

/// Fills in every value that is there as [`Value::Digits`]: with its digits, or as a float if it was written as one.
pub(super) fn read<'a>(text: &'a str, wanted: &Wanted, values: &mut [Value<'a>]) {
    let pending: Vec<bool> = values.iter().map(|value| matches!(value, Value::Digits(_))).collect();
    let mut json = serde_json::Deserializer::from_str(text);
    // The document has been read before, so that nothing can be wrong with it.
    let _ = Object { wanted, node: 0, pending: &pending, values }.deserialize(&mut json);
}

/// Reads what is an object for sure.
struct Object<'w, 'r, 'a> {
    wanted: &'w Wanted,
    node: usize,
    /// Slots whose last value is such a number.
    pending: &'r [bool],
    values: &'r mut [Value<'a>],
}

impl<'a> DeserializeSeed<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        let Object { wanted, node, pending, values } = self;
        while let Some(key) = members.next_key::<std::borrow::Cow<'a, str>>()? {
            let Some(child) = wanted.child(node, &key) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw: &'a RawValue = members.next_value()?;
            let text = raw.get();
            if text.starts_with('{') {
                let mut inner = serde_json::Deserializer::from_str(text);
                let object = Object { wanted, node: child, pending, values: &mut *values };
                object.deserialize(&mut inner).map_err(A::Error::custom)?;
            }
            // Of duplicates the last one counts, here too.
            if let Some(slot) = wanted.nodes[child].slot.filter(|&slot| pending[slot])
                && let Some(number) = beyond(text)
            {
                values[slot] = number;
            }
        }
        Ok(())
    }
}

/// The number that `text` is, if it lies beyond `i64`.
fn beyond(text: &str) -> Option<Value<'_>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|c| c.is_ascii_digit()) {
        return text.parse::<i64>().is_err().then_some(Value::Digits(text));
    }
    text.parse().ok().map(Value::Float)
}
