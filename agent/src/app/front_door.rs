//! The listeners that take events, and the thread behind them.

use super::tasks::stopped;
use crate::config;
use crate::env::Environment;
use crate::ingest::{Acceptor, Ingest};
use crate::server::Door;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// It has a stop of its own: it closes beside the last commits, not after them.
pub struct FrontDoor {
    ingest: Arc<Ingest>,
    servers: Vec<JoinHandle<()>>,
    open: watch::Sender<()>,
}

impl FrontDoor {
    /// `dir` is where the spool is kept.
    ///
    /// # Errors
    /// If the spool or the producer cannot be had.
    pub fn open(config: &config::Ingest, env: &Environment, dir: &Path, doors: Vec<Door>) -> Result<FrontDoor, String> {
        let ingest = Arc::new(Ingest::start(config, &env.kafka, dir, env.clock.clone(), env.metrics.clone())?);
        let (open, closes) = watch::channel(());
        let serve = |door: Door| {
            let (serving, closes) = (ingest.clone(), closes.clone());
            tokio::spawn(async move {
                serving.serve(door, stopped(closes)).await.unwrap_or_else(|e| tracing::error!("ingest server: {e}"));
            })
        };
        let servers = doors.into_iter().map(serve).collect();
        Ok(FrontDoor { ingest, servers, open })
    }

    /// Who takes events, for other listeners too.
    pub fn acceptor(&self) -> &Arc<Acceptor> {
        self.ingest.acceptor()
    }

    /// Takes no more; what was accepted goes to Kafka or to the disk.
    pub async fn close(self) {
        drop(self.open);
        // A panic in one of them has been reported by the panic hook.
        for server in self.servers {
            let _ = server.await;
        }
        let _ = tokio::task::spawn_blocking(move || self.ingest.stop()).await;
    }
}
