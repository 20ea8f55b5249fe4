//! One event's bytes become the fields that aggregates asked for, and its time. Pure: no clock, no Kafka.
//!
//! What is JSON, and what a value is, is what serde_json says ([`full`]); duplicate keys: the last one wins. Integers
//! beyond `i64` keep their digits. Documents that look like the ones before take a shorter way to the same result
//! ([`fast`]). What of the record beside its payload is asked for is in a [`Record`].

mod error;
mod event_time;
mod fast;
mod full;
mod index;
mod scan;
mod wanted;

use std::ops::Range;
use std::time::Duration;

pub use crate::value::time::BadTime;
pub use error::{DecodeError, Place};
pub use wanted::Values;

use crate::aggregate::Value;
use crate::config::{FieldPath, RecordField, Timestamp};
use event_time::EventTime;
use fast::Hints;
use index::Index;
use wanted::{Sink, Wanted};

/// One decoded event.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<'a> {
    /// Event time, Unix milliseconds, from 1970 to 9999.
    pub time: i64,
    /// One value for each field the decoder was made for, in that order.
    pub values: Values<'a>,
}

/// What a record has beside its payload.
#[derive(Clone, Copy)]
pub struct Record<'r, 'a> {
    /// Its Kafka timestamp, Unix milliseconds, if it has one.
    pub time: Option<i64>,
    /// Asked for nothing but what is wanted, and not for the time; text as it is, in bytes.
    pub bytes_of: &'r dyn Fn(&RecordField) -> Option<&'a [u8]>,
    pub partition: i32,
}

impl<'r, 'a> Record<'r, 'a> {
    /// A record that has nothing but a time.
    pub fn at(time: Option<i64>) -> Record<'r, 'a> {
        Record { time, bytes_of: &|_| None, partition: 0 }
    }

    /// Bytes that are no text are as little a value as an array is.
    fn field(&self, field: &RecordField) -> Value<'a> {
        match field {
            RecordField::Partition => Value::Int(self.partition.into()),
            RecordField::Timestamp => self.time.map_or(Value::Missing, Value::Int),
            RecordField::Topic | RecordField::Key | RecordField::Header(_) => match (self.bytes_of)(field) {
                None => Value::Missing,
                Some(bytes) => std::str::from_utf8(bytes).map_or(Value::Composite, Value::Str),
            },
        }
    }
}

/// Decodes the events of one source. It keeps scratch space between events, so every thread has its own.
#[derive(Debug)]
pub struct Decoder {
    wanted: Wanted,
    /// The slot of each field that was asked for, if that is not simply the order of the slots.
    order: Option<Vec<usize>>,
    fields: usize,
    time: EventTime,
    max_bytes: usize,
    index: Index,
    hints: Hints,
    scratch: String,
    unescaped: Vec<(usize, Range<usize>)>,
}

impl Decoder {
    /// A decoder of `fields`, which takes the time from where `timestamp` says and refuses events above `max_bytes`.
    pub fn new(fields: &[FieldPath], timestamp: &Timestamp, max_bytes: usize) -> Decoder {
        let mut wanted = Wanted::new();
        let order: Vec<usize> = fields.iter().map(|path| wanted.add(path)).collect();
        let in_order = order.iter().enumerate().all(|(i, &slot)| i == slot);
        let time = EventTime::new(timestamp, &mut |path| wanted.add(path));
        Decoder {
            index: Index::default(),
            hints: Hints::new(&wanted),
            wanted,
            order: (!in_order).then_some(order),
            fields: fields.len(),
            time,
            max_bytes,
            scratch: String::new(),
            unescaped: Vec::new(),
        }
    }

