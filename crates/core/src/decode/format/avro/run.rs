//! Going over an event's bytes by a program.

use std::fmt::Write as _;

use super::super::super::wanted::{Sink, one_field_reads};
use super::super::wire::{varint, zigzag};
use super::{Array, Entry, Kind, Node, Picked, Program};
use crate::value::Value;
use jiff::civil::Date;
use num_bigint::BigInt;

/// Records in records in records: no event is deeper, whatever a schema that leads to itself may allow.
const DEEPEST: u32 = 64;
/// Items of arrays and maps that an event may have besides one for each of its bytes: those of no bytes would be endless.
const MOST_EMPTY_ITEMS: usize = 1 << 16;
/// Bytes of the longest decimal that is read.
const LARGEST_DECIMAL: usize = 64;

impl Program {
    /// Reads an event. `Err`: it is broken at that byte.
    #[inline]
    pub fn read<'a>(&self, bytes: &'a [u8], sink: &mut Sink<'a, '_>) -> Result<(), usize> {
        let mut walk = Walk { bytes, at: 0, items: bytes.len() + MOST_EMPTY_ITEMS, depth: 0 };
        self.value(self.root, &mut walk, sink).ok_or(walk.at)
    }

    /// Whether the events' values have fields.
    pub fn has_fields(&self) -> bool {
        let is = |node: &Node| matches!(node.kind, Kind::Record(_) | Kind::Map { .. });
        match &self.nodes[self.root].kind {
            Kind::Union(branches) => branches.iter().any(|&branch| is(&self.nodes[branch])),
            _ => is(&self.nodes[self.root]),
        }
    }

    fn value<'a>(&self, node: usize, walk: &mut Walk<'a>, sink: &mut Sink<'a, '_>) -> Option<()> {
        let Node { kind, slot } = &self.nodes[node];
        let value = match kind {
            Kind::Record(fields) => {
                walk.deeper()?;
                for &field in fields {
                    self.value(field, walk, sink)?;
                }
                walk.depth -= 1;
                Value::Composite
            }
            Kind::Union(branches) => {
                let branch = usize::try_from(walk.long()?).ok().and_then(|at| branches.get(at))?;
                return self.value(*branch, walk, sink);
            }
            Kind::Map { skip, wanted } => {
                self.map(*skip, wanted, walk, sink)?;
                Value::Composite
            }
            Kind::Array(array) => {
                self.array(array, walk, sink)?;
                Value::Composite
            }
            Kind::Null => Value::Null,
            Kind::Boolean => match walk.take(1)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return None,
            },
            Kind::Int => Value::Int(walk.int()?.into()),
            Kind::Long => Value::Int(walk.long()?),
            Kind::Float => finite(f32::from_le_bytes(*walk.take(4)?.first_chunk()?).into()),
            Kind::Double => finite(f64::from_le_bytes(*walk.take(8)?.first_chunk()?)),
            Kind::Text | Kind::Bytes => {
                let bytes = walk.sized()?;
                match (slot, std::str::from_utf8(bytes)) {
                    (None, _) => return Some(()),
                    (_, Ok(text)) => Value::Str(text),
                    (_, Err(_)) if matches!(kind, Kind::Bytes) => Value::Composite,
                    (Some(slot), Err(_)) => {
                        return write(*slot, sink, |out| out.push_str(&String::from_utf8_lossy(bytes)));
                    }
                }
            }
            Kind::Fixed(size) => std::str::from_utf8(walk.take(*size)?).map_or(Value::Composite, Value::Str),
            Kind::Enum(symbols) => {
                let symbol = usize::try_from(walk.int()?).ok().and_then(|at| symbols.get(at))?;
                match slot {
                    Some(slot) => return write(*slot, sink, |out| out.push_str(symbol)),
                    None => return Some(()),
                }
            }
            Kind::Date => {
                let date = date(walk.int()?);
                match (slot, date) {
                    (Some(slot), Some(date)) => return write(*slot, sink, |out| _ = write!(out, "{date}")),
                    _ => Value::Null,
                }
            }
            Kind::Uuid => {
                let bytes: [u8; 16] = *walk.take(16)?.first_chunk()?;
                match slot {
                    Some(slot) => return write(*slot, sink, |out| uuid(bytes, out)),
                    None => return Some(()),
                }
            }
            Kind::Decimal { scale, size } => {
                let bytes = match size {
                    Some(size) => walk.take(*size)?,
                    None => walk.sized()?,
                };
                match slot {
                    Some(slot) if bytes.len() <= LARGEST_DECIMAL => {
                        return write(*slot, sink, |out| decimal(bytes, *scale, out));
                    }
                    _ => Value::Composite,
                }
            }
            Kind::Later => return None,
        };
        if let Some(slot) = slot {
            sink.values[*slot] = value;
        }
        Some(())
    }

    fn map<'a>(&self, skip: usize, wanted: &[Entry], walk: &mut Walk<'a>, sink: &mut Sink<'a, '_>) -> Option<()> {
        walk.deeper()?;
        while let Some(block) = walk.block(wanted.is_empty())? {
            for _ in 0..block {
                let key = walk.sized()?;
                match wanted.iter().find(|entry| entry.key.as_bytes() == key) {
                    Some(entry) => {
                        // Of two entries with the same key the last one counts.
                        entry.below.iter().for_each(|&slot| sink.values[slot] = Value::Missing);
                        sink.unescaped.retain(|(slot, _)| !entry.below.contains(slot));
                        self.value(entry.node, walk, sink)?;
                    }
                    None => self.value(skip, walk, sink)?,
                }
            }
        }
        walk.depth -= 1;
        Some(())
    }

    fn array<'a>(&self, array: &Array, walk: &mut Walk<'a>, sink: &mut Sink<'a, '_>) -> Option<()> {
        walk.deeper()?;
        let mut starts = Vec::new();
        while let Some(block) = walk.block(array.picks.is_empty())? {
            for _ in 0..block {
                if !array.picks.is_empty() {
                    starts.push(walk.at);
                }
                self.value(array.skip, walk, sink)?;
            }
        }
        let end = walk.at;
        for (pick, node) in &array.picks {
            let found = match pick {
                Picked::At(index) => {
                    let at = if *index < 0 {
                        starts.len().checked_sub(index.unsigned_abs() as usize)
                    } else {
                        usize::try_from(*index).ok()
                    };
                    at.and_then(|at| starts.get(at)).copied()
                }
                Picked::Where { program, value } => {
                    starts.iter().copied().find(|&start| program.field_reads(walk.bytes, start, value))
                }
            };
            if let Some(start) = found {
                walk.at = start;
                self.value(*node, walk, sink)?;
            }
        }
        walk.at = end;
        walk.depth -= 1;
        Some(())
    }

    /// Whether the one field that this program reads would be `text` as a label.
    fn field_reads(&self, bytes: &[u8], start: usize, text: &str) -> bool {
        let rest = bytes.get(start..).unwrap_or_default();
        one_field_reads(self.slots, text, |sink| self.read(rest, sink).is_ok())
    }
}

