//! A log event as it is handed in, checked, and as it goes to Kafka. Pure.

use super::routes::Routes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// Longest key of a record, such as a `source`. Bytes.
pub const LONGEST_KEY: usize = 1_024;
/// How deep `metadata` may be nested, and how many fields and elements it may have.
const DEEPEST: usize = 32;
const MOST_VALUES: usize = 1_000;

/// An event that can go to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    /// Its level is ERROR or FATAL.
    pub urgent: bool,
    /// Where it goes.
    pub topic: Arc<str>,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Why an event is not accepted: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    Invalid(String),
    TooLarge(String),
}

impl Rejected {
    pub fn reason(&self) -> &str {
        match self {
            Rejected::Invalid(reason) | Rejected::TooLarge(reason) => reason,
        }
    }
}

/// What comes with every event.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Unix milliseconds.
    pub time: i64,
    /// Largest event as it is written to Kafka. Bytes.
    pub most_bytes: usize,
    /// Where events of this kind go.
    pub routes: &'a Routes,
}

/// What an event says, checked but for its sizes. Texts that are JSON already are copied as they are.
pub struct Fields<'a> {
    pub source: Cow<'a, str>,
    pub level: &'static str,
    /// A JSON string.
    pub message: Cow<'a, str>,
    /// A JSON object.
    pub metadata: Option<Cow<'a, str>>,
    /// A JSON string.
    pub stack_trace: Option<Cow<'a, str>>,
    /// RFC 3339; without it, when it came.
    pub timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
struct Raw<'a> {
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    level: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, rename = "stackTrace")]
    stack_trace: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

/// Checks an event and writes it as it goes to Kafka: with an id and a time.
///
/// # Errors
/// What is wrong with it.
pub fn log_event(json: &[u8], arrival: Arrival<'_>) -> Result<Event, Rejected> {
    let raw: Raw = serde_json::from_slice(json).map_err(|error| Rejected::Invalid(unreadable(&error)))?;
    string("message", raw.message)?;
    if present(raw.stack_trace).is_some() {
        string("stackTrace", raw.stack_trace)?;
    }
    let fields = Fields {
        source: string("source", raw.source)?,
        level: level(&string("level", raw.level)?)?,
        message: present(raw.message).unwrap_or_default().into(),
        metadata: present(raw.metadata).map(Cow::Borrowed),
        stack_trace: present(raw.stack_trace).map(Cow::Borrowed),
        timestamp: timestamp("timestamp", raw.timestamp)?,
    };
    write(&fields, arrival)
}

/// Writes an event as it goes to Kafka.
///
/// # Errors
/// If it is too large, too deep or without a source.
pub fn write(fields: &Fields<'_>, arrival: Arrival<'_>) -> Result<Event, Rejected> {
    if fields.source.is_empty() || fields.source.len() > LONGEST_KEY {
        return Err(invalid(format!("`source` is empty, or longer than {LONGEST_KEY} bytes")));
    }
    let mut value = Vec::with_capacity(fields.message.len() + fields.metadata.as_ref().map_or(0, |it| it.len()) + 256);
    let id = new_id();
    value.extend_from_slice(b"{\"eventId\":\"");
    value.extend_from_slice(id.as_bytes());
    value.extend_from_slice(b"\",\"timestamp\":\"");
    match &fields.timestamp {
        Some(timestamp) => value.extend_from_slice(timestamp.as_bytes()),
        None => value.extend_from_slice(shown("timestamp", arrival.time)?.as_bytes()),
    }
    value.extend_from_slice(b"\",\"source\":");
    // A string can always be written.
    value.extend_from_slice(serde_json::to_string(&fields.source).unwrap_or_default().as_bytes());
    value.extend_from_slice(b",\"level\":\"");
    value.extend_from_slice(fields.level.as_bytes());
    value.extend_from_slice(b"\",\"message\":");
    value.extend_from_slice(fields.message.as_bytes());
    if let Some(metadata) = &fields.metadata {
        object("metadata", metadata)?;
        value.extend_from_slice(b",\"metadata\":");
        value.extend_from_slice(metadata.as_bytes());
    }
    if let Some(trace) = &fields.stack_trace {
        value.extend_from_slice(b",\"stackTrace\":");
        value.extend_from_slice(trace.as_bytes());
    }
    value.push(b'}');
    let value_of = |name: &str| match name {
        "source" => Some(Cow::Borrowed(&*fields.source)),
        "level" => Some(Cow::Borrowed(fields.level)),
        _ => None,
    };
    let topic = arrival.routes.topic(value_of);
    let key = fields.source.clone().into_owned().into_bytes();
    finish(Event { id, urgent: matches!(fields.level, "ERROR" | "FATAL"), topic, key, value }, arrival)
}

/// # Errors
/// If the event is too large.
pub fn finish(event: Event, arrival: Arrival<'_>) -> Result<Event, Rejected> {
    let (is, most) = (event.value.len(), arrival.most_bytes);
    match is > most {
        true => Err(Rejected::TooLarge(format!("the event has {is} bytes; {most} are allowed"))),
        false => Ok(event),
    }
}

