//! Tailing a changelog partition into a task's state. Restoring is a replica that is promoted once it has caught up.

mod identity;
mod members;
mod position;
mod replay;
mod restore;

#[cfg(test)]
mod tests;

pub use identity::TopicIds;
pub use members::Watch;
pub use position::LossPolicy;
pub use replay::{Promoted, Replay, ReplayError, expiry_of};
pub use restore::{Readers, RestoreContext, RestoreError, RestoreTask, Restored, restore};
