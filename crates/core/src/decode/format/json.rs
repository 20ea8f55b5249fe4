//! JSON: a document by itself, several one after the other, or an array of them; and elements of arrays in them.

use std::ops::Range;

use super::super::ahead::{Ahead, Step};
use super::super::error::DecodeError;
use super::super::fast::{self, Hints};
use super::super::full;
use super::super::index::Index;
use super::super::scan::Scan;
use super::super::schema;
use super::super::wanted::{Sink, Wanted};
use super::lenient::{self, Cursor};
use super::walk::Walk;
use super::{Format, Records, splice};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads JSON. What is JSON is what serde_json says, with two things let pass besides: halves of surrogate pairs and
/// numbers that no float can be.
#[derive(Debug)]
pub(in super::super) struct Json {
    index: Index,
    levels: Vec<Level>,
    pub wrapping: Wrapping,
}

/// What there may be around a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Wrapping {
    None,
    /// A byte of zero may end it, as GELF has it over TCP.
    EndsWithZero,
    /// It may begin with the id of a schema, which nothing has to be known of.
    SchemaId,
}

impl Wrapping {
    #[cold]
    fn taken_off(self, payload: &[u8]) -> &[u8] {
        match self {
            Wrapping::None => payload,
            Wrapping::EndsWithZero => payload.strip_suffix(b"\0").unwrap_or(payload),
            Wrapping::SchemaId => schema::id(payload).map_or(payload, |(_, rest)| rest),
        }
    }
}

#[derive(Debug)]
struct Level {
    wanted: Wanted,
    hints: Hints,
    /// The keys that lead to the array whose elements are the next level's.
    array: Vec<String>,
}

/// Where one level's elements stand in a text.
pub(super) type Elements = (Range<usize>, Vec<Range<usize>>);

impl Json {
    /// What is wanted of each level; and how each but the last one leads to the next.
    pub fn new(wanted: Vec<Wanted>, arrays: &[Vec<String>]) -> Json {
        let mut arrays = arrays.iter().cloned();
        let level =
            |wanted: Wanted| Level { hints: Hints::new(&wanted), wanted, array: arrays.next().unwrap_or_default() };
        Json { index: Index::default(), levels: wanted.into_iter().map(level).collect(), wrapping: Wrapping::None }
    }

    #[inline]
    fn read_level<'a>(
        &mut self,
        level: usize,
        text: &'a str,
        range: Range<usize>,
        sink: &mut Sink<'a, '_>,
    ) -> Result<(), DecodeError> {
        let last = level + 1 == self.levels.len();
        let Level { wanted, hints, .. } = &mut self.levels[level];
        if !last && wanted.is_empty() {
            return Ok(());
        }
        if let Some(end) = fast::read(text, range.start, &self.index, wanted, hints, sink)
            && end <= range.end
            && Scan::new(text, &self.index).space(end) >= range.end
        {
            return Ok(());
        }
        slow(text.get(range).unwrap_or_default(), wanted, sink)
    }
}

/// Reads what is out of the ordinary, or says what is wrong with it.
#[cold]
fn slow<'a>(text: &'a str, wanted: &Wanted, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
    sink.clear(wanted);
    match full::read(text, wanted, sink) {
        Err(DecodeError::NotJson(error)) => {
            sink.clear(wanted);
            lenient::read(text, wanted, sink).ok_or(DecodeError::NotJson(error))
        }
        done => done,
    }
}

/// The payload as text; `ascii` tells that all its bytes have been seen to be ASCII.
#[inline]
fn text(payload: &[u8], ascii: bool) -> Result<&str, DecodeError> {
    if ascii {
        // SAFETY: ASCII is UTF-8. Looking at every byte a second time would cost a tenth of the whole decoding.
        return Ok(unsafe { std::str::from_utf8_unchecked(payload) });
    }
    std::str::from_utf8(payload).map_err(|error| DecodeError::NotUtf8 { valid_up_to: error.valid_up_to() })
}

impl Format for Json {
    fn read<'a>(&mut self, event: &'a str, sink: &mut Sink<'a, '_>) -> Result<(), DecodeError> {
        self.index.build(event.as_bytes());
        self.read_level(0, event, 0..event.len(), sink)
    }
}

