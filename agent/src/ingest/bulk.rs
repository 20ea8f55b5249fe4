//! Elasticsearch's bulk requests as log events: what Beats, Logstash, Vector and rsyslog send. Pure.

use super::event::{Arrival, Event, Fields, Rejected, invalid, level_of_word, shown, write};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Fields that name who logs, the first one that is there.
const SOURCES: [&str; 9] =
    ["service.name", "service", "app", "application", "program", "host.name", "host.hostname", "host", "hostname"];
/// Fields that say the level …
const LEVELS: [&str; 5] = ["log.level", "level", "severity", "loglevel", "lvl"];
/// … and the message.
const MESSAGES: [&str; 3] = ["message", "msg", "log"];
const TIME: &str = "@timestamp";
const STACK_TRACE: &str = "error.stack_trace";

/// One action of a request, and what it brings.
#[derive(Debug)]
pub struct Item {
    /// `create` or `index`; others are refused.
    pub action: &'static str,
    pub index: String,
    pub event: Result<Event, Rejected>,
}

/// The actions of a request, in its order. `index`: of those that name none.
///
/// # Errors
/// One line: a line that should be an action is none, or its document is missing; or there are more than `most`.
pub fn items(bytes: &[u8], index: &str, most: usize, arrival: Arrival<'_>) -> Result<Vec<Item>, Rejected> {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).enumerate();
    let mut items = Vec::new();
    while let Some((number, line)) = lines.next() {
        if items.len() == most {
            return Err(Rejected::TooLarge(format!("the batch has more than {most} events")));
        }
        let (action, own) = action(line).ok_or_else(|| invalid(format!("line {} is no action", number + 1)))?;
        let index = own.get("_index").and_then(Value::as_str).unwrap_or(index).to_owned();
        let mut document = || {
            let (_, line) = lines.next().ok_or_else(|| invalid(format!("line {} has no document", number + 1)))?;
            Ok::<_, Rejected>(line)
        };
        let event = match action {
            "create" | "index" => event(document()?, &index, arrival),
            "update" => {
                document()?;
                Err(invalid("events are not updated: use `create`".into()))
            }
            _ => Err(invalid("events are not deleted".into())),
        };
        items.push(Item { action, index, event });
    }
    if items.is_empty() { Err(invalid("the body is empty".into())) } else { Ok(items) }
}

fn action(line: &[u8]) -> Option<(&'static str, Map<String, Value>)> {
    let line: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let mut parts = line.into_iter();
    let (Some((word, Value::Object(own))), None) = (parts.next(), parts.next()) else { return None };
    let known = ["create", "index", "update", "delete"].into_iter().find(|known| *known == word)?;
    Some((known, own))
}

fn event(document: &[u8], index: &str, arrival: Arrival<'_>) -> Result<Event, Rejected> {
    let unreadable = |error: serde_json::Error| invalid(super::event::unreadable(&error));
    let mut document: Map<String, Value> = serde_json::from_slice(document).map_err(unreadable)?;
    let text = |name: &&str| at(&document, name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let source = SOURCES.iter().find_map(text).unwrap_or(index).to_owned();
    let level = LEVELS.iter().find_map(text).and_then(level_of_word).unwrap_or("INFO");
    let time = match document.remove(TIME) {
        None | Some(Value::Null) => None,
        Some(value) => Some(time(&value)?),
    };
    let message = MESSAGES.iter().find(|name| document.get(**name).is_some_and(|value| !value.is_object()));
    let message = match message.and_then(|name| document.remove(*name)) {
        None => Value::from(""),
        Some(Value::String(text)) => text.into(),
        Some(other) => other.to_string().into(),
    };
    let stack_trace = take_text(&mut document, STACK_TRACE);
    write(
        &Fields {
            source: Cow::Owned(source),
            level,
            message: Cow::Owned(message.to_string()),
            metadata: (!document.is_empty()).then(|| Cow::Owned(Value::Object(document).to_string())),
            stack_trace: stack_trace.map(|text| Cow::Owned(Value::from(text).to_string())),
            timestamp: time,
        },
        arrival,
    )
}

fn time(value: &Value) -> Result<String, Rejected> {
    match (value.as_str(), value.as_i64()) {
        (Some(text), _) if text.parse::<jiff::Timestamp>().is_ok() => Ok(text.to_owned()),
        (_, Some(millis)) => shown(TIME, millis),
        _ => Err(invalid(format!("`{TIME}` is neither an RFC 3339 time nor a number of Unix milliseconds"))),
    }
}

/// A field by its path: `a.b` is a key of this name, or a field of a field.
fn at<'a>(document: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let nested = || {
        let (first, rest) = path.split_once('.')?;
        at(document.get(first)?.as_object()?, rest)
    };
    document.get(path).or_else(nested)
}

