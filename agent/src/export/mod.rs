//! Committed state on its way out: the Prometheus page.

pub mod prometheus;
