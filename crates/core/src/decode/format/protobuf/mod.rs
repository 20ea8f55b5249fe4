//! Protobuf by a schema: a message and what is wanted of it become a [`Program`], which goes over an event's bytes once.
//!
//! Paths are those of the same event in Protobuf's JSON; a field's own name does as well as the one in JSON. A field of
//! `proto3` that has no presence and is not there has its default, as it has for every reader; others are missing then.
//! Enums read as their names, times and durations as text, wrappers as what they wrap.

mod compile;
mod run;

pub(super) use compile::File;

/// How to read messages of one type.
#[derive(Debug)]
pub(super) struct Program {
    /// The first one is the event.
    messages: Vec<Message>,
    slots: usize,
}

/// What is wanted of a message.
#[derive(Debug)]
struct Message {
    fields: Vec<Field>,
    /// What is there unless the message says otherwise.
    defaults: Vec<(usize, Absent)>,
}

/// What a field is that is not there.
#[derive(Debug)]
enum Absent {
    Int,
    Float,
    Bool,
    Text,
    Symbol(Box<str>),
}

#[derive(Debug)]
struct Field {
    number: u32,
    slot: Option<usize>,
    /// All slots of it and below it.
    below: Vec<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    One(One),
    /// All items, which are looked at once the message is over.
    Repeated {
        of: One,
        picks: Vec<(Picked, Field)>,
    },
    Map {
        key: Scalar,
        entries: Vec<(Box<str>, Field)>,
    },
}

#[derive(Debug)]
enum One {
    Scalar(Scalar),
    Message(usize),
    Timestamp(usize),
    Duration(usize),
    Wrapper(Scalar),
}

#[derive(Clone, Debug)]
enum Scalar {
    Int,
    Unsigned,
    Zigzag,
    Unsigned32,
    Int32,
    Fixed32,
    Fixed64,
    SignedFixed32,
    SignedFixed64,
    Float,
    Double,
    Bool,
    Text,
    Bytes,
    Enum(std::sync::Arc<[(i32, Box<str>)]>),
}

/// Which item.
#[derive(Debug)]
enum Picked {
    At(i32),
    /// The first that is a message whose field reads `value`: the program reads that field.
    Where {
        program: Program,
        value: Box<str>,
    },
}

#[cfg(test)]
mod tests;
