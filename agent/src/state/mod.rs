//! A task's committed state: the view that readers see, the registry of all tasks, and the redb file behind each.

mod fingerprint;
mod lease;
mod registry;
mod view;

pub use fingerprint::{EntryHash, Fingerprint};
pub use lease::Lease;
pub use registry::{Phase, Registry, Task, TaskId};
pub use view::{AggregateView, Committed, View};
