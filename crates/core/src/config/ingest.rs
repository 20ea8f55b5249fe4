//! The front door: where events are handed in, how they are kept, and what is too much.

use std::net::SocketAddr;
use std::time::Duration;

use super::lock::{Lock, ShownLine, quoted};
use super::units::{format_duration, format_size};
use schemars::JsonSchema;
use serde::Deserialize;

/// The listener that takes events, and the way from it to Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingest {
    pub listen: SocketAddr,
    /// Where OpenTelemetry's log records are taken over gRPC, behind the same lock.
    pub otlp_grpc: Option<SocketAddr>,
    /// Where syslog is taken over TCP, behind the same lock.
    pub syslog: Option<SocketAddr>,
    pub lock: Lock,
    /// Where log events go; `None`: none are taken. There is this or `events`.
    pub logs: Option<Destination>,
    /// User events, and where they go; `None`: none are taken.
    pub events: Option<UserEvents>,
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

/// Where the events of one kind go.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// For those that no route is for.
    pub topic: String,
    /// The first that fits decides.
    pub routes: Vec<Route>,
}

/// Sends some of the events elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub rule: Rule,
    pub topic: String,
}

/// Which events a route is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Those handed in at this path, or, in batches, at the one with `/batch` behind it.
    Path(String),
    /// Those whose fields have, each, one of its values.
    Where(Vec<(String, Vec<String>)>),
}

/// User events: their fields, their key, and where they go.
#[derive(Clone, Debug, PartialEq)]
pub struct UserEvents {
    pub destination: Destination,
    pub fields: Vec<EventField>,
    /// Names of required fields: their values, with `:` between them, are the record's key.
    pub key: Vec<String>,
}

/// A field that an event may have, or must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventField {
    pub name: String,
    pub kind: FieldKind,
    pub required: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    String,
    /// A whole number.
    Integer,
    Number,
    Boolean,
    /// RFC 3339, or Unix milliseconds; written as RFC 3339. If it is missing and need not be there, it is when the event came.
    Timestamp,
    /// A JSON object.
    Object,
}

impl FieldKind {
    /// As the config spells it.
    pub const fn word(self) -> &'static str {
        match self {
            FieldKind::String => "string",
            FieldKind::Integer => "integer",
            FieldKind::Number => "number",
            FieldKind::Boolean => "boolean",
            FieldKind::Timestamp => "timestamp",
            FieldKind::Object => "object",
        }
    }
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

impl Destination {
    fn topics(&self) -> impl Iterator<Item = &str> {
        [self.topic.as_str()].into_iter().chain(self.routes.iter().map(|route| route.topic.as_str()))
    }

    fn shown(&self, depth: usize) -> Vec<ShownLine> {
        let mut lines = vec![(depth, "topic".to_owned(), Some(quoted(&self.topic)))];
        if !self.routes.is_empty() {
            let routes = list(self.routes.iter().map(Route::shown));
            lines.push((depth, "routes".to_owned(), Some(routes)));
        }
        lines
    }
}

impl Route {
    fn shown(&self) -> String {
        let rule = match &self.rule {
            Rule::Path(path) => format!("path: {}", quoted(path)),
            Rule::Where(fields) => {
                let field = |(name, values): &(String, Vec<String>)| {
                    format!("{}: {}", quoted(name), list(values.iter().map(|value| quoted(value))))
                };
                format!("where: {{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
        };
        format!("{{ {rule}, topic: {} }}", quoted(&self.topic))
    }
}

impl UserEvents {
    fn shown(&self) -> Vec<ShownLine> {
        let mut lines = vec![(1, "events".to_owned(), None)];
        lines.extend(self.destination.shown(2));
        lines.push((2, "fields".to_owned(), None));
        lines.extend(self.fields.iter().map(|field| {
            let what = format!("{{ type: {}, required: {} }}", field.kind.word(), field.required);
            (3, quoted(&field.name), Some(what))
        }));
        lines.push((2, "key".to_owned(), Some(list(self.key.iter().map(|name| quoted(name))))));
        lines
    }
}

fn list(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}

impl Ingest {
    /// All topics that events go to, each once.
    pub fn topics(&self) -> Vec<&str> {
        let events = self.events.iter().map(|events| &events.destination);
        let mut topics: Vec<_> = self.logs.iter().chain(events).flat_map(Destination::topics).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// The section of the config, secrets masked.
    pub fn shown(&self) -> Vec<ShownLine> {
        let entries = [
            ("listen", quoted(&self.listen.to_string())),
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
        let logs = self.logs.iter().flat_map(|logs| logs.shown(1));
        let events = self.events.iter().flat_map(UserEvents::shown);
        let shown =
            |(key, address): (&str, Option<SocketAddr>)| Some((1, key.to_owned(), Some(quoted(&address?.to_string()))));
        let more = [("otlp_grpc", self.otlp_grpc), ("syslog", self.syslog)].into_iter().filter_map(shown);
        let head = [(0, "ingest".to_owned(), None)];
        head.into_iter().chain(more).chain(logs).chain(events).chain(entries).chain(self.lock.shown()).collect()
    }
}
