//! An event as a whole, for a program that may ask for any of it.

use std::ops::Range;

use super::super::Kind;
use super::super::error::DecodeError;
use super::super::format::{self, Format as Reader, Json, Records, Texts, Wrapping, mended_json};
use super::super::full;
use super::super::wanted::{Sink, Unknown, Wanted};
use super::made_of;
use crate::config::{Format, FormatKind, Step};
use crate::remap::{ObjectMap, Value as Made};
use crate::value::Value;

/// Reads events with all of their fields.
#[derive(Debug)]
pub(super) struct Whole {
    /// Finds the events of a payload, and is JSON or text.
    kind: Kind,
    /// `None`: JSON.
    fields: Option<Fields>,
}

impl Whole {
    pub fn new(format: &Format) -> Whole {
        if !format.kind.has_arrays() {
            let nothing = format::reader(format, Wanted::new());
            let texts = Texts { format: nothing, lines: format.lines };
            return Whole { kind: Kind::Text(texts), fields: Some(Fields::new(format)) };
        }
        let mut json = Json::new(vec![Wanted::new()], &[]);
        json.wrapping = match format.kind {
            FormatKind::Gelf => Wrapping::EndsWithZero,
            FormatKind::JsonSchema => Wrapping::SchemaId,
            _ => Wrapping::None,
        };
        Whole { kind: Kind::Json(json), fields: None }
    }

    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    pub fn open<'a>(&mut self, payload: &'a [u8], spare: &'a mut String) -> Result<&'a str, DecodeError> {
        match &mut self.kind {
            Kind::Json(json) => json.open(payload, spare),
            Kind::Text(texts) => texts.open(payload, spare),
            _ => Err(DecodeError::NotAnObject { found: "of another format" }),
        }
    }

    /// Whether a payload is several events, come what may.
    pub fn is_in_lines(&self) -> bool {
        matches!(&self.kind, Kind::Text(texts) if texts.lines)
    }

    /// The events of a payload, if it may be read as several.
    pub fn documents(&mut self, text: &str) -> Option<Vec<Range<usize>>> {
        match &mut self.kind {
            Kind::Json(json) => json.documents(text),
            Kind::Text(texts) => texts.documents(text),
            _ => None,
        }
    }

    /// A payload with one of the events alone.
    pub fn alone(is_json: bool, text: &str, document: Range<usize>) -> Vec<u8> {
        if is_json { Json::alone(text, document, &[]) } else { Texts::alone(text, document, &[]) }
    }

    pub fn is_json(&self) -> bool {
        self.fields.is_none()
    }

    /// One event.
    ///
    /// # Errors
    /// If it is not written in this format.
    pub fn read(&mut self, text: &str, record_time: Option<i64>) -> Result<Made, DecodeError> {
        match &mut self.fields {
            Some(fields) => fields.read(text, record_time),
            None => document(text),
        }
    }
}

/// A document, or what is nearly one.
fn document(text: &str) -> Result<Made, DecodeError> {
    let look = |text: &str| {
        let (mut scratch, mut unescaped) = (String::new(), Vec::new());
        let mut sink = Sink { values: &mut [], scratch: &mut scratch, unescaped: &mut unescaped, record_time: None };
        full::read(text, &Wanted::new(), &mut sink)
    };
    match look(text) {
        Ok(()) => Ok(tree(text)?),
        Err(DecodeError::NotJson(error)) => match mended_json(text) {
            Some(mended) if look(&mended).is_ok() => Ok(tree(&mended)?),
            _ => Err(DecodeError::NotJson(error)),
        },
        Err(error) => Err(error),
    }
}

/// A value of a text that is JSON for sure, and no deeper than serde_json goes.
fn tree(text: &str) -> serde_json::Result<Made> {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => {
            let mut members = ObjectMap::new();
            full::each_member(text, |key, value| {
                members.insert(key.into(), tree(value)?);
                Ok(())
            })?;
            Ok(members.into())
        }
        Some(b'[') => {
            let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(text)?;
            items.into_iter().map(|item| tree(item.get())).collect::<serde_json::Result<Vec<Made>>>().map(Made::from)
        }
        Some(b'"') => serde_json::from_str::<String>(text).map(Made::from),
        _ => Ok(made_of(full::scalar(text.trim())).unwrap_or(Made::Null)),
    }
}

/// Reads text with all fields that it has, whose names it learns from the text.
#[derive(Debug)]
struct Fields {
    format: Format,
    reader: Box<dyn Reader>,
    /// The fields that are known so far, by their slots.
    paths: Vec<Vec<String>>,
    unknown: Unknown,
}

impl Fields {
    fn new(format: &Format) -> Fields {
        let reader = format::reader(format, Wanted::new());
        let mut fields = Fields { format: format.clone(), reader, paths: Vec::new(), unknown: Unknown::default() };
        // A format with fixed names asks for them at once.
        fields.rebuild();
        fields.learn();
        fields
    }

    fn rebuild(&mut self) {
        let mut wanted = Wanted::new();
        for (slot, path) in self.paths.iter().enumerate() {
            let steps: Vec<Step> = path.iter().cloned().map(Step::Key).collect();
            wanted.put(&steps, slot);
        }
        wanted.listen(self.unknown.clone());
        self.reader = format::reader(&self.format, wanted);
    }

    /// Takes in the names that were asked for in vain; `None` if there are none, else how many.
    fn learn(&mut self) -> Option<usize> {
        let mut new = self.unknown.taken();
        new.sort();
        new.dedup();
        if new.is_empty() {
            return None;
        }
        // Names that come and go with the events are not kept for good.
        if self.paths.len() + new.len() > Unknown::MOST {
            self.paths.clear();
        }
        let count = new.len();
        self.paths.append(&mut new);
        self.rebuild();
        Some(count)
    }

    fn read(&mut self, text: &str, record_time: Option<i64>) -> Result<Made, DecodeError> {
        loop {
            let mut values = vec![Value::Missing; self.paths.len()];
            let (mut scratch, mut unescaped) = (String::new(), Vec::new());
            let mut sink = Sink { values: &mut values, scratch: &mut scratch, unescaped: &mut unescaped, record_time };
            let read = self.reader.read(text, &mut sink);
            for (slot, range) in unescaped {
                values[slot] = Value::Str(&scratch[range]);
            }
            let event = self.object(&values);
            // Of what is not in the format no name is worth keeping.
            if let Err(error) = read {
                self.unknown.taken();
                return Err(error);
            }
            match self.learn() {
                None => return Ok(event),
                Some(names) if names > Unknown::MOST => {
                    self.paths.clear();
                    self.rebuild();
                    let most = Unknown::MOST;
                    return Err(DecodeError::RemapFailed { why: format!("it has more than {most} fields").into() });
                }
                Some(_) => {}
            }
        }
    }

    fn object(&self, values: &[Value<'_>]) -> Made {
        let mut event = ObjectMap::new();
        for (path, value) in self.paths.iter().zip(values) {
            if let Some(value) = made_of(*value) {
                put(&mut event, path, value);
            }
        }
        event.into()
    }
}

/// Puts a value where its path leads to.
fn put(object: &mut ObjectMap, path: &[String], value: Made) {
    match path {
        [] => {}
        [name] => {
            object.insert(name.as_str().into(), value);
        }
        [first, rest @ ..] => {
            let below = object.entry(first.as_str().into()).or_insert_with(|| ObjectMap::new().into());
            if let Made::Object(members) = below {
                put(members, rest, value);
            }
        }
    }
}
