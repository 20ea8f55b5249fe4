//! Committed state on its way out: the Prometheus page, and the push over OTLP.

pub mod otlp;
pub mod prometheus;
