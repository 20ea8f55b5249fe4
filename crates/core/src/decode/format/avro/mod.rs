//! Avro: a schema and what is wanted of it become a [`Program`], which goes over an event's bytes once and builds nothing.
//!
//! Paths are those of the same event in JSON, without the names of a union's branches. What has a logical type reads as
//! people would write it: decimals and UUIDs as text, a date as `2024-05-17`; timestamps are the numbers they are.

mod compile;
mod run;

pub(super) use compile::compile;

use super::super::wanted::Pick;

/// How to read an event of one schema.
#[derive(Debug)]
pub(super) struct Program {
    nodes: Vec<Node>,
    root: usize,
    /// How many slots it fills.
    slots: usize,
}

/// A part of the schema, and what is wanted of it.
#[derive(Debug)]
struct Node {
    kind: Kind,
    /// Where its value goes.
    slot: Option<usize>,
}

#[derive(Debug)]
enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Date,
    /// `None`: in bytes with their length.
    Decimal {
        scale: usize,
        size: Option<usize>,
    },
    /// In 16 bytes.
    Uuid,
    Enum(Box<[Box<str>]>),
    /// Branches, each a node.
    Union(Box<[usize]>),
    Record(Box<[usize]>),
    Array(Box<Array>),
    Map {
        skip: usize,
        wanted: Box<[Entry]>,
    },
    /// Is being made.
    Later,
}

#[derive(Debug)]
struct Array {
    /// An item that nobody wants.
    skip: usize,
    picks: Vec<(Picked, usize)>,
}

/// Which item.
#[derive(Debug)]
enum Picked {
    At(i32),
    /// The first that is a record or map whose field reads `value`: the program reads that field.
    Where {
        program: Program,
        value: Box<str>,
    },
}

/// A wanted entry of a map.
#[derive(Debug)]
struct Entry {
    key: Box<str>,
    node: usize,
    /// All slots of it and below it.
    below: Vec<usize>,
}

/// The slots of a program that reads one field.
fn probe(pick: &Pick) -> Option<(&str, &str)> {
    match pick {
        Pick::At(_) => None,
        Pick::Where { name, value } => Some((name, value)),
    }
}

#[cfg(test)]
mod tests;
