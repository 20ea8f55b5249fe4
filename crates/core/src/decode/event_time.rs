//! From an event's fields to its time.

use regex::Regex;

use super::error::{DecodeError, Place};
use crate::config::{FieldPath, TimeFormat, Timestamp};
use crate::value::Value;
use crate::value::time::{BadTime, TimeReader, in_range, shown};

/// Where the event time is, ready to be read: the first of these that is there.
#[derive(Debug)]
pub(super) struct EventTime(Vec<Way>);

#[derive(Debug)]
enum Way {
    Record,
    Field { slot: usize, path: FieldPath, times: TimeReader, part: Option<Regex> },
    Parts { seconds: usize, nanos: usize, paths: [FieldPath; 2], times: TimeReader },
}

/// What is wrong with the time that is there, or that there is none.
enum Not {
    There,
    Read(BadTime),
}

impl EventTime {
    /// `slot` gives each field its place among an event's values.
    pub fn new(timestamp: &Timestamp, slot: &mut dyn FnMut(&FieldPath) -> usize) -> EventTime {
        let one = |timestamp: &Timestamp| match timestamp {
            Timestamp::Field { path, format, part } => Some(Way::Field {
                slot: slot(path),
                path: path.clone(),
                times: TimeReader::new(format),
                // The config has been checked: a pattern that is none is not here.
                part: part.as_deref().and_then(|part| Regex::new(part).ok()),
            }),
            Timestamp::Parts { seconds, nanos } => Some(Way::Parts {
                seconds: slot(seconds),
                nanos: slot(nanos),
                paths: [seconds.clone(), nanos.clone()],
                times: TimeReader::new(&TimeFormat::UnixSeconds),
            }),
            Timestamp::Kafka => Some(Way::Record),
            // A list has no lists in it.
            Timestamp::FirstOf(_) => None,
        };
        let all =
            if let Timestamp::FirstOf(all) = timestamp { all.as_slice() } else { std::slice::from_ref(timestamp) };
        EventTime(all.iter().filter_map(one).collect())
    }

