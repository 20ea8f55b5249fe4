//! Protobuf's wire format: the fields of a message, one after the other. Avro writes its numbers in the same way.

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message.
pub(super) struct Fields<'a> {
    whole: &'a [u8],
    pub at: usize,
}

/// Groups in groups: deeper than this nobody writes.
const DEEPEST_GROUP: usize = 32;

/// The number at `at`, seven bits a byte, the least first; `at` goes behind it. `None` if it does not end.
#[inline]
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A signed number from one whose last bit is its sign.
#[inline]
pub(super) fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

impl<'a> Fields<'a> {
    #[inline]
    pub fn of(message: &'a [u8]) -> Fields<'a> {
        Fields { whole: message, at: 0 }
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.whole.len()
    }

    #[inline]
    pub fn varint(&mut self) -> Option<u64> {
        varint(self.whole, &mut self.at)
    }

    #[inline]
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.whole.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    pub fn fixed64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.bytes(8)?.first_chunk()?))
    }

    pub fn fixed32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes(4)?.first_chunk()?))
    }

    /// The next field's number and what it holds; `Some(None)` at the end, `None` if the message is broken. Groups, which
    /// nobody has written for years, are passed over.
    #[expect(clippy::option_option, reason = "an end is no fault")]
    #[inline]
    pub fn next(&mut self) -> Option<Option<(u32, Wire<'a>)>> {
        while self.at < self.whole.len() {
            let (number, kind) = self.tag()?;
            match self.wire(kind) {
                Some(wire) => return Some(Some((number, wire))),
                None if kind == 3 => self.skip_group(number, 0)?,
                None => return None,
            }
        }
        Some(None)
    }

    #[inline]
    fn tag(&mut self) -> Option<(u32, u64)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        Some((number, tag & 7))
    }

    #[inline]
    fn wire(&mut self, kind: u64) -> Option<Wire<'a>> {
        Some(match kind {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Fixed(self.fixed64()?),
            2 => {
                let count = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.bytes(count)?)
            }
            5 => Wire::Fixed(self.fixed32()?.into()),
            _ => return None,
        })
    }

    #[cold]
    fn skip_group(&mut self, group: u32, depth: usize) -> Option<()> {
        if depth > DEEPEST_GROUP {
            return None;
        }
        loop {
            match self.tag()? {
                (number, 4) => return (number == group).then_some(()),
                (number, 3) => self.skip_group(number, depth + 1)?,
                (_, kind) => {
                    self.wire(kind)?;
                }
            }
        }
    }
}
