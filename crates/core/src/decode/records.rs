//! From a record's payload to its events: one, as nearly always, or many, each with what encloses it.

use std::ops::Range;

use super::Record;
use super::ahead::{Ahead, MOST_AHEAD, Step};
use super::error::DecodeError;
use super::format::Records;
use super::tail::Tail;
use super::wanted::{Sink, Values};
use crate::config::RecordField;
use crate::value::Value;

/// What became of one event; `Ok(None)` if nobody wants it.
pub type Outcome<'e> = Result<Option<Found<'e>>, DecodeError>;

/// One event, where it was read: what a [`Decoded`](super::Decoded) is, lent.
#[derive(Clone, Copy, Debug)]
pub struct Found<'e> {
    /// Event time, Unix milliseconds, from 1970 to 9999.
    pub time: i64,
    /// One value for each field the decoder was made for, in that order.
    pub values: &'e [Value<'e>],
}

/// An event's place in its record.
pub struct Part<'p> {
    /// Its number among the record's events, from 0; `None` if the record is this event.
    pub index: Option<usize>,
    pub(super) alone: &'p dyn Fn() -> Option<Vec<u8>>,
}

impl Part<'_> {
    /// All of a record.
    pub(super) const WHOLE: Part<'static> = Part { index: None, alone: &|| None };

    /// A payload with this event alone, and with all that encloses it; `None`: the record's own payload.
    pub fn alone(&self) -> Option<Vec<u8>> {
        (self.alone)()
    }
}

/// Text of strings that had escapes, while one thing is read; and whose it is.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: String,
    unescaped: Vec<(usize, Range<usize>)>,
}

#[cfg(feature = "vrl")]
impl Scratch {
    /// The same without anything in it: the text, and whose it is.
    pub fn cleared(&mut self) -> (&mut String, &mut Vec<(usize, Range<usize>)>) {
        self.text.clear();
        self.unescaped.clear();
        (&mut self.text, &mut self.unescaped)
    }
}

/// Bytes of an event that is smaller than most.
const SMALL_EVENT: usize = 128;

/// What is wanted of the events, and who takes them.
pub(super) struct Run<'r, 'f, 'b, K, T> {
    pub tail: &'r mut Tail,
    pub record: Record<'f, 'b>,
    pub keep: K,
    pub take: T,
    /// Number of the next event.
    pub next: usize,
}

/// Reads one event's fields into `values`; gives its time, or why it has none.
///
/// # Errors
/// If it cannot be read.
#[inline]
pub(super) fn read_event<'x, F: Records>(
    format: &mut F,
    level: usize,
    payload: &'x F::Payload,
    range: Range<usize>,
    (scratch, tail): (&'x mut Scratch, &'x mut Tail),
    record: Record<'_, 'x>,
    values: &mut Values<'x>,
) -> Result<Result<i64, DecodeError>, DecodeError> {
    read_level(format, level, payload, range, (scratch, record.time), values)?;
    Ok(tail.finish(values, record))
}

