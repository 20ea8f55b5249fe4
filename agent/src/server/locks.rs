//! The locks of all listeners of a config.

use super::listen::Door;
use super::lock::{Lock, Protocol};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::telemetry::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// One for each listener.
pub struct Locks {
    http: Arc<Lock>,
    grpc: Arc<Lock>,
    ingest: Option<Arc<Lock>>,
    /// What their files leave to be wished for.
    pub warnings: Vec<String>,
}

impl Locks {
    /// Reads their files.
    ///
    /// # Errors
    /// One line: what is wrong with which file.
    pub fn read(config: &Config, metrics: &Arc<Metrics>) -> Result<Locks, String> {
        let mut warnings = Vec::new();
        let mut read = |protocol: Protocol, lock: &config::Lock, address: SocketAddr| {
            let read = Lock::read(protocol, lock, Clock::default(), metrics.clone())?;
            warnings.extend(read.warnings());
            // Of all others, the check of the config has told.
            if let (Some(weakness), true, false) =
                (read.weakness(), lock.web_config_file.is_some(), address.ip().is_loopback())
            {
                warnings.push(format!("{}.listen is {address}: {weakness} (docs/security.md)", protocol.name()));
            }
            Ok::<_, String>(Arc::new(read))
        };
        let http = read(Protocol::Http, &config.http.lock, config.http.listen)?;
        let grpc = read(Protocol::Grpc, &config.grpc.lock, config.grpc.listen)?;
        let ingest = config.ingest.as_ref().map(|ingest| read(Protocol::Ingest, &ingest.lock, ingest.listen));
        Ok(Locks { http, grpc, ingest: ingest.transpose()?, warnings })
    }

    /// The sockets with their locks.
    pub fn doors(self, http: TcpListener, grpc: TcpListener, ingest: Option<TcpListener>) -> Doors {
        let ingest = ingest.zip(self.ingest).map(|(listener, lock)| Door::new(listener, lock));
        Doors { http: Door::new(http, self.http), grpc: Door::new(grpc, self.grpc), ingest }
    }
}

/// One for each listener.
pub struct Doors {
    pub http: Door,
    pub grpc: Door,
    pub ingest: Option<Door>,
}
