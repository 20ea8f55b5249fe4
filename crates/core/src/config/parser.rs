//! Text to raw config: the YAML parser with its limits, the environment's values, and its errors in our words.

use std::collections::HashMap;

use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter};

use super::at::Place;
use super::error::{Problem, suggest};
use super::raw::RawConfig;

/// Keys that the design has and this version has not.
const LATER: [&str; 7] = ["ingest", "session", "distinct", "top_k", "anomaly", "loadtest", "gateway"];

/// Keys of the file's first level that must be there.
const SECTIONS: [&str; 3] = ["kafka", "sources", "aggregates"];

/// Reads the file's text. serde stops at the first error of a document, so there is one problem at most.
pub fn read(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<RawConfig, Problem> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        let help = "examples/minimal.yaml is the least that works; `streamgauge init` writes a file to begin with";
        return Err(Problem::new(Place::default(), "the file has no content", help));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: 200_000, max_depth: 64 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 50_000, max_replay_stack_depth: 16 },
        // `no` and `on` are words, as in YAML 1.2: a condition on a field may compare with them.
        strict_booleans: true,
        with_snippet: false,
    };
    let options = options.with_properties(variables(text, env));
    serde_saphyr::from_str_with_options(text, options).map_err(|error| problem(&error, text))
}

/// The value of every environment variable that the text may ask for.
fn variables(text: &str, env: &dyn Fn(&str) -> Option<String>) -> HashMap<String, String> {
    let names = text.split("${").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    names.filter(|name| !name.is_empty()).filter_map(|name| Some((name.to_owned(), env(name)?))).collect()
}

fn problem(error: &Error, text: &str) -> Problem {
    let error = innermost(error);
    let place = match error {
        // What is missing from the whole file stands nowhere.
        Error::SerdeMissingField { field, .. } if SECTIONS.contains(field) => Place::default(),
        error => error.location().map(Place::from).unwrap_or_default(),
    };
    let (message, help) = match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(&unhidden(field, text, place), expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            unknown_variant(&unhidden(variant, text, place), expected)
        }
        error => describe(error),
    };
    Problem::new(place, message, help)
}

/// What the parser says instead of a name once a value near it came from a variable, because it may be a secret.
const HIDDEN: [&str; 2] = ["an interpolated field", "an interpolated variant"];

/// A hidden name as it stands in the file, where a secret from a variable is still `${NAME}`.
fn unhidden(name: &str, text: &str, place: Place) -> String {
    if !HIDDEN.contains(&name) {
        return name.to_owned();
    }
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    let written: String = line.chars().skip(place.column.saturating_sub(1)).take(place.width).collect();
    match written.trim().trim_matches(['"', '\'']) {
        "" => name.to_owned(),
        written => written.to_owned(),
    }
}

/// An error about an alias hides the error of the value that it stands for.
fn innermost(error: &Error) -> &Error {
    match error.without_snippet() {
        Error::AliasError { error, .. } => innermost(error),
        error => error,
    }
}

fn describe(error: &Error) -> (String, String) {
    match error {
        Error::SerdeMissingField { field, .. } if SECTIONS.contains(field) => (
            format!("the section `{field}` is missing"),
            "`streamgauge init` writes a file to begin with; examples/minimal.yaml is the least that works".into(),
        ),
        Error::SerdeMissingField { field, .. } => {
            (format!("`{field}` is missing here"), format!("add `{field}: …`; `streamgauge schema` says what it means"))
        }
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            (format!("expected {expected}, found {unexpected}"), String::new())
        }
        Error::SerdeInvalidValue { unexpected, expected, .. } => {
            (format!("{unexpected} does not fit here"), format!("write {expected}"))
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("a key");
            (format!("`{key}` stands here twice"), "keep one of them".into())
        }
        Error::UnresolvedProperty { name, .. } => (
            format!("the environment variable `{name}` is not set"),
            format!("set it, or give a default: `${{{name}:-default}}`"),
        ),
        Error::PropertyRequiredButUnset { name, message, .. }
        | Error::PropertyRequiredButEmpty { name, message, .. } => {
            (format!("the environment variable `{name}` is not set: {message}"), String::new())
        }
        Error::InvalidPropertyName { name, .. } => (
            format!("`{name}` is not a reference to an environment variable"),
            "write `${NAME}` or `${NAME:-default}`; `$${` stands for a plain `${`".into(),
        ),
        Error::MultipleDocuments { .. } => {
            ("a second document begins here".into(), "a config is one YAML document: remove the `---`".into())
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            ("the file expands to more than a config may".into(), "use fewer or less nested `*aliases`".into())
        }
        Error::UnexpectedValueForUnitEnumVariant { .. } => {
            ("a mapping does not fit here".into(), "write a single value, or `{ file: PATH }` for a property".into())
        }
        Error::Unexpected { expected: "mapping start", .. } => {
            ("expected a mapping".into(), "write `key: value` lines, or `{ key: value }` on one line".into())
        }
        Error::Unexpected { expected: "sequence start", .. } => ("expected a list".into(), "write `[one, two]`".into()),
        Error::Unexpected { expected: "string scalar", .. } => {
            ("expected a single value".into(), "several of them in one value are separated by commas".into())
        }
        Error::InvalidScalar { ty, .. } => (format!("expected {}", in_words(ty)), String::new()),
        Error::InvalidBooleanStrict { .. } => ("expected `true` or `false`".into(), String::new()),
        Error::NullIntoString { .. } => ("a value is missing here".into(), "write one, or remove the key".into()),
        Error::UnknownAnchor { .. } => (
            "no anchor of this name stands above".into(),
            "`&name` makes one; quote the value if it begins with `*`".into(),
        ),
        other => (DefaultMessageFormatter.format_message(other).into_owned(), syntax_help(other)),
    }
}

fn unknown_key(field: &str, expected: &[&str]) -> (String, String) {
    if LATER.contains(&field) && !expected.contains(&field) {
        return (format!("`{field}` is not in this version"), "remove it".into());
    }
    let help = suggest(field, "the keys here", expected.iter().copied());
    (format!("unknown key `{field}`"), help)
}

fn unknown_variant(variant: &str, expected: &[&str]) -> (String, String) {
    let known: Vec<String> = expected.iter().map(|known| format!("`{known}`")).collect();
    (format!("`{variant}` is not a value for this key"), format!("use one of {}", known.join(", ")))
}

/// A Rust type as somebody knows it who writes YAML.
fn in_words(ty: &str) -> &str {
    match ty {
        "u64" => "a whole number that is not negative",
        "i64" => "a whole number",
        "floating point" => "a number",
        other => other,
    }
}

fn syntax_help(error: &Error) -> String {
    match error {
        Error::ExternalMessage { .. } => {
            "this is not YAML: look for a missing `:`, a tab, or indentation that differs from the lines around".into()
        }
        _ => String::new(),
    }
}
