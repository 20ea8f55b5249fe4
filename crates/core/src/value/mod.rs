//! What a field can hold, and how numbers and times are read out of it. Pure.

#![forbid(unsafe_code)]

pub mod number;
pub mod time;

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

impl Value<'_> {
    /// Missing, null or empty: as good as not there.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Value::Missing | Value::Null | Value::Str(""))
    }
}
