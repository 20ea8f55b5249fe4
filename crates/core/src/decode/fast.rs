//! The fast way to read a document: it expects the keys that the last documents had, in the same order.
//!
//! Events of a topic mostly come from a few programs, whose keys and spacing stay the same. So after each value the
//! reader compares the bytes that followed it last time (`, "status": `) at one go, and knows where the next value
//! begins and whether it is wanted. Where they differ, it reads the key and learns what follows what. Everything out of
//! the ordinary (an escape in a key, an error, great depth) is left to [`super::full`].

use super::index::Index;
use super::scan::Scan;
use super::wanted::{Node, Pick, Sink, Wanted};
use crate::value::Value;

/// No more separators than this are remembered, so that keys which are really data cannot fill the memory.
const MAX_HINTS: usize = 128;
/// Longer separators are not remembered.
const MAX_SEPARATOR: usize = 96;
const NONE: u16 = u16::MAX;

/// What has been seen between two values of an object: the comma, the key, the colon and the space around them.
#[derive(Debug)]
struct Hint {
    separator: Box<[u8]>,
    /// The object it was seen in.
    parent: usize,
    target: Target,
    /// The hint that came next the last time.
    next: u16,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// Nobody wants it.
    Skip,
    /// It goes to this slot, and nothing in it is wanted.
    Slot(usize),
    /// It is this node's, which has wanted ones below it.
    Node(usize),
}

impl Target {
    fn of(key: &str, parent: usize, wanted: &Wanted) -> Target {
        let Some(child) = wanted.child(parent, key) else {
            return Target::Skip;
        };
        match &wanted.nodes[child] {
            node @ Node { slot: Some(slot), .. } if node.is_leaf() => Target::Slot(*slot),
            _ => Target::Node(child),
        }
    }
}

/// What is remembered of documents so far.
#[derive(Debug)]
pub(super) struct Hints {
    all: Vec<Hint>,
    /// The hint each node's object began with the last time.
    first: Vec<u16>,
}

impl Hints {
    pub fn new(wanted: &Wanted) -> Hints {
        Hints { all: Vec::new(), first: vec![NONE; wanted.nodes.len()] }
    }

    /// The hint that is expected after `previous`, or at the beginning of the object at `node`.
    #[inline]
    fn expected(&self, node: usize, previous: Option<u16>) -> u16 {
        match previous {
            None => self.first[node],
            Some(previous) => self.all.get(usize::from(previous)).map_or(NONE, |hint| hint.next),
        }
    }

    /// Remembers what followed `previous` in the object at `node`; gives its number.
    fn learn(&mut self, node: usize, previous: Option<u16>, separator: &[u8], target: Target) -> u16 {
        let known = self.all.iter().position(|hint| hint.parent == node && *hint.separator == *separator);
        let this = match known {
            Some(known) => known as u16,
            None if self.all.len() == MAX_HINTS || separator.len() > MAX_SEPARATOR => return NONE,
            None => {
                self.all.push(Hint { separator: separator.into(), parent: node, target, next: NONE });
                (self.all.len() - 1) as u16
            }
        };
        match previous {
            None => self.first[node] = this,
            Some(previous) => {
                if let Some(hint) = self.all.get_mut(usize::from(previous)) {
                    hint.next = this;
                }
            }
        }
        this
    }
}

/// Reads the document that begins at `start`, or after the space there, into `sink`; gives where it ends. `index` is
/// that of all of `text`. `None`: not read, and `sink` holds some of it.
#[inline]
pub(super) fn read<'a>(
    text: &'a str,
    start: usize,
    index: &Index,
    wanted: &Wanted,
    hints: &mut Hints,
    sink: &mut Sink<'a, '_>,
) -> Option<usize> {
    let scan = Scan::new(text, index);
    let start = scan.space(start);
    if scan.byte(start)? != b'{' {
        return None;
    }
    Walk { scan, wanted, hints, sink }.object(start + 1, 0)
}

struct Walk<'w, 'a, 's> {
    scan: Scan<'a, 'w>,
    wanted: &'w Wanted,
    hints: &'w mut Hints,
    sink: &'w mut Sink<'a, 's>,
}

/// What stands where a member or an object's end is expected.
enum Next {
    Member { value: usize, target: Target, hint: u16 },
    End(usize),
}

