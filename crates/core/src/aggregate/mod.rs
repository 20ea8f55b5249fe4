//! Pure aggregation: panes, windows, measures, merging and encoding. No tokio, rdkafka, redb, or clock in here.
//!
//! [`Plan`] is what the config asks of one source; [`TaskState`] is the live state of one task (input partition);
//! [`Cell`] is what is kept per key and pane.

#![forbid(unsafe_code)]

mod account;
mod cell;
mod encode;
mod event;
mod extract;
mod filter;
mod identity;
mod key;
mod made;
mod measures;
mod plan;
mod quantity;
mod reason;
mod sample;
mod span;
mod task;
mod units;
mod watch;
mod window;

pub use crate::measure::{Dense, Histogram, MAX_SCALE, MeasureState, Nanos, Sample, nanos_to_f64};
pub use crate::value::Value;
pub use account::{Account, Concerns, Judged, Remark};
pub use cell::Cell;
pub use encode::{CELL_FORMAT_VERSION, FormatError};
pub use event::Event;
pub use filter::Filter;
pub use key::{AggregateId, EntryKey, KeyBytes, Pane, encode_labels, is_overflow, labels, overflow_key};
pub use plan::{AggregatePlan, MeasurePlan, Plan};
pub use reason::{ByReason, Reason, Rejection, Tally};
pub use task::{Counters, Expiry, Frozen, TaskState, is_expired};
pub use units::Scaling;
pub use watch::Hint;
pub use window::{WindowGrid, WindowSpan, merge_window};

#[cfg(any(test, feature = "samples"))]
pub mod samples;
#[cfg(test)]
mod tests;
