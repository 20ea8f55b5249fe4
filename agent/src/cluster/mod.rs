//! The Kafka cluster beside the agent: is it healthy, and how far are consumer groups behind?
//!
//! `health.rs`, `change.rs`, `lag.rs`, `history.rs`, `seen.rs` and `filter.rs` are pure. `check.rs` and `collect.rs` ask the cluster
//! through `kafka::cluster`; `monitor.rs` does that at intervals on threads of its own, so that no scrape, call or worker
//! ever waits for a broker.

#![forbid(unsafe_code)]

mod change;
mod check;
mod collect;
mod filter;
mod health;
mod history;
mod lag;
mod monitor;
mod probe;
mod seen;

pub use change::changes;
pub use check::check;
pub use collect::{Collected, collect, one};
pub use filter::{Filter, Names, whole};
pub use health::{BrokerHealth, BrokerState, Health, Status, TopicHealth};
pub use lag::{GroupLag, Log, Logs, PartitionLag, TopicLag};
pub use monitor::{Monitor, Refused};
pub use probe::Prober;
pub use seen::Seen;

use crate::kafka::stats::Clients;
use std::sync::Arc;

/// What is shown of the cluster: by the monitor, if the config has one, and by the agent's own clients.
#[derive(Clone, Default)]
pub struct View {
    pub monitor: Option<Arc<Monitor>>,
    pub clients: Clients,
}
