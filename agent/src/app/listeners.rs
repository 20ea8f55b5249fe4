//! The agent's sockets.

use crate::config::Config;
use crate::server::{Listener, listeners};
use anyhow::Context;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// The sockets, bound before anything else starts: a port that is taken is known at once.
pub struct Listeners(pub(super) Vec<(&'static str, TcpListener)>);

impl Listeners {
    /// Binds what the config names.
    ///
    /// # Errors
    /// If one of the addresses cannot be listened on.
    pub async fn bind(config: &Config) -> anyhow::Result<Listeners> {
        let mut bound = Vec::new();
        for Listener { protocol, address, .. } in listeners(config) {
            let listener = TcpListener::bind(address).await.with_context(|| {
                format!("cannot listen on {address}; free the port, or set {} to another", protocol.key())
            })?;
            bound.push((protocol.name(), listener));
        }
        Ok(Listeners(bound))
    }

    /// The same, but a port that is taken is replaced by a free one.
    ///
    /// # Errors
    /// If no port can be listened on.
    pub async fn bind_or_free(config: &Config) -> io::Result<Listeners> {
        let mut bound = Vec::new();
        for Listener { protocol, address, .. } in listeners(config) {
            let listener = match TcpListener::bind(address).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => TcpListener::bind((address.ip(), 0)).await?,
                listener => listener?,
            };
            bound.push((protocol.name(), listener));
        }
        Ok(Listeners(bound))
    }

    /// Where each of them listens, by its name.
    pub(super) fn addresses(&self) -> io::Result<Vec<(&'static str, SocketAddr)>> {
        self.0.iter().map(|(name, listener)| Ok((*name, listener.local_addr()?))).collect()
    }
}
