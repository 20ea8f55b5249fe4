//! The agent, put together in one place: [`Agent::build`] makes its parts of a config, [`Agent::run`] sets them going, and
//! [`Running::stop`] ends them in their order. Verbs call this and nothing below it.

#![forbid(unsafe_code)]

mod agent;
mod credentials;
mod front_door;
mod group;
mod listeners;
mod losses;
mod readiness;
mod reload;
mod run;
mod signals;
mod stop;
mod tasks;

pub use agent::Agent;
pub use listeners::Listeners;
pub use reload::Reload;
pub use run::Running;
pub use signals::{reload_on_sighup, shutdown_signal};
