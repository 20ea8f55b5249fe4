//! A record's bytes become events: the fields that aggregates asked for, and a time. Pure: no clock, no Kafka.
//!
//! [`format`] has the formats, [`records`] finds the events of a record, [`tail`] does what is the same for all formats.
//! What is JSON, and what a value is, is what serde_json says ([`full`]); duplicate keys: the last one wins. Integers
//! beyond `i64` keep their digits. Documents that look like the ones before take a shorter way to the same result
//! ([`fast`]). What of the record beside its payload is asked for is in a [`Record`].

mod ahead;
mod error;
mod event_time;
mod fast;
mod format;
mod full;
mod index;
mod records;
#[cfg(feature = "vrl")]
mod remapped;
mod scan;
mod schema;
mod tail;
mod unpack;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

pub use crate::value::time::BadTime;
pub use error::{DecodeError, Place};
pub use records::{Found, Outcome, Part};
pub use schema::{FoundSchema, Language, Reference, Schema, Schemas};
pub use unpack::unpacked;
pub use wanted::Values;

use crate::config::{Each, FieldPath, Format, FormatKind, Parse, RecordField, Source, Timestamp};
use crate::value::Value;
use format::otlp::{self, OtlpProto};
use format::{Json, Records, Registered, Texts, Wrapping};
use records::{Run, Scratch, read_event};
use tail::{Slots, Tail};
use unpack::{Packing, raw_snappy};
use wanted::Wanted;

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

/// Decodes the records of one source. It keeps scratch space between them, so every thread has its own.
#[derive(Debug)]
pub struct Decoder {
    kind: Kind,
    /// One for each level of a record: its document, and what `each` finds in it.
    scratch: Vec<Scratch>,
    tail: Tail,
    max_bytes: usize,
    /// A payload that had to be mended.
    spare: String,
    /// What a compressed payload holds, and how much that may be.
    unpacked: Vec<u8>,
    max_unpacked: usize,
}

/// JSON by itself, so that what it costs is nothing but JSON.
#[derive(Debug)]
enum Kind {
    Json(Json),
    Text(Texts),
    Otlp(OtlpProto),
    Registered(Box<Registered>),
    #[cfg(feature = "vrl")]
    Remapped(Box<remapped::Remapped>),
}

impl Kind {
    /// Whether a payload is surely not written in this format as it is, so that it may be compressed in a way that does not
    /// say so.
    #[inline]
    fn may_be_raw(&self, payload: &[u8]) -> bool {
        let &[first, second, ..] = payload else { return false };
        // What it comes to, and how long its first literal is.
        match self {
            Kind::Json(_) => match first {
                b'{' | b'[' => second >= 0x80,
                0xef => second != 0xbb,
                _ => !first.is_ascii_whitespace(),
            },
            Kind::Text(_) => {
                let is_control = first < b' ' && !first.is_ascii_whitespace();
                is_control || (!payload.is_ascii() && std::str::from_utf8(payload).is_err())
            }
            Kind::Otlp(_) => first != 0x0a,
            Kind::Registered(_) => first != 0,
            #[cfg(feature = "vrl")]
            Kind::Remapped(remapped) => remapped.kind().may_be_raw(payload),
        }
    }
}

impl Decoder {
    /// A decoder of `fields` in JSON, which takes the time from where `timestamp` says and refuses records above
    /// `max_bytes`.
    pub fn new(fields: &[FieldPath], timestamp: &Timestamp, max_bytes: usize) -> Decoder {
        Decoder::made(fields, timestamp, (&Format::default(), None, &[]), (max_bytes, Source::UNPACKED_BYTES))
    }

    /// A decoder of `fields` in what a source's records hold.
    pub fn of(fields: &[FieldPath], source: &Source, max_bytes: usize) -> Decoder {
        let layout = (&source.format, source.each.as_ref(), source.parse.as_slice());
        let decoder = Decoder::made(fields, &source.timestamp, layout, (max_bytes, source.unpacked_bytes));
        decoder.with_program(fields, source)
    }

    /// The same with the source's program, if it has one.
    #[cfg(feature = "vrl")]
    fn with_program(mut self, fields: &[FieldPath], source: &Source) -> Decoder {
        if let Some(program) = &source.remap {
            // What a program leaves has the fields that are asked for at the top.
            let mut slots = Slots::default();
            self.tail = Tail::new(fields, &source.timestamp, &source.parse, &mut slots);
            let mut wanted = Wanted::new();
            for (slot, path) in slots.0.iter().enumerate().filter(|(_, path)| !path.steps().is_empty()) {
                wanted.put(path.steps(), slot);
            }
            self.kind = Kind::Remapped(Box::new(remapped::Remapped::new(&source.format, program, wanted)));
        }
        self
    }

