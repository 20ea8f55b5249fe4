//! `schema_registry`: where schemas are.

use super::{RawDuration, RawProperty};
use crate::config::at::At;
use schemars::JsonSchema;
use serde::Deserialize;

/// The schema registry (Confluent's, or one with its API: Karapace, Apicurio, Redpanda) of sources with `format: avro` or
/// `protobuf`. While it does not answer, partitions that need a schema are not read; nothing is lost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SchemaRegistry")]
pub struct RawSchemaRegistry {
    /// Its address: `http://localhost:8081`; Apicurio's ends in `/apis/ccompat/v7`.
    pub url: At<String>,
    /// Who is asking, together with `password`.
    pub username: Option<At<String>>,
    /// A secret may be read from a file: `password: { file: /run/secrets/registry }`.
    pub password: Option<At<RawProperty>>,
    /// Sent as `Authorization: Bearer`; may be read from a file too.
    pub token: Option<At<RawProperty>>,
    /// PEM file of the authority that signed the registry's certificate. Default: the system's authorities.
    pub certificate: Option<At<String>>,
    /// How long the registry may take to answer. Default: `10s`.
    pub timeout: Option<At<RawDuration>>,
    /// Schemas that are kept; beyond that the longest unused one is asked for again when it is needed. Default: 1000.
    pub schemas: Option<At<u64>>,
}
