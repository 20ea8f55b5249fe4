//! Loki's push requests as log events: what Grafana's agents, Promtail and Fluent Bit send. Pure.

use super::event::{Arrival, Event, Fields, Rejected, invalid, level_of_word, write};
use prost::Message;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Labels that name who logs, the first one that is there.
const SOURCES: [&str; 9] =
    ["service_name", "service", "app", "application", "app_name", "name", "job", "container", "host"];
/// Whose lines have none of them.
const UNKNOWN: &str = "unknown_service";
/// Labels, and fields of a line's own, that say its level.
const LEVELS: [&str; 4] = ["level", "detected_level", "severity", "lvl"];

/// A request, whichever way it was written.
#[derive(Debug, Default, PartialEq)]
pub struct Push {
    streams: Vec<Stream>,
}

#[derive(Debug, Default, PartialEq)]
struct Stream {
    labels: Map<String, Value>,
    lines: Vec<Line>,
}

#[derive(Debug, PartialEq)]
struct Line {
    /// Unix nanoseconds.
    time: i128,
    text: String,
    /// What the line itself has beside its stream's labels.
    own: Map<String, Value>,
}

impl Push {
    /// How many lines it has.
    pub fn count(&self) -> usize {
        self.streams.iter().map(|stream| stream.lines.len()).sum()
    }

    /// # Errors
    /// One line: it is no push request in JSON.
    pub fn from_json(bytes: &[u8]) -> Result<Push, serde_json::Error> {
        let raw: JsonPush = serde_json::from_slice(bytes)?;
        let line = |JsonLine(time, text, own): JsonLine| Ok(Line { time: nanos(&time)?, text, own });
        let stream = |stream: JsonStream| {
            let lines: Result<_, serde_json::Error> = stream.values.into_iter().map(line).collect();
            Ok(Stream { labels: stream.stream, lines: lines? })
        };
        Ok(Push { streams: raw.streams.into_iter().map(stream).collect::<Result<_, serde_json::Error>>()? })
    }

    /// # Errors
    /// One line: it is no push request in protobuf.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Push, String> {
        let raw = ProtoPush::decode(bytes).map_err(|error| format!("not a push request: {error}"))?;
        let line = |entry: ProtoEntry| {
            let time = entry.timestamp.unwrap_or_default();
            Line {
                time: i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos),
                text: entry.line,
                own: entry.own.into_iter().map(|pair| (pair.name, pair.value.into())).collect(),
            }
        };
        let stream = |stream: ProtoStream| {
            let labels = labels(&stream.labels)
                .ok_or_else(|| format!("`{}` are no labels", stream.labels.chars().take(100).collect::<String>()))?;
            Ok(Stream { labels, lines: stream.entries.into_iter().map(line).collect() })
        };
        Ok(Push { streams: raw.streams.into_iter().map(stream).collect::<Result<_, String>>()? })
    }

    /// Its lines as events, in its order.
    pub fn events(self, arrival: Arrival<'_>) -> Vec<Result<Event, Rejected>> {
        let mut events = Vec::with_capacity(self.count());
        for Stream { labels, lines } in self.streams {
            events.extend(lines.into_iter().map(|line| event(&labels, line, arrival)));
        }
        events
    }
}

