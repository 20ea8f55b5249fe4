//! The times in a record, read by the rules of the documentation: by regular expressions and the library's patterns.

use crate::config::TimeFormat;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use regex::Regex;
use serde_json::Value;

/// 1980 to 2099, Unix seconds: the times that a log can be of.
const OURS: std::ops::Range<f64> = 315_532_800.0..4_102_444_800.0;

/// Hours from UTC that an abbreviation means wherever it is used.
const ZONES: &str = "UTC 0 GMT 0 UT 0 Z 0 WET 0 WEST 1 CET 1 CEST 2 MEZ 1 MESZ 2 EET 2 EEST 3 MSK 3 TRT 3 SAST 2 EAT 3 WAT 1 PKT 5 \
     NPT 5.75 WIB 7 HKT 8 SGT 8 AWST 8 JST 9 KST 9 ACST 9.5 ACDT 10.5 AEST 10 AEDT 11 NZST 12 NZDT 13 EST -5 EDT -4 \
     MST -7 MDT -6 PDT -7 AKDT -8 HST -10";

/// Unix milliseconds; numbers may stand in strings. `part` is the pattern of the text's part that is the time.
pub fn millis(value: &Value, format: &TimeFormat, part: Option<&str>) -> Option<i64> {
    let mut value = value.clone();
    if let Some(part) = part {
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let pattern = Regex::new(part).ok()?;
        let found = pattern.captures(&text)?;
        value = Value::String(found.get(1).or(found.get(0))?.as_str().to_owned());
    }
    let Some(unit) = unit(&value, format) else {
        return i64::try_from(nanos(&value, format)?.div_euclid(1_000_000)).ok();
    };
    let (whole, number) = number(&value)?;
    let millis = match whole {
        Some(whole) => i64::try_from((i128::from(whole) * i128::from(unit)).div_euclid(1_000_000)).ok()?,
        // To the microsecond first: a time with three decimals is not one millisecond less for being a float.
        None if unit == 1_000_000_000 => ((number * 1e6).round() / 1e3).floor() as i64,
        // Divided once: each rounding of a float may be one too many.
        None => (number / (1e6 / unit as f64)).floor() as i64,
    };
    let seconds = |unit: i64| number * unit as f64 / 1e9;
    let fits_another =
        [1, 1_000, 1_000_000, 1_000_000_000].iter().any(|&other| other != unit && OURS.contains(&seconds(other)));
    let doubtful = *format != TimeFormat::Unix && millis < 315_532_800_000 && fits_another;
    (!doubtful).then_some(millis)
}

/// Unix milliseconds of whole seconds and the nanoseconds that are added to them.
pub fn parts(seconds: &Value, nanos: Option<Value>) -> Option<i64> {
    let millis = millis(seconds, &TimeFormat::UnixSeconds, None)?;
    let nanos: i64 = match nanos {
        None | Some(Value::Null) => 0,
        Some(Value::String(text)) if text.is_empty() => 0,
        Some(Value::String(text)) => text.parse().ok()?,
        Some(other) => other.as_i64()?,
    };
    (0..1_000_000_000).contains(&nanos).then(|| millis + nanos / 1_000_000)
}

