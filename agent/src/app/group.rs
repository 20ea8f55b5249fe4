//! This agent among the others of its group.

use crate::config::Config;
use crate::state::Address;
use std::net::SocketAddr;

/// Where the other agents of the group reach this one: what the config says, or else where it listens.
pub fn advertised(config: &Config, listens: Option<SocketAddr>) -> Option<Address> {
    match (&config.grpc.advertise, listens) {
        (Some(address), _) => Some(address.as_str().into()),
        (None, Some(listens)) if !listens.ip().is_unspecified() => Some(listens.to_string().into()),
        (None, _) => {
            tracing::warn!(
                "grpc.listen names no host: set grpc.advertise, so that the group's other agents find this one"
            );
            None
        }
    }
}