    #[cfg(not(feature = "vrl"))]
    fn with_program(self, _: &[FieldPath], _: &Source) -> Decoder {
        self
    }

    fn made(
        fields: &[FieldPath],
        timestamp: &Timestamp,
        (format, each, parse): (&Format, Option<&Each>, &[Parse]),
        (max_bytes, max_unpacked): (usize, usize),
    ) -> Decoder {
        let mut slots = Slots::default();
        let mut tail = Tail::new(fields, timestamp, parse, &mut slots);
        let otlp: Vec<Vec<String>> = otlp::ARRAYS.iter().map(|name| vec![(*name).to_owned()]).collect();
        let arrays = match &format.kind {
            FormatKind::OtlpJson | FormatKind::OtlpProto => otlp.as_slice(),
            _ => each.map_or(&[][..], |each| &each.0),
        };
        let mut wanted: Vec<Wanted> = (0..=arrays.len()).map(|_| Wanted::new()).collect();
        for (slot, path) in slots.0.iter().enumerate().filter(|(_, path)| !path.steps().is_empty()) {
            let steps = path.steps();
            let places = match &format.kind {
                FormatKind::OtlpJson => otlp::json_places(steps),
                FormatKind::OtlpProto => otlp::places(steps),
                _ => {
                    let up = Each::levels_up(steps).min(arrays.len());
                    vec![(arrays.len() - up, steps[up..].to_vec())]
                }
            };
            let zero_is_none = otlp::is_time(&format.kind, steps);
            let only = places.len() == 1 && !zero_is_none;
            // A place may be another field's too, which has a slot there already.
            let from: Vec<usize> = places
                .iter()
                .map(|(level, steps)| wanted[*level].put(steps, if only { slot } else { tail.another_slot() }))
                .collect();
            if from != [slot] {
                tail.first_of(slot, from, zero_is_none);
            }
        }
        let scratch = wanted.iter().map(|_| Scratch::default()).collect();
        let kind = match &format.kind {
            FormatKind::Json | FormatKind::Gelf | FormatKind::OtlpJson | FormatKind::JsonSchema => {
                let mut json = Json::new(wanted, arrays);
                json.wrapping = match format.kind {
                    FormatKind::Gelf => Wrapping::EndsWithZero,
                    FormatKind::JsonSchema => Wrapping::SchemaId,
                    _ => Wrapping::None,
                };
                Kind::Json(json)
            }
            FormatKind::Avro | FormatKind::Protobuf => {
                let language = if format.kind == FormatKind::Avro { Language::Avro } else { Language::Protobuf };
                Kind::Registered(Box::new(Registered::new(language, wanted.pop().unwrap_or_default())))
            }
            FormatKind::OtlpProto => Kind::Otlp(OtlpProto { levels: wanted }),
            _ => {
                let wanted = wanted.pop().unwrap_or_default();
                Kind::Text(Texts { format: format::reader(format, wanted), lines: format.lines })
            }
        };
        Decoder { kind, scratch, tail, max_bytes, spare: String::new(), unpacked: Vec::new(), max_unpacked }
    }

