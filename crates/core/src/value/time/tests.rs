//! What each format takes, refuses, and says.

use proptest::prelude::*;

use super::*;

/// 2025-11-20T16:57:52.123Z.
const TIME: i64 = 1_763_657_872_123;

fn utc() -> String {
    "UTC".into()
}

fn iso(zone: &str) -> TimeFormat {
    TimeFormat::Iso8601 { zone: zone.into() }
}

fn clf(zone: &str) -> TimeFormat {
    TimeFormat::Clf { zone: zone.into() }
}

fn pattern(pattern: &str, zone: &str) -> TimeFormat {
    TimeFormat::Pattern { pattern: pattern.into(), zone: zone.into() }
}

fn millis(value: Value<'_>, format: &TimeFormat) -> Result<i64, BadTime> {
    TimeReader::new(format).millis(value)
}

#[test]
fn every_format_names_the_same_millisecond() {
    use TimeFormat::{Rfc3339, Unix, UnixMicros, UnixMillis, UnixNanos, UnixSeconds};
    for (value, format) in [
        (Value::Int(TIME), UnixMillis),
        (Value::Float(1_763_657_872_123.9), UnixMillis),
        (Value::Str("1763657872123"), UnixMillis),
        (Value::Float(1_763_657_872.123), UnixSeconds),
        (Value::Float(1_763_657_872.123_999), UnixSeconds),
        (Value::Str("1763657872.123"), UnixSeconds),
        (Value::Str("1.763657872123e9"), UnixSeconds),
        (Value::Int(1_763_657_872_123_999), UnixMicros),
        (Value::Str("1763657872123999"), UnixMicros),
        (Value::Float(1.763_657_872_123_5e15), UnixMicros),
        (Value::Int(1_763_657_872_123_999_999), UnixNanos),
        (Value::Float(1.763_657_872_123_5e18), UnixNanos),
        (Value::Float(1_763_657_872.123), Unix),
        (Value::Int(TIME), Unix),
        (Value::Str("1763657872123999"), Unix),
        (Value::Int(1_763_657_872_123_999_999), Unix),
        (Value::Str("2025-11-20T16:57:52.123Z"), Rfc3339),
        (Value::Str("2025-11-20T16:57:52.123999999Z"), Rfc3339),
        (Value::Str("2025-11-20T17:57:52.123+01:00"), Rfc3339),
        (Value::Str("2025-11-20T16:57:52.123"), iso("UTC")),
        (Value::Str("2025-11-20 17:57:52,123"), iso("Europe/Berlin")),
        (Value::Str("2025-11-20T17:57:52.123+01:00"), iso("Asia/Tokyo")),
        (Value::Str("20251120T165752.123"), iso("UTC")),
        (Value::Str("2025-11-20 17:57:52.123 +0100"), iso("UTC")),
        (Value::Str("2025-11-20 17:57:52.123 +0100 CET"), iso("UTC")),
        (Value::Str("2025-11-20 17:57:52.123 CET"), iso("UTC")),
        (Value::Str("20/Nov/2025:16:57:52.123"), clf("UTC")),
        (Value::Str("20/Nov/2025:17:57:52.123"), clf("Europe/Berlin")),
        (Value::Str("20/nov/2025:17:57:52.123 +0100"), clf("Asia/Tokyo")),
        (Value::Str("[20/Nov/2025:16:57:52.123456789 +0000]"), clf("UTC")),
        (Value::Str("Thu Nov 20 16:57:52.123 2025"), pattern("%a %b %d %H:%M:%S%.f %Y", "UTC")),
        (Value::Str("20.11.2025 17:57:52,123"), pattern("%d.%m.%Y %H:%M:%S,%f", "Europe/Berlin")),
        (Value::Str("11/20/25 08:57:52.123 AM -0800"), pattern("%m/%d/%y %I:%M:%S%.f %p %z", "UTC")),
        (Value::Str("2025-11-20 11:57:52.123 EST"), pattern("%F %T%.f %Z", "UTC")),
        (Value::Str("1763657872.123"), pattern("%s%.f", "UTC")),
    ] {
        assert_eq!(millis(value, &format), Ok(TIME), "{value:?} {format:?}");
    }
}