/// Takes a text out of a document.
fn take_text(document: &mut Map<String, Value>, path: &str) -> Option<String> {
    at(document, path)?.as_str()?;
    let taken = match (document.remove(path), path.split_once('.')) {
        (None, Some((first, rest))) => document.get_mut(first)?.as_object_mut()?.remove(rest),
        (taken, _) => taken,
    };
    if let Some(Value::String(text)) = taken { Some(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::routes::Routes;
    use super::*;
    use serde_json::json;

    type Read = (&'static str, String, Result<Value, String>);

    fn read(text: &str) -> Result<Vec<Read>, String> {
        let routes = Routes::to("logs");
        let arrival = Arrival { time: 1_700_000_000_000, most_bytes: 2_000, routes: &routes };
        let shown = |item: Item| {
            let event = item.event.map(|event| {
                let mut value: Value = serde_json::from_slice(&event.value).unwrap();
                value.as_object_mut().unwrap().remove("eventId");
                value
            });
            (item.action, item.index, event.map_err(|rejected| rejected.reason().to_owned()))
        };
        let items = items(text.as_bytes(), "usual", 5, arrival);
        items.map(|items| items.into_iter().map(shown).collect()).map_err(|rejected| rejected.reason().to_owned())
    }

    #[test]
    fn a_document_is_an_event_with_all_that_it_had() {
        let text = concat!(
            r#"{"create":{"_index":"filebeat"}}"#,
            "\n",
            r#"{"@timestamp":"2024-01-15T10:30:00.5Z","message":"it broke","log":{"level":"err","file":{"path":"/x"}},"service":{"name":"shop"},"error":{"stack_trace":"at a","type":"E"}}"#,
            "\n",
            r#"{"index":{}}"#,
            "\r\n",
            r#"{"@timestamp":1000,"msg":"m","host":"web-1","level":"Warning"}"#,
            "\n",
            r#"{"create":{}}"#,
            "\n{}\n",
        );
        let items = read(text).unwrap();
        let first = json!({
            "timestamp": "2024-01-15T10:30:00.5Z", "source": "shop", "level": "ERROR", "message": "it broke", "stackTrace": "at a",
            "metadata": { "log": { "level": "err", "file": { "path": "/x" } }, "service": { "name": "shop" }, "error": { "type": "E" } },
        });
        assert_eq!(items[0], ("create", "filebeat".into(), Ok(first)));
        let second = json!({
            "timestamp": "1970-01-01T00:00:01.000Z", "source": "web-1", "level": "WARN", "message": "m",
            "metadata": { "host": "web-1", "level": "Warning" },
        });
        assert_eq!(items[1], ("index", "usual".into(), Ok(second)));
        let third =
            json!({ "timestamp": "2023-11-14T22:13:20.000Z", "source": "usual", "level": "INFO", "message": "" });
        assert_eq!(items[2].2, Ok(third));
    }

    #[test]
    fn what_is_no_event_is_refused_by_itself() {
        let long = "x".repeat(3_000);
        let text = format!(
            "{{\"delete\":{{\"_id\":\"1\"}}}}\n{{\"update\":{{}}}}\n{{\"doc\":{{}}}}\n{{\"create\":{{}}}}\n[]\n{{\"create\":{{}}}}\n{{\"message\":\"{long}\"}}\n{{\"create\":{{}}}}\n{{\"@timestamp\":\"noon\"}}\n"
        );
        let said: Vec<_> = read(&text).unwrap().into_iter().map(|(_, _, event)| event.unwrap_err()).collect();
        for (said, words) in said.iter().zip([
            "not deleted",
            "not updated",
            "invalid type",
            "2000 are allowed",
            "`@timestamp` is neither",
        ]) {
            assert!(said.contains(words), "{said}: {words}");
        }
        assert_eq!(said.len(), 5);
    }

    #[test]
    fn a_request_that_is_none_is_refused_as_a_whole() {
        for (bad, words) in [
            ("", "empty"),
            ("{\"create\":{}}\n", "line 1 has no document"),
            ("{\"message\":\"m\"}\n", "line 1 is no action"),
            ("{\"create\":{}}\n{}\n{\"create\":{},\"index\":{}}\n{}\n", "line 3 is no action"),
            (&"{\"delete\":{}}\n".repeat(6), "more than 5 events"),
        ] {
            assert!(read(bad).unwrap_err().contains(words), "{bad}");
        }
    }
}