pub fn invalid(reason: String) -> Rejected {
    Rejected::Invalid(reason)
}

/// What the parser says, in one line.
pub fn unreadable(error: &serde_json::Error) -> String {
    if error.is_data() { error.to_string() } else { format!("not valid JSON: {error}") }
}

/// A field that is there and not null.
pub fn present(field: Option<&RawValue>) -> Option<&str> {
    field.map(RawValue::get).filter(|text| *text != "null")
}

/// A field's text.
///
/// # Errors
/// If it is missing, or no string.
pub fn string<'a>(name: &str, field: Option<&'a RawValue>) -> Result<Cow<'a, str>, Rejected> {
    let text = present(field).ok_or_else(|| invalid(format!("`{name}` is missing")))?;
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner.ok_or_else(|| invalid(format!("`{name}` is not a string")))? {
        inner if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        // Half of a surrogate pair is found here and nowhere before.
        _ => serde_json::from_str(text).map(Cow::Owned).map_err(|_| invalid(format!("`{name}` is not valid Unicode"))),
    }
}

/// The level that a word means.
///
/// # Errors
/// If it is none.
pub fn level(text: &str) -> Result<&'static str, Rejected> {
    const LEVELS: [(&str, &str); 7] = [
        ("TRACE", "TRACE"),
        ("DEBUG", "DEBUG"),
        ("INFO", "INFO"),
        ("WARN", "WARN"),
        ("WARNING", "WARN"),
        ("ERROR", "ERROR"),
        ("FATAL", "FATAL"),
    ];
    let known = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let unknown = || invalid("`level` is none of TRACE, DEBUG, INFO, WARN, ERROR and FATAL".to_owned());
    known.map(|(_, level)| *level).ok_or_else(unknown)
}

/// The level that a sender's own word means, if it is known.
pub fn level_of_word(word: &str) -> Option<&'static str> {
    const OTHERS: [(&str, &str); 9] = [
        ("err", "ERROR"),
        ("information", "INFO"),
        ("informational", "INFO"),
        ("notice", "INFO"),
        ("critical", "FATAL"),
        ("crit", "FATAL"),
        ("alert", "FATAL"),
        ("emerg", "FATAL"),
        ("emergency", "FATAL"),
    ];
    let other = OTHERS.iter().find(|(other, _)| other.eq_ignore_ascii_case(word)).map(|(_, level)| *level);
    level(word).ok().or(other)
}

fn no_time(name: &str) -> Rejected {
    invalid(format!("`{name}` is neither an RFC 3339 time nor a number of Unix milliseconds"))
}

/// Unix milliseconds as RFC 3339.
///
/// # Errors
/// If no such time can be written.
pub fn shown(name: &str, millis: i64) -> Result<String, Rejected> {
    jiff::Timestamp::from_millisecond(millis).map(|time| format!("{time:.3}")).map_err(|_| no_time(name))
}

/// A field's time as RFC 3339, if it is there.
///
/// # Errors
/// If it is none.
pub fn timestamp(name: &str, field: Option<&RawValue>) -> Result<Option<String>, Rejected> {
    match present(field) {
        None => Ok(None),
        Some(text) if text.starts_with('"') => {
            let text = string(name, field)?;
            text.parse::<jiff::Timestamp>().map_err(|_| no_time(name))?;
            Ok(Some(text.into_owned()))
        }
        Some(number) => shown(name, number.parse().map_err(|_| no_time(name))?).map(Some),
    }
}

/// Whether this is an object that is neither too deep nor too wide.
///
/// # Errors
/// If it is not.
pub fn object(name: &str, text: &str) -> Result<(), Rejected> {
    if !text.starts_with('{') {
        return Err(invalid(format!("`{name}` is not an object")));
    }
    let (mut depth, mut deepest, mut values, mut quoted, mut escaped) = (0, 0, 0, false, false);
    for &byte in text.as_bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth -= 1,
            b',' => values += 1,
            _ => {}
        }
    }
    if deepest > DEEPEST {
        return Err(invalid(format!("`{name}` is nested more than {DEEPEST} deep")));
    }
    if values >= MOST_VALUES {
        return Err(invalid(format!("`{name}` has more than {MOST_VALUES} values")));
    }
    // Only where somebody may have written half of a surrogate pair.
    let sound = !text.contains("\\u") || serde_json::from_str::<serde_json::Value>(text).is_ok();
    sound.then_some(()).ok_or_else(|| invalid(format!("`{name}` is not valid Unicode")))
}

