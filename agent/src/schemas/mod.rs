//! The schema registry: schemas by their ids, asked for once and kept. Who wants one does not wait for it; while the registry
//! is away it is asked again and again.

#![forbid(unsafe_code)]

mod client;
mod keeper;
mod read;

pub use client::ClientError;
pub use keeper::SchemaKeeper;
