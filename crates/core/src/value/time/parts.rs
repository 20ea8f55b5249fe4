//! Pieces of times that several formats have.

use jiff::tz::Offset;

/// Nanoseconds in `.5`, `.838`, `,123456789`: a point or a comma and one to nine digits.
pub(super) fn fraction(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['.', ','])?;
    if !(1..=9).contains(&digits.len()) || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some(digits.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |n, c| n * 10 + i32::from(c - b'0')))
}

/// `+0200`, `-05:30`.
pub(super) fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.as_bytes() {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [a, b, c, d] | [a, b, b':', c, d] => (digits(&[*a, *b])?, digits(&[*c, *d])?),
        _ => return None,
    };
    if hours > 25 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok()
}

pub(super) fn digits(text: &[u8]) -> Option<i32> {
    text.iter().try_fold(0, |n, c| c.is_ascii_digit().then(|| n * 10 + i32::from(c - b'0')))
}
