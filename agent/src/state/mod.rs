//! A task's committed state: the view that readers see, the registry of all tasks, and the redb file behind each.

#![forbid(unsafe_code)]

mod checkpointer;
mod fingerprint;
mod group;
mod identity;
mod inspect;
mod lease;
mod registry;
mod store;
mod topics;
mod view;

pub use checkpointer::{Checkpointer, Pending};
pub use fingerprint::{EntryHash, Fingerprint};
pub use group::{Address, Directory, Group};
pub use identity::{StateDir, StateDirError};
pub use inspect::{AggregateContents, Contents};
pub use lease::Lease;
pub use registry::{HeldUp, Phase, Registry, Task, TaskId};
pub use store::{Changes, FORMAT_VERSION, Store, StoreError};
pub use topics::{SourceTopic, SourceTopics};
pub use view::{AggregateView, Committed, View};
