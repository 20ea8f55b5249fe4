//! The front door.

use crate::config::at::At;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{RawDuration, RawIdentities, RawSize, RawTls};

/// Takes log events over HTTP and brings them to Kafka. Without this section there is no such listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Ingest")]
pub struct RawIngest {
    /// The topic that log events go to.
    pub topic: At<String>,
    /// Address and port. Default: `127.0.0.1:9748`.
    pub listen: Option<At<String>>,
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
    /// Who may hand in events, by a name of your choice. Default: everybody; with a `tls.client_ca`, whoever has a
    /// certificate.
    pub identities: Option<RawIdentities>,
    /// Whether health is answered to everybody who gets a connection. Default: `true`.
    pub open_health: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Durability")]
pub enum RawDurability {
    Buffered,
    Spooled,
}
