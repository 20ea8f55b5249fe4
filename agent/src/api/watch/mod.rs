//! Answers as they change: one feed for each question that is watched, however many watch it, and a watcher for each
//! reader.
//!
//! A commit wakes the feeds; nobody asks in the meantime, except of what no commit here tells: time that closes windows, and
//! partitions that other agents have. A feed keeps one answer, the newest, and a watcher holds one message: whoever reads
//! slowly gets the newest when they are ready, and is told what came in between. No fold and no commit waits for any of
//! them.

mod feed;
mod place;
mod snapshot;
mod token;
mod watcher;
mod watches;

#[cfg(test)]
mod tests;

pub use watcher::{Message, Watch};
pub use watches::Watches;
