//! Load tests: events produced to a topic at a steady rate or as fast as it goes, and how long each took to be acknowledged.
//!
//! `spec` and `ledger` are pure; `run` is the loop around the producer; `service` lets one test run at a time.

#![forbid(unsafe_code)]

mod ledger;
mod payload;
mod report;
mod run;
mod service;
mod spec;
mod tag;
mod verify;

pub use ledger::{Ledger, Verification};
pub use payload::Payloads;
pub use report::{Latency, Snapshot, State};
pub use service::{LoadTests, Sources, Test, Totals};
pub use spec::{Acks, Compression, DEFAULT_BATCH_BYTES, DEFAULT_EVENT_BYTES, DEFAULT_LINGER, Spec};