/// Nanoseconds since 1970.
pub fn nanos(value: &Value, format: &TimeFormat) -> Option<i128> {
    if let Some(unit) = unit(value, format) {
        let whole = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        return Some(match whole {
            Some(whole) => i128::from(whole) * i128::from(unit),
            None => (super::tree::number(value)? * unit as f64).round() as i128,
        });
    }
    let text = value.as_str()?;
    match format {
        TimeFormat::Rfc3339 => rfc3339(text),
        TimeFormat::Iso8601 { zone } => {
            let text = text.trim();
            rfc3339(text).or_else(|| {
                let form =
                    Regex::new(r"^(?<shown>.*?)(?: (?<offset>[+-]\d\d:?\d\d))?(?: (?<zone>[A-Za-z]+))?$").ok()?;
                let found = form.captures(text)?;
                let shown: DateTime = found["shown"].parse().ok()?;
                match (found.name("offset"), found.name("zone")) {
                    (Some(said), _) => at_offset(shown, hours(said.as_str())?),
                    (None, Some(name)) => named(shown, name.as_str(), zone),
                    (None, None) => in_zone(shown, zone),
                }
            })
        }
        TimeFormat::Clf { zone } => {
            let form = Regex::new(
                r"^(?<open>\[)?(?<shown>\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d)(?:[.,](?<decimals>\d{1,9}))?(?: (?<offset>[+-]\d\d:?\d\d))?(?<close>\])?$",
            );
            let form = form.ok()?;
            let found = form.captures(text)?;
            if found.name("open").is_some() != found.name("close").is_some() {
                return None;
            }
            let shown = strtime::parse("%d/%b/%Y:%H:%M:%S", &found["shown"]).ok()?.to_datetime().ok()?;
            let decimals = found.name("decimals").map_or("0", |decimals| decimals.as_str());
            let more: i128 = format!("{decimals:0<9}").parse().ok()?;
            let whole = match found.name("offset") {
                Some(said) => at_offset(shown, hours(said.as_str())?)?,
                None => in_zone(shown, zone)?,
            };
            Some(whole + more)
        }
        TimeFormat::Pattern { pattern, zone } => {
            if let Some(pattern) = pattern.strip_suffix("%Z") {
                let form = Regex::new(r"^(?<shown>.*?)\s*(?<zone>[A-Za-z]+)$").ok()?;
                let found = form.captures(text)?;
                let shown = strtime::parse(pattern.trim_end(), &found["shown"]).ok()?.to_datetime().ok()?;
                return named(shown, &found["zone"], zone);
            }
            let found = strtime::parse(pattern, text).ok()?;
            match found.to_timestamp() {
                Ok(time) => {
                    let more = found.timestamp().and(found.subsec_nanosecond()).unwrap_or(0);
                    Some(time.as_nanosecond() + i128::from(more))
                }
                Err(_) => in_zone(found.to_datetime().ok()?, zone),
            }
        }
        _ => None,
    }
}

/// Nanoseconds of a number's unit; `None` for what is text.
fn unit(value: &Value, format: &TimeFormat) -> Option<i64> {
    match format {
        TimeFormat::UnixSeconds => Some(1_000_000_000),
        TimeFormat::UnixMillis => Some(1_000_000),
        TimeFormat::UnixMicros => Some(1_000),
        TimeFormat::UnixNanos => Some(1),
        TimeFormat::Unix => Some(match super::tree::number(value)?.abs() {
            n if n < 1e11 => 1_000_000_000,
            n if n < 1e14 => 1_000_000,
            n if n < 1e17 => 1_000,
            _ => 1,
        }),
        _ => None,
    }
}

fn number(value: &Value) -> Option<(Option<i64>, f64)> {
    match value {
        Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
            Some((text.parse().ok(), number))
        }
        Value::Number(number) => Some((number.as_i64(), number.as_f64()?)),
        _ => None,
    }
}

fn rfc3339(text: &str) -> Option<i128> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_nanosecond())
}

fn in_zone(shown: DateTime, zone: &str) -> Option<i128> {
    let zone = if zone == "UTC" { TimeZone::UTC } else { TimeZoneDatabase::bundled().get(zone).ok()? };
    Some(shown.to_zoned(zone).ok()?.timestamp().as_nanosecond())
}

/// By an abbreviation of the place's own first.
fn named(shown: DateTime, abbreviation: &str, zone: &str) -> Option<i128> {
    let place = if zone == "UTC" { TimeZone::UTC } else { TimeZoneDatabase::bundled().get(zone).ok()? };
    let either = place.to_ambiguous_timestamp(shown);
    for time in [either.earlier(), either.later()].into_iter().flatten() {
        if place.to_offset_info(time).abbreviation() == abbreviation {
            return Some(time.as_nanosecond());
        }
    }
    let words: Vec<&str> = ZONES.split_whitespace().collect();
    let known = words.chunks(2).find(|pair| pair[0] == abbreviation)?;
    at_offset(shown, known[1].parse().ok()?)
}

