//! The locks of all listeners of a config.

use super::listen::Door;
use super::lock::{Lock, Protocol};
use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry::Metrics;
use std::sync::Arc;
use tokio::net::TcpListener;

/// One for each listener.
pub struct Locks {
    http: Arc<Lock>,
    grpc: Arc<Lock>,
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
        let listeners = [
            (Protocol::Http, &config.http.lock, config.http.listen),
            (Protocol::Grpc, &config.grpc.lock, config.grpc.listen),
        ];
        let [http, grpc] = listeners.map(|(protocol, lock, address)| {
            let read = Lock::read(protocol, lock, Clock::default(), metrics.clone())?;
            warnings.extend(read.warnings());
            // Of all others, the check of the config has told.
            if let (Some(weakness), true, false) =
                (read.weakness(), lock.web_config_file.is_some(), address.ip().is_loopback())
            {
                warnings.push(format!("{}.listen is {address}: {weakness} (docs/security.md)", protocol.name()));
            }
            Ok::<_, String>(Arc::new(read))
        });
        Ok(Locks { http: http?, grpc: grpc?, warnings })
    }

    /// The sockets with their locks.
    pub fn doors(self, http: TcpListener, grpc: TcpListener) -> (Door, Door) {
        (Door::new(http, self.http), Door::new(grpc, self.grpc))
    }
}
