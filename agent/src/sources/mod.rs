//! Whose topic is it, who publishes for a source, and what are a group's own topics called: answered here, for the workers
//! and for whoever reads what they count.

#![forbid(unsafe_code)]

mod plans;
mod source;

pub use crate::config::{changelog_topic, dead_letter_topic};
pub use plans::{Plans, Sources, aggregates, source_topics};
pub use source::Source;
