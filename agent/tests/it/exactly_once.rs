//! Exactly once on a real Kafka: whatever dies, stalls or is deleted, every number equals an independent recount.

mod input;
mod kills;
mod state;
mod two_agents;
mod watch;
mod zombie;

pub use kills::DEATHS;
pub use watch::Watch;
