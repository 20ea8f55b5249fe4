//! Tailing a changelog partition into a task's state. Restoring is a replica that is promoted once it has caught up.

#![forbid(unsafe_code)]

mod brokers;
mod context;
mod error;
mod file;
mod follower;
mod identity;
mod last_record;
mod left_open;
mod members;
mod origin;
mod partition;
mod position;
mod reader;
mod records;
mod replay;
mod replicas;
mod reset;
mod restore;
mod survey;
mod verify;

#[cfg(test)]
mod tests;

pub use context::{Readers, RestoreContext, RestoreTask};
pub use error::RestoreError;
pub use file::Files;
pub use identity::TopicIds;
pub use last_record::last_record;
pub use members::Watch;
pub use origin::{Beginning, check_origin};
pub use partition::Restored;
pub use position::LossPolicy;
pub use replay::{Replay, ReplayError, expiry_of};
pub use replicas::{ReplicaSettings, Replicas};
pub use reset::reset_record;
pub use restore::{Outcome, restore};
pub use survey::brief;
pub use verify::{Difference, Verification, Verified};