impl Records for Json {
    type Payload = str;

    #[inline]
    fn open<'a>(&mut self, payload: &'a [u8], _: &'a mut String) -> Result<&'a str, DecodeError> {
        let payload = if self.wrapping == Wrapping::None { payload } else { self.wrapping.taken_off(payload) };
        let payload = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
        let ascii = self.index.build(payload);
        text(payload, ascii)
    }

    #[inline]
    fn read<'a>(
        &mut self,
        level: usize,
        payload: &'a str,
        range: Range<usize>,
        sink: &mut Sink<'a, '_>,
    ) -> Result<(), DecodeError> {
        self.read_level(level, payload, range, sink)
    }

    fn documents(&mut self, payload: &str) -> Option<Vec<Range<usize>>> {
        let scan = Scan::new(payload, &self.index);
        let start = scan.space(0);
        if scan.byte(start) == Some(b'[') {
            let elements = |walk: &dyn Walk| elements_at(walk, start, &mut |at| walk.skip(at));
            let (room, elements) = elements(&scan).or_else(|| elements(&Cursor::new(payload)))?;
            return (scan.space(room.end + 1) == payload.len()).then_some(elements);
        }
        let documents = stream(payload, &scan, start);
        if documents.len() < 2 {
            return None;
        }
        // A line may be an array as well.
        let elements = |at: usize| elements_at(&Cursor::new(payload), at, &mut |at| Cursor::new(payload).skip(at));
        let inside = |document: Range<usize>| match elements(document.start) {
            Some((room, elements)) if scan.byte(document.start) == Some(b'[') && room.end + 1 == document.end => {
                elements
            }
            _ => vec![document],
        };
        Some(documents.into_iter().flat_map(inside).collect())
    }

    fn read_elements<'a>(
        &mut self,
        level: usize,
        text: &'a str,
        range: Range<usize>,
        ahead: &mut Ahead<'a, '_>,
    ) -> Option<Elements> {
        let Json { index, levels, .. } = self;
        let (outer, inner) = levels.split_at_mut(level + 1);
        let (path, Level { wanted, hints, .. }) = (&outer.last()?.array, inner.first_mut()?);
        let scan = Scan::new(text, index);
        let found = find(&scan, range, path, &mut |at| {
            let read = |sink: &mut Sink<'a, '_>| fast::read(text, at, index, wanted, hints, sink);
            if scan.byte(at)? == b'{' { ahead.element(read) } else { None }
        })?;
        // A key that is there twice has been read twice.
        (ahead.count() == found.1.len()).then_some(found)
    }

    fn alone(payload: &str, document: Range<usize>, trail: &[Step]) -> Vec<u8> {
        bracketed(splice(payload.as_bytes(), document, trail))
    }

    fn elements(&mut self, level: usize, payload: &str, range: Range<usize>) -> Result<Elements, DecodeError> {
        let path = &self.levels[level].array;
        let (scan, cursor) = (Scan::new(payload, &self.index), Cursor::new(payload));
        let found = find(&scan, range.clone(), path, &mut |at| scan.skip(at))
            .or_else(|| find(&cursor, range.clone(), path, &mut |at| Walk::skip(&cursor, at)));
        if let Some(found) = found {
            return Ok(found);
        }
        // It is no document, or ends too late: serde_json says it best.
        let part = payload.get(range).unwrap_or_default();
        match serde_json::from_str::<serde::de::IgnoredAny>(part) {
            Err(error) => Err(DecodeError::NotJson(error)),
            Ok(_) => Err(DecodeError::NotAnObject { found: kind(part) }),
        }
    }
}

/// An array that is no event stays an element of an array: by itself it could be several. What only begins like one is not
/// JSON by itself, and could be several in brackets.
fn bracketed(alone: Vec<u8>) -> Vec<u8> {
    let is_array = alone.first() == Some(&b'[') && serde_json::from_slice::<serde::de::IgnoredAny>(&alone).is_ok();
    if is_array { [b"[", &alone[..], b"]"].concat() } else { alone }
}

fn kind(text: &str) -> &'static str {
    match text.trim_start().bytes().next() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