/// RFC 3339 itself, and more: what `jiff` takes. The page on fields says so.
#[test]
fn rfc3339_takes_these_and_not_those() {
    for (text, shown) in [
        ("2025-11-20T16:57:52Z", "2025-11-20T16:57:52Z"),
        ("2025-11-20t16:57:52z", "2025-11-20T16:57:52Z"),
        ("2025-11-20 16:57:52Z", "2025-11-20T16:57:52Z"),
        ("2025-11-20T16:57:52+0000", "2025-11-20T16:57:52Z"),
        ("2025-11-20T16:57:52-04:00", "2025-11-20T20:57:52Z"),
        ("2025-11-20T16:57:52-0400", "2025-11-20T20:57:52Z"),
        ("2025-11-20T16:57:52-04", "2025-11-20T20:57:52Z"),
        ("2025-11-20T16:57:52,5Z", "2025-11-20T16:57:52.5Z"),
        ("2025-11-20T16:57Z", "2025-11-20T16:57:00Z"),
        // A leap second is the second before it.
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
    ] {
        let expected: jiff::Timestamp = shown.parse().unwrap();
        assert_eq!(millis(Value::Str(text), &TimeFormat::Rfc3339), Ok(expected.as_millisecond()), "{text}");
    }
    for text in [
        "2025-11-20T16:57:52",
        "2025-11-20",
        "2025-11-20 16:57:52 +0000",
        "2025-11-20 16:57:52 UTC",
        "2025-11-20T16:57:52.Z",
        "2025-11-20T16:57:52.1234567891Z",
        "2025-11-20T24:00:00Z",
        "2025-02-29T00:00:00Z",
        "2025-11-20T16:57:61Z",
        "20/Nov/2025:16:57:52 +0000",
        " 2025-11-20T16:57:52Z",
        "",
    ] {
        let why = millis(Value::Str(text), &TimeFormat::Rfc3339).unwrap_err();
        assert!(matches!(why, BadTime::Unparsable { .. }), "{text}: {why}");
    }
}

#[test]
fn what_clocks_skip_is_read_as_before_and_what_they_show_twice_is_the_first_unless_it_says_which() {
    let read = |text: &str, zone: &str| {
        let millis = millis(Value::Str(text), &iso(zone)).unwrap();
        jiff::Timestamp::from_millisecond(millis).unwrap().to_string()
    };
    // Berlin sets its clocks from 2:00 to 3:00, and in autumn from 3:00 to 2:00.
    assert_eq!(read("2026-03-29T01:59:59", "Europe/Berlin"), "2026-03-29T00:59:59Z");
    assert_eq!(read("2026-03-29T02:30:00", "Europe/Berlin"), "2026-03-29T01:30:00Z");
    assert_eq!(read("2026-03-29T03:00:00", "Europe/Berlin"), "2026-03-29T01:00:00Z");
    assert_eq!(read("2026-10-25T02:30:00", "Europe/Berlin"), "2026-10-25T00:30:00Z");
    assert_eq!(read("2026-10-25 02:30:00 CEST", "Europe/Berlin"), "2026-10-25T00:30:00Z");
    assert_eq!(read("2026-10-25 02:30:00 CET", "Europe/Berlin"), "2026-10-25T01:30:00Z");
    // An abbreviation of several places is its own zone's.
    assert_eq!(read("2026-06-01 10:00:00 IST", "Asia/Kolkata"), "2026-06-01T04:30:00Z");
    assert_eq!(read("2026-06-01 10:00:00 IST", "Europe/Dublin"), "2026-06-01T09:00:00Z");
    let why = millis(Value::Str("2026-06-01 10:00:00 IST"), &iso("UTC")).unwrap_err();
    assert_eq!(why, BadTime::UnclearZone { zone: "IST".into() });
}

