//! Tailing a changelog partition into a task's state. Restoring is a replica that is promoted once it has caught up.

mod identity;
mod replay;
mod restore;

#[cfg(test)]
mod tests;

pub use identity::TopicIds;
pub use replay::{Promoted, Replay, ReplayError, expiry_of};
pub use restore::{LossPolicy, Readers, RestoreContext, RestoreError, RestoreTask, Restored, restore};
