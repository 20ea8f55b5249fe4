//! Times that do not say their year get the one that brings them closest to their record's own time.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// The time as ISO 8601 writes it, without a zone; `time` is `16:57:52`, with decimals or not. `None`: there is no such
/// time, or nothing to guess its year from.
pub(super) fn dated(year: Option<i16>, month: i8, day: i8, time: &str, record_time: Option<i64>) -> Option<String> {
    let clock: Time = time.parse().ok().filter(|_| time.len() >= 8 && time.as_bytes()[2] == b':')?;
    let at = |year: i16| Some(DateTime::from_parts(Date::new(year, month, day).ok()?, clock));
    let found = match year {
        Some(year) => at(year)?,
        None => {
            let record = jiff::Timestamp::from_millisecond(record_time?).ok()?;
            let near = Offset::UTC.to_datetime(record).year();
            let distance = |time: &DateTime| {
                Offset::UTC.to_timestamp(*time).map_or(i64::MAX, |time| (time.as_second() - record.as_second()).abs())
            };
            [near - 1, near, near + 1].into_iter().filter_map(at).min_by_key(distance)?
        }
    };
    Some(found.to_string())
}
