//! The pure core: what a config says, what an event holds, and how events become numbers.
//!
//! Nothing here knows Kafka, a thread, a disk or a clock; the agent brings those.

pub mod aggregate;
pub mod config;
pub mod decode;
pub mod generate;
pub mod measure;
pub mod remap;
pub mod value;
