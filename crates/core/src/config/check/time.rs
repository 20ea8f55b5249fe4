//! Checks of `timestamp`: where the event time is, and how it is written.

use super::super::at::{At, Place};
use super::super::error::{closest, suggest};
use super::super::raw::{RawTimes, RawTimestamp};
use super::super::types::{FieldPath, Format, FormatKind, Parse, Step, TimeFormat, Timestamp};
use super::Checker;
use crate::value::time::{is_zone, pattern_problem, zone_names};

/// The words for formats; anything else is a pattern.
const WORDS: [&str; 9] = ["unix_s", "unix_ms", "unix_us", "unix_ns", "unix", "rfc3339", "iso8601", "clf", "haproxy"];
/// More places than this nobody has a time in.
const MOST: usize = 16;
const HELP: &str = "write `{ field: timestamp, format: unix_ms }`, or `{ from: kafka }` for the record's own time";

/// Where a source's event time is; `place` is the source's.
pub fn timestamp(check: &mut Checker, place: Place, raw: Option<&At<RawTimes>>, written: &Written<'_>) -> Timestamp {
    let Some(raw) = raw else {
        return written.format.kind.timestamp().unwrap_or_else(|| {
            check.error(place, "`timestamp` is missing", HELP);
            Timestamp::Kafka
        });
    };
    let all = match &raw.value {
        RawTimes::One(one) => return self::one(check, raw.place, one, written),
        RawTimes::FirstOf(all) => all,
    };
    if all.is_empty() || all.len() > MOST {
        check.error(raw.place, format!("the event time is in one of 1 to {MOST} places"), HELP);
    }
    let mut times: Vec<Timestamp> = all.iter().map(|at| one(check, at.place, &at.value, written)).collect();
    let last = times.len().saturating_sub(1);
    for (at, _) in times.iter().zip(all).enumerate().filter(|(at, (time, _))| **time == Timestamp::Kafka && *at < last)
    {
        check.error(all[at].place, "what follows the record's own time is never looked at", "put it last");
    }
    if times.len() == 1 { times.remove(0) } else { Timestamp::FirstOf(times) }
}

/// How a source's records are written, and the text in their fields.
pub struct Written<'a> {
    pub format: &'a Format,
    pub parse: &'a [Parse],
}

impl Written<'_> {
    /// How the time in a field is written, where the format says it.
    fn time(&self, path: &FieldPath, zone: &str) -> Option<TimeFormat> {
        let of_record = (&self.format.kind, path.steps());
        let is_its = |field: &str, steps: &[Step]| matches!(steps, [Step::Key(name)] if name == field);
        // What is nearer to the field knows it better.
        let below =
            self.parse.iter().rev().filter_map(|rule| {
                path.steps().strip_prefix(rule.path.steps()).map(|steps| (&rule.format.kind, steps))
            });
        let formats = below.chain([of_record]);
        let own = |(kind, steps): (&FormatKind, &[Step])| kind.time(zone).filter(|(field, _)| is_its(field, steps));
        formats.filter_map(own).next().map(|(_, format)| format)
    }
}

