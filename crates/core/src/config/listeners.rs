//! What the listeners for readers are: HTTP and gRPC.

use super::lock::{ClientAccess, Lock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    pub listen: SocketAddr,
    pub histograms: Histograms,
    /// Whether OpenMetrics text says since when totals count.
    pub created_series: bool,
    /// Origins whose pages may read the answers in JSON.
    pub cors_origins: Vec<String>,
    pub lock: Lock,
}

/// Which buckets histograms have in the protobuf exposition. Text knows classic ones only.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Histograms {
    Classic,
    Native,
    #[default]
    Both,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Grpc {
    pub listen: SocketAddr,
    /// `host:port` that other agents of the group reach this one at; `None`: where it listens.
    pub advertise: Option<String>,
    /// How the other agents' doors are opened.
    pub peer: ClientAccess,
    pub lock: Lock,
}
