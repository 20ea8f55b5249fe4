//! What runs beside the workers, and how it is told to end.

use std::pin::Pin;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What runs beside the workers until the agent has counted its last event.
pub struct Tasks {
    stop: watch::Sender<()>,
    pub all: Vec<JoinHandle<()>>,
}

impl Tasks {
    pub fn new() -> Tasks {
        Tasks { stop: watch::Sender::new(()), all: Vec::new() }
    }

    pub fn stopped(&self) -> watch::Receiver<()> {
        self.stop.subscribe()
    }

    pub fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = stopped(self.stopped());
        self.all.push(tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                () = stopped => {}
            }
        }));
    }

    /// A server lets open requests finish: it is told, and not ended.
    pub fn serve<S, E>(&mut self, name: &'static str, serve: impl FnOnce(Stopped) -> S)
    where
        S: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let serving = serve(Box::pin(stopped(self.stopped())));
        self.all.push(tokio::spawn(async move {
            serving.await.unwrap_or_else(|error| tracing::error!("{name} server: {error}"));
        }));
    }

    /// Tells all of them; they are in what is returned.
    pub fn stop(self) -> Vec<JoinHandle<()>> {
        self.all
    }
}

/// Resolves when all is to end.
pub type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Resolves when the sender is gone.
pub async fn stopped(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}