#[test]
fn an_abbreviation_means_one_offset_wherever_it_is_used() {
    let since: jiff::Timestamp = "2019-01-01T00:00:00Z".parse().unwrap();
    let (mut zones, mut seen) = (0, std::collections::BTreeSet::new());
    for name in zone_names() {
        let zone = jiff::tz::TimeZoneDatabase::bundled().get(&name).unwrap();
        zones += 1;
        for month in 0..12 * 12 {
            let info = zone.to_offset_info(since + jiff::SignedDuration::from_hours(730 * month));
            let known = super::zone::ABBREVIATIONS.iter().find(|(known, _)| *known == info.abbreviation());
            if let Some((abbreviation, minutes)) = known {
                assert_eq!(info.offset().seconds(), minutes * 60, "{abbreviation} in {name}");
                seen.insert(abbreviation);
            }
        }
    }
    assert!(zones > 400 && seen.len() > 25, "{zones} zones, {seen:?}");
}

#[test]
fn a_number_that_only_fits_another_unit_is_refused_with_the_unit_that_it_fits() {
    use TimeFormat::{UnixMicros, UnixMillis, UnixNanos, UnixSeconds};
    for (value, format, unit, lies) in [
        (Value::Int(1_653_485_126), UnixNanos, "unix_s", "in the 1970s"),
        (Value::Str("1653485126"), UnixNanos, "unix_s", "in the 1970s"),
        (Value::Int(1_653_485_126), UnixMillis, "unix_s", "in the 1970s"),
        (Value::Float(1_653_485_126.5), UnixMillis, "unix_s", "in the 1970s"),
        (Value::Int(1_653_485_126_000), UnixMicros, "unix_ms", "in the 1970s"),
        (Value::Int(1_653_485_126_000), UnixSeconds, "unix_ms", "after the year 9999"),
        (Value::Int(1_653_485_126_000_000), UnixMillis, "unix_us", "after the year 9999"),
        (Value::Int(1_653_485_126_000_000_000), UnixMillis, "unix_ns", "after the year 9999"),
    ] {
        let why = millis(value, &format).unwrap_err();
        assert_eq!(why, BadTime::OtherUnit { lies, unit, year: 2022 }, "{value:?} {format:?}");
    }
    // Whatever fits no other unit is taken as it is said.
    for (value, format) in
        [(0, UnixMillis), (5, UnixSeconds), (60_000, UnixMillis), (86_400_000, UnixMillis), (100, UnixNanos)]
    {
        assert!(millis(Value::Int(value), &format).is_ok(), "{value} {format:?}");
    }
}

#[test]
fn what_is_no_time_says_why() {
    use TimeFormat::{Rfc3339, Unix, UnixMillis, UnixSeconds};
    for (value, format) in [
        (Value::Bool(true), UnixMillis),
        (Value::Composite, UnixSeconds),
        (Value::Int(1), Rfc3339),
        (Value::Str("yesterday"), Rfc3339),
        (Value::Str(""), UnixMillis),
        (Value::Str("inf"), UnixMillis),
        (Value::Str("NaN"), UnixMillis),
        (Value::Str("-inf"), Unix),
        (Value::Str("12 "), UnixMillis),
        (Value::Str("20/Nov/2025"), clf("UTC")),
        (Value::Str("20/Nox/2025:16:57:52 +0000"), clf("UTC")),
        (Value::Str("31/Feb/2025:16:57:52 +0000"), clf("UTC")),
        (Value::Str("20/Nov/2025:16:57:52 UTC+1"), clf("UTC")),
        (Value::Str("20/Nov/2025:16:57:52."), clf("UTC")),
        (Value::Str("[20/Nov/2025:16:57:52 +0000"), clf("UTC")),
        (Value::Str("20/Nov/2025:24:57:52"), clf("UTC")),
        (Value::Str("20/Nov/é025:16:57:52"), clf("UTC")),
        (Value::Str("tomorrow"), pattern("%F %T", "UTC")),
        (Value::Str("2025-11-20 16:57:52 "), pattern("%F %T %Z", "UTC")),
        (Value::Int(7), pattern("%F %T", "UTC")),
    ] {
        let why = millis(value, &format).unwrap_err();
        assert!(matches!(why, BadTime::WrongType { .. } | BadTime::Unparsable { .. }), "{value:?} {format:?}: {why}");
    }
}

