//! Which fields are wanted, as a tree of keys and items, and where their values go while one document is read.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::SmallVec;

use super::scan::reads;
use crate::config::Step;
use crate::value::Value;

/// Values of one event: up to 16 stay on the stack.
pub type Values<'a> = SmallVec<[Value<'a>; 16]>;

/// A value that is wanted, or that leads to one.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Where this value itself goes.
    pub slot: Option<usize>,
    /// Wanted keys of the object that is this value: name and index into [`Wanted::nodes`].
    pub children: Vec<(Box<str>, usize)>,
    /// Wanted items of the array that is this value.
    pub items: Vec<(Pick, usize)>,
    /// This node's slot and those of all nodes under it.
    pub below: Vec<usize>,
}

impl Node {
    /// Whether nothing below it is wanted.
    #[inline]
    pub fn is_leaf(&self) -> bool {
        self.children.is_empty() && self.items.is_empty()
    }
}

/// Which item of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// 0 is the first, -1 the last.
    At(i32),
    /// The first that is an object whose field `name` reads `value`.
    Where { name: Box<str>, value: Box<str> },
}

impl Pick {
    /// The position of the item among so many, unless it depends on what they are.
    pub fn position(index: i32, count: usize) -> Option<usize> {
        let from_end = || count.checked_sub(index.unsigned_abs() as usize);
        if index >= 0 { Some(index as usize).filter(|&at| at < count) } else { from_end() }
    }
}

/// All wanted fields; node 0 is the document.
#[derive(Debug)]
pub(super) struct Wanted {
    pub nodes: Vec<Node>,
    /// Number of slots: one for each distinct path.
    slots: usize,
    /// Where keys are noted that were asked for in vain.
    unknown: Option<Unknown>,
}

/// Keys of an event that nobody has a slot for, as paths from the event; for somebody who wants all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Unknown(pub Arc<Mutex<Vec<Vec<String>>>>);

impl Unknown {
    /// Paths that are noted of one event; what comes after them is left out.
    pub const MOST: usize = 2_000;

    /// Those that were noted since the last call.
    #[cfg(feature = "vrl")]
    pub fn taken(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Wanted {
    pub fn new() -> Wanted {
        Wanted::default()
    }

    /// The slot of `path`, made if it is new.
    #[cfg(test)]
    pub fn add(&mut self, path: &crate::config::FieldPath) -> usize {
        self.put(path.steps(), self.slots)
    }

    /// The slot of the value that these steps lead to, which is `slot` if it is new.
    pub fn put(&mut self, steps: &[Step], slot: usize) -> usize {
        let mut trail = vec![0];
        for step in steps {
            trail.push(self.step(trail[trail.len() - 1], step));
        }
        let last = trail[trail.len() - 1];
        if let Some(slot) = self.nodes[last].slot {
            return slot;
        }
        self.slots = self.slots.max(slot + 1);
        self.nodes[last].slot = Some(slot);
        for node in trail {
            self.nodes[node].below.push(slot);
        }
        slot
    }

    /// The node one step below `parent`, made if it is new.
    fn step(&mut self, parent: usize, step: &Step) -> usize {
        let new = self.nodes.len();
        let pick = match step {
            Step::Key(key) => {
                if let Some(child) = self.child(parent, key) {
                    return child;
                }
                self.nodes[parent].children.push((key.as_str().into(), new));
                self.nodes.push(Node::default());
                return new;
            }
            Step::Index(index) => Pick::At(*index),
            Step::Item { name, value } => Pick::Where { name: name.as_str().into(), value: value.as_str().into() },
        };
        let items = &mut self.nodes[parent].items;
        if let Some((_, child)) = items.iter().find(|(known, _)| *known == pick) {
            return *child;
        }
        items.push((pick, new));
        self.nodes.push(Node::default());
        new
    }

    /// The node of `key` in the object at `node`.
    pub fn child(&self, node: usize, key: &str) -> Option<usize> {
        let child = self.nodes[node].children.iter().find(|(name, _)| **name == *key).map(|&(_, child)| child);
        if let (None, Some(unknown)) = (child, &self.unknown) {
            self.note(unknown, node, key);
        }
        child
    }

    /// From now on notes the keys that are asked for in vain.
    #[cfg(feature = "vrl")]
    pub fn listen(&mut self, unknown: Unknown) {
        self.unknown = Some(unknown);
    }

    #[cold]
    fn note(&self, Unknown(noted): &Unknown, node: usize, key: &str) {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() > Unknown::MOST {
            return;
        }
        let mut path = vec![key.to_owned()];
        let mut below = node;
        // Paths of text are two keys long at most.
        while let Some((above, name)) = self.nodes.iter().enumerate().find_map(|(above, node)| {
            let (name, _) = node.children.iter().find(|(_, child)| *child == below)?;
            Some((above, name))
        }) {
            path.insert(0, name.to_string());
            below = above;
        }
        noted.push(path);
    }

    /// One more than the largest slot.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.nodes[0].below.is_empty()
    }
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { nodes: vec![Node::default()], slots: 0, unknown: None }
    }
}

