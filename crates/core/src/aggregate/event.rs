//! What decoding hands to folding: an event's time and the fields that its source's aggregates asked for.

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

/// One decoded event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Event time, Unix milliseconds.
    pub time: i64,
    /// Stream time goes this far with it, Unix milliseconds: to `time`, or less if the event is dated too far ahead.
    pub reach: i64,
    /// One value for each of [`super::Plan::fields`], in that order.
    pub values: &'a [Value<'a>],
}
