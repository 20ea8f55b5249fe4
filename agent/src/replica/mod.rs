//! Tailing a changelog partition into a task's state. Restoring is a replica that is promoted once it has caught up.

mod identity;
mod position;
mod replay;
mod reset;
mod restore;
mod verify;

#[cfg(test)]
mod tests;

pub use identity::TopicIds;
pub use position::LossPolicy;
pub use replay::{Promoted, Replay, ReplayError, expiry_of};
pub use reset::reset_record;
pub use restore::{Readers, RestoreContext, RestoreError, RestoreTask, Restored, restore};
pub use verify::{Difference, Verification, Verified};
