//! Checks of what the front door takes, and where it goes: user events' fields, and routes.

use std::collections::BTreeSet;

use super::super::at::At;
use super::super::error::suggest;
use super::super::ingest::{Destination, EventField, FieldKind, Route, Rule, UserEvents};
use super::super::own_topics::is_topic_name;
use super::super::raw::{RawEventField, RawRoute, RawUserEvents};
use super::Checker;

/// Fields of an event, and routes of a kind of events, at most.
const MOST: usize = 100;
/// Longest name of a field and longest path of a route.
const LONGEST: usize = 200;
/// What log events have, of what a route can ask for.
const LOG_FIELDS: [&str; 2] = ["source", "level"];
const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
/// Paths that are the door's own, with all below them.
const OWN_PATHS: [&str; 6] = ["/api/logs", "/api/events", "/v1", "/loki", "/_bulk", "/_"];
/// The field that the door itself writes.
const EVENT_ID: &str = "eventId";

/// What kind of events a route is about.
pub enum Kind<'a> {
    Logs,
    User(&'a [EventField]),
}

/// Says so if Kafka does not take it.
pub fn topic(check: &mut Checker, raw: &At<String>) {
    check.no_quoted_reference(raw.place, &raw.value);
    if !is_topic_name(&raw.value) {
        let help = "topics have up to 249 letters, digits, `.`, `_` and `-`";
        check.error(raw.place, format!("`{}` is not a valid topic name", raw.value), help);
    }
}

/// `paths`: those that other routes have.
pub fn destination(
    check: &mut Checker,
    kind: &Kind<'_>,
    usual: &At<String>,
    raw: &[At<RawRoute>],
    paths: &mut BTreeSet<String>,
) -> Destination {
    if let Some(over) = raw.get(MOST) {
        check.error(over.place, "there are too many routes", "100 are the most");
    }
    let routes = raw.iter().filter_map(|raw| route(check, kind, raw, paths)).collect();
    Destination { topic: usual.value.clone(), routes }
}

