//! One YAML file becomes checked types, or a list of every error in it with line, column, snippet and what to do.

mod names;
mod types;

pub use names::*;
pub use types::*;
