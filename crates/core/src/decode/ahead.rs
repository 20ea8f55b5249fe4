//! Events that are read while it is found out where they stand in their record.

use std::ops::Range;

use super::wanted::Sink;
use crate::value::Value;

/// How an element was reached: what all elements stand in, which one of them can take, and the element.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub room: Range<usize>,
    pub element: Range<usize>,
}

/// Events that are read while it is found out where they stand.
pub(super) struct Ahead<'a, 's> {
    /// Of all events, one after the other.
    pub values: Vec<Value<'a>>,
    /// What every event begins with: what encloses it.
    pub enclosing: &'s [Value<'a>],
    pub text: &'s mut String,
    /// Of the event that is being read, and of all before it.
    pub own: &'s mut Vec<(usize, Range<usize>)>,
    pub unescaped: Vec<(usize, Range<usize>)>,
    pub record_time: Option<i64>,
}

/// More values are not kept: they are read once it is known where they stand.
pub(super) const MOST_AHEAD: usize = 1 << 16;

impl<'a> Ahead<'a, '_> {
    /// Reads one more event.
    #[inline]
    pub fn element(&mut self, read: impl FnOnce(&mut Sink<'a, '_>) -> Option<usize>) -> Option<usize> {
        let start = self.values.len();
        if start + self.enclosing.len() > MOST_AHEAD {
            return None;
        }
        self.values.extend_from_slice(self.enclosing);
        let (values, record_time) = (&mut self.values[start..], self.record_time);
        let end = read(&mut Sink { values, scratch: self.text, unescaped: self.own, record_time })?;
        self.unescaped.extend(self.own.drain(..).map(|(slot, range)| (start + slot, range)));
        Some(end)
    }

    pub fn count(&self) -> usize {
        self.values.len().checked_div(self.enclosing.len()).unwrap_or(0)
    }
}