/// Reads what is wanted of one level into `values`.
#[inline]
fn read_level<'x, F: Records>(
    format: &mut F,
    level: usize,
    payload: &'x F::Payload,
    range: Range<usize>,
    (scratch, record_time): (&'x mut Scratch, Option<i64>),
    values: &mut [Value<'x>],
) -> Result<(), DecodeError> {
    scratch.text.clear();
    scratch.unescaped.clear();
    let mut sink = Sink { values, scratch: &mut scratch.text, unescaped: &mut scratch.unescaped, record_time };
    format.read(level, payload, range, &mut sink)?;
    for (slot, range) in &scratch.unescaped {
        values[*slot] = Value::Str(&scratch.text[range.clone()]);
    }
    Ok(())
}

impl<K, T> Run<'_, '_, '_, K, T>
where
    K: Fn(&[Value<'_>]) -> bool,
    T: FnMut(&Part<'_>, Outcome<'_>),
{
    /// Hands out the events of a payload; `scratch` has one for each level.
    #[inline]
    pub fn payload<F: Records>(&mut self, format: &mut F, scratch: &mut [Scratch], payload: &F::Payload) {
        let all = 0..payload.as_ref().len();
        let error = match &mut *scratch {
            [_] if format.is_in_lines() => return self.in_lines(format, scratch, payload),
            [only] => self.event(format, 0, payload, all, only, None, &Part::WHOLE),
            levels => self.whole(format, levels, payload, all),
        };
        match error.map(|error| (error, format.documents(payload))) {
            None => {}
            Some((error, None)) => self.hand_out(&Part::WHOLE, Err(error)),
            Some((_, Some(documents))) => self.documents(format, scratch, payload, documents),
        }
    }

    fn in_lines<F: Records>(&mut self, format: &mut F, scratch: &mut [Scratch], payload: &F::Payload) {
        let lines = format.documents(payload).unwrap_or_default();
        self.documents(format, scratch, payload, lines);
    }

    /// The payload is one document, of several levels.
    fn whole<F: Records>(
        &mut self,
        format: &mut F,
        scratch: &mut [Scratch],
        payload: &F::Payload,
        all: Range<usize>,
    ) -> Option<DecodeError> {
        let nothing = Values::from_elem(Value::Missing, self.tail.slots());
        let at = At { document: all.clone(), level: 0 };
        self.below(format, scratch, payload, all, &at, &mut Vec::new(), &nothing)
    }

    #[inline(never)]
    fn documents<F: Records>(
        &mut self,
        format: &mut F,
        scratch: &mut [Scratch],
        payload: &F::Payload,
        documents: Vec<Range<usize>>,
    ) {
        let nothing = Values::from_elem(Value::Missing, self.tail.slots());
        for document in documents {
            let at = At { document: document.clone(), level: 0 };
            if let Some(error) = self.below(format, scratch, payload, document.clone(), &at, &mut Vec::new(), &nothing)
            {
                let alone = || Some(F::alone(payload, document.clone(), &[]));
                self.hand_out(&Part { index: Some(self.next), alone: &alone }, Err(error));
            }
        }
    }

    /// Hands out the events of what stands in `range`, which `trail` led to; or gives what is wrong with all of it.
    #[expect(clippy::too_many_arguments, reason = "one recursion, and no struct of it would have a meaning")]
    fn below<F: Records>(
        &mut self,
        format: &mut F,
        scratch: &mut [Scratch],
        payload: &F::Payload,
        range: Range<usize>,
        at: &At,
        trail: &mut Vec<Step>,
        enclosing: &[Value<'_>],
    ) -> Option<DecodeError> {
        let (own, deeper) = scratch.split_first_mut()?;
        if deeper.is_empty() {
            let alone = || Some(F::alone(payload, at.document.clone(), trail));
            let part = Part { index: Some(self.next), alone: &alone };
            return self.event(format, at.level, payload, range, own, Some(enclosing), &part);
        }
        let mut values: Values<'_> = enclosing.iter().copied().collect();
        let slots = values.len();
        let read = read_level(format, at.level, payload, range.clone(), (own, self.record.time), &mut values);
        if let Err(error) = read {
            return Some(error);
        }
        if let ([last], 1..) = (&mut *deeper, slots) {
            last.text.clear();
            last.unescaped.clear();
            let mut ahead = Ahead {
                values: Vec::with_capacity(((range.len() / SMALL_EVENT + 1) * slots).min(MOST_AHEAD)),
                enclosing: &values,
                text: &mut last.text,
                own: &mut last.unescaped,
                unescaped: Vec::new(),
                record_time: self.record.time,
            };
            if let Some((room, elements)) = format.read_elements(at.level, payload, range.clone(), &mut ahead) {
                let Ahead { mut values, unescaped, .. } = ahead;
                for (at, range) in unescaped {
                    values[at] = Value::Str(&last.text[range]);
                }
                let depth = trail.len();
                trail.push(Step { room, element: 0..0 });
                for (element, values) in elements.into_iter().zip(values.chunks_exact(slots)) {
                    trail[depth].element = element;
                    let alone = || Some(F::alone(payload, at.document.clone(), trail));
                    let part = Part { index: Some(self.next), alone: &alone };
                    self.hand_out_read(values, &part);
                }
                trail.pop();
                return None;
            }
        }
        let (room, elements) = match format.elements(at.level, payload, range) {
            Ok(found) => found,
            Err(error) => return Some(error),
        };
        let below = At { level: at.level + 1, ..at.clone() };
        for element in elements {
            trail.push(Step { room: room.clone(), element: element.clone() });
            if let Some(error) = self.below(format, deeper, payload, element, &below, trail, &values) {
                let alone = || Some(F::alone(payload, at.document.clone(), trail));
                self.hand_out(&Part { index: Some(self.next), alone: &alone }, Err(error));
            }
            trail.pop();
        }
        None
    }

    /// Hands out an event that has been read.
    #[inline]
    fn hand_out_read(&mut self, read: &[Value<'_>], part: &Part<'_>) {
        let Run { tail, keep, take, next, record } = self;
        let mut values = Values::from_slice(read);
        let fields = tail.fields();
        let bytes_of = as_long_as_asked(|field| (record.bytes_of)(field));
        let record = Record { time: record.time, bytes_of: &bytes_of, partition: record.partition };
        let time = tail.finish(&mut values, record);
        let values = values.get(..fields).unwrap_or_default();
        *next += 1;
        if keep(values) { take(part, time.map(|time| Some(Found { time, values }))) } else { take(part, Ok(None)) }
    }

    #[inline]
    pub(super) fn hand_out(&mut self, part: &Part<'_>, outcome: Outcome<'_>) {
        (self.take)(part, outcome);
        self.next += 1;
    }

    /// Hands out one event, unless it cannot be read.
    #[expect(clippy::too_many_arguments, reason = "as above")]
    #[inline]
    fn event<F: Records>(
        &mut self,
        format: &mut F,
        level: usize,
        payload: &F::Payload,
        range: Range<usize>,
        scratch: &mut Scratch,
        enclosing: Option<&[Value<'_>]>,
        part: &Part<'_>,
    ) -> Option<DecodeError> {
        let Run { tail, keep, take, next, record } = self;
        // Filled in place: moving 16 values costs as much as reading some of them.
        let mut values = match enclosing {
            None => Values::from_elem(Value::Missing, tail.slots()),
            Some(enclosing) => Values::from_slice(enclosing),
        };
        let fields = tail.fields();
        // What is borrowed from the record lives longer than what is borrowed here, which its type cannot say.
        let bytes_of = as_long_as_asked(|field| (record.bytes_of)(field));
        let record = Record { time: record.time, bytes_of: &bytes_of, partition: record.partition };
        let time = read_event(format, level, payload, range, (scratch, tail), record, &mut values);
        let time = match time {
            Ok(time) => time,
            Err(error) => return Some(error),
        };
        // Lent, not given: see above.
        let values = values.get(..fields).unwrap_or_default();
        *next += 1;
        if !keep(values) {
            take(part, Ok(None));
            return None;
        }
        take(part, time.map(|time| Some(Found { time, values })));
        None
    }
}

pub(super) fn as_long_as_asked<'x, F: Fn(&RecordField) -> Option<&'x [u8]>>(bytes_of: F) -> F {
    bytes_of
}

/// Where the recursion is.
#[derive(Clone)]
struct At {
    document: Range<usize>,
    level: usize,
}
