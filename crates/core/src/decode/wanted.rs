//! Which fields are wanted, as a tree of keys, and where their values go while one document is read.

use std::ops::Range;

use smallvec::SmallVec;

use crate::aggregate::Value;
use crate::config::FieldPath;

/// Values of one event: up to 16 stay on the stack.
pub type Values<'a> = SmallVec<[Value<'a>; 16]>;

/// A key that is wanted, or that leads to one.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Where this key's own value goes.
    pub slot: Option<usize>,
    /// Wanted keys of the object that is this key's value: name and index into [`Wanted::nodes`].
    pub children: Vec<(Box<str>, usize)>,
    /// This node's slot and those of all nodes under it.
    below: Vec<usize>,
}

/// All wanted fields; node 0 is the document.
#[derive(Debug)]
pub(super) struct Wanted {
    pub nodes: Vec<Node>,
    /// Number of slots: one for each distinct path.
    slots: usize,
}

impl Wanted {
    pub fn new() -> Wanted {
        Wanted { nodes: vec![Node::default()], slots: 0 }
    }

    /// The slot of `path`, made if it is new.
    pub fn add(&mut self, path: &FieldPath) -> usize {
        let mut trail = vec![0];
        for key in &path.0 {
            let parent = trail[trail.len() - 1];
            let child = match self.child(parent, key) {
                Some(child) => child,
                None => {
                    self.nodes.push(Node::default());
                    let child = self.nodes.len() - 1;
                    self.nodes[parent].children.push((key.as_str().into(), child));
                    child
                }
            };
            trail.push(child);
        }
        let last = trail[trail.len() - 1];
        if let Some(slot) = self.nodes[last].slot {
            return slot;
        }
        let slot = self.slots;
        self.slots += 1;
        self.nodes[last].slot = Some(slot);
        for node in trail {
            self.nodes[node].below.push(slot);
        }
        slot
    }

    /// The node of `key` in the object at `node`.
    pub fn child(&self, node: usize, key: &str) -> Option<usize> {
        self.nodes[node].children.iter().find(|(name, _)| **name == *key).map(|&(_, child)| child)
    }

    pub fn slots(&self) -> usize {
        self.slots
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
}

impl<'a, 's> Sink<'a, 's> {
    /// Forgets everything, for a second reading of the document.
    pub fn clear(&mut self) {
        self.values.fill(Value::Missing);
        self.scratch.clear();
        self.unescaped.clear();
    }

    /// Puts a value into the node's slot, over what an earlier duplicate of the key left there.
    #[inline]
    pub fn set(&mut self, node: &Node, value: Value<'a>) {
        if !node.children.is_empty() || !self.unescaped.is_empty() {
            self.reset(node);
        }
        if let Some(slot) = node.slot {
            self.values[slot] = value;
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
