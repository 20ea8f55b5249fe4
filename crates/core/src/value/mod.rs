//! What a field can hold, and how numbers and times are read out of it. Pure.

#![forbid(unsafe_code)]

pub mod number;
pub mod time;

use std::borrow::Cow;

/// One field's value, borrowed from the event's bytes or the decoder's scratch space.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// The field is not there.
    #[default]
    Missing,
    Null,
    Bool(bool),
    Int(i64),
    /// An integer beyond `i64`: its digits.
    Digits(&'a str),
    Float(f64),
    Str(&'a str),
    /// An array or an object.
    Composite,
}

impl<'a> Value<'a> {
    /// As a label would have it; `None` if there is nothing to show: missing, null, an array or an object.
    #[inline]
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Value::Str(text) | Value::Digits(text) => Some(text.into()),
            Value::Int(number) => Some(number.to_string().into()),
            Value::Float(number) => Some(number.to_string().into()),
            Value::Bool(truth) => Some(if truth { "true" } else { "false" }.into()),
            Value::Missing | Value::Null | Value::Composite => None,
        }
    }

    /// Missing, null or empty: as good as not there.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Value::Missing | Value::Null | Value::Str(""))
    }
}
