//! Times as text: RFC 3339, ISO 8601, and patterns of strftime.

use jiff::civil::DateTime;
use jiff::fmt::strtime::{self, BrokenDownTime};

use super::BadTime;
use super::parts::offset;
use super::zone::Zone;

/// Nanoseconds since 1970.
pub(super) fn rfc3339(text: &str) -> Option<i128> {
    if let Some(millis) = utc_millis(text.as_bytes()).filter(|_| !text.contains('.')) {
        return Some(i128::from(millis) * 1_000_000);
    }
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_nanosecond())
}

/// A date and a time of day in ISO 8601, with an offset or without one.
#[derive(Clone, Debug)]
pub(super) struct Iso8601 {
    /// Of a time that does not say its own.
    zone: Zone,
}

impl Iso8601 {
    pub fn new(zone: Zone) -> Iso8601 {
        Iso8601 { zone }
    }

    pub fn read(&self, text: &str) -> Result<Option<i128>, BadTime> {
        let text = text.trim_ascii();
        if let Some(nanos) = rfc3339(text) {
            return Ok(Some(nanos));
        }
        if let Some(shown) = civil(text) {
            return Ok(self.zone.nanos(shown));
        }
        let Some((rest, last)) = text.rsplit_once(' ') else { return Ok(None) };
        if let Some(offset) = self::offset(last) {
            return Ok(civil(rest).and_then(|shown| Some(offset.to_timestamp(shown).ok()?.as_nanosecond())));
        }
        if last.is_empty() || !last.bytes().all(|c| c.is_ascii_alphabetic()) {
            return Ok(None);
        }
        // As Go prints times: an offset, and its abbreviation.
        if let Some((rest, offset)) = rest.rsplit_once(' ')
            && let (Some(shown), Some(offset)) = (civil(rest), self::offset(offset))
        {
            return Ok(offset.to_timestamp(shown).ok().map(|time| time.as_nanosecond()));
        }
        let Some(shown) = civil(rest) else { return Ok(None) };
        named(&self.zone, last, shown).map(Some)
    }
}

fn named(zone: &Zone, abbreviation: &str, shown: DateTime) -> Result<i128, BadTime> {
    let unclear = || BadTime::UnclearZone { zone: super::shown(abbreviation) };
    zone.nanos_in(abbreviation, shown).ok_or_else(unclear)
}

fn civil(text: &str) -> Option<DateTime> {
    text.parse().ok()
}

/// A pattern of strftime; `%Z` at its end is a zone's abbreviation.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pattern: String,
    /// What stands before the abbreviation, if the pattern ends with one.
    named: bool,
    zone: Zone,
}

impl Pattern {
    pub fn new(pattern: &str, zone: Zone) -> Pattern {
        let (pattern, named) = pattern.strip_suffix("%Z").map_or((pattern, false), |rest| (rest.trim_end(), true));
        Pattern { pattern: pattern.to_owned(), named, zone }
    }

    pub fn read(&self, text: &str) -> Result<Option<i128>, BadTime> {
        if !self.named {
            let found = strtime::parse(&self.pattern, text).ok();
            return Ok(found.and_then(|found| self.nanos(&found)));
        }
        let end = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (rest, abbreviation) = text.split_at(end);
        match strtime::parse(&self.pattern, rest.trim_end()).and_then(|found| found.to_datetime()) {
            Ok(shown) if !abbreviation.is_empty() => named(&self.zone, abbreviation, shown).map(Some),
            _ => Ok(None),
        }
    }

    fn nanos(&self, found: &BrokenDownTime) -> Option<i128> {
        if let Ok(time) = found.to_timestamp() {
            // `%s` is whole seconds, whatever stands after it.
            let whole = found.timestamp().is_some();
            let more = if whole { found.subsec_nanosecond().unwrap_or(0) } else { 0 };
            return Some(time.as_nanosecond() + i128::from(more));
        }
        self.zone.nanos(found.to_datetime().ok()?)
    }
}

/// What is wrong with a pattern of strftime: it has to read back what it writes, to the second.
pub fn pattern_problem(pattern: &str) -> Option<String> {
    let reader = Pattern::new(pattern, Zone::default());
    let example = jiff::Timestamp::constant(1_763_657_872, 123_456_789).to_zoned(jiff::tz::TimeZone::UTC);
    let written = match strtime::format(&reader.pattern, &example) {
        Ok(text) if reader.named => format!("{text} UTC"),
        Ok(text) => text,
        Err(error) => return Some(error.to_string()),
    };
    match reader.read(&written) {
        Ok(Some(nanos)) if nanos / 1_000_000_000 == 1_763_657_872 => None,
        Ok(Some(_)) => Some(format!("it does not say all of a time: `{written}` has no seconds, or no day")),
        _ => Some(match strtime::parse(&reader.pattern, &written).and_then(|found| found.to_datetime()) {
            Ok(_) => format!("`{written}` is not a time"),
            Err(error) => error.to_string(),
        }),
    }
}

/// The usual form, `2025-11-20T16:57:52Z` with up to nine decimals, in Unix milliseconds; `None` for all else, right or wrong.
#[inline]
pub fn utc_millis(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let marks = [head[4], head[7], head[10], head[13], head[16]];
    if marks != *b"--T::" {
        return None;
    }
    let two = |at: usize| digits(&head[at..at + 2]);
    let (year, month, day) = (digits(&head[..4])?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let millis = decimals(tail)?;
    valid.then(|| ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + millis)
}

/// Milliseconds in what follows the seconds: `Z`, or a point, one to nine digits and `Z`.
fn decimals(tail: &[u8]) -> Option<i64> {
    let tail = tail.strip_suffix(b"Z")?;
    if tail.is_empty() {
        return Some(0);
    }
    let fraction = tail.strip_prefix(b".").filter(|f| (1..=9).contains(&f.len()))?;
    digits(fraction)?;
    Some(fraction.iter().chain(b"00").take(3).fold(0, |n, &c| n * 10 + i64::from(c - b'0')))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, &c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counting years from March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719_468 days lie between 0000-03-01 and 1970-01-01; (153 m + 2) / 5 are the days of m months from March on.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}