/// Whether the one field that `read` reads, of so many slots, would be `text` as a label; not if `read` says that it is broken.
pub(super) fn one_field_reads<'a>(slots: usize, text: &str, read: impl FnOnce(&mut Sink<'a, '_>) -> bool) -> bool {
    let (mut values, mut scratch, mut unescaped) = (vec![Value::Missing; slots], String::new(), Vec::new());
    let mut sink = Sink { values: &mut values, scratch: &mut scratch, unescaped: &mut unescaped, record_time: None };
    if !read(&mut sink) {
        return false;
    }
    match (unescaped.last(), values.first()) {
        (Some((_, range)), _) => scratch.get(range.clone()) == Some(text),
        (None, Some(value)) => reads(*value, text),
        (None, None) => false,
    }
}

/// Where the values of one document are put.
pub(super) struct Sink<'a, 's> {
    /// One for each slot, all missing at first.
    pub values: &'s mut [Value<'a>],
    /// Text of strings that had escapes.
    pub scratch: &'s mut String,
    /// Which slots have their text in `scratch`, and where.
    pub unescaped: &'s mut Vec<(usize, Range<usize>)>,
    /// The record's own time, Unix milliseconds, for formats whose times lack the year.
    pub record_time: Option<i64>,
}

impl<'a, 's> Sink<'a, 's> {
    /// Forgets everything that was read of `wanted`, for a second reading of the document.
    pub fn clear(&mut self, wanted: &Wanted) {
        for &slot in &wanted.nodes[0].below {
            self.values[slot] = Value::Missing;
        }
        self.scratch.clear();
        self.unescaped.clear();
    }

    /// Puts a value into the node's slot, over what an earlier duplicate of the key left there.
    #[inline]
    pub fn set(&mut self, node: &Node, value: Value<'a>) {
        if !node.is_leaf() || !self.unescaped.is_empty() {
            self.reset(node);
        }
        if let Some(slot) = node.slot {
            self.values[slot] = value;
        }
    }

    /// Notes that the node has something below it, which stays.
    pub fn mark(&mut self, node: &Node) {
        if let Some(slot) = node.slot {
            self.values[slot] = Value::Composite;
        }
    }

    /// Like [`Sink::set`] with the string that begins at `start` in the scratch and goes to its end.
    pub fn set_unescaped(&mut self, node: &Node, start: usize) {
        self.reset(node);
        if let Some(slot) = node.slot {
            self.unescaped.push((slot, start..self.scratch.len()));
        }
    }

    #[cold]
    fn reset(&mut self, node: &Node) {
        for &slot in &node.below {
            self.values[slot] = Value::Missing;
        }
        self.unescaped.retain(|(slot, _)| !node.below.contains(slot));
    }
}
