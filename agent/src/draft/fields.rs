//! The fields of a sample's events, and what they hold.

use std::collections::{BTreeMap, HashSet};

use super::error::NoDraft;
use super::layout::{Kind, Layout, names_of};
use super::records::{self, EVENT_BYTES, documents, for_each_text, pairs};
use crate::config::FieldPath;
use crate::decode::Decoder;
use crate::sample::Record;
use crate::value::{Value, number};

/// Fields that are looked at, and how deep they stand.
const MOST_FIELDS: usize = 400;
const DEEPEST: usize = 6;
/// Values that are held at once: events times fields.
const MOST_VALUES: usize = 400_000;
/// Of a text so much is held. Bytes.
const LONGEST: usize = 400;

/// One value of one event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Held {
    Nothing,
    Bool(bool),
    Int(i64),
    Digits(String),
    Float(f64),
    Text(String),
    Composite,
}

impl Held {
    fn of(value: Value<'_>) -> Held {
        match value {
            // What access logs write for no value is none for whoever drafts.
            Value::Missing | Value::Null | Value::Str("" | "-") => Held::Nothing,
            Value::Bool(value) => Held::Bool(value),
            Value::Int(value) => Held::Int(value),
            Value::Digits(digits) => Held::Digits(digits.to_owned()),
            Value::Float(value) => Held::Float(value),
            Value::Str(text) => Held::Text(text[..text.floor_char_boundary(LONGEST)].to_owned()),
            Value::Composite => Held::Composite,
        }
    }

    pub fn value(&self) -> Value<'_> {
        match self {
            Held::Nothing => Value::Missing,
            Held::Bool(value) => Value::Bool(*value),
            Held::Int(value) => Value::Int(*value),
            Held::Digits(digits) => Value::Digits(digits),
            Held::Float(value) => Value::Float(*value),
            Held::Text(text) => Value::Str(text),
            Held::Composite => Value::Composite,
        }
    }

    /// The number that it is, or that its text is.
    pub fn number(&self) -> Option<f64> {
        let value = match self {
            Held::Text(text) => number::number(text)?,
            other => other.value(),
        };
        match value {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) => Some(value),
            Value::Digits(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    pub fn is_there(&self) -> bool {
        *self != Held::Nothing
    }

    /// As a label would have it.
    fn shown(&self) -> Option<String> {
        match self {
            Held::Nothing | Held::Composite => None,
            Held::Bool(value) => Some(value.to_string()),
            Held::Int(value) => Some(value.to_string()),
            Held::Digits(digits) => Some(digits.clone()),
            Held::Float(value) => Some(value.to_string()),
            Held::Text(text) => Some(text.clone()),
        }
    }
}

/// The fields of a sample and the values of its events.
pub(super) struct Table {
    pub fields: Vec<Field>,
    /// Events whose values are held.
    pub events: usize,
}

pub(super) struct Field {
    pub path: FieldPath,
    /// Of each event.
    pub values: Vec<Held>,
    /// In how many events it is.
    pub there: usize,
    /// Different values as labels, and how often they are; not of arrays and objects.
    pub counts: BTreeMap<String, usize>,
}

impl Field {
    pub fn there(&self) -> impl Iterator<Item = &Held> {
        self.values.iter().filter(|value| value.is_there())
    }

    /// The numbers among its values.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        self.values.iter().filter_map(Held::number)
    }
}

impl Table {
    pub fn read(layout: &Layout, sample: &[Record]) -> Result<Table, NoDraft> {
        let paths = paths(layout, sample);
        let config = records::source(&layout.source_keys("    timestamp: { from: kafka }\n"))?;
        let mut decoder = Decoder::of(&paths, &config.sources[0], EVENT_BYTES);
        let most = MOST_VALUES / paths.len().max(1);
        let mut columns: Vec<Vec<Held>> = vec![Vec::new(); paths.len()];
        let mut events = 0;
        records::events(&mut decoder, sample, |outcome| {
            if let Ok(Some(event)) = outcome
                && events < most
            {
                events += 1;
                columns.iter_mut().zip(event.values).for_each(|(column, value)| column.push(Held::of(*value)));
            }
        });
        if events == 0 {
            return Err(NoDraft::Unknown);
        }
        let fields = paths.into_iter().zip(columns).map(|(path, values)| field(path, values));
        Ok(Table { fields: fields.filter(|field| field.there > 0).collect(), events })
    }
}

fn field(path: FieldPath, values: Vec<Held>) -> Field {
    let mut counts = BTreeMap::new();
    for shown in values.iter().filter_map(Held::shown) {
        *counts.entry(shown).or_default() += 1;
    }
    Field { path, there: values.iter().filter(|value| value.is_there()).count(), values, counts }
}

