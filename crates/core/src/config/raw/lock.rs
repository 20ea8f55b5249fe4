//! The locks of listeners: TLS, identities, rights.

use crate::config::at::{At, Map};
use crate::config::lock::Right;
use schemars::JsonSchema;
use serde::Deserialize;

/// TLS of a listener. The files are read again when they change; open connections stay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tls")]
pub struct RawTls {
    /// PEM file: the listener's certificate, and those that lead to its authority.
    pub certificate: At<String>,
    /// PEM file: the certificate's private key.
    pub key: At<String>,
    /// PEM file: authorities that sign the certificates of clients. Default: clients are not asked for one.
    pub client_ca: Option<At<String>>,
    /// Whether clients need a certificate: `required` or `optional`. Default: `required`, where there is a `client_ca`.
    pub client_certificates: Option<At<RawClientCertificates>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ClientCertificates")]
pub enum RawClientCertificates {
    Required,
    Optional,
}

/// How this agent opens the doors of the group's other agents, where they are locked. Read at the start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Peer")]
pub struct RawPeer {
    /// PEM file: the authority that signed the agents' certificates. With it, they are called with TLS.
    pub ca: Option<At<String>>,
    /// PEM file: this agent's certificate as a client.
    pub certificate: Option<At<String>>,
    /// PEM file: the private key of `certificate`.
    pub key: Option<At<String>>,
    /// File whose first line is the token of an identity with the right `peer`.
    pub token_file: Option<At<String>>,
}

/// Identities by name; for basic authentication, the name is the user's.
pub type RawIdentities = At<Map<RawIdentity>>;

/// A caller, known by a token, a password or a certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Identity")]
pub struct RawIdentity {
    /// File with the bearer token: as it is, or as `sha256:` and its hash in hex. Several lines: each of them is valid, so
    /// that a token can be replaced. Read again when it changes.
    pub token_file: Option<At<String>>,
    /// The bcrypt hash of a password for basic authentication, as `htpasswd -nBC 10 NAME` prints it.
    pub password_hash: Option<At<String>>,
    /// The subject of a client certificate: its common name, or all of it (`CN=ops,O=Example`). Needs `tls.client_ca`.
    pub certificate_subject: Option<At<String>>,
    /// What it may do: `read` (metrics, queries, the config), `cluster_read` (health, groups, topics), `topics` (changing
    /// them), `load_tests`, `reload`, `peer` (what agents ask each other), `ingest` (handing in events). Default: `[read]`;
    /// below `ingest`: `[ingest]`.
    pub may: Option<Vec<Right>>,
}