fn one(check: &mut Checker, place: Place, raw: &RawTimestamp, written: &Written<'_>) -> Timestamp {
    let RawTimestamp { field, format, zone, part, seconds, nanos, from } = raw;
    let kinds = [field.is_some(), seconds.is_some() || nanos.is_some(), from.is_some()];
    if kinds.iter().filter(|is| **is).count() != 1 {
        let message = match kinds.contains(&true) {
            true => "the event time is either in a field, in `seconds` and `nanos`, or the record's own",
            false => "the event time is missing",
        };
        check.error(place, message, HELP);
        return Timestamp::Kafka;
    }
    if let Some(field) = field {
        let path = check.field_path(field.place, &field.value);
        if let Some(part) = part {
            check.regex(part);
        }
        let Some(format) = format else {
            let place = zone.as_ref().map(|zone| zone.value.as_str());
            if let Some(format) = written.time(&path, place.unwrap_or(TimeFormat::UTC)) {
                zone.iter().for_each(|zone| drop(self::zone(check, Some(zone))));
                return Timestamp::Field { path, format, part: part.as_ref().map(|part| part.value.clone()) };
            }
            let help = "add `format: unix_ms`, or one of `unix_s`, `unix_us`, `unix_ns`, `rfc3339`, `iso8601`, `clf`, or a pattern";
            check.error(field.place, "`timestamp.format` is missing", help);
            return Timestamp::Kafka;
        };
        let format = self::format(check, format, zone.as_ref());
        return Timestamp::Field { path, format, part: part.as_ref().map(|part| part.value.clone()) };
    }
    for (name, given) in [("format", format), ("zone", zone), ("match", part)] {
        if let Some(at) = given {
            check.error(at.place, format!("`{name}` is for a time in a `field`"), "remove it");
        }
    }
    match (seconds, nanos) {
        (Some(seconds), Some(nanos)) => Timestamp::Parts {
            seconds: check.field_path(seconds.place, &seconds.value),
            nanos: check.field_path(nanos.place, &nanos.value),
        },
        (None, None) => Timestamp::Kafka,
        (Some(one), None) | (None, Some(one)) => {
            let help = "`{ seconds: FIELD, nanos: FIELD }`, or `{ field: FIELD, format: unix_s }`";
            check.error(one.place, "`seconds` and `nanos` stand together", help);
            Timestamp::Parts { seconds: FieldPath::default(), nanos: FieldPath::default() }
        }
    }
}

/// How a time is written.
pub fn format(check: &mut Checker, raw: &At<String>, zone: Option<&At<String>>) -> TimeFormat {
    let format = match raw.value.as_str() {
        "unix_s" => TimeFormat::UnixSeconds,
        "unix_ms" => TimeFormat::UnixMillis,
        "unix_us" => TimeFormat::UnixMicros,
        "unix_ns" => TimeFormat::UnixNanos,
        "unix" => TimeFormat::Unix,
        "rfc3339" => TimeFormat::Rfc3339,
        "iso8601" => TimeFormat::Iso8601 { zone: self::zone(check, zone) },
        "clf" | "haproxy" => TimeFormat::Clf { zone: self::zone(check, zone) },
        pattern => {
            if !pattern.contains('%') {
                let near = suggest(pattern, "the formats", WORDS);
                let help = format!("{near} (or write a pattern of strftime, such as `%d.%m.%Y %H:%M:%S`)");
                check.error(raw.place, format!("`{pattern}` is not a format of times"), help);
                return TimeFormat::Rfc3339;
            }
            if let Some(problem) = pattern_problem(pattern) {
                let help = "a pattern says year, month, day, hour, minute and second: `%Y-%m-%d %H:%M:%S`";
                check.error(raw.place, format!("`{pattern}` does not read times: {problem}"), help);
            }
            TimeFormat::Pattern { pattern: pattern.to_owned(), zone: self::zone(check, zone) }
        }
    };
    let zoned = matches!(format, TimeFormat::Iso8601 { .. } | TimeFormat::Clf { .. } | TimeFormat::Pattern { .. });
    if let Some(zone) = zone.filter(|_| !zoned) {
        let message = format!("a time in `{}` needs no zone", raw.value);
        check.error(zone.place, message, "remove `zone`, or use `iso8601`, `clf` or a pattern");
    }
    format
}

fn zone(check: &mut Checker, zone: Option<&At<String>>) -> String {
    let Some(zone) = zone else { return TimeFormat::UTC.to_owned() };
    if !is_zone(&zone.value) {
        let names = zone_names();
        let near = closest(&zone.value, names.iter().map(String::as_str));
        let help = near.map_or("such as `Europe/Berlin`, or `UTC`".to_owned(), |near| format!("did you mean {near}?"));
        check.error(zone.place, format!("there is no zone `{}`", zone.value), help);
    }
    zone.value.clone()
}
