//! What the front door counts.

use super::labels::{Counters, Durations, ReasonLabel, TopicLabel};
use super::names::Name;
use super::register::registered;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    pub endpoint: &'static str,
    pub code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointLabel {
    pub endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ToLabel {
    pub to: &'static str,
}

/// Histograms of seconds by label set.
pub type DurationsBy<L> = Family<L, Durations, fn() -> Durations>;

/// The metrics of the front door.
#[derive(Debug)]
pub struct IngestMetrics {
    pub requests: Counters<RequestLabels>,
    pub request_duration: DurationsBy<EndpointLabel>,
    pub accepted: Counters<TopicLabel>,
    pub rejected: Counters<ReasonLabel>,
    pub delivered: Counters<TopicLabel>,
    pub failed: Counters<TopicLabel>,
    pub resent: Counters<TopicLabel>,
    pub delivery_duration: DurationsBy<TopicLabel>,
    pub queued_events: Gauge,
    pub processing_events: Gauge,
    pub buffer_bytes: Gauge,
    pub spool_events: Gauge,
    pub spool_bytes: Gauge,
    pub spool_limit: Gauge,
    pub spool_age: Gauge<f64, AtomicU64>,
    pub spool_errors: Counters<ReasonLabel>,
    pub circuit_state: Gauge,
    pub circuit_transitions: Counters<ToLabel>,
}

impl IngestMetrics {
    pub(super) fn register(r: &mut Registry) -> IngestMetrics {
        IngestMetrics {
            requests: registered(r, Name::IngestRequests, Family::default()),
            request_duration: registered(
                r,
                Name::IngestRequestDuration,
                Family::new_with_constructor(short as fn() -> Durations),
            ),
            accepted: registered(r, Name::IngestAccepted, Family::default()),
            rejected: registered(r, Name::IngestRejected, Family::default()),
            delivered: registered(r, Name::IngestDelivered, Family::default()),
            failed: registered(r, Name::IngestFailed, Family::default()),
            resent: registered(r, Name::IngestResent, Family::default()),
            delivery_duration: registered(
                r,
                Name::IngestDeliveryDuration,
                Family::new_with_constructor(long as fn() -> Durations),
            ),
            queued_events: registered(r, Name::IngestQueuedEvents, Gauge::default()),
            processing_events: registered(r, Name::IngestProcessingEvents, Gauge::default()),
            buffer_bytes: registered(r, Name::IngestBufferBytes, Gauge::default()),
            spool_events: registered(r, Name::IngestSpoolEvents, Gauge::default()),
            spool_bytes: registered(r, Name::IngestSpoolBytes, Gauge::default()),
            spool_limit: registered(r, Name::IngestSpoolLimit, Gauge::default()),
            spool_age: registered(r, Name::IngestSpoolAge, Gauge::default()),
            spool_errors: registered(r, Name::IngestSpoolErrors, Family::default()),
            circuit_state: registered(r, Name::IngestCircuitState, Gauge::default()),
            circuit_transitions: registered(r, Name::IngestCircuitTransitions, Family::default()),
        }
    }

    /// Shows what may happen as zero, so that a rate sees the first time.
    pub fn may_happen(&self, rejections: &[&'static str], troubles: &[&'static str]) {
        rejections.iter().for_each(|reason| self.rejected(reason, 0));
        troubles.iter().for_each(|reason| self.spool_error(reason, 0));
        for to in ["closed", "half_open", "open"] {
            drop(self.circuit_transitions.get_or_create(&ToLabel { to }));
        }
    }

    /// So many events were not accepted.
    pub fn rejected(&self, reason: &'static str, events: u64) {
        self.rejected.get_or_create(&ReasonLabel { reason }).inc_by(events);
    }

    /// Trouble with the spool.
    pub fn spool_error(&self, reason: &'static str, events: u64) {
        self.spool_errors.get_or_create(&ReasonLabel { reason }).inc_by(events);
    }
}

/// Buckets from a quarter of a millisecond to 16 s.
fn short() -> Durations {
    Histogram::new(exponential_buckets(2f64.powi(-12), 2.0, 17))
}

/// Buckets from 1 ms to a day: an event may wait in the spool for long.
fn long() -> Durations {
    Histogram::new(exponential_buckets(2f64.powi(-10), 2.0, 28))
}
