//! poll → decode → fold → freeze: a worker is a thread that owns a consumer, a committer and its tasks.

#![forbid(unsafe_code)]

mod assignment;
mod backfill;
mod context;
mod fenced;
mod fold;
mod freeze;
mod growth;
mod membership;
mod pressure;
mod reload;
mod restores;
mod run;
mod subscription;
mod tally;
mod topics;

pub use context::{Agent, WorkerError, WorkerStatus};
pub use reload::{Change, changes};
pub use run::run;
pub use topics::TopicError;
