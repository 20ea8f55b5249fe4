//! The listeners of a config, and their locks.

use super::listen::Door;
use super::lock::{Lock, Protocol};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::telemetry::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A listener as the config has it.
#[derive(Clone, Copy, Debug)]
pub struct Listener<'a> {
    /// Its name, too.
    pub protocol: Protocol,
    pub address: SocketAddr,
    pub lock: &'a config::Lock,
}

/// All listeners of a config: the one list of them.
pub fn listeners(config: &Config) -> Vec<Listener<'_>> {
    let (http, grpc) = (&config.http, &config.grpc);
    let mut all = vec![
        Listener { protocol: Protocol::Http, address: http.listen, lock: &http.lock },
        Listener { protocol: Protocol::Grpc, address: grpc.listen, lock: &grpc.lock },
    ];
    if let Some(ingest) = &config.ingest {
        all.push(Listener { protocol: Protocol::Ingest, address: ingest.listen, lock: &ingest.lock });
        let more = [(Protocol::OtlpGrpc, ingest.otlp_grpc), (Protocol::Syslog, ingest.syslog)];
        let lock = &ingest.lock;
        all.extend(more.into_iter().filter_map(|(protocol, at)| Some(Listener { protocol, address: at?, lock })));
    }
    all
}

/// One for each listener.
pub struct Locks {
    all: Vec<Arc<Lock>>,
    /// What their files leave to be wished for.
    pub warnings: Vec<String>,
}

impl Locks {
    /// Reads their files.
    ///
    /// # Errors
    /// One line: what is wrong with which file.
    pub fn read(config: &Config, clock: &Clock, metrics: &Arc<Metrics>) -> Result<Locks, String> {
        let (mut all, mut warnings) = (Vec::new(), Vec::new());
        for Listener { protocol, address, lock } in listeners(config) {
            let read = Lock::read(protocol, lock, clock.clone(), metrics.clone())?;
            warnings.extend(read.warnings());
            // Of all others, the check of the config has told.
            if let (Some(weakness), true, false) =
                (read.weakness(), lock.web_config_file.is_some(), address.ip().is_loopback())
            {
                warnings.push(format!("{} is {address}: {weakness} (docs/security.md)", protocol.key()));
            }
            all.push(Arc::new(read));
        }
        Ok(Locks { all, warnings })
    }

    /// The sockets, by their names, with their locks.
    pub fn doors(&self, sockets: Vec<(&'static str, TcpListener)>) -> Vec<Door> {
        let lock = |name: &str| self.all.iter().find(|lock| lock.door() == name).cloned();
        sockets.into_iter().filter_map(|(name, socket)| Some(Door::new(socket, lock(name)?))).collect()
    }
}
