//! Going over an event's bytes by a program.

use super::super::super::wanted::{Sink, one_field_reads};
use super::super::wire::{Fields, Wire, zigzag};
use super::{Absent, Field, Kind, Message, One, Picked, Program, Scalar};
use crate::value::Value;

/// Messages in messages in messages: no event is deeper, whatever a schema that leads to itself may allow.
const DEEPEST: u32 = 64;
/// Seconds from year 1 to year 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

impl Program {
    /// Reads an event; `None` if it is broken.
    #[inline]
    pub fn read<'a>(&self, bytes: &'a [u8], sink: &mut Sink<'a, '_>) -> Option<()> {
        self.message(0, bytes, sink, 0)
    }

    fn message<'a>(&self, at: usize, bytes: &'a [u8], sink: &mut Sink<'a, '_>, depth: u32) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        let Message { fields: wanted, defaults } = &self.messages[at];
        for (slot, absent) in defaults {
            absent.put(*slot, sink);
        }
        let mut items: Vec<(usize, Wire<'a>)> = Vec::new();
        let mut fields = Fields::of(bytes);
        while let Some((number, wire)) = fields.next()? {
            let Some(place) = wanted.iter().position(|field| field.number == number) else { continue };
            let field = &wanted[place];
            match &field.kind {
                Kind::One(one) => self.one(field, one, wire, sink, depth)?,
                Kind::Map { key, entries } => {
                    put(field, Value::Composite, sink);
                    self.entry(key, entries, wire, sink, depth)?;
                }
                Kind::Repeated { of, picks } => {
                    put(field, Value::Composite, sink);
                    if !picks.is_empty() {
                        unpack(of, wire, |item| items.push((place, item)))?;
                    }
                }
            }
        }
        for (place, field) in wanted.iter().enumerate() {
            if let Kind::Repeated { picks, .. } = &field.kind {
                let own: Vec<Wire<'a>> = items.iter().filter(|(of, _)| *of == place).map(|(_, item)| *item).collect();
                for (pick, field) in picks {
                    if let (Some(item), Kind::One(one)) = (pick.find(&own), &field.kind) {
                        self.one(field, one, item, sink, depth)?;
                    }
                }
            }
        }
        Some(())
    }

    fn one<'a>(&self, field: &Field, one: &One, wire: Wire<'a>, sink: &mut Sink<'a, '_>, depth: u32) -> Option<()> {
        let bytes = || match wire {
            Wire::Bytes(bytes) => Some(bytes),
            _ => None,
        };
        match one {
            One::Scalar(scalar) => return scalar.put(wire, field, sink),
            One::Wrapper(scalar) => {
                forget(field, sink);
                if let Some(slot) = field.slot {
                    scalar.absent().put(slot, sink);
                }
                let mut inner = Fields::of(bytes()?);
                while let Some((number, wire)) = inner.next()? {
                    if number == 1 {
                        scalar.put(wire, field, sink)?;
                    }
                }
            }
            One::Message(message) => {
                put(field, Value::Composite, sink);
                self.message(*message, bytes()?, sink, depth + 1)?;
            }
            One::Timestamp(message) | One::Duration(message) => {
                forget(field, sink);
                self.message(*message, bytes()?, sink, depth + 1)?;
                let (seconds, nanos) = parts(bytes()?)?;
                if let Some(slot) = field.slot {
                    let start = sink.scratch.len();
                    match one {
                        One::Timestamp(_) => time(seconds, nanos, sink.scratch),
                        _ => duration(seconds, nanos, sink.scratch),
                    }
                    sink.unescaped.push((slot, start..sink.scratch.len()));
                }
            }
        }
        Some(())
    }

    fn entry<'a>(
        &self,
        key: &Scalar,
        entries: &[(Box<str>, Field)],
        wire: Wire<'a>,
        sink: &mut Sink<'a, '_>,
        depth: u32,
    ) -> Option<()> {
        let Wire::Bytes(bytes) = wire else { return None };
        let (mut name, mut value) = (key.absent().text(), None);
        let mut fields = Fields::of(bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => name = key.text(wire)?,
                2 => value = Some(wire),
                _ => {}
            }
        }
        let Some((_, field)) = entries.iter().find(|(wanted, _)| **wanted == *name) else { return Some(()) };
        let Kind::One(one) = &field.kind else { return Some(()) };
        forget(field, sink);
        match (value, one) {
            (Some(wire), _) => self.one(field, one, wire, sink, depth),
            (None, One::Scalar(scalar)) => {
                field.slot.into_iter().for_each(|slot| scalar.absent().put(slot, sink));
                Some(())
            }
            (None, _) => self.one(field, one, Wire::Bytes(&[]), sink, depth),
        }
    }

    /// Whether the one field that this program reads would be `text` as a label.
    fn field_reads(&self, bytes: &[u8], text: &str) -> bool {
        one_field_reads(self.slots, text, |sink| self.read(bytes, sink).is_some())
    }
}

