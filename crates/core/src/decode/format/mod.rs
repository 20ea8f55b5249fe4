//! The formats that events are written in.
//!
//! A [`Format`] reads one event's text into the fields that are wanted; that is all that most of them do. What a record's
//! payload holds, one event or many, is for [`Records`] to say. JSON is both, and reads by the shortest way of all.

mod avro;
mod cef;
mod clf;
mod json;
mod lenient;
mod lines;
mod logfmt;
mod names;
pub(super) mod otlp;
mod pattern;
mod protobuf;
mod raw;
mod registered;
mod syslog;
mod table;
mod texts;
mod wire;
mod year;

use std::ops::Range;

pub(super) use json::{Json, Wrapping};
#[cfg(feature = "vrl")]
pub(super) use lenient::mended as mended_json;
pub(super) use registered::Registered;
pub(super) use texts::Texts;

use super::ahead::{Ahead, Step};
use super::error::DecodeError;
use super::wanted::{Sink, Wanted};
use crate::config::{Format as Chosen, FormatKind};
use crate::value::time::shown;
use table::{Columns, Table};

/// Reads events of one format.
pub(super) trait Format: std::fmt::Debug + Send {
    /// Reads the wanted fields of one event into `sink`.
    ///
    /// # Errors
    /// If `event` is not written in this format. The sink may hold some of it then.
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError>;
}

/// Reads the records of a source, which may hold several events each, one below the other as `each` says: level 0 is a
/// document of the payload, the last one is the events'.
pub(super) trait Records {
    /// What a payload is to it: text or bytes.
    type Payload: ?Sized + AsRef<[u8]>;

    /// Looks at a whole payload first; `spare` is there to hold it if it has to be mended.
    ///
    /// # Errors
    /// If nothing of the payload can be read.
    fn open<'a>(&mut self, payload: &'a [u8], spare: &'a mut String) -> Result<&'a Self::Payload, DecodeError>;

    /// Reads what is wanted at `level` of what stands in `range`.
    ///
    /// # Errors
    /// If it is not written in this format.
    fn read<'a>(
        &mut self,
        level: usize,
        payload: &'a Self::Payload,
        range: Range<usize>,
        sink: &mut Sink<'a, '_>,
    ) -> Result<(), DecodeError>;

    /// Whether a payload is several documents, come what may.
    fn is_in_lines(&self) -> bool {
        false
    }

    /// The payload's documents, if it may be read as several: `None` if it is one.
    fn documents(&mut self, payload: &Self::Payload) -> Option<Vec<Range<usize>>>;

    /// The same as [`Records::elements`] where the elements are events, and reads them on the way. `None`: not read, for
    /// whatever reason.
    fn read_elements<'a>(
        &mut self,
        _level: usize,
        _payload: &'a Self::Payload,
        _range: Range<usize>,
        _ahead: &mut Ahead<'a, '_>,
    ) -> Option<(Range<usize>, Vec<Range<usize>>)> {
        None
    }

    /// Where the elements stand that are one level below what is in `range`: first the room of all of them, which a single
    /// one can take.
    ///
    /// # Errors
    /// If it is not written in this format.
    fn elements(
        &mut self,
        level: usize,
        payload: &Self::Payload,
        range: Range<usize>,
    ) -> Result<(Range<usize>, Vec<Range<usize>>), DecodeError>;

    /// A payload with one event alone: the last one that `trail` leads to, in the document at `document`.
    fn alone(payload: &Self::Payload, document: Range<usize>, trail: &[Step]) -> Vec<u8> {
        splice(payload.as_ref(), document, trail)
    }
}

/// What stands in `document`, but at each step only one of the elements.
fn splice(payload: &[u8], document: Range<usize>, trail: &[Step]) -> Vec<u8> {
    let mut alone = Vec::new();
    let end = document.end;
    let mut outer = document;
    for step in trail {
        alone.extend_from_slice(payload.get(outer.start..step.room.start).unwrap_or_default());
        outer = step.element.clone();
    }
    alone.extend_from_slice(payload.get(outer).unwrap_or_default());
    for (at, step) in trail.iter().enumerate().rev() {
        let end = at.checked_sub(1).map_or(end, |above| trail[above].element.end);
        alone.extend_from_slice(payload.get(step.room.end..end).unwrap_or_default());
    }
    alone
}

fn table(wanted: Wanted, columns: Columns, names: &[String], format: &'static str) -> Box<dyn Format> {
    Box::new(Table::new(wanted, columns, names, format))
}

/// What is wrong with a text that is not in a format.
#[cold]
fn not_in(format: &'static str, text: &str) -> DecodeError {
    DecodeError::NotInFormat { format, text: shown(text) }
}

/// The reader of one event's text in the format that a config chose; it puts what is wanted into the slots of `wanted`.
pub(super) fn reader(format: &Chosen, wanted: Wanted) -> Box<dyn Format> {
    match &format.kind {
        // Text in a field is no record of OpenTelemetry's, and has no schema; the config has been checked.
        FormatKind::Json
        | FormatKind::Gelf
        | FormatKind::OtlpJson
        | FormatKind::OtlpProto
        | FormatKind::Avro
        | FormatKind::JsonSchema
        | FormatKind::Protobuf => Box::new(Json::new(vec![wanted], &[])),
        FormatKind::Logfmt => Box::new(logfmt::Logfmt(wanted)),
        FormatKind::Common | FormatKind::Combined => Box::new(clf::AccessLog::new(wanted, format.kind.name())),
        FormatKind::Syslog => Box::new(syslog::Syslog::new(wanted)),
        FormatKind::Klog => Box::new(lines::Klog::new(wanted)),
        FormatKind::Cri => Box::new(lines::Cri::new(wanted)),
        FormatKind::Csv { names, delimiter } => table(wanted, Columns::Quoted(*delimiter), names, "csv"),
        FormatKind::Tsv { names } => table(wanted, Columns::Tabs, names, "tsv"),
        FormatKind::W3c { names } => table(wanted, Columns::W3c, names, "w3c"),
        FormatKind::Cef => Box::new(cef::Cef(wanted)),
        FormatKind::Regex { pattern } => Box::new(pattern::Pattern::new(wanted, pattern)),
        FormatKind::Raw => Box::new(raw::Raw(wanted)),
    }
}

#[cfg(test)]
mod schema_twins;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twins;
mod walk;
