//! The times of access logs: `17/May/2015:08:05:32 +0000`, HAProxy's `15/Jun/2026:12:11:18.838`, in brackets or not.

use jiff::civil::DateTime;

use super::parts::{digits, fraction, offset};
use super::zone::Zone;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Nanoseconds since 1970; `zone` is that of a time that does not say its own.
pub(super) fn read(text: &str, zone: &Zone) -> Option<i128> {
    let bare = text.strip_prefix('[').map_or(Some(text), |inside| inside.strip_suffix(']'))?;
    let (head, tail) = bare.as_bytes().split_first_chunk::<20>()?;
    if [head[2], head[6], head[11], head[14], head[17]] != *b"//:::" {
        return None;
    }
    let number = |from: usize, to: usize| digits(&head[from..to]);
    let month = MONTHS.iter().position(|month| head[3..6].eq_ignore_ascii_case(*month))? as i8 + 1;
    let (day, year) = (number(0, 2)? as i8, number(7, 11)? as i16);
    let (hour, minute, second) = (number(12, 14)? as i8, number(15, 17)? as i8, number(18, 20)? as i8);
    let tail = std::str::from_utf8(tail).ok()?;
    let (decimals, said) = tail.split_once(' ').map_or((tail, None), |(decimals, said)| (decimals, Some(said)));
    let nanos = if decimals.is_empty() { 0 } else { fraction(decimals)? };
    let shown = DateTime::new(year, month, day, hour, minute, second.min(59), nanos).ok()?;
    // A leap second, as elsewhere, is the last one before it.
    if second > 60 {
        return None;
    }
    match said {
        None => zone.nanos(shown),
        Some(said) => Some(offset(said)?.to_timestamp(shown).ok()?.as_nanosecond()),
    }
}