    /// The same with somebody who knows the schemas of records that have one; without, none is known.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<dyn Schemas>) -> Decoder {
        if let Kind::Registered(registered) = &mut self.kind {
            registered.set_schemas(schemas);
        }
        self
    }

    /// Decodes the events of one record's payload (empty for a tombstone). `take` gets each event, or why it is none, in
    /// their order; an event whose fields `keep` says no to is `Ok(None)`, whether or not it has a time. Tells how many
    /// they were.
    ///
    /// A field that is not there is [`Value::Missing`]; whether that matters is for the aggregates to say.
    #[inline]
    pub fn events(
        &mut self,
        payload: &[u8],
        record: Record<'_, '_>,
        keep: impl Fn(&[Value<'_>]) -> bool,
        mut take: impl FnMut(&Part<'_>, Outcome<'_>),
    ) -> usize {
        let Decoder { kind, scratch, tail, max_bytes, spare, unpacked, max_unpacked } = self;
        let mut payload = payload;
        let unpacked = fits(payload, *max_bytes).and_then(|()| {
            if let Some(packing) = Packing::of(payload) {
                packing.unpack(payload, *max_unpacked, unpacked)?;
                payload = unpacked;
            }
            Ok(())
        });
        if let Err(error) = unpacked {
            take(&Part::WHOLE, Err(error));
            return 1;
        }
        // Nothing tells raw snappy but that it is nothing else.
        let raw;
        if kind.may_be_raw(payload)
            && let Some(found) = raw_snappy(payload, *max_unpacked)
        {
            raw = found;
            payload = &raw;
        }
        let mut run = Run { tail, record, keep, take, next: 0 };
        let opened = match kind {
            Kind::Json(json) => json.open(payload, spare).map(|text| run.payload(json, scratch, text)),
            Kind::Text(texts) => texts.open(payload, spare).map(|text| run.payload(texts, scratch, text)),
            Kind::Otlp(otlp) => otlp.open(payload, spare).map(|bytes| run.payload(otlp, scratch, bytes)),
            Kind::Registered(events) => {
                events.open(payload, spare).map(|bytes| run.payload(&mut **events, scratch, bytes))
            }
            #[cfg(feature = "vrl")]
            Kind::Remapped(remapped) => run.remapped(remapped, payload, spare),
        };
        if let Err(error) = opened {
            (run.take)(&Part::WHOLE, Err(error));
            return 1;
        }
        run.next
    }

    /// Decodes a payload that holds one event.
    ///
    /// # Errors
    /// [`DecodeError`], if the payload is not one event, or has no usable event time.
    #[inline]
    pub fn decode<'a>(&'a mut self, payload: &'a [u8], record: Record<'_, 'a>) -> Result<Decoded<'a>, DecodeError> {
        let Decoder { kind, scratch, tail, max_bytes, spare, .. } = self;
        fits(payload, *max_bytes)?;
        let mut values = Values::from_elem(Value::Missing, tail.slots());
        let fields = tail.fields();
        let Some(scratch) = scratch.last_mut() else { return Err(DecodeError::Empty) };
        let time = match kind {
            Kind::Json(json) => {
                let text = json.open(payload, spare)?;
                read_event(json, 0, text, 0..text.len(), (scratch, tail), record, &mut values)
            }
            Kind::Text(texts) => {
                let text = texts.open(payload, spare)?;
                read_event(texts, 0, text, 0..text.len(), (scratch, tail), record, &mut values)
            }
            Kind::Registered(events) => {
                let bytes = events.open(payload, spare)?;
                read_event(&mut **events, 0, bytes, 0..bytes.len(), (scratch, tail), record, &mut values)
            }
            // A request holds many, by its nature.
            Kind::Otlp(_) => return Err(DecodeError::NotAnObject { found: "a request with log records" }),
            #[cfg(feature = "vrl")]
            Kind::Remapped(_) => return Err(DecodeError::NotAnObject { found: "for a program, which makes many" }),
        }??;
        values.truncate(fields);
        Ok(Decoded { time, values })
    }

    /// For each field whose text is parsed, how many texts could not be since the last call.
    pub fn unparsed(&mut self) -> impl Iterator<Item = (&FieldPath, u64)> {
        self.tail.unparsed()
    }
}

#[inline]
fn fits(payload: &[u8], limit: usize) -> Result<(), DecodeError> {
    match payload.len() {
        0 => Err(DecodeError::Empty),
        bytes if bytes > limit => Err(DecodeError::TooLarge { bytes, limit }),
        _ => Ok(()),
    }
}

/// Whether an event may be counted for its time: one that is dated further ahead of its record than `max_future` allows is a
/// dead letter. A record without a timestamp has nothing to be ahead of. All times in Unix milliseconds.
///
/// # Errors
/// The dead letter's reason and detail.
#[inline]
pub fn check_not_too_far_ahead(
    event_time: i64,
    record_time: Option<i64>,
    max_future: Duration,
) -> Result<(), (&'static str, String)> {
    let Some(written) = record_time else { return Ok(()) };
    let allowed = i64::try_from(max_future.as_millis()).unwrap_or(i64::MAX);
    if event_time <= written.saturating_add(allowed) {
        return Ok(());
    }
    let ahead = (event_time - written) / 1_000;
    Err(("too_far_ahead", format!("event time is {ahead} s ahead of the record's timestamp")))
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
mod many_tests;
#[cfg(test)]
mod test_documents;
#[cfg(test)]
mod tests;
