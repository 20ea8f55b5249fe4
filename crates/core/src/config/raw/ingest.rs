//! The front door.

use crate::config::at::{At, Map};
use crate::config::ingest::FieldKind;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{RawDuration, RawIdentities, RawSize, RawTls, RawWords};

/// Takes log events and user events over HTTP and brings them to Kafka. Without this section there is no such listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Ingest")]
pub struct RawIngest {
    /// The topic that log events go to. Without it, none are taken.
    pub topic: Option<At<String>>,
    /// Log events that go to other topics: by the path that they are handed in at, or by their `source` or `level`. The first
    /// route that fits decides. Default: none.
    #[serde(default)]
    pub routes: Vec<At<RawRoute>>,
    /// User events. Without it, none are taken.
    pub events: Option<RawUserEvents>,
    /// Address and port. Default: `127.0.0.1:9748`.
    pub listen: Option<At<String>>,
    /// Address and port where OpenTelemetry's log records are taken over gRPC, usually port 4317, behind the same lock and
    /// within the same limits. Default: nowhere; over HTTP they are taken at `listen`.
    pub otlp_grpc: Option<At<String>>,
    /// Address and port where syslog is taken over TCP, usually port 6514 with TLS, behind the same lock: with `identities`,
    /// senders need a certificate. Default: nowhere.
    pub syslog: Option<At<String>>,
    /// What has become of an event when its sender is told that it was accepted. `buffered`: it is in memory; if its level is
    /// ERROR or FATAL, the brokers have acknowledged it, or it is on disk. `spooled`: it is on disk, whatever its level.
    /// Default: `buffered`.
    pub durability: Option<RawDurability>,
    /// How long the brokers may take to acknowledge an event, all retries included, before it goes to the spool on disk.
    /// Default: `5s`.
    pub delivery_timeout: Option<At<RawDuration>>,
    /// When half of the latest ten deliveries failed, none is tried for this long; then three are. Default: `60s`.
    pub circuit_open: Option<At<RawDuration>>,
    /// Memory for events that were accepted and are on their way. Default: `64MiB`.
    pub buffer_size: Option<At<RawSize>>,
    /// Disk space, below `state.dir`, for events that wait until the brokers take them. Default: `1GiB`.
    pub spool_size: Option<At<RawSize>>,
    /// Single events that one address may send each second; 0: any number. Default: 100.
    pub requests_per_second: Option<At<u64>>,
    /// Batches that one address may send each second; 0: any number. Default: 10.
    pub batches_per_second: Option<At<u64>>,
    /// Largest body of a request, as it comes and unpacked. Default: `8MiB`.
    pub body_size: Option<At<RawSize>>,
    /// Largest event as it is written to Kafka. The topic's `max.message.bytes` has to be larger. Default: `256KiB`.
    pub event_size: Option<At<RawSize>>,
    /// Events in one batch at most. Default: 10000.
    pub batch_events: Option<At<u64>>,
    /// A file in the format of Prometheus' `--web.config.file` with `tls_server_config` and `basic_auth_users`, instead of
    /// `tls` and `identities`. Its users may do everything that this listener offers.
    pub web_config_file: Option<At<String>>,
    pub tls: Option<RawTls>,
    /// Who may hand in events, by a name of your choice. Default: anyone; with a `tls.client_ca`, anyone with a
    /// certificate.
    pub identities: Option<RawIdentities>,
    /// Whether health is answered to anyone who gets a connection. Default: `true`.
    pub open_health: Option<bool>,
    /// Addresses and networks of proxies, such as `10.0.0.0/8`. A request that one of them passes on counts as coming from the
    /// address that its `Forwarded` or `X-Forwarded-For` names, for limits and in the audit log. Default: none.
    #[serde(default)]
    pub trusted_proxies: Vec<At<String>>,
    /// Whether each connection from one of `trusted_proxies` begins with a header of the PROXY protocol, version 1 or 2, that
    /// names the caller's address: on `listen`, `otlp_grpc` and `syslog`. Connections from elsewhere have none. Default:
    /// `false`.
    pub proxy_protocol: Option<At<bool>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Durability")]
pub enum RawDurability {
    Buffered,
    Spooled,
}

/// Sends some of the events to another topic. It has a `path` or a `where`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Route")]
pub struct RawRoute {
    /// A path of its own: single events are handed in here, batches at the path with `/batch` behind it.
    pub path: Option<At<String>>,
    /// Fields and their values: a value, or a list of which one has to be there. All fields have to fit.
    pub r#where: Option<Map<RawWords>>,
    /// The topic that these events go to.
    pub topic: At<String>,
}

/// User events: `POST /api/events`, and `/api/events/batch` for many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UserEvents")]
pub struct RawUserEvents {
    /// The topic that they go to.
    pub topic: At<String>,
    /// The fields that an event may have, by name; any other is refused. Default: `user_id` and `event_type`, required,
    /// `element_id` and `timestamp`.
    pub fields: Option<At<Map<RawEventField>>>,
    /// Required fields of the types `string` and `integer`: their values, with `:` between them, are the record's key.
    /// Default: `[user_id, event_type]`.
    pub key: Option<At<Vec<At<String>>>>,
    /// Events that go to other topics: by the path that they are handed in at, or by fields of the type `string`. The first
    /// route that fits decides. Default: none.
    #[serde(default)]
    pub routes: Vec<At<RawRoute>>,
}

/// What a field holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EventField")]
pub struct RawEventField {
    /// Default: `string`.
    pub r#type: Option<FieldKind>,
    /// Whether an event without it is refused. Default: `false`.
    pub required: Option<bool>,
}
