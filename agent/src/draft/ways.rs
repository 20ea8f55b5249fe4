//! How times are written, and which names of fields say that one stands there.

use super::names::{keys, last_words};
use super::yaml::scalar;
use crate::config::{Each, FieldPath, Step, TimeFormat};
use crate::value::time::TimeReader;
use crate::value::{Value, number};

/// 1980 and 2100, Unix milliseconds: what lies between is taken for the time of an event.
const DAYS_OF_LOGS: std::ops::Range<i64> = 315_532_800_000..4_102_444_800_000;

/// A way to read a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Seconds,
    Millis,
    Micros,
    Nanos,
    Rfc3339,
    Clf,
    Iso8601,
    /// Seconds with decimals, and a colon behind them, as Linux' audit has it.
    Serial,
    Pattern(&'static str),
}

/// Other times as they are often written.
const PATTERNS: [&str; 13] = [
    "%Y/%m/%d %H:%M:%S%.f",
    "%d.%m.%Y %H:%M:%S%.f",
    "%a %b %e %H:%M:%S %Y",
    "%a %b %e %H:%M:%S%.f %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%b %d %Y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S%.f",
    "%d %b %Y %H:%M:%S%.f",
    "%d/%b/%Y %H:%M:%S%.f",
    "%y/%m/%d %H:%M:%S%.f",
    "%a %b %e %H:%M:%S %Y %Z",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y%m%d-%H:%M:%S%.f",
];

/// Names of fields that only say how their value is written.
const WRAPPERS: [&str; 4] = ["$date", "$numberLong", "long", "string"];

const SERIAL: &str = r"^(\d+\.\d+):";

impl Way {
    /// How `value` is read as a time of our days, if it is one.
    pub fn of(value: Value<'_>) -> Option<Way> {
        match value {
            Value::Int(_) | Value::Float(_) | Value::Digits(_) => {
                let reader = TimeReader::new(&TimeFormat::Unix);
                reader.millis(value).ok().filter(|millis| DAYS_OF_LOGS.contains(millis))?;
                match reader.unit(value)? {
                    1 => Some(Way::Nanos),
                    1_000 => Some(Way::Micros),
                    1_000_000 => Some(Way::Millis),
                    _ => Some(Way::Seconds),
                }
            }
            Value::Str(text) => match number::number(text) {
                Some(number) => Way::of(number),
                None => Way::of_text(text),
            },
            _ => None,
        }
    }

    fn of_text(text: &str) -> Option<Way> {
        if let Some((seconds, _)) = text.split_once(':').filter(|(seconds, _)| seconds.contains('.'))
            && let Some(number) = number::number(seconds)
        {
            return Way::of(number).filter(|way| *way == Way::Seconds).map(|_| Way::Serial);
        }
        // A day without a time of day is a version, or a birthday.
        if !text.contains(':') && !text.contains('T') {
            return None;
        }
        let known = [Way::Rfc3339, Way::Clf, Way::Iso8601].into_iter().chain(PATTERNS.map(Way::Pattern));
        let mut known = known.filter(|way| {
            let millis = TimeReader::new(&way.format()).millis(Value::Str(text));
            millis.is_ok_and(|millis| DAYS_OF_LOGS.contains(&millis))
        });
        known.next()
    }

    fn format(self) -> TimeFormat {
        let zone = TimeFormat::UTC.to_owned();
        match self {
            Way::Seconds | Way::Serial => TimeFormat::UnixSeconds,
            Way::Millis => TimeFormat::UnixMillis,
            Way::Micros => TimeFormat::UnixMicros,
            Way::Nanos => TimeFormat::UnixNanos,
            Way::Rfc3339 => TimeFormat::Rfc3339,
            Way::Clf => TimeFormat::Clf { zone },
            Way::Iso8601 => TimeFormat::Iso8601 { zone },
            Way::Pattern(pattern) => TimeFormat::Pattern { pattern: pattern.to_owned(), zone },
        }
    }

    pub fn is_number(self) -> bool {
        matches!(self, Way::Seconds | Way::Millis | Way::Micros | Way::Nanos)
    }

    /// As the config has it.
    pub fn how(self) -> String {
        match self {
            Way::Seconds => "format: unix_s".into(),
            Way::Millis => "format: unix_ms".into(),
            Way::Micros => "format: unix_us".into(),
            Way::Nanos => "format: unix_ns".into(),
            Way::Rfc3339 => "format: rfc3339".into(),
            Way::Clf => "format: clf".into(),
            Way::Iso8601 => "format: iso8601".into(),
            Way::Serial => format!("match: {}, format: unix_s", scalar(SERIAL)),
            Way::Pattern(pattern) => format!("format: {}", scalar(pattern)),
        }
    }
}

/// How probable it is by its name that a field has the event time; `None` for a number that no name says it of.
pub(super) fn score(path: &FieldPath, number: bool) -> Option<i32> {
    let mut names = keys(path);
    // MongoDB's JSON and Avro's have the value of a field below it.
    if names.len() > 1 && names.last().is_some_and(|last| WRAPPERS.contains(last)) {
        names.pop();
    }
    let last = names.last()?.trim_start_matches(['@', '_']).to_lowercase();
    let words = last_words(&FieldPath::keys(names.iter().copied()));
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let mut score = match last.as_str() {
        "timestamp" | "time" | "ts" | "t" | "datetime" | "eventtime" | "event_time" => 60,
        _ if has(&["timestamp"]) => 50,
        _ if has(&["ts"]) => 45,
        _ if has(&["time", "date", "datetime"]) => 40,
        _ if has(&["at", "utc", "msec", "epoch", "second", "seconds", "when", "start", "begin", "created"]) => 30,
        _ if number => return None,
        _ => 10,
    };
    if has(&["start", "started", "received", "created", "begin", "request"]) {
        score += 5;
    }
    let others = [
        "end",
        "ended",
        "expires",
        "expiration",
        "expiry",
        "until",
        "session",
        "last",
        "modified",
        "updated",
        "birth",
        "write",
        "observed",
        "ingest",
        "ingested",
        "monotonic",
        "stage",
        "complete",
        "completed",
        "pushed",
        "not",
    ];
    if has(&others) {
        score -= 25;
    }
    let above = path.steps().iter().filter(|step| matches!(step, Step::Key(key) if key == Each::ENCLOSING));
    let depth = names.len() as i32 - 1 + 2 * above.count() as i32;
    Some(score - 12 * depth)
}

/// Whether a field of a JSON document probably has an event's time.
pub(super) fn is_time_field(key: &str, value: &serde_json::Value) -> bool {
    let path = FieldPath::keys([key]);
    let way = match value {
        serde_json::Value::String(text) => Way::of(Value::Str(text)),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Way::of(Value::Int(number)),
            (None, Some(number)) => Way::of(Value::Float(number)),
            (None, None) => None,
        },
        _ => None,
    };
    way.is_some_and(|way| score(&path, way.is_number()).is_some_and(|score| score >= 30))
}
