//! The front door: where events are handed in, how they are kept, and what is too much.

use std::net::SocketAddr;
use std::time::Duration;

use super::lock::{Lock, ShownLine, quoted};
use super::units::{format_duration, format_size};

/// The listener that takes events, and the way from it to Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingest {
    pub listen: SocketAddr,
    pub lock: Lock,
    /// Where log events go.
    pub topic: String,
    pub durability: Durability,
    /// How long the brokers may take to acknowledge an event, all retries included, before it goes to the spool.
    pub delivery_timeout: Duration,
    /// How long the circuit breaker stays open.
    pub circuit_open: Duration,
    /// Accepted events in memory. Bytes.
    pub buffer_bytes: usize,
    /// Accepted events on disk. Bytes.
    pub spool_bytes: u64,
    /// Single events from one address each second; 0: any number.
    pub requests_per_second: u32,
    /// Batches from one address each second; 0: any number.
    pub batches_per_second: u32,
    /// Of one request, as it comes and unpacked. Bytes.
    pub body_bytes: usize,
    /// Of one event, as it goes to Kafka. Bytes.
    pub event_bytes: usize,
    /// Events of one batch.
    pub batch_events: usize,
}

/// What has become of an event when its sender is told that it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is in memory. Events of the levels ERROR and FATAL: the brokers have acknowledged it, or it is in the spool.
    Buffered,
    /// It is in the spool, on disk.
    Spooled,
}

impl Durability {
    /// As the config spells it.
    pub const fn word(self) -> &'static str {
        match self {
            Durability::Buffered => "buffered",
            Durability::Spooled => "spooled",
        }
    }
}

impl Ingest {
    /// The section of the config, secrets masked.
    pub fn shown(&self) -> Vec<ShownLine> {
        let entries = [
            ("listen", quoted(&self.listen.to_string())),
            ("topic", quoted(&self.topic)),
            ("durability", self.durability.word().to_owned()),
            ("delivery_timeout", format_duration(self.delivery_timeout)),
            ("circuit_open", format_duration(self.circuit_open)),
            ("buffer_size", format_size(self.buffer_bytes as u64)),
            ("spool_size", format_size(self.spool_bytes)),
            ("requests_per_second", self.requests_per_second.to_string()),
            ("batches_per_second", self.batches_per_second.to_string()),
            ("body_size", format_size(self.body_bytes as u64)),
            ("event_size", format_size(self.event_bytes as u64)),
            ("batch_events", self.batch_events.to_string()),
        ];
        let entries = entries.into_iter().map(|(key, value)| (1, key.to_owned(), Some(value)));
        [(0, "ingest".to_owned(), None)].into_iter().chain(entries).chain(self.lock.shown()).collect()
    }
}
