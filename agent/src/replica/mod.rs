//! Tailing a changelog partition into a task's state. Restoring is a replica that is promoted once it has caught up.

#![forbid(unsafe_code)]

mod file;
mod identity;
mod left_open;
mod manager;
mod members;
mod position;
mod reading;
mod records;
mod replay;
mod reset;
mod restore;
mod tail;
mod tailing;
mod verify;

#[cfg(test)]
mod tests;

pub use file::Files;
pub use identity::TopicIds;
pub use manager::{ReplicaSettings, Replicas};
pub use members::Watch;
pub use position::LossPolicy;
pub use replay::{Replay, ReplayError, expiry_of};
pub use reset::reset_record;
pub use restore::{Readers, RestoreContext, RestoreError, RestoreTask, Restored, restore};
pub use verify::{Difference, Verification, Verified};