#[test]
fn only_1970_to_9999_are_times() {
    use TimeFormat::{Rfc3339, UnixMillis, UnixNanos, UnixSeconds};
    assert_eq!(millis(Value::Int(-1), &UnixNanos), Err(BadTime::Before1970));
    assert_eq!(millis(Value::Str("1969-12-31T23:59:59.999Z"), &Rfc3339), Err(BadTime::Before1970));
    assert_eq!(millis(Value::Int(i64::MAX), &UnixSeconds), Err(BadTime::After9999));
    assert_eq!(millis(Value::Float(1e300), &UnixMillis), Err(BadTime::After9999));
    assert_eq!(millis(Value::Float(-1e300), &UnixMillis), Err(BadTime::Before1970));
    assert_eq!(millis(Value::Digits("99999999999999999999"), &UnixMillis), Err(BadTime::After9999));
    assert_eq!(millis(Value::Int(0), &UnixMillis), Ok(0));
    assert_eq!(millis(Value::Str("9999-12-31T23:59:59.999Z"), &Rfc3339), Ok(LAST));
}

#[test]
fn a_pattern_has_to_say_all_of_a_time() {
    for good in
        ["%F %T", "%Y-%m-%dT%H:%M:%S%.f%z", "%d/%b/%y %I:%M:%S %p", "%s", "%a, %d %b %Y %T %Z", "%Y%j %T", "%c %Q"]
    {
        let problem = pattern_problem(good);
        assert_eq!(problem.is_some(), good.contains("%c"), "{good}: {problem:?}");
    }
    for bad in ["%H:%M:%S", "%b %d %T", "%F", "%F %H:%M", "%Y", "%!", "%Z", "%F %I:%M:%S", ""] {
        assert!(pattern_problem(bad).is_some(), "{bad}");
    }
}

proptest! {
    #[test]
    fn the_short_way_to_read_utc_agrees_with_the_long_one(millis in 0..=LAST, decimals in 0usize..=9) {
        let time = jiff::Timestamp::from_millisecond(millis).unwrap();
        let text = format!("{time:.*}", decimals);
        let parsed: jiff::Timestamp = text.parse().unwrap();
        prop_assert_eq!(utc_millis(text.as_bytes()), Some(parsed.as_millisecond()), "{}", text);
    }

    #[test]
    fn the_short_way_takes_nothing_that_the_long_one_refuses(
        date in "[0-2][09][0-9]{2}-[01][0-9]-[0-3][0-9]",
        time in r"T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?Z",
    ) {
        let text = date + &time;
        if let Some(millis) = utc_millis(text.as_bytes()) {
            let parsed = text.parse::<jiff::Timestamp>().map(|time| time.as_nanosecond().div_euclid(1_000_000));
            prop_assert_eq!(parsed.ok(), Some(millis.into()), "{}", text);
        }
    }

    /// Slowly, by the library's own pattern.
    #[test]
    fn access_log_times_are_read_as_their_pattern_says(
        text in "[0-3][0-9]/(Jan|Feb|May|Dec)/20[0-3][0-9]:[0-2][0-9]:[0-6][0-9]:[0-5][0-9]( [+-](0[0-9]|1[0-4])[0-5][0-9])?",
    ) {
        let offset = text.contains(' ');
        let slow = match offset {
            true => jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", &text).and_then(|found| found.to_timestamp()),
            false => jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S", &text)
                .and_then(|found| found.to_datetime())
                .and_then(|shown| shown.to_zoned(jiff::tz::TimeZone::UTC))
                .map(|zoned| zoned.timestamp()),
        };
        let found = millis(Value::Str(&text), &clf("UTC")).ok();
        prop_assert_eq!(found, slow.ok().map(|time| time.as_millisecond()), "{}", text);
    }

    #[test]
    fn no_text_stops_a_reader(text in prop_oneof![any::<String>(), "[0-9T:. /+A-Za-zé-]{0,40}"]) {
        for format in [TimeFormat::Rfc3339, iso("Europe/Berlin"), clf("UTC"), pattern("%d %b %Y %T %Z", &utc()), TimeFormat::Unix] {
            let _ = millis(Value::Str(&text), &format);
        }
    }
}
