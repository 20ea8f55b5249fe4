//! Whose topic is it, what does an aggregate count, who publishes it, and what are a group's own topics called: answered here, for the workers
//! and for whoever reads what they count.

#![forbid(unsafe_code)]

mod inputs;
mod plans;
mod source;

pub use crate::config::{changelog_topic, dead_letter_topic};
pub use inputs::Inputs;
pub use plans::{Plans, Sources, aggregates, source_topics};
pub use source::Source;
