//! The front door: applications hand in events over HTTP, and what was acknowledged reaches Kafka, whatever happens to the
//! brokers, the network or this process. docs/ingest.md says what exactly is promised.
//!
//! A request is read and checked (`body`, `event`, `user_event`), `routes` say where its events go, its events go to the thread that sends them (`inbox`, `delivery`), and
//! the answer waits for the brokers or the disk, if it has to (`accept`).

#![forbid(unsafe_code)]

mod accept;
mod body;
mod breaker;
mod budget;
mod bulk;
mod delivery;
mod event;
mod exported;
mod grpc;
mod http;
mod inbox;
mod loki;
mod once;
mod otlp;
mod rate;
mod record;
mod repeats;
mod routes;
mod stats;
mod syslog;
mod tcp;
mod user_event;

#[cfg(test)]
mod any_input;

use crate::clock::Clock;
use crate::config::Ingest as Config;
use crate::kafka::Settings;
use crate::server::{Door, Protocol};
use crate::spool::{Limits, Spool};
use crate::telemetry::Metrics;
pub use accept::{Acceptor, Headers, Logs, Refusal};
pub use event::{Arrival, Event, Fields, Rejected, write};
pub use http::taken_over;
pub use once::{Once, Repeated, once};
pub use stats::{Status, TopicStatus};

use delivery::{Delivery, Parts, create_sender};
use inbox::Inbox;
use parking_lot::Mutex;
use stats::Stats;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A spool's file that is as large gets no more events.
const SEGMENT_BYTES: u64 = 16 << 20;
/// How long requests that are open when the agent stops may take to be answered …
const ANSWERS: Duration = Duration::from_secs(10);
/// … and how long what is in memory may then take to reach Kafka, before it goes to the spool.
const DRAIN: Duration = Duration::from_secs(10);

/// The way from the door to Kafka, with its thread.
pub struct Ingest {
    acceptor: Arc<Acceptor>,
    inbox: Arc<Inbox>,
    clock: Clock,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ingest {
    /// Opens the spool in `dir` and begins to send what is in it.
    ///
    /// # Errors
    /// One line: the spool cannot be read or written, or librdkafka refuses the properties.
    pub fn start(
        config: &Config,
        settings: &Settings,
        dir: &Path,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Ingest, String> {
        let cannot = |error| format!("ingest: the spool in {} cannot be used: {error}", dir.display());
        let limits = Limits { bytes: config.spool_bytes, segment_bytes: SEGMENT_BYTES.min(config.spool_bytes / 4) };
        let (spool, found) = Spool::open(dir, limits).map_err(cannot)?;
        let sender = create_sender(settings, config)
            .map_err(|error| format!("ingest: librdkafka refuses the properties: {error}"))?;
        metrics.ingest_spool_limit.set(i64::try_from(config.spool_bytes).unwrap_or(i64::MAX));
        let stats = Stats::new(metrics, &config.topics()).map_err(|error| format!("ingest: {error}"))?;
        let stats = Arc::new(stats);
        if found.records > 0 {
            tracing::info!("ingest: {} events wait in the spool", found.records);
        }
        if found.damaged > 0 {
            stats.metrics.ingest_spool_error(stats::DAMAGED, found.damaged);
            tracing::error!("ingest: {} events in the spool are damaged and lost", found.damaged);
        }
        let inbox = Arc::new(Inbox::new(config.buffer_bytes));
        let parts = Parts {
            config: config.clone(),
            settings: settings.clone(),
            clock: clock.clone(),
            stats: stats.clone(),
            inbox: inbox.clone(),
            sender,
            spool,
        };
        let (unserved, now) = (inbox.clone(), clock.clone());
        let thread = std::thread::Builder::new().name("ingest".into()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| Delivery::new(parts).run())).is_err() {
                // The panic hook has told it. What nobody would send is not accepted.
                unserved.close(now.boot_time());
                drop(unserved.take());
            }
        });
        let thread = thread.map_err(|error| format!("ingest: no thread: {error}"))?;
        let acceptor = Arc::new(Acceptor::new(config.clone(), clock.clone(), stats, inbox.clone()));
        Ok(Ingest { acceptor, inbox, clock, thread: Mutex::new(Some(thread)) })
    }

    /// Where events are handed in by other ways than HTTP.
    pub fn acceptor(&self) -> &Arc<Acceptor> {
        &self.acceptor
    }

    /// Serves a door by its protocol until `shutdown` resolves, then lets open requests finish, but not for ever.
    ///
    /// # Errors
    /// If the server fails; a failing connection is not its failure.
    pub async fn serve(&self, door: Door, shutdown: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        let (told, hears) = tokio::sync::oneshot::channel();
        let shutdown = async move {
            shutdown.await;
            drop(told);
        };
        let serving = async {
            match (door.lock().protocol(), self.acceptor.logs()) {
                (Protocol::OtlpGrpc, Some(logs)) => grpc::serve(door, logs, shutdown).await,
                (Protocol::Syslog, Some(logs)) => tcp::serve(door, logs, shutdown).await,
                _ => http::serve(door, self.acceptor.clone(), shutdown).await,
            }
        };
        let too_long = async move {
            let _: Result<(), _> = hears.await;
            tokio::time::sleep(ANSWERS).await;
        };
        tokio::select! {
            served = serving => served,
            () = too_long => Ok(()),
        }
    }

    /// Takes no more, brings what is in memory to Kafka or to the disk, and ends the thread. Blocks.
    pub fn stop(&self) {
        self.inbox.close(self.clock.boot_time().after(DRAIN));
        if let Some(thread) = self.thread.lock().take() {
            // A panic in there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}
