//! poll → decode → fold → freeze: a worker is a thread that owns a consumer, a committer and its tasks.

mod assignment;
mod context;
mod fenced;
mod fold;
mod freeze;
mod run;
mod topics;

pub use context::{Agent, SourcePlan, WorkerError, WorkerStatus};
pub use run::run;
pub use topics::{TopicError, changelog_topic};