/// Paths in the order in which they were found.
#[derive(Default)]
struct Paths {
    found: Vec<FieldPath>,
    known: HashSet<FieldPath>,
}

impl Paths {
    fn add(&mut self, path: FieldPath) {
        if self.found.len() < MOST_FIELDS && self.known.insert(path.clone()) {
            self.found.push(path);
        }
    }
}

/// The paths that the records may have a value at; whether they do is for the decoder to say.
fn paths(layout: &Layout, records: &[Record]) -> Vec<FieldPath> {
    let mut paths = Paths::default();
    match &layout.kind {
        Kind::Json => documents(records, |document| {
            let Some(each) = &layout.each else { return walk(document, &mut Vec::new(), layout, &mut paths) };
            walk(document, &mut vec![crate::config::Each::ENCLOSING.to_owned()], layout, &mut paths);
            let elements = each.iter().try_fold(document, |value, key| value.get(key));
            for element in elements.and_then(serde_json::Value::as_array).into_iter().flatten() {
                walk(element, &mut Vec::new(), layout, &mut paths);
            }
        }),
        Kind::Otlp => {
            for path in OTLP.iter().filter_map(|path| FieldPath::parse(path).ok()) {
                paths.add(path);
            }
            documents(records, |document| attributes(document, "attributes", &mut paths));
        }
        Kind::Named(names) => {
            names.iter().for_each(|name| paths.add(FieldPath::keys([name.as_str()])));
            for format in layout.parse.iter().flat_map(|(_, formats)| formats) {
                for text in &layout.messages {
                    parsed(text, format, &mut vec!["message".to_owned()], layout, &mut paths);
                }
            }
        }
        Kind::Pairs(names) => {
            names.iter().for_each(|name| paths.add(FieldPath::keys([*name])));
            for_each_text(records, |text| {
                for key in pairs(text) {
                    paths.add(FieldPath::keys([key]));
                }
            });
        }
    }
    paths.found
}

/// What most records of OpenTelemetry have.
const OTLP: [&str; 12] = [
    "timeUnixNano",
    "observedTimeUnixNano",
    "severityText",
    "severityNumber",
    "scope.name",
    "resource.attributes.\"service.name\"",
    "resource.attributes.\"service.namespace\"",
    "resource.attributes.\"host.name\"",
    "resource.attributes.\"k8s.namespace.name\"",
    "attributes.\"http.request.method\"",
    "attributes.\"http.response.status_code\"",
    "attributes.\"http.route\"",
];

/// The names of attributes, of the records' own and of what encloses them.
fn attributes(value: &serde_json::Value, below: &str, paths: &mut Paths) {
    match value {
        serde_json::Value::Array(items) => items.iter().for_each(|item| attributes(item, below, paths)),
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                match key.as_str() {
                    "resource" => attributes(value, "resource.attributes", paths),
                    "attributes" => {
                        let keys = value.as_array().into_iter().flatten().filter_map(|item| item.get("key")?.as_str());
                        for key in keys {
                            paths.add(FieldPath::keys(below.split('.').chain([key])));
                        }
                    }
                    _ => attributes(value, below, paths),
                }
            }
        }
        _ => {}
    }
}

/// Adds the path of everything below a value that is no array.
fn walk(value: &serde_json::Value, keys: &mut Vec<String>, layout: &Layout, paths: &mut Paths) {
    let path = || FieldPath::keys(keys.iter().map(String::as_str));
    match value {
        serde_json::Value::Object(object) if keys.len() < DEEPEST => {
            for (key, value) in object {
                if layout.each.as_ref().is_some_and(|each| keys.len() == 1 && each.first() == Some(key)) {
                    continue;
                }
                keys.push(key.clone());
                walk(value, keys, layout, paths);
                keys.pop();
            }
        }
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {}
        serde_json::Value::String(text) => {
            let path = path();
            let formats =
                layout.parse.iter().find(|(parsed, _)| *parsed == path).map(|(_, formats)| formats.as_slice());
            paths.add(path);
            for format in formats.into_iter().flatten() {
                parsed(text, format, keys, layout, paths);
            }
        }
        _ => paths.add(path()),
    }
}

/// Adds the paths of what a text holds that is parsed.
fn parsed(text: &str, format: &str, keys: &mut Vec<String>, layout: &Layout, paths: &mut Paths) {
    let below = |keys: &[String], name: &str| FieldPath::keys(keys.iter().map(String::as_str).chain([name]));
    match format {
        "json" => {
            if let Ok(inner @ serde_json::Value::Object(_)) = serde_json::from_str(text) {
                walk(&inner, keys, layout, paths);
            }
        }
        "logfmt" => pairs(text).for_each(|key| paths.add(below(keys, key))),
        format => names_of(format).iter().for_each(|name| paths.add(below(keys, name))),
    }
}
