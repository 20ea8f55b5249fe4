//! Committed state on its way out: the Prometheus page, and the push over OTLP.

#![forbid(unsafe_code)]

pub mod otlp;
pub mod prometheus;