fn event(labels: &Map<String, Value>, line: Line, arrival: Arrival<'_>) -> Result<Event, Rejected> {
    let text = |name: &&str| labels.get(*name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let source = SOURCES.iter().find_map(text).unwrap_or(UNKNOWN);
    let said = LEVELS.iter().find_map(|name| line.own.get(*name).or_else(|| labels.get(*name))?.as_str());
    let known = said.and_then(level_of_word).unwrap_or("INFO");
    let time =
        jiff::Timestamp::from_nanosecond(line.time).map_err(|_| invalid("a timestamp is out of range".into()))?;
    let mut metadata = Map::new();
    for (name, fields) in [("labels", labels.clone()), ("structuredMetadata", line.own)] {
        if !fields.is_empty() {
            metadata.insert(name.to_owned(), Value::Object(fields));
        }
    }
    write(
        &Fields {
            source: Cow::Borrowed(source),
            level: known,
            message: Cow::Owned(Value::from(line.text).to_string()),
            metadata: (!metadata.is_empty()).then(|| Cow::Owned(Value::Object(metadata).to_string())),
            stack_trace: None,
            timestamp: Some(time.to_string()),
        },
        arrival,
    )
}

fn nanos(text: &str) -> Result<i128, serde_json::Error> {
    text.parse().map_err(|_| serde::de::Error::custom("a timestamp is not a text of Unix nanoseconds"))
}

/// Labels as Prometheus writes them: `{name="value", …}`. `None`: they are not.
fn labels(text: &str) -> Option<Map<String, Value>> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut labels = Map::new();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let end = end_of_text(value)?;
        labels.insert(name.trim().to_owned(), unquoted(&value[1..end])?.into());
        rest = value[end + 1..].trim_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(labels)
}

/// Where the quote is that ends a text which begins with one.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    let quote = |(_, byte): &(usize, u8)| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    };
    text.strip_prefix('"')?.bytes().enumerate().find(quote).map(|(place, _)| place + 1)
}

