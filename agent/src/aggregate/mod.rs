//! Pure aggregation: panes, windows, measures, merging and encoding. No tokio, rdkafka, redb, or clock in here.
//!
//! [`Plan`] is what the config asks of one source; [`TaskState`] is the live state of one task (input partition);
//! [`Cell`] is what is kept per key and pane.

mod event;
mod key;

pub use event::{Event, Value};
pub use key::{AggregateId, EntryKey, KeyBytes, Pane, encode_labels, is_overflow, labels, overflow_key};
