//! Changelog records one after the other in one buffer: a commit may have a million of them.

/// Room that is kept for further records, bytes.
const KEPT_ROOM: usize = 1 << 20;

/// Records in the order they were read.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a record ends, and where its value begins; `None`: it is a tombstone.
#[derive(Clone, Copy, Debug)]
struct Span {
    offset: i64,
    end: usize,
    value_at: Option<usize>,
}

impl Records {
    pub fn push(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) {
        self.bytes.extend_from_slice(key);
        let value_at = value.map(|value| {
            let at = self.bytes.len();
            self.bytes.extend_from_slice(value);
            at
        });
        self.spans.push(Span { offset, end: self.bytes.len(), value_at });
    }

    /// Offset, key and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &[u8], Option<&[u8]>)> {
        let mut begin = 0;
        self.spans.iter().map(move |&Span { offset, end, value_at }| {
            let key = &self.bytes[begin..value_at.unwrap_or(end)];
            begin = end;
            (offset, key, value_at.map(|at| &self.bytes[at..end]))
        })
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// What they take, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.spans.len() * size_of::<Span>()
    }

    /// Without its records; what a large commit took is given back.
    pub fn cleared(mut self) -> Records {
        if self.bytes.capacity() > KEPT_ROOM {
            return Records::default();
        }
        self.bytes.clear();
        self.spans.clear();
        self
    }
}