/// A random UUID (version 4).
pub fn new_id() -> String {
    let bits = rand::random::<u128>() & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn arriving(text: &[u8]) -> Result<Event, Rejected> {
        let routes = Routes::to("logs");
        log_event(text, Arrival { time: 1_700_000_000_123, most_bytes: 2_000, routes: &routes })
    }

    fn read(text: &str) -> Result<(Event, Value), String> {
        let event = arriving(text.as_bytes()).map_err(|rejected| rejected.reason().to_owned())?;
        let mut value: Value = serde_json::from_slice(&event.value).unwrap();
        let id = value.as_object_mut().unwrap().remove("eventId").unwrap();
        assert_eq!(id, event.id);
        Ok((event, value))
    }

    #[test]
    fn an_event_is_written_with_an_id_and_a_time_and_is_otherwise_what_was_sent() {
        let text =
            r#"{"source":"my-app","level":"info","message":"a \"b\" \u00e9","metadata":{"userId":"12345","n":[1,{}]}}"#;
        let (event, value) = read(text).unwrap();
        let expected = json!({
            "timestamp": "2023-11-14T22:13:20.123Z", "source": "my-app", "level": "INFO", "message": "a \"b\" é",
            "metadata": { "userId": "12345", "n": [1, {}] },
        });
        assert_eq!((value, event.key.as_slice(), event.urgent), (expected, &b"my-app"[..], false));
        let parts: Vec<_> = event.id.split('-').map(str::len).collect();
        assert_eq!((parts, &event.id[14..15]), (vec![8, 4, 4, 4, 12], "4"));
        let text = r#"{"source":"x\ty","level":"FATAL","message":"","stackTrace":"at a\n at b","metadata":null,"timestamp":1.0}"#;
        assert!(read(text).unwrap_err().contains("`timestamp`"));
        let (event, value) = read(&text.replace("1.0", "1000")).unwrap();
        assert_eq!((event.urgent, event.key.as_slice()), (true, &b"x\ty"[..]));
        assert_eq!(
            (&value["stackTrace"], &value["timestamp"]),
            (&json!("at a\n at b"), &json!("1970-01-01T00:00:01.000Z"))
        );
        let (_, value) = read(&text.replace("1.0", "\"2024-01-15T10:30:00.5+01:00\"")).unwrap();
        assert_eq!(value["timestamp"], "2024-01-15T10:30:00.5+01:00");
    }

    #[test]
    fn levels_are_known_by_the_words_that_senders_have() {
        let all = ["err", "Warning", "CRIT", "notice", "trace"].map(level_of_word);
        assert_eq!(all, [Some("ERROR"), Some("WARN"), Some("FATAL"), Some("INFO"), Some("TRACE")]);
        assert_eq!(level_of_word("loud"), None);
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let good = json!({ "source": "a", "level": "INFO", "message": "m" });
        let with = |field: &str, value: Value| {
            let mut event = good.clone();
            event[field] = value;
            read(&event.to_string()).unwrap_err()
        };
        let nested = (0..40).fold(json!({}), |inner, _| json!({ "x": inner }));
        let wide: Vec<_> = (0..2_000).map(|_| 1).collect();
        for (said, words) in [
            (with("source", json!("")), "`source` is empty"),
            (with("source", json!(5)), "`source` is not a string"),
            (with("source", Value::Null), "`source` is missing"),
            (with("source", json!("s".repeat(1_025))), "longer than 1024"),
            (with("level", json!("LOUD")), "`level` is none of"),
            (with("message", json!(["m"])), "`message` is not a string"),
            (with("message", json!("m".repeat(2_000))), "bytes; 2000 are allowed"),
            (with("metadata", json!([1])), "`metadata` is not an object"),
            (with("metadata", nested), "nested more than 32"),
            (with("metadata", json!({ "x": wide })), "more than 1000 values"),
            (with("stackTrace", json!({})), "`stackTrace` is not a string"),
            (with("timestamp", json!("yesterday")), "`timestamp` is neither"),
            (with("timestamp", json!(1e300)), "`timestamp` is neither"),
            (with("extra", json!(1)), "unknown field `extra`"),
            (read("{").unwrap_err(), "not valid JSON"),
            (read("[]").unwrap_err(), "expected a JSON object"),
            (read("5").unwrap_err(), "expected a JSON object"),
            (read(r#"{"source":"a","source":"b","level":"INFO","message":"m"}"#).unwrap_err(), "duplicate field"),
            (
                read(r#"{"source":"a","level":"INFO","message":"\ud800"}"#).unwrap_err(),
                "`message` is not valid Unicode",
            ),
            (
                read(r#"{"source":"a","level":"INFO","message":"","metadata":{"a":"\ud800"}}"#).unwrap_err(),
                "`metadata` is not valid Unicode",
            ),
        ] {
            assert!(said.contains(words) && !said.contains('\n'), "{said:?} lacks {words:?}");
        }
        let bad = arriving(b"{\"source\":\"\xff\",\"level\":\"INFO\",\"message\":\"m\"}");
        assert!(matches!(bad, Err(Rejected::Invalid(_))), "{bad:?}");
        let deep = "[".repeat(100_000);
        assert!(read(&format!(r#"{{"source":"a","metadata":{deep}"#)).is_err(), "and the stack holds");
    }
}
