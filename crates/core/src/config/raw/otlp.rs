//! `otlp`: where metrics are pushed.

use super::super::types::OtlpProtocol;
use super::{RawDuration, RawProperty, RawSize};
use crate::config::at::{At, Map};
use schemars::JsonSchema;
use serde::Deserialize;

/// Push of closed windows, totals and the agent's own metrics over OTLP. What is left out here comes from the `OTEL_*`
/// variables; an endpoint there turns the push on without this section.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Otlp")]
pub struct RawOtlp {
    /// `false`: push nothing, whatever the environment says. Default: true.
    pub enabled: Option<bool>,
    /// Address of the receiver: `http://localhost:4318`; over HTTP, `/v1/metrics` is added. For Prometheus
    /// `http://localhost:9090/api/v1/otlp`. Default: port 4318 of this machine, over gRPC 4317.
    pub endpoint: Option<At<String>>,
    /// `http/protobuf` or `grpc`. Default: `http/protobuf`.
    pub protocol: Option<OtlpProtocol>,
    /// Sent with every push; a secret may be read from a file: `authorization: { file: /run/secrets/otlp }`.
    #[serde(default)]
    pub headers: Map<At<RawProperty>>,
    /// `gzip` or `none`. Default: `none`.
    pub compression: Option<RawCompression>,
    /// How long the receiver may take. Default: `10s`.
    pub timeout: Option<At<RawDuration>>,
    /// How often totals are pushed; windows are pushed when they close. Default: `1m`.
    pub interval: Option<At<RawDuration>>,
    /// PEM file of the authority that signed the receiver's certificate. Default: the system's authorities.
    pub certificate: Option<At<String>>,
    /// PEM file of the certificate that this agent shows the receiver, and of those that lead to its authority.
    pub client_certificate: Option<At<String>>,
    /// PEM file of that certificate's private key.
    pub client_key: Option<At<String>>,
    /// Attributes of the resource, such as `service.name`. Default: `service.name: streamgauge`.
    #[serde(default)]
    pub resource: Map<At<String>>,
    /// Push the agent's own spans too, one for each commit and each request. Default: false.
    pub traces: Option<At<bool>>,
    /// Push the agent's own log lines too. Default: false.
    pub logs: Option<At<bool>>,
    /// Windows that the receiver has not taken are kept on disk up to this size; then the oldest go. Default: `64MiB`.
    pub backlog_size: Option<At<RawSize>>,
    /// They are kept for this long. Default: `1d`.
    pub backlog_age: Option<At<RawDuration>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Compression")]
pub enum RawCompression {
    Gzip,
    None,
}