impl Picked {
    fn find<'a>(&self, items: &[Wire<'a>]) -> Option<Wire<'a>> {
        match self {
            Picked::At(index) if *index < 0 => {
                items.len().checked_sub(index.unsigned_abs() as usize).and_then(|at| items.get(at)).copied()
            }
            Picked::At(index) => usize::try_from(*index).ok().and_then(|at| items.get(at)).copied(),
            Picked::Where { program, value } => items.iter().copied().find(|item| match item {
                Wire::Bytes(bytes) => program.field_reads(bytes, value),
                Wire::Number(_) | Wire::Fixed(_) => false,
            }),
        }
    }
}

/// The items of a repeated field: one, or many numbers that are packed.
fn unpack<'a>(of: &One, wire: Wire<'a>, mut item: impl FnMut(Wire<'a>)) -> Option<()> {
    let (One::Scalar(scalar), Wire::Bytes(bytes)) = (of, wire) else {
        item(wire);
        return Some(());
    };
    let mut packed = Fields::of(bytes);
    match scalar {
        Scalar::Text | Scalar::Bytes => item(wire),
        Scalar::Fixed32 | Scalar::SignedFixed32 | Scalar::Float => {
            while !packed.is_at_end() {
                item(Wire::Fixed(packed.fixed32()?.into()));
            }
        }
        Scalar::Fixed64 | Scalar::SignedFixed64 | Scalar::Double => {
            while !packed.is_at_end() {
                item(Wire::Fixed(packed.fixed64()?));
            }
        }
        _ => {
            while !packed.is_at_end() {
                item(Wire::Number(packed.varint()?));
            }
        }
    }
    Some(())
}

/// Forgets what an earlier occurrence of the field has left.
#[inline]
fn forget(field: &Field, sink: &mut Sink<'_, '_>) {
    for &slot in &field.below {
        sink.values[slot] = Value::Missing;
    }
    if !sink.unescaped.is_empty() {
        sink.unescaped.retain(|(slot, _)| !field.below.contains(slot));
    }
}

#[inline]
fn put<'a>(field: &Field, value: Value<'a>, sink: &mut Sink<'a, '_>) {
    if let Some(slot) = field.slot {
        if !sink.unescaped.is_empty() {
            sink.unescaped.retain(|(other, _)| *other != slot);
        }
        sink.values[slot] = value;
    }
}

impl Absent {
    fn put(&self, slot: usize, sink: &mut Sink<'_, '_>) {
        sink.values[slot] = match self {
            Absent::Int => Value::Int(0),
            Absent::Float => Value::Float(0.0),
            Absent::Bool => Value::Bool(false),
            Absent::Text => Value::Str(""),
            Absent::Symbol(symbol) => {
                let start = sink.scratch.len();
                sink.scratch.push_str(symbol);
                sink.unescaped.push((slot, start..sink.scratch.len()));
                return;
            }
        };
    }

    /// As a map's key.
    fn text(&self) -> String {
        match self {
            Absent::Int | Absent::Float => "0".to_owned(),
            Absent::Bool => "false".to_owned(),
            Absent::Text => String::new(),
            Absent::Symbol(symbol) => symbol.to_string(),
        }
    }
}

impl Scalar {
    fn absent(&self) -> Absent {
        match self {
            Scalar::Float | Scalar::Double => Absent::Float,
            Scalar::Bool => Absent::Bool,
            Scalar::Text | Scalar::Bytes => Absent::Text,
            Scalar::Enum(symbols) => match symbols.iter().find(|(number, _)| *number == 0) {
                Some((_, name)) => Absent::Symbol(name.clone()),
                None => Absent::Int,
            },
            _ => Absent::Int,
        }
    }