/// As Go writes texts.
fn unquoted(text: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let kind = bytes.next()?;
        let mut number = |digits: usize| {
            let text: Vec<u8> = bytes.by_ref().take(digits).collect();
            u32::from_str_radix(std::str::from_utf8(&text).ok()?, 16).ok()
        };
        let letter = |number: u32| Some(char::from_u32(number)?.to_string().into_bytes());
        match kind {
            b'a' => out.push(7),
            b'b' => out.push(8),
            b't' => out.push(b'\t'),
            b'n' => out.push(b'\n'),
            b'v' => out.push(11),
            b'f' => out.push(12),
            b'r' => out.push(b'\r'),
            b'x' => out.push(u8::try_from(number(2)?).ok()?),
            b'u' => out.extend(letter(number(4)?)?),
            b'U' => out.extend(letter(number(8)?)?),
            b'"' | b'\\' => out.push(kind),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

#[derive(Deserialize)]
struct JsonPush {
    streams: Vec<JsonStream>,
}

#[derive(Deserialize)]
struct JsonStream {
    stream: Map<String, Value>,
    values: Vec<JsonLine>,
}

/// The time, the line, and perhaps what it has beside its stream's labels.
#[derive(Deserialize)]
#[serde(from = "Either")]
struct JsonLine(String, String, Map<String, Value>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a line is `[\"Unix nanoseconds\", \"text\"]`, perhaps with an object behind it")]
enum Either {
    Plain(String, String),
    WithFields(String, String, Map<String, Value>),
}

impl From<Either> for JsonLine {
    fn from(either: Either) -> JsonLine {
        match either {
            Either::Plain(time, line) => JsonLine(time, line, Map::new()),
            Either::WithFields(time, line, fields) => JsonLine(time, line, fields),
        }
    }
}

/// logproto.PushRequest.
#[derive(Clone, PartialEq, Message)]
struct ProtoPush {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<ProtoStream>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoStream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<ProtoEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoEntry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<streamgauge_proto::types::Timestamp>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    own: Vec<ProtoPair>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[cfg(test)]
mod tests {
    use super::super::routes::Routes;
    use super::*;
    use serde_json::json;
    use streamgauge_proto::types::Timestamp;

    fn read(push: Push) -> Vec<Result<Value, String>> {
        let routes = Routes::to("logs");
        let arrival = Arrival { time: 0, most_bytes: 2_000, routes: &routes };
        let shown = |event: Result<Event, Rejected>| match event {
            Ok(event) => {
                let mut value: Value = serde_json::from_slice(&event.value).unwrap();
                value.as_object_mut().unwrap().remove("eventId");
                Ok(value)
            }
            Err(rejected) => Err(rejected.reason().to_owned()),
        };
        push.events(arrival).into_iter().map(shown).collect()
    }

    #[test]
    fn a_line_is_an_event_with_its_labels() {
        let push = json!({ "streams": [
            { "stream": { "job": "web", "host": "a", "level": "error" }, "values": [
                ["1700000000123456789", "it \"broke\""],
                ["1700000000000000000", "fine", { "level": "debug", "trace_id": "t" }],
            ] },
            { "stream": {}, "values": [["1", ""]] },
        ] });
        let push = Push::from_json(push.to_string().as_bytes()).unwrap();
        assert_eq!(push.count(), 3);
        let events = read(push);
        let labels = json!({ "job": "web", "host": "a", "level": "error" });
        let first = json!({
            "timestamp": "2023-11-14T22:13:20.123456789Z", "source": "web", "level": "ERROR", "message": "it \"broke\"",
            "metadata": { "labels": labels },
        });
        assert_eq!(events[0], Ok(first));
        let second = events[1].as_ref().unwrap();
        assert_eq!(
            (&second["level"], &second["metadata"]["structuredMetadata"]["trace_id"]),
            (&json!("DEBUG"), &json!("t"))
        );
        assert_eq!(events[2].as_ref().unwrap()["source"], UNKNOWN);
    }

    #[test]
    fn protobuf_says_the_same_as_json() {
        let pair = |name: &str, value: &str| ProtoPair { name: name.into(), value: value.into() };
        let timestamp = Some(Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 });
        let entry = ProtoEntry { timestamp, line: "m".into(), own: vec![pair("k", "v")] };
        let stream = ProtoStream { labels: r#"{job="web", path="C:\\x\n\u00e9, }"}"#.into(), entries: vec![entry] };
        let proto = Push::from_protobuf(&ProtoPush { streams: vec![stream] }.encode_to_vec()).unwrap();
        let json = json!({ "streams": [{
            "stream": { "job": "web", "path": "C:\\x\né, }" }, "values": [["1700000000123456789", "m", { "k": "v" }]],
        }] });
        assert_eq!(proto, Push::from_json(json.to_string().as_bytes()).unwrap());
    }

    #[test]
    fn labels_are_read_as_prometheus_writes_them_and_in_no_other_way() {
        let shown = |text: &str| labels(text).map(|labels| Value::Object(labels).to_string());
        assert_eq!(shown("{}").as_deref(), Some("{}"));
        assert_eq!(shown(r#" { a = "1" , b="\"x\x41\"",}"#).as_deref(), Some(r#"{"a":"1","b":"\"xA\""}"#));
        for bad in [
            "",
            "a=\"1\"",
            "{a}",
            "{a=1}",
            "{a=\"1}",
            "{a=\"1\" b=\"2\"}",
            r#"{a="\q"}"#,
            r#"{a="\xff"}"#,
            r#"{a="\u12"#,
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (bad, words) in [
            ("{", "EOF"),
            (r#"{"streams":[{"stream":{},"values":[["soon","m"]]}]}"#, "Unix nanoseconds"),
            (r#"{"streams":[{"stream":{},"values":[[1,"m"]]}]}"#, "a line is"),
            (r#"{"entries":[]}"#, "streams"),
        ] {
            let said = Push::from_json(bad.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(words) && !said.contains('\n'), "{bad}: {said}");
        }
        assert!(Push::from_protobuf(b"\xff\xff").unwrap_err().starts_with("not a push request"));
        let stream = ProtoStream { labels: "job".into(), entries: Vec::new() };
        assert_eq!(
            Push::from_protobuf(&ProtoPush { streams: vec![stream] }.encode_to_vec()).unwrap_err(),
            "`job` are no labels"
        );
        let far = json!({ "streams": [{ "stream": {}, "values": [["99999999999999999999999999", "m"], ["1", "x".repeat(3_000)]] }] });
        let events = read(Push::from_json(far.to_string().as_bytes()).unwrap());
        assert!(
            events[0].as_ref().unwrap_err().contains("out of range")
                && events[1].as_ref().unwrap_err().contains("2000")
        );
    }
}