/// Puts what `write` appends to the scratch into a slot that nothing was put into yet.
#[inline]
fn write(slot: usize, sink: &mut Sink<'_, '_>, write: impl FnOnce(&mut String)) -> Option<()> {
    let start = sink.scratch.len();
    write(sink.scratch);
    sink.unescaped.push((slot, start..sink.scratch.len()));
    Some(())
}

fn finite(number: f64) -> Value<'static> {
    if number.is_finite() { Value::Float(number) } else { Value::Null }
}

/// The day that is so many days after 1970-01-01, if there is one.
fn date(days: i32) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

fn uuid(bytes: [u8; 16], out: &mut String) {
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        _ = write!(out, "{byte:02x}");
    }
}

/// A big-endian number in two's complement, of which so many digits stand behind the point.
fn decimal(bytes: &[u8], scale: usize, out: &mut String) {
    let start = out.len();
    match bytes.len() {
        0..=16 => {
            let sign = if bytes.first().is_some_and(|&first| first >= 0x80) { 0xff } else { 0 };
            let mut whole = [sign; 16];
            whole[16 - bytes.len()..].copy_from_slice(bytes);
            _ = write!(out, "{}", i128::from_be_bytes(whole));
        }
        _ => _ = write!(out, "{}", BigInt::from_signed_bytes_be(bytes)),
    }
    if scale > 0 {
        let digits = start + usize::from(out[start..].starts_with('-'));
        for _ in out.len() - digits..=scale {
            out.insert(digits, '0');
        }
        out.insert(out.len() - scale, '.');
    }
}

/// The bytes, and how far they have been read.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Items of arrays and maps that may still come.
    items: usize,
    depth: u32,
}

impl<'a> Walk<'a> {
    fn deeper(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= DEEPEST).then_some(())
    }

    #[inline]
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    /// A length, and as many bytes.
    #[inline]
    fn sized(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.long()?).ok()?;
        self.take(count)
    }

    #[inline]
    fn long(&mut self) -> Option<i64> {
        varint(self.bytes, &mut self.at).map(zigzag)
    }

    #[inline]
    fn int(&mut self) -> Option<i32> {
        i32::try_from(self.long()?).ok()
    }

    /// How many items the next block of an array or map has; `Some(None)` at its end. Blocks that say how many bytes they
    /// have may be passed over as a whole.
    #[expect(clippy::option_option, reason = "an end is no fault")]
    fn block(&mut self, pass_over: bool) -> Option<Option<usize>> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Some(None);
            }
            let items = usize::try_from(count.unsigned_abs()).ok()?;
            let bytes = if count < 0 { Some(usize::try_from(self.long()?).ok()?) } else { None };
            match bytes {
                Some(bytes) if pass_over => {
                    self.take(bytes)?;
                }
                _ => {
                    self.items = self.items.checked_sub(items)?;
                    return Some(Some(items));
                }
            }
        }
    }
}
