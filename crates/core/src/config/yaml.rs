//! Lines of YAML, written so that they read back as they were.

use std::fmt::{Display, Write};

#[derive(Default)]
pub struct Yaml(pub String);

impl Yaml {
    pub fn line(&mut self, depth: usize, text: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{:width$}{text}", "", width = 2 * depth);
    }

    pub fn entry(&mut self, depth: usize, key: &str, value: impl Display) {
        self.line(depth, format_args!("{key}: {value}"));
    }
}

/// A string as YAML reads it back; quoted where it would mean something else.
pub fn text(value: &str) -> String {
    let begins_plain = value.starts_with("./") || value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let plain = begins_plain
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&value.to_lowercase().as_str());
    if plain { value.to_owned() } else { quoted(value) }
}

/// JSON's strings are YAML's double-quoted ones.
pub fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}