    /// Decodes one record's payload (empty for a tombstone).
    ///
    /// A field that is not there is [`Value::Missing`]; whether that matters is for the aggregates to say.
    ///
    /// # Errors
    /// [`DecodeError`], if the payload is not one JSON object or has no usable event time.
    #[inline]
    pub fn decode<'a>(&'a mut self, payload: &'a [u8], record: Record<'_, 'a>) -> Result<Decoded<'a>, DecodeError> {
        // Filled in place: moving 16 values costs as much as reading some of them.
        let mut values = Values::from_elem(Value::Missing, self.wanted.slots());
        let fields = self.fields;
        let time = self.read(payload, record, &mut values)??;
        values.truncate(fields);
        Ok(Decoded { time, values })
    }

    /// The same, unless `wanted` says no to its fields: then it is `None`, whether or not it has a time.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    #[inline]
    pub fn decode_if<'a>(
        &'a mut self,
        payload: &'a [u8],
        record: Record<'_, 'a>,
        wanted: impl FnOnce(&[Value<'a>]) -> bool,
    ) -> Result<Option<Decoded<'a>>, DecodeError> {
        let mut values = Values::from_elem(Value::Missing, self.wanted.slots());
        let fields = self.fields;
        let time = self.read(payload, record, &mut values)?;
        values.truncate(fields);
        if !wanted(&values) {
            return Ok(None);
        }
        Ok(Some(Decoded { time: time?, values }))
    }

    /// Reads an event's fields into `values`, and more behind them if the time is none of the fields; gives its time, or
    /// why it has none.
    fn read<'a>(
        &'a mut self,
        payload: &'a [u8],
        record: Record<'_, 'a>,
        values: &mut Values<'a>,
    ) -> Result<Result<i64, DecodeError>, DecodeError> {
        if payload.is_empty() {
            return Err(DecodeError::Empty);
        }
        if payload.len() > self.max_bytes {
            return Err(DecodeError::TooLarge { bytes: payload.len(), limit: self.max_bytes });
        }
        let ascii = self.index.build(payload);
        let text = text(payload, ascii)?;
        self.scratch.clear();
        self.unescaped.clear();
        let mut sink = Sink { values, scratch: &mut self.scratch, unescaped: &mut self.unescaped };
        if fast::read(text, &self.index, &self.wanted, &mut self.hints, &mut sink).is_none() {
            sink.clear();
            full::read(text, &self.wanted, &mut sink)?;
        }
        for (slot, range) in &self.unescaped {
            values[*slot] = Value::Str(&self.scratch[range.clone()]);
        }
        for (slot, field) in &self.wanted.of_record {
            values[*slot] = record.field(field);
        }
        let time = self.time.read(values, record.time);
        if let Some(order) = &self.order {
            *values = order.iter().map(|&slot| values[slot]).collect();
        }
        Ok(time)
    }
}

/// The payload as text; `ascii` tells that all its bytes have been seen to be ASCII.
fn text(payload: &[u8], ascii: bool) -> Result<&str, DecodeError> {
    if ascii {
        // SAFETY: ASCII is UTF-8. Looking at every byte a second time would cost a tenth of the whole decoding.
        return Ok(unsafe { std::str::from_utf8_unchecked(payload) });
    }
    std::str::from_utf8(payload).map_err(|error| DecodeError::NotUtf8 { valid_up_to: error.valid_up_to() })
}

/// Whether an event is dated further ahead of its record than `max_future` allows. All times in Unix milliseconds.
pub fn too_far_ahead(event_time: i64, record_time: i64, max_future: Duration) -> bool {
    let allowed = i64::try_from(max_future.as_millis()).unwrap_or(i64::MAX);
    event_time > record_time.saturating_add(allowed)
}

/// How far an event moves stream time: to its own time, but no further than `max_lead` beyond its record's. One producer
/// whose clock is ahead would otherwise make everybody else's events late.
#[inline]
pub fn reach(event_time: i64, record_time: i64, max_lead: Duration) -> i64 {
    if event_time <= record_time {
        return event_time;
    }
    let lead = i64::try_from(max_lead.as_millis()).unwrap_or(i64::MAX);
    event_time.min(record_time.saturating_add(lead))
}

#[cfg(test)]
mod tests;