fn route(check: &mut Checker, kind: &Kind<'_>, raw: &At<RawRoute>, paths: &mut BTreeSet<String>) -> Option<Route> {
    let RawRoute { path: raw_path, r#where: fields, topic: to } = &raw.value;
    topic(check, to);
    let rule = match (raw_path, fields) {
        (Some(raw), None) => Rule::Path(path(check, raw, paths)),
        (None, Some(fields)) if !fields.0.is_empty() => {
            let fields = fields.0.iter().map(|(name, values)| {
                let values: Vec<_> = values.0.iter().map(|value| value.value.clone()).collect();
                (name.value.clone(), asked(check, kind, name, values))
            });
            Rule::Where(fields.collect())
        }
        _ => {
            let help =
                "`{ path: /audit, topic: audit-logs }` or `{ where: { level: [ERROR, FATAL] }, topic: critical-logs }`";
            check.error(raw.place, "a route has either a `path` or a `where` with fields", help);
            return None;
        }
    };
    Some(Route { rule, topic: to.value.clone() })
}

fn path(check: &mut Checker, raw: &At<String>, paths: &mut BTreeSet<String>) -> String {
    let path = raw.value.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    let sound = path.len() > 1 && path.len() <= LONGEST && path.starts_with('/') && path.chars().all(plain);
    let own = OWN_PATHS.iter().any(|own| path == *own || path.starts_with(&format!("{own}/")));
    if !sound || path.ends_with('/') || path.contains("//") {
        let help = "write it as `/audit`: letters, digits, `-`, `_`, `.`, and `/` between them";
        check.error(raw.place, format!("`{path}` is not a path that events can be handed in at"), help);
    } else if own || path.ends_with("/batch") {
        let help =
            "choose one that does not end in `/batch` and is not below one of the door's own paths, such as `/audit`";
        check.error(raw.place, format!("`{path}` has a meaning of its own"), help);
    } else if !paths.insert(path.to_owned()) {
        check.error(raw.place, format!("another route has the path `{path}`"), "give each route a path of its own");
    }
    path.to_owned()
}

/// The values that a field is asked for, as events have them.
fn asked(check: &mut Checker, kind: &Kind<'_>, name: &At<String>, values: Vec<String>) -> Vec<String> {
    let field = name.value.as_str();
    if values.is_empty() {
        check.error(name.place, format!("`{field}` has no value to compare with"), "name one at least");
    }
    match kind {
        Kind::Logs if !LOG_FIELDS.contains(&field) => {
            let help = suggest(field, "fields that routes of log events can ask for", LOG_FIELDS);
            check.error(name.place, format!("routes of log events cannot ask for `{field}`"), help);
        }
        Kind::Logs if field == "level" => {
            let values: Vec<_> = values.iter().map(|value| value.to_ascii_uppercase()).collect();
            let values: Vec<_> =
                values.into_iter().map(|value| if value == "WARNING" { "WARN".into() } else { value }).collect();
            if let Some(unknown) = values.iter().find(|value| !LEVELS.contains(&value.as_str())) {
                check.error(name.place, format!("`{unknown}` is not a level"), suggest(unknown, "levels", LEVELS));
            }
            return values;
        }
        Kind::Logs => {}
        Kind::User(fields) => {
            let texts = fields.iter().filter(|field| field.kind == FieldKind::String).map(|field| field.name.as_str());
            let texts: Vec<_> = texts.collect();
            if !texts.contains(&field) {
                let help = suggest(field, "fields of the type `string`", texts);
                check.error(name.place, format!("routes of user events cannot ask for `{field}`"), help);
            }
        }
    }
    values
}

pub fn user_events(check: &mut Checker, raw: &RawUserEvents, paths: &mut BTreeSet<String>) -> UserEvents {
    topic(check, &raw.topic);
    let fields = match &raw.fields {
        None => usual_fields(),
        Some(given) => {
            if given.value.0.is_empty() || given.value.0.len() > MOST {
                check.error(given.place, "an event has 1 to 100 fields", "`fields: { user_id: { required: true } }`");
            }
            given.value.0.iter().map(|(name, raw)| field(check, name, raw)).collect()
        }
    };
    let key = match &raw.key {
        Some(key) => key.value.iter().map(|name| key_field(check, &fields, name)).collect(),
        None => vec!["user_id".to_owned(), "event_type".to_owned()],
    };
    let lacks = |name: &&String| !fields.iter().any(|field| field.name == **name && can_be_key(field));
    match (&raw.key, key.iter().find(lacks)) {
        (Some(at), _) if at.value.is_empty() => check.error(at.place, "`key` names no field", "`key: [user_id]`"),
        (None, Some(name)) => {
            let place = raw.fields.as_ref().map(|at| at.place).unwrap_or(raw.topic.place);
            let message = format!("the usual key needs `{name}`, required, as a `string` or `integer`");
            check.error(place, message, "name the fields of the record's key: `key: [user_id]`");
        }
        _ => {}
    }
    let destination = destination(check, &Kind::User(&fields), &raw.topic, &raw.routes, paths);
    UserEvents { destination, fields, key }
}

fn usual_fields() -> Vec<EventField> {
    let field = |name: &str, kind, required| EventField { name: name.to_owned(), kind, required };
    vec![
        field("user_id", FieldKind::String, true),
        field("event_type", FieldKind::String, true),
        field("element_id", FieldKind::String, false),
        field("timestamp", FieldKind::Timestamp, false),
    ]
}

fn field(check: &mut Checker, name: &At<String>, raw: &RawEventField) -> EventField {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let text = name.value.as_str();
    if text.is_empty() || text.len() > LONGEST || !text.chars().all(plain) {
        check.error(name.place, format!("`{text}` is not a name for a field"), "use letters, digits, `_`, `-` and `.`");
    } else if text == EVENT_ID {
        check.error(name.place, "`eventId` is written by the door itself", "give the field another name");
    }
    let (kind, required) = (raw.r#type.unwrap_or(FieldKind::String), raw.required.unwrap_or(false));
    EventField { name: text.to_owned(), kind, required }
}

fn can_be_key(field: &EventField) -> bool {
    field.required && matches!(field.kind, FieldKind::String | FieldKind::Integer)
}

fn key_field(check: &mut Checker, fields: &[EventField], name: &At<String>) -> String {
    let field = fields.iter().find(|field| field.name == name.value);
    if !field.is_some_and(can_be_key) {
        let help = "a key is made of `required` fields of the types `string` and `integer`";
        check.error(name.place, format!("`{}` cannot be in the key", name.value), help);
    }
    name.value.clone()
}
