//! The audit: a naive recount of a topic, held against what an agent has published, cell by cell.
//!
//! It shares nothing with `decode`, `aggregate`, `state` or `query`, on purpose: two programs that agree by sharing
//! code prove nothing. Every event is parsed whole, every window it belongs to is a cell of its own, and no cell is
//! made of others. It is slow, and short enough to be checked by reading. All it takes from the house are the checked
//! config and the Kafka client.
//!
//! It takes an answer's own word for where it stands, the next input offset of each partition, and counts up to
//! exactly there: a stream that goes on does not matter.

#![forbid(unsafe_code)]

mod compare;
mod event;
mod layout;
mod made;
mod otel;
mod published;
mod read;
mod recount;
mod registered;
mod related;
mod tally;
mod texts;
mod time;
mod tree;
mod usual;
mod visits;

#[cfg(test)]
mod tests;

pub use compare::{Comparison, Difference, compare};
pub use published::{CellId, Published};
pub use read::{ReadError, read};
pub use recount::{Check, Recount, Scope};
pub use registered::{SchemaText, SchemaTexts};
