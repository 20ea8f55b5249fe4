//! What decoding hands to folding: an event's time and the fields that its source's aggregates asked for.

use crate::value::Value;

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
