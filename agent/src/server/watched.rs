//! What is made of files, and made again when they change.

use super::identities::Hash;
use crate::telemetry::Metrics;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// How often the files are looked at. Their contents are compared: Kubernetes swaps directories under them.
const LOOK: Duration = Duration::from_secs(2);

type Read<T> = Box<dyn Fn() -> Result<(T, Hash), String> + Send + Sync>;

/// What some files say, as they were when they could last be used.
pub struct Watched<T> {
    /// In the log and in metrics.
    name: &'static str,
    metrics: Arc<Metrics>,
    read: Read<T>,
    now: RwLock<(Arc<T>, Hash)>,
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// `read` returns what the files say, and their fingerprint.
    ///
    /// # Errors
    /// One line: what is wrong with which file.
    pub fn new(
        name: &'static str,
        metrics: Arc<Metrics>,
        read: impl Fn() -> Result<(T, Hash), String> + Send + Sync + 'static,
    ) -> Result<Watched<T>, String> {
        let (first, fingerprint) = read()?;
        Ok(Watched { name, metrics, read: Box::new(read), now: RwLock::new((Arc::new(first), fingerprint)) })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What is in force.
    pub fn now(&self) -> Arc<T> {
        self.now.read().0.clone()
    }

    /// Reads the files again, and takes what changed. `last`: what was wrong with them before, which is told once and
    /// counted each time.
    pub fn look(&self, last: &mut Option<String>) {
        let name = self.name;
        match (self.read)() {
            Ok((_, fingerprint)) if fingerprint == self.now.read().1 => *last = None,
            Ok((read, fingerprint)) => {
                *self.now.write() = (Arc::new(read), fingerprint);
                self.metrics.door_lock_read(name, "changed");
                tracing::info!(
                    "{name}: certificates, keys or tokens have changed and are in force for new connections"
                );
                *last = None;
            }
            Err(error) => {
                self.metrics.door_lock_read(name, "failed");
                if last.as_ref() != Some(&error) {
                    tracing::error!("{name}: {error}; what was read before stays in force");
                    *last = Some(error);
                }
            }
        }
    }

    /// Looks at the files until it is dropped.
    pub async fn watch(self: Arc<Self>) {
        let mut last = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let watched = self.clone();
            let looked = spawn_blocking(move || {
                watched.look(&mut last);
                last
            });
            // It cannot panic; if it did, the next look begins anew.
            last = looked.await.unwrap_or_default();
        }
    }
}
