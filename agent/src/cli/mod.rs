//! The verbs of the command line.

pub mod produce;
pub mod schema;
pub mod validate;
