//! Event streams and rates, for `produce`, the demo and load tests. Pure: time comes in from the caller, and an event is
//! a function of its seed and number only, so that whoever knows the seed can recount the stream without Kafka.

#![forbid(unsafe_code)]

mod action;
mod event;
mod event_time;
mod failing;
mod log;
mod random;
mod rate;

pub use action::Action;
pub use event::{ENDPOINTS, Endpoint, Event, Generator, REGIONS, STATUSES, USERS};
pub use event_time::EventTime;
pub use failing::Failing;
pub use rate::{Pace, Rate};
