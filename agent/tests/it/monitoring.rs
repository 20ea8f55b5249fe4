//! The product's face: dashboards, rules, alerts and runbooks, against real servers.

mod alerts;
mod composed;
mod deploy;
mod live;
mod moved;
mod names;
mod paged;
pub mod panels;
pub mod servers;
mod shipped;
mod stream;
mod validators;
