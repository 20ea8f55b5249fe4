//! The reference of the config, made from its JSON schema: every key with its type, its default and what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Map, Value};

use crate::tidy::documents::slug;

const COLUMNS: usize = 110;

#[test]
fn the_reference_of_the_config_is_its_schema() {
    super::assert_made("docs/config.md", "the schema", &reference());
}

#[test]
fn the_reference_has_every_key_of_the_schema() {
    let schema = streamgauge::config::json_schema();
    let reference = reference();
    let mut keys = 0;
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        for key in definition["properties"].as_object().into_iter().flat_map(Map::keys) {
            assert!(reference.contains(&format!("- **`{key}`**: ")), "{name}.{key} is not in the reference");
            keys += 1;
        }
    }
    assert!(keys > 150, "only {keys} keys were found");
}

/// A section for each mapping of the file, in the order in which it is met.
fn reference() -> String {
    let schema = streamgauge::config::json_schema();
    let mut book = Book { definitions: &schema["$defs"], places: BTreeMap::new(), waiting: Vec::new() };
    let mut text = book.section("The file", "", &schema);
    while !book.waiting.is_empty() {
        let (place, name) = book.waiting.remove(0);
        text += &book.section(&format!("`{place}`"), &format!("{place}."), &book.definitions[&name]);
    }
    text
}

struct Book<'a> {
    definitions: &'a Value,
    /// Where in the file the mappings that have a name in the schema were met first.
    places: BTreeMap<String, String>,
    /// Place and name of those that have no section yet.
    waiting: Vec<(String, String)>,
}

impl Book<'_> {
    /// `path` is what stands before the section's keys.
    fn section(&mut self, heading: &str, path: &str, mapping: &Value) -> String {
        let mut text = format!("\n## {heading}\n\n");
        for line in wrapped(mapping["description"].as_str().unwrap_or_default(), "") {
            let _ = writeln!(text, "{line}");
        }
        text.push('\n');
        let required: Vec<&str> =
            mapping["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, value) in mapping["properties"].as_object().into_iter().flatten() {
            let (meaning, default) = split(value["description"].as_str().unwrap_or_default());
            let kind = self.kind(value, &format!("{path}{key}"));
            let need = match (required.contains(&key.as_str()), default) {
                (true, _) => ", required".to_owned(),
                (false, Some(default)) => format!(", default {default}"),
                (false, None) => String::new(),
            };
            for line in wrapped(&format!("- **`{key}`**: {kind}{need}. {meaning}"), "  ") {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }

    /// What may be written for a value, as a person says it.
    fn kind(&mut self, schema: &Value, place: &str) -> String {
        if let Some(name) = schema["$ref"].as_str() {
            return self.named(name.rsplit('/').next().expect("a last part"), place);
        }
        if let Some(words) = words(schema) {
            return words;
        }
        for several in ["anyOf", "oneOf", "allOf"] {
            if let Some(choices) = schema[several].as_array() {
                let mut kinds: Vec<String> = Vec::new();
                for choice in choices.iter().filter(|choice| choice["type"] != "null") {
                    let kind = self.kind(choice, place);
                    if !kinds.contains(&kind) {
                        kinds.push(kind);
                    }
                }
                return kinds.join(", or ");
            }
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
            _ => vec!["value"],
        };
        let kinds: Vec<String> = types.iter().map(|one| self.plain(one, schema, place)).collect();
        kinds.join(", ")
    }

    fn plain(&mut self, kind: &str, schema: &Value, place: &str) -> String {
        match kind {
            "string" => "text".into(),
            "integer" => "whole number".into(),
            "boolean" => "`true` or `false`".into(),
            "array" => format!("list of {}", self.kind(&schema["items"], &format!("{place}[]"))),
            "object" if schema["additionalProperties"].is_object() => {
                let kind = self.kind(&schema["additionalProperties"], &format!("{place}.NAME"));
                format!("names, each with {kind}")
            }
            "object" => {
                let (mut keys, mut kinds) = (Vec::new(), BTreeSet::new());
                for (key, value) in schema["properties"].as_object().into_iter().flatten() {
                    keys.push(format!("`{key}`"));
                    kinds.insert(self.kind(value, &format!("{place}.{key}")));
                }
                let kinds: Vec<String> = kinds.into_iter().collect();
                format!("one of {} with {}", keys.join(", "), kinds.join(", or "))
            }
            other => other.into(),
        }
    }

    /// A type that has a name in the schema; a mapping gets a section of its own.
    fn named(&mut self, name: &str, place: &str) -> String {
        let definition = &self.definitions[name];
        match name {
            "Duration" => return "duration".into(),
            "Size" => return "size".into(),
            _ => {}
        }
        if definition["properties"].is_null() {
            return self.kind(definition, place);
        }
        if !self.places.contains_key(name) {
            self.places.insert(name.to_owned(), place.to_owned());
            self.waiting.push((place.to_owned(), name.to_owned()));
        }
        format!("[mapping](#{})", slug(&self.places[name]))
    }
}

/// The words that may stand there, if it is a choice of words.
fn words(schema: &Value) -> Option<String> {
    let text = |value: &Value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    if let Some(word) = schema.get("const") {
        return Some(text(word));
    }
    let words: Vec<String> = match (schema["enum"].as_array(), schema["oneOf"].as_array()) {
        (Some(words), _) => words.iter().filter(|word| !word.is_null()).map(text).collect(),
        (None, Some(words)) => words.iter().map(|word| word.get("const").map(text)).collect::<Option<_>>()?,
        (None, None) => return None,
    };
    Some(words.join(" or "))
}

/// A description without its last sentence, if that says the default; and the default.
fn split(description: &str) -> (&str, Option<String>) {
    match description.rsplit_once("Default:") {
        Some((meaning, default)) if !default.trim().trim_end_matches('.').contains(". ") => {
            (meaning.trim_end(), Some(default.trim().trim_end_matches('.').to_owned()))
        }
        _ => (description, None),
    }
}

/// Lines of text; spaces within `code` do not break them.
fn wrapped(text: &str, indent: &str) -> Vec<String> {
    let (mut words, mut word, mut code) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        code ^= c == '`';
        match c.is_whitespace() {
            true if !code => words.push(std::mem::take(&mut word)),
            true => word.push(' '),
            false => word.push(c),
        }
    }
    words.push(word);
    let mut lines: Vec<String> = Vec::new();
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(&word);
            }
            Some(_) => lines.push(format!("{indent}{word}")),
            None => lines.push(word),
        }
    }
    lines
}
