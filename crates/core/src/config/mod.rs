//! One YAML file becomes checked types, or a list of every error in it with line, column, snippet and what to do.
//!
//! Two stages: `raw` is the file as it was written, and the reference of its format; `check` turns it into `types`. The
//! environment is read here and nowhere else.

#![forbid(unsafe_code)]

mod at;
mod check;
mod cluster;
mod conditions;
mod error;
mod file;
mod format;
mod ingest;
mod inputs;
mod letters;
mod librdkafka;
mod listeners;
mod lock;
mod login;
mod making;
mod measures;
mod names;
mod network;
mod own_topics;
mod parser;
mod path;
mod raw;
mod recent;
mod registry;
mod secret;
mod selector;
mod show;
mod times;
mod types;
mod units;
mod yaml;

use std::path::Path;

pub use cluster::*;
pub use error::ConfigError;
pub use file::{ConfigFile, Overrides};
pub use ingest::*;
pub use librdkafka::PROPERTIES as LIBRDKAFKA_PROPERTIES;
pub use listeners::*;
pub use lock::*;
pub use login::{LoginTrouble, MSK_IAM, TOKEN_ENDPOINT, login_trouble, logs_in_by_token, msk_region, token_file};
pub use names::*;
pub use network::Network;
pub use own_topics::{changelog_topic, dead_letter_topic, is_own_topic, letters_of, sanitized};
pub use selector::TopicSelector;
pub(crate) use show::condition_text;
pub use types::*;
pub use units::{format_duration, format_size, parse_duration, parse_size};

use at::Place;
use error::Problem;

/// A config is written by hand: a larger file is not one.
const LARGEST_FILE: u64 = 4 << 20;

/// Reads and checks the file at `path`; `${VAR}` comes from this process's environment.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    load_with(path, &Overrides::default())
}

/// The same with values that go before those of the file.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, instead: &Overrides) -> Result<Config, ConfigError> {
    let name = path.display().to_string();
    let refuse =
        |message: String, help: &str| ConfigError::new(&name, "", &[Problem::new(Place::default(), message, help)]);
    let unreadable = |error: std::io::Error| {
        refuse(format!("cannot read the config: {error}"), "`-c FILE` names it; check the path and its permissions")
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST_FILE {
        return Err(refuse(format!("is {}: too large for a config", format_size(size)), "is it the right file?"));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 text".into(), "is it the right file?"))?;
    parse_with(&text, &name, &process_env, instead)
}

#[allow(clippy::disallowed_methods, reason = "this is the room that reads the environment")]
fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Checks a config's text; `name` is what errors call it, `env` gives the values of `${VAR}`.
///
/// The error has all that the checks found, or what the YAML parser stopped at.
pub fn parse(text: &str, name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    parse_with(text, name, env, &Overrides::default())
}

/// The same with values that go before those of the text.
fn parse_with(
    text: &str,
    name: &str,
    env: &dyn Fn(&str) -> Option<String>,
    instead: &Overrides,
) -> Result<Config, ConfigError> {
    let mut raw = parser::read(text, env).map_err(|problem| ConfigError::new(name, text, &[problem]))?;
    instead.apply(&mut raw);
    check::config(&raw, text, env).map_err(|problems| ConfigError::new(name, text, &problems))
}

/// The JSON schema of the config file, for editors and as the reference of its keys.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(raw::RawConfig).to_value()
}

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod lock_tests;
#[cfg(test)]
mod otlp_tests;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;