fn at_offset(shown: DateTime, hours: f64) -> Option<i128> {
    let offset = Offset::from_seconds((hours * 3_600.0).round() as i32).ok()?;
    Some(offset.to_timestamp(shown).ok()?.as_nanosecond())
}

/// `+0530` is 5.5.
fn hours(text: &str) -> Option<f64> {
    let digits = text.replace(':', "");
    let number: f64 = digits[1..].parse().ok()?;
    let hours = (number / 100.0).floor() + number % 100.0 / 60.0;
    Some(if text.starts_with('-') { -hours } else { hours })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::BadTime;
    use proptest::prelude::*;
    use streamgauge_core::value::Value as Field;
    use streamgauge_core::value::time::TimeReader;

    fn any_format() -> impl Strategy<Value = TimeFormat> {
        let zone = || prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("Asia/Kolkata"), Just("America/New_York")];
        let pattern =
            prop_oneof![Just("%F %T"), Just("%d/%b/%y %H:%M:%S %Z"), Just("%Y-%m-%d %H:%M:%S,%f"), Just("%s")];
        prop_oneof![
            Just(TimeFormat::UnixSeconds),
            Just(TimeFormat::UnixMillis),
            Just(TimeFormat::UnixMicros),
            Just(TimeFormat::UnixNanos),
            Just(TimeFormat::Unix),
            Just(TimeFormat::Rfc3339),
            zone().prop_map(|zone| TimeFormat::Iso8601 { zone: zone.into() }),
            zone().prop_map(|zone| TimeFormat::Clf { zone: zone.into() }),
            (pattern, zone())
                .prop_map(|(pattern, zone)| TimeFormat::Pattern { pattern: pattern.into(), zone: zone.into() }),
        ]
    }

    /// Texts that look like times in one of the formats, nearly.
    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "20[0-3][0-9]-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]([.,][0-9]{1,9})?(Z|[+-][01][0-9]:?[03]0| [+-]0[0-9]00( CET)?| (CET|CEST|EST|IST|UTC|XYZ))?",
            "\\[?[0-3][0-9]/(Jan|Mar|Oct|Dec)/20[0-3][0-9]:[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?( [+-]0[0-9]30)?\\]?",
            "[0-3][0-9]/(Jan|Mar|Oct)/[0-9]{2} [0-2][0-9]:[0-5][0-9]:[0-5][0-9] (CET|CEST|EST|EDT|IST|GMT)",
            "-?1[67][0-9]{8,17}(\\.[0-9]{1,9})?",
            "[0-9]{1,12}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// Two programs that share no code but the library's calendar.
        #[test]
        fn the_audit_reads_the_times_that_the_agent_reads(format in any_format(), text in any_text(), quoted: bool) {
            let number = serde_json::from_str::<serde_json::Number>(&text).ok().filter(|_| !quoted);
            let (json, field) = match &number {
                Some(number) => match number.as_i64() {
                    Some(whole) => (Value::Number(number.clone()), Field::Int(whole)),
                    None => (Value::Number(number.clone()), Field::Float(number.as_f64().unwrap())),
                },
                None => (Value::String(text.clone()), Field::Str(&text)),
            };
            // What lies outside of 1970 to 9999 is refused elsewhere here.
            let own = millis(&json, &format, None).filter(|millis| (0..=253_402_300_799_999).contains(millis));
            let agents: Result<i64, BadTime> = TimeReader::new(&format).millis(field);
            prop_assert_eq!(own, agents.clone().ok(), "{:?} {} {:?}", format, json, agents);
        }
    }
}