impl Walk for Scan<'_, '_> {
    fn byte(&self, at: usize) -> Option<u8> {
        Scan::byte(self, at)
    }

    fn space(&self, at: usize) -> usize {
        Scan::space(self, at)
    }

    fn skip(&self, at: usize) -> Option<usize> {
        Scan::skip(self, at)
    }

    fn key(&self, at: usize, name: &str) -> Option<(bool, usize)> {
        self.key_end(at).map(|(key, value)| (key == name, value))
    }
}

/// The elements of the array that `path` leads to from the object in `range`; none at all if there is no such array. What
/// is no array is its only element.
///
/// `element` goes past each element of the array.
#[inline]
fn find(
    walk: &(impl Walk + ?Sized),
    range: Range<usize>,
    path: &[String],
    element: &mut impl FnMut(usize) -> Option<usize>,
) -> Option<Elements> {
    let start = walk.space(range.start);
    if walk.byte(start)? != b'{' {
        return None;
    }
    let (found, end) = find_at(walk, start, path, element)?;
    let whole = end <= range.end && walk.space(end) >= range.end;
    whole.then(|| found.unwrap_or((range.end..range.end, Vec::new())))
}

/// The same from the object at `at`, and what follows the object.
fn find_at(
    walk: &(impl Walk + ?Sized),
    at: usize,
    path: &[String],
    element: &mut impl FnMut(usize) -> Option<usize>,
) -> Option<(Option<Elements>, usize)> {
    let Some((name, below)) = path.split_first() else {
        if walk.byte(at)? == b'[' {
            let found = elements_at(walk, at, element)?;
            let end = found.0.end + 1;
            return Some((Some(found), end));
        }
        let absent = walk.byte(at)? == b'n';
        let end = if absent { walk.skip(at)? } else { element(at)? };
        let one = at..end;
        return Some(((!absent).then(|| (one.clone(), vec![one])), end));
    };
    if walk.byte(at)? != b'{' {
        return walk.skip(at).map(|end| (None, end));
    }
    let mut found = None;
    let mut at = walk.space(at + 1);
    if walk.byte(at)? == b'}' {
        return Some((None, at + 1));
    }
    loop {
        let (is_it, value) = walk.key(at, name)?;
        let end = match is_it {
            true => {
                let (elements, end) = find_at(walk, value, below, element)?;
                found = elements;
                end
            }
            false => walk.skip(value)?,
        };
        at = walk.space(end);
        match walk.byte(at)? {
            b',' => at = walk.space(at + 1),
            b'}' => return Some((found, at + 1)),
            _ => return None,
        }
    }
}

/// The room between the brackets of the array at `at`, and its elements.
#[inline]
fn elements_at(
    walk: &(impl Walk + ?Sized),
    at: usize,
    element: &mut impl FnMut(usize) -> Option<usize>,
) -> Option<Elements> {
    let room = at + 1;
    let mut at = walk.space(room);
    let mut elements = Vec::new();
    if walk.byte(at)? == b']' {
        return Some((room..at, elements));
    }
    loop {
        let end = element(at)?;
        elements.push(at..end);
        at = walk.space(end);
        match walk.byte(at)? {
            b',' => at = walk.space(at + 1),
            b']' => return Some((room..at, elements)),
            _ => return None,
        }
    }
}

/// Documents one after the other. After a broken one it goes on with the next line that begins with a brace.
fn stream(text: &str, scan: &Scan<'_, '_>, mut at: usize) -> Vec<Range<usize>> {
    let mut documents = Vec::new();
    let cursor = Cursor::new(text);
    while at < text.len() {
        let end = scan.skip(at).or_else(|| Walk::skip(&cursor, at)).filter(|&end| {
            let next = scan.space(end);
            let parted = text.get(end..next).is_some_and(|space| space.contains('\n'));
            next == text.len() || parted || scan.byte(next) == Some(b'{')
        });
        let end = end.unwrap_or_else(|| {
            text.get(at..).and_then(|rest| rest.find("\n{")).map_or(text.trim_end().len().max(at + 1), |n| at + n)
        });
        documents.push(at..end);
        at = scan.space(end);
    }
    documents
}
