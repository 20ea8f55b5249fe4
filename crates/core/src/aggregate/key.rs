//! Identity of what is stored: aggregate, pane, labels; and its byte form, which is the changelog's and redb's key.

use std::sync::Arc;

/// Identity of an aggregate: a hash of its definition. A changed definition is another aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregateId(pub u64);

/// A key's labels, encoded: one kind byte (0 usual, 1 overflow), then each value as u32 length (big endian) and UTF-8.
pub type KeyBytes = Arc<[u8]>;

pub(super) const USUAL: u8 = 0;
const OVERFLOW: u8 = 1;

/// A slice of event time, `[end - pane length, end)`, of one key; or its total.
///
/// `late` tells how many pane lengths too late its events came: 0 holds all that came before stream time reached
/// `end + grace`, `n` what came in the n-th pane length after that. A window that ends `k` pane lengths after `end` was
/// still open for the events with `late ≤ k`, so it is the union of just those: this is how hopping windows built of
/// panes accept exactly the events they would accept if each were stored on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pane {
    /// Exclusive end, Unix milliseconds; [`Pane::TOTAL`] has `i64::MAX`.
    pub end: i64,
    pub late: u16,
}

impl Pane {
    /// Since the state began.
    pub const TOTAL: Pane = Pane { end: i64::MAX, late: 0 };
}

/// Identity of one stored entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    pub aggregate: AggregateId,
    pub pane: Pane,
    pub key: KeyBytes,
}

impl EntryKey {
    /// Bytes before the labels.
    const PREFIX: usize = 8 + 8 + 2;

    /// Byte form: aggregate id, pane end (order-preserving), lateness, labels. The pane end stands right after the id,
    /// so that all a task expires of an aggregate is one range.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::PREFIX + self.key.len());
        out.extend_from_slice(&EntryKey::prefix(self.aggregate, self.pane));
        out.extend_from_slice(&self.key);
        out
    }

    /// What the byte forms of all of a pane's entries begin with.
    pub fn prefix(aggregate: AggregateId, pane: Pane) -> [u8; Self::PREFIX] {
        let mut out = [0; Self::PREFIX];
        out[..8].copy_from_slice(&aggregate.0.to_be_bytes());
        out[8..16].copy_from_slice(&((pane.end as u64) ^ (1 << 63)).to_be_bytes());
        out[16..].copy_from_slice(&pane.late.to_be_bytes());
        out
    }

    /// The inverse of [`EntryKey::encode`]; `None` for bytes that are no entry's key.
    pub fn decode(bytes: &[u8]) -> Option<EntryKey> {
        let (aggregate, pane, key) = EntryKey::split(bytes)?;
        Some(EntryKey { aggregate, pane, key: key.into() })
    }

    /// The same, with the labels as they stand in `bytes`.
    pub fn split(bytes: &[u8]) -> Option<(AggregateId, Pane, &[u8])> {
        let (prefix, key) = bytes.split_at_checked(Self::PREFIX)?;
        each_label(key, |_| ())?;
        let aggregate = AggregateId(u64::from_be_bytes(prefix[..8].try_into().ok()?));
        let end = (u64::from_be_bytes(prefix[8..16].try_into().ok()?) ^ (1 << 63)) as i64;
        let late = u16::from_be_bytes(prefix[16..18].try_into().ok()?);
        Some((aggregate, Pane { end, late }, key))
    }
}

/// Encodes label values as [`KeyBytes`]' layout into `out`, which is cleared first.
pub fn encode_labels<'a>(values: impl IntoIterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.clear();
    out.push(USUAL);
    for value in values {
        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
}

/// The key that takes what exceeds an aggregate's key limit.
pub fn overflow_key() -> KeyBytes {
    Arc::from([OVERFLOW])
}

/// Whether this is the [`overflow_key`].
pub fn is_overflow(key: &[u8]) -> bool {
    key.first() == Some(&OVERFLOW)
}

/// The label values in `key`, in the config's order (none for the overflow key); `None` if the bytes are no key.
pub fn labels(key: &[u8]) -> Option<Vec<&str>> {
    let mut values = Vec::new();
    each_label(key, |value| values.push(value))?;
    Some(values)
}

/// Calls `each` with the values that [`labels`] returns, up to where the bytes are no key.
fn each_label<'a>(key: &'a [u8], mut each: impl FnMut(&'a str)) -> Option<()> {
    let (&kind, mut rest) = key.split_first()?;
    if kind == OVERFLOW && rest.is_empty() {
        return Some(());
    }
    if kind != USUAL {
        return None;
    }
    while !rest.is_empty() {
        let (length, after) = rest.split_at_checked(4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        let (value, after) = after.split_at_checked(length)?;
        each(std::str::from_utf8(value).ok()?);
        rest = after;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(end: i64, late: u16, values: &[&str]) -> EntryKey {
        let mut bytes = Vec::new();
        encode_labels(values.iter().copied(), &mut bytes);
        EntryKey { aggregate: AggregateId(7), pane: Pane { end, late }, key: bytes.into() }
    }

    #[test]
    fn an_entry_key_survives_its_byte_form() {
        for key in
            [key(0, 0, &[]), key(60_000, 3, &["/api/users", ""]), key(i64::MAX, 0, &["é", "x"]), key(-1, 1, &["a"])]
        {
            assert_eq!(EntryKey::decode(&key.encode()), Some(key));
        }
    }

    #[test]
    fn byte_order_is_pane_order() {
        let ends = [i64::MIN, -60_000, 0, 60_000, i64::MAX];
        let encoded: Vec<_> = ends.iter().map(|&end| key(end, 0, &["a"]).encode()).collect();
        assert!(encoded.is_sorted());
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        for bytes in [&b""[..], b"short", &[0; 18], &[0; 21]] {
            assert_eq!(EntryKey::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_overflow_key_has_no_labels() {
        assert!(is_overflow(&overflow_key()));
        assert_eq!(labels(&overflow_key()), Some(vec![]));
        assert!(!is_overflow(&key(0, 0, &["a"]).key));
    }
}
