//! What every part of an agent is given: the time, the counters, and the way to Kafka.

#![forbid(unsafe_code)]

use crate::clock::Clock;
use crate::kafka::Settings;
use crate::telemetry::Metrics;
use std::sync::Arc;

/// One for each agent; its clones are the same one.
#[derive(Clone)]
pub struct Environment {
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub kafka: Settings,
}
