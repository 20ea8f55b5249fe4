//! A task's committed state: the view that readers see, the registry of all tasks, and the redb file behind each.

#![forbid(unsafe_code)]

mod checkpointer;
mod commits;
mod fingerprint;
mod following;
mod group;
mod identity;
mod input_ends;
mod inspect;
mod last_input;
mod lease;
mod ownership;
mod publication;
mod registry;
mod signs_of_life;
mod store;
mod task;
mod task_id;
mod topics;
mod view;

pub use checkpointer::{Checkpointer, Pending};
pub use fingerprint::{EntryHash, Fingerprint};
pub use group::{Address, Directory, Group};
pub use identity::{StateDir, StateDirError};
pub use inspect::{AggregateContents, Contents};
pub use lease::Lease;
pub use ownership::HeldUp;
pub use publication::{Publication, Through, WindowKind};
pub use registry::Registry;
pub use store::{Changes, FORMAT_VERSION, Store, StoreError};
pub use task::{Phase, Task};
pub use task_id::TaskId;
pub use topics::{SourceTopic, SourceTopics};
pub use view::{AggregateView, Committed, View};
