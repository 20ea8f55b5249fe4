//! poll → decode → fold → freeze: a worker is a thread that owns a consumer, a committer and its tasks.

#![forbid(unsafe_code)]

mod assignment;
mod awaiting;
mod backfill;
mod backlog;
mod commits;
mod context;
mod error;
mod fenced;
mod fold;
mod freeze;
mod growth;
mod held;
mod looks;
mod membership;
mod new_topic;
mod pauses;
mod pressure;
mod reload;
mod restores;
mod run;
mod subscription;
mod tally;
mod tasks;
mod topics;
mod unwritable;

pub use context::{Agent, WorkerStatus};
pub use error::WorkerError;
pub use reload::{Change, changes};
pub use run::run;
pub use topics::TopicError;