impl Walk<'_, '_, '_> {
    /// Reads the members of the object at `node`, from behind its brace; gives what follows the closing one. Its depth
    /// is that of a wanted path, thus small.
    fn object(&mut self, mut at: usize, node: usize) -> Option<usize> {
        let mut previous = None;
        loop {
            let expected = self.hints.expected(node, previous);
            let next = match self.hints.all.get(usize::from(expected)) {
                Some(hint) if starts_with(self.scan.bytes, at, &hint.separator) => {
                    Next::Member { value: at + hint.separator.len(), target: hint.target, hint: expected }
                }
                _ => self.unexpected(at, node, previous)?,
            };
            match next {
                Next::End(end) => return Some(end),
                Next::Member { value, target, hint } => {
                    at = match target {
                        Target::Skip => self.scan.skip(value)?,
                        Target::Slot(slot) => self.slot(value, slot)?,
                        Target::Node(node) => self.node(value, node)?,
                    };
                    previous = Some(hint);
                }
            }
        }
    }

    /// Reads what is not as expected: the object's end, or another key, which is then expected the next time.
    #[inline(never)]
    fn unexpected(&mut self, at: usize, node: usize, previous: Option<u16>) -> Option<Next> {
        let mut key_at = self.scan.space(at);
        match (self.scan.byte(key_at)?, previous) {
            (b'}', _) => return Some(Next::End(key_at + 1)),
            (b',', Some(_)) => key_at = self.scan.space(key_at + 1),
            (_, Some(_)) => return None,
            (_, None) => {}
        }
        let (key, value) = self.scan.key_end(key_at)?;
        let target = Target::of(key, node, self.wanted);
        let hint = self.hints.learn(node, previous, &self.scan.bytes[at..value], target);
        Some(Next::Member { value, target, hint })
    }

    /// Reads a value into its slot; gives what follows it. Inlined, it saves a twentieth of the whole.
    #[inline(always)]
    fn slot(&mut self, at: usize, slot: usize) -> Option<usize> {
        if !self.sink.unescaped.is_empty() {
            self.sink.unescaped.retain(|(other, _)| *other != slot);
        }
        let (value, next) = match self.scan.byte(at)? {
            b'"' => match self.scan.plain_string(at + 1) {
                Some((text, next)) => (Value::Str(text), next),
                None => {
                    let start = self.sink.scratch.len();
                    let next = self.scan.escaped_string(at + 1, Some(self.sink.scratch))?;
                    self.sink.unescaped.push((slot, start..self.sink.scratch.len()));
                    return Some(next);
                }
            },
            b'{' | b'[' => (Value::Composite, self.scan.skip(at)?),
            b'-' | b'0'..=b'9' => self.scan.number(at)?,
            _ => self.scan.word(at)?,
        };
        self.sink.values[slot] = value;
        Some(next)
    }

    /// Reads a value that has wanted ones below it, over what an earlier one of the same key left.
    fn node(&mut self, at: usize, node: usize) -> Option<usize> {
        let place = &self.wanted.nodes[node];
        self.sink.set(place, Value::Composite);
        match (self.scan.byte(at)?, place.slot) {
            (b'{', _) if !place.children.is_empty() => self.object(at + 1, node),
            (b'[', _) if !place.items.is_empty() => self.array(at, node),
            (_, Some(slot)) => self.slot(at, slot),
            (_, None) => self.scan.skip(at),
        }
    }

    /// Reads the wanted items of an array, after a look at where each of its items begins.
    #[inline(never)]
    fn array(&mut self, at: usize, node: usize) -> Option<usize> {
        let (starts, end) = self.scan.items(at)?;
        let wanted = self.wanted;
        for (pick, item) in &wanted.nodes[node].items {
            let found = match pick {
                Pick::At(index) => Pick::position(*index, starts.len()),
                Pick::Where { name, value } => self.item_where(&starts, name, value)?,
            };
            if let Some(found) = found {
                self.node(starts[found], *item)?;
            }
        }
        Some(end)
    }

    /// Which of the items that begin there is the first whose field `name` reads `value`.
    fn item_where(&self, starts: &[usize], name: &str, value: &str) -> Option<Option<usize>> {
        for (at, &start) in starts.iter().enumerate() {
            if self.scan.byte(start)? == b'{' && self.scan.reads(start + 1, name, value)? {
                return Some(Some(at));
            }
        }
        Some(None)
    }
}

/// Whether `separator` stands in `bytes` at `at`. Separators are mostly 8 to 32 bytes long: two overlapping loads each,
/// and no call.
#[inline]
fn starts_with(bytes: &[u8], at: usize, separator: &[u8]) -> bool {
    let Some(found) = bytes.get(at..at + separator.len()) else {
        return false;
    };
    match separator.len() {
        8..16 => ends_equal::<8>(found, separator),
        16..=32 => ends_equal::<16>(found, separator),
        _ => found == separator,
    }
}

#[inline]
fn ends_equal<const N: usize>(a: &[u8], b: &[u8]) -> bool {
    a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FieldPath;

    /// How many of the documents are read without serde_json, and how many hints that leaves.
    fn read_fast(fields: &[&str], documents: &[String]) -> (usize, usize) {
        let mut wanted = Wanted::new();
        for field in fields {
            wanted.add(&FieldPath::parse(field).unwrap());
        }
        let (mut index, mut hints) = (Index::default(), Hints::new(&wanted));
        let read = documents.iter().filter(|document| {
            index.build(document.as_bytes());
            let mut values = vec![Value::Missing; wanted.slots()];
            let mut sink = Sink {
                values: &mut values,
                scratch: &mut String::new(),
                unescaped: &mut Vec::new(),
                record_time: None,
            };
            super::read(document, 0, &index, &wanted, &mut hints, &mut sink).is_some()
        });
        (read.count(), hints.all.len())
    }

    #[test]
    fn usual_documents_never_need_serde_json() {
        let documents = [
            r#"{"t": 1763657472123, "request": {"path": "/a", "n": 1}, "ms": 12.5, "tags": ["x", {"y": null}]}"#,
            r#"{"t": 1763657472124, "request": {"path": "/b\n", "n": 1}, "error": "said \"no\"", "ms": 0.1}"#,
            r#"{"ms": 123.40000000000001, "t": 1.5e3, "status": "Köln", "request": null}"#,
            "{\n  \"t\" : -1,\n  \"status\" : true\n}\n",
            "{}",
        ];
        let documents: Vec<_> = documents.iter().cycle().take(20).map(|&document| document.into()).collect();
        assert_eq!(read_fast(&["t", "request.path", "status", "ms", "tags[1].y", "tags[y=1]"], &documents).0, 20);
    }

    #[test]
    fn keys_that_are_data_do_not_fill_the_memory() {
        let documents: Vec<_> = (0..1000).map(|i| format!(r#"{{"a":1,"key{i}":2,"b":3}}"#)).collect();
        assert_eq!(read_fast(&["a", "b"], &documents), (1000, MAX_HINTS));
    }
}
