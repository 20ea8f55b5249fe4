//! What a config's author writes, and what an event then meets: paths, times, whole configs, and conditions and labels.

use std::sync::Arc;

use streamgauge_core::aggregate::{Event, Plan, TaskState};
use streamgauge_core::config::{self, FieldPath, Source, TimeFormat};
use streamgauge_core::decode::{Decoder, Record};
use streamgauge_core::value::Value;
use streamgauge_core::value::time::TimeReader;

/// These targets, by name.
pub const ALL: [(&str, fn(&[u8])); 4] = [("path", path), ("time", time), ("config", config), ("labels", labels)];

/// A path that can be read is written the same way that it was meant.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(path) = FieldPath::parse(text) else { return };
    let written = path.to_string();
    assert_eq!(FieldPath::parse(&written).as_ref(), Ok(&path), "{text:?} is written {written:?}");
    config::parse(&within(&format!("    by: {{ l: {written:?} }}")), "fuzz.yaml", &|_| None).ok();
}

/// The first line is a format, or a pattern of one's own, and a zone; the second a time.
pub fn time(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((how, time)) = text.split_once('\n') else { return };
    let (format, zone) = how.split_once('|').unwrap_or((how, TimeFormat::UTC));
    let zone = zone.to_owned();
    let format = match format {
        "unix_s" => TimeFormat::UnixSeconds,
        "unix_ms" => TimeFormat::UnixMillis,
        "unix_us" => TimeFormat::UnixMicros,
        "unix_ns" => TimeFormat::UnixNanos,
        "unix" => TimeFormat::Unix,
        "rfc3339" => TimeFormat::Rfc3339,
        "iso8601" => TimeFormat::Iso8601 { zone },
        "clf" => TimeFormat::Clf { zone },
        pattern => TimeFormat::Pattern { pattern: pattern.to_owned(), zone },
    };
    let reader = TimeReader::new(&format);
    let number = time.parse().map_or(Value::Missing, Value::Float);
    for value in [Value::Str(time), Value::Digits(time), time.parse().map_or(Value::Missing, Value::Int), number] {
        let millis = reader.millis(value);
        assert!(millis.as_ref().is_ok_and(|millis| (0..=253_402_300_799_999).contains(millis)) || millis.is_err());
        assert_eq!(reader.nanos(value).is_ok(), reader.nanos(value).is_ok());
        reader.unit(value);
    }
}

/// A config that is accepted can be laid out, and meets an event.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A fuzzer has no business in the machine's files.
    if text.contains("file") {
        return;
    }
    let Ok(config) = config::parse(text, "fuzz.yaml", &|_| None) else { return };
    config.redacted_yaml();
    for source in &config.sources {
        meet(source, &config.aggregates, br#"{"timestamp": 1767312000000, "status": "503", "message": "x"}"#);
    }
}

/// The lines before the first `{` are an aggregate's own, and what follows is an event.
pub fn labels(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((lines, event)) = text.split_once("\n---\n") else { return };
    if lines.contains("file") {
        return;
    }
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    let Ok(config) = config::parse(&within(&lines), "fuzz.yaml", &|_| None) else { return };
    meet(&config.sources[0], &config.aggregates, event.as_bytes());
}

/// A config whose aggregate has these lines.
fn within(lines: &str) -> String {
    format!(
        "kafka: {{ bootstrap_servers: localhost:9092 }}\nsources: {{ s: {{ topics: [t], timestamp: {{ from: kafka }} }} }}\n\
         aggregates:\n  a:\n    source: s\n    measures: {{ n: count, sum: {{ sum: v, unit: ms }} }}\n{lines}\n"
    )
}

/// Decodes an event and folds it; what an account of it says is what is folded.
fn meet(source: &Source, aggregates: &[config::Aggregate], payload: &[u8]) {
    let plan = Arc::new(Plan::new(source, std::slice::from_ref(source), aggregates));
    let mut decoder = Decoder::of(&plan.fields, source, 1 << 20);
    let mut task = TaskState::new(plan.clone());
    let keep = |values: &[Value<'_>]| plan.filter.holds(values);
    decoder.events(payload, Record::at(Some(1_767_312_000_000)), keep, |_, outcome| {
        if let Ok(Some(found)) = outcome {
            let accounts = plan.accounts(found.values);
            let folded = task.fold(&Event { time: found.time, reach: found.time, values: found.values });
            assert_eq!(accounts.is_ok(), folded.is_ok());
        }
    });
    task.freeze(1 << 62);
}