    /// The time of an event, Unix milliseconds, from 1970 to 9999.
    ///
    /// # Errors
    /// [`DecodeError`], if it has none that can be used.
    #[inline]
    pub fn read(&self, values: &[Value<'_>], record_time: Option<i64>) -> Result<i64, DecodeError> {
        match self.0.as_slice() {
            [Way::Field { slot, times, part: None, .. }] => match values[*slot] {
                Value::Missing | Value::Null => Err(self.missing()),
                value => times.millis(value).map_err(|why| self.0[0].bad(why)),
            },
            all => self.first(all, values, record_time),
        }
    }

    fn first(&self, all: &[Way], values: &[Value<'_>], record_time: Option<i64>) -> Result<i64, DecodeError> {
        let mut bad: Option<(&FieldPath, DecodeError)> = None;
        for way in all {
            // What could not be read one way is only read another way, not elsewhere.
            if bad.as_ref().is_some_and(|(path, _)| way.path() != Some(path)) {
                continue;
            }
            match way.read(values, record_time) {
                Ok(time) => return Ok(time),
                Err(Not::There) => {}
                Err(Not::Read(why)) => match way.path() {
                    Some(path) if bad.is_none() => bad = Some((path, way.bad(why))),
                    Some(_) => {}
                    None => return Err(way.bad(why)),
                },
            }
        }
        Err(bad.map_or_else(|| self.missing(), |(_, error)| error))
    }

    #[cold]
    fn missing(&self) -> DecodeError {
        let place = match self.0.as_slice() {
            [way] => way.place(),
            ways => {
                let mut paths: Vec<&FieldPath> = ways.iter().filter_map(Way::path).collect();
                paths.dedup();
                Place::AnyOf(paths.into_iter().map(|path| path.to_string().into()).collect())
            }
        };
        DecodeError::MissingTimestamp { place }
    }
}

impl Way {
    fn read(&self, values: &[Value<'_>], record_time: Option<i64>) -> Result<i64, Not> {
        match self {
            Way::Record => record_time.map_or(Err(Not::There), |time| in_range(time).map_err(Not::Read)),
            Way::Field { slot, times, part, .. } => {
                let value = values[*slot];
                if value.is_nothing() {
                    return Err(Not::There);
                }
                match part {
                    None => times.millis(value).map_err(Not::Read),
                    Some(part) => matched(value, part, times).map_err(Not::Read),
                }
            }
            Way::Parts { seconds, nanos, times, .. } => {
                let seconds = values[*seconds];
                if seconds.is_nothing() {
                    return Err(Not::There);
                }
                let millis =
                    times.millis(seconds).and_then(|millis| Ok(millis + below_a_second(values[*nanos])? / 1_000_000));
                millis.and_then(in_range).map_err(Not::Read)
            }
        }
    }

    fn path(&self) -> Option<&FieldPath> {
        match self {
            Way::Record => None,
            Way::Field { path, .. } | Way::Parts { paths: [path, _], .. } => Some(path),
        }
    }

    fn place(&self) -> Place {
        self.path().map_or(Place::Record, |path| Place::Field(path.to_string().into()))
    }

    #[cold]
    fn bad(&self, why: BadTime) -> DecodeError {
        DecodeError::BadTimestamp { place: self.place(), why }
    }
}

/// The time in the part of a text, or of a number as it would be written, that a pattern finds.
fn matched(value: Value<'_>, part: &Regex, times: &TimeReader) -> Result<i64, BadTime> {
    let written;
    let text = match value {
        Value::Str(text) | Value::Digits(text) => text,
        Value::Int(number) => {
            written = number.to_string();
            &written
        }
        Value::Float(number) => {
            written = number.to_string();
            &written
        }
        other => return times.millis(other),
    };
    match part.captures(text).and_then(|found| found.get(1).or(found.get(0))) {
        Some(found) => times.millis(Value::Str(found.as_str())),
        None => Err(BadTime::NoMatch { text: shown(text) }),
    }
}

/// The nanoseconds that are added to whole seconds; none are 0.
fn below_a_second(value: Value<'_>) -> Result<i64, BadTime> {
    let number = match value {
        nothing if nothing.is_nothing() => Some(0),
        Value::Int(number) => Some(number),
        Value::Str(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|number| (0..1_000_000_000).contains(number)).ok_or_else(|| BadTime::Unparsable {
        text: shown(&format!("{value:?}")),
        expected: "a number of nanoseconds below 1000000000".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FieldPath {
        FieldPath::parse(text).unwrap()
    }

    fn in_field(field: &str, format: TimeFormat) -> Timestamp {
        Timestamp::field(path(field), format)
    }

    /// Reads the values of `a`, `b` and `c`.
    fn read(timestamp: &Timestamp, values: [Value<'_>; 3]) -> Result<i64, String> {
        let slot = &mut |path: &FieldPath| ["a", "b", "c"].iter().position(|name| *name == path.to_string()).unwrap();
        EventTime::new(timestamp, slot).read(&values, Some(9_000)).map_err(|error| error.to_string())
    }

    const NONE: Value<'_> = Value::Missing;

    #[test]
    fn the_first_that_is_there_counts_and_the_records_own_is_always_there() {
        let list = Timestamp::FirstOf(vec![
            in_field("a", TimeFormat::UnixSeconds),
            in_field("b", TimeFormat::Rfc3339),
            Timestamp::Kafka,
        ]);
        assert_eq!(read(&list, [Value::Int(7), Value::Str("1970-01-01T00:00:08Z"), NONE]), Ok(7_000));
        assert_eq!(read(&list, [Value::Null, Value::Str("1970-01-01T00:00:08Z"), NONE]), Ok(8_000));
        assert_eq!(read(&list, [Value::Str(""), NONE, NONE]), Ok(9_000));
        // What is there and no time is no reason to look elsewhere.
        assert!(
            read(&list, [Value::Str("soon"), Value::Str("1970-01-01T00:00:08Z"), NONE]).unwrap_err().contains("`soon`")
        );
        let fields = Timestamp::FirstOf(vec![in_field("a", TimeFormat::Unix), in_field("b", TimeFormat::Unix)]);
        let why = read(&fields, [NONE, Value::Null, NONE]).unwrap_err();
        assert_eq!(why, "the event has no time: each of the fields `a`, `b` is missing");
    }

    #[test]
    fn one_field_may_be_written_in_two_ways() {
        let list = Timestamp::FirstOf(vec![
            in_field("a", TimeFormat::UnixMillis),
            in_field("a", TimeFormat::Rfc3339),
            Timestamp::Kafka,
        ]);
        assert_eq!(read(&list, [Value::Int(7), NONE, NONE]), Ok(7));
        assert_eq!(read(&list, [Value::Str("1970-01-01T00:00:08Z"), NONE, NONE]), Ok(8_000));
        assert_eq!(read(&list, [NONE, NONE, NONE]), Ok(9_000));
        // The first way is the one that is told of.
        let why = read(&list, [Value::Str("soon"), NONE, NONE]).unwrap_err();
        assert!(why.contains("`soon`") && why.contains("milliseconds"), "{why}");
    }

    #[test]
    fn a_time_may_be_a_part_of_a_text() {
        let part = Some(r"^(\d+\.\d+):".to_owned());
        let audit = Timestamp::Field { path: path("a"), format: TimeFormat::UnixSeconds, part };
        assert_eq!(read(&audit, [Value::Str("1688048710.843:30826"), NONE, NONE]), Ok(1_688_048_710_843));
        let why = read(&audit, [Value::Str("30826"), NONE, NONE]).unwrap_err();
        assert!(why.contains("`30826`") && why.contains("`match`"), "{why}");
        assert!(read(&audit, [NONE, NONE, NONE]).unwrap_err().contains("field `a` is missing"));
        let digits =
            Timestamp::Field { path: path("a"), format: TimeFormat::UnixSeconds, part: Some("^[0-9]{10}".into()) };
        assert_eq!(read(&digits, [Value::Int(1_688_048_710_843), NONE, NONE]), Ok(1_688_048_710_000));
    }

    #[test]
    fn seconds_and_nanoseconds_may_stand_in_two_fields() {
        let parts = Timestamp::Parts { seconds: path("a"), nanos: path("b") };
        let seconds = Value::Int(1_688_048_710);
        assert_eq!(read(&parts, [seconds, Value::Int(843_999_999), NONE]), Ok(1_688_048_710_843));
        assert_eq!(read(&parts, [Value::Str("1688048710"), Value::Str("5000000"), NONE]), Ok(1_688_048_710_005));
        assert_eq!(read(&parts, [seconds, NONE, NONE]), Ok(1_688_048_710_000));
        assert!(read(&parts, [NONE, Value::Int(5), NONE]).unwrap_err().contains("field `a` is missing"));
        for bad in [Value::Int(1_000_000_000), Value::Int(-1), Value::Bool(true), Value::Str("x")] {
            assert!(read(&parts, [seconds, bad, NONE]).is_err(), "{bad:?}");
        }
    }
}