    /// A number, as it is on the wire.
    fn number(&self, wire: Wire<'_>) -> Option<Value<'static>> {
        let unsigned = |number: u64| i64::try_from(number).map_or(Value::Float(number as f64), Value::Int);
        let finite = |number: f64| if number.is_finite() { Value::Float(number) } else { Value::Null };
        Some(match (self, wire) {
            (Scalar::Int, Wire::Number(number)) => Value::Int(number as i64),
            (Scalar::Int32, Wire::Number(number)) => Value::Int((number as i32).into()),
            (Scalar::Unsigned, Wire::Number(number)) => unsigned(number),
            (Scalar::Unsigned32, Wire::Number(number)) => Value::Int((number as u32).into()),
            (Scalar::Zigzag, Wire::Number(number)) => Value::Int(zigzag(number)),
            (Scalar::Bool, Wire::Number(number)) => Value::Bool(number != 0),
            (Scalar::Enum(_), Wire::Number(number)) => Value::Int((number as i32).into()),
            (Scalar::Fixed32 | Scalar::Fixed64, Wire::Fixed(number)) => unsigned(number),
            (Scalar::SignedFixed32, Wire::Fixed(number)) => Value::Int((number as u32 as i32).into()),
            (Scalar::SignedFixed64, Wire::Fixed(number)) => Value::Int(number as i64),
            (Scalar::Float, Wire::Fixed(bits)) => finite(f32::from_bits(bits as u32).into()),
            (Scalar::Double, Wire::Fixed(bits)) => finite(f64::from_bits(bits)),
            _ => return None,
        })
    }

    fn put<'a>(&self, wire: Wire<'a>, field: &Field, sink: &mut Sink<'a, '_>) -> Option<()> {
        let value = match (self, wire) {
            (Scalar::Text | Scalar::Bytes, Wire::Bytes(bytes)) => match (std::str::from_utf8(bytes), field.slot) {
                (Ok(text), _) => Value::Str(text),
                (Err(_), Some(slot)) if matches!(self, Scalar::Text) => {
                    put(field, Value::Missing, sink);
                    let start = sink.scratch.len();
                    sink.scratch.push_str(&String::from_utf8_lossy(bytes));
                    sink.unescaped.push((slot, start..sink.scratch.len()));
                    return Some(());
                }
                (Err(_), _) => Value::Composite,
            },
            (Scalar::Enum(symbols), Wire::Number(number)) => {
                let symbol = symbols.iter().find(|(known, _)| *known == number as i32);
                match (symbol, field.slot) {
                    (Some((_, name)), Some(slot)) => {
                        put(field, Value::Missing, sink);
                        let start = sink.scratch.len();
                        sink.scratch.push_str(name);
                        sink.unescaped.push((slot, start..sink.scratch.len()));
                        return Some(());
                    }
                    _ => self.number(wire)?,
                }
            }
            _ => self.number(wire)?,
        };
        put(field, value, sink);
        Some(())
    }

    /// As a map's key.
    fn text(&self, wire: Wire<'_>) -> Option<String> {
        match (self, wire) {
            (Scalar::Text, Wire::Bytes(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => match self.number(wire)? {
                Value::Int(number) => Some(number.to_string()),
                Value::Bool(truth) => Some(truth.to_string()),
                Value::Float(number) => Some(number.to_string()),
                _ => None,
            },
        }
    }
}

/// The seconds and nanoseconds of a time or a duration.
fn parts(bytes: &[u8]) -> Option<(i64, i32)> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Wire::Number(number)) => seconds = number as i64,
            (2, Wire::Number(number)) => nanos = number as i32,
            _ => {}
        }
    }
    Some((seconds, nanos))
}

/// RFC 3339; what is no time by Protobuf's rules is no text.
fn time(seconds: i64, nanos: i32, out: &mut String) {
    use std::fmt::Write as _;
    let time = jiff::Timestamp::new(seconds, nanos).ok();
    if let Some(time) = time.filter(|_| SECONDS.contains(&seconds) && nanos >= 0) {
        _ = write!(out, "{time}");
    }
}

/// Seconds, as in `1.5s`.
fn duration(seconds: i64, nanos: i32, out: &mut String) {
    use std::fmt::Write as _;
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    _ = write!(out, "{sign}{}", seconds.unsigned_abs());
    if nanos != 0 {
        let digits = format!("{:09}", nanos.unsigned_abs());
        _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    out.push('s');
}
