//! Push over OTLP: every closed window once, with its own start and end; totals and the agent's own metrics as they stand.
//!
//! Windows go through a backlog on disk, so that neither an outage of the receiver nor a crash loses one. A crash between
//! the receiver's answer and the note of it sends a batch once more: the same points at the same times, which a receiver
//! such as Prometheus stores once. Totals need no backlog: the next push says all that a lost one said.

mod client;
mod collect;
mod points;
mod resource;
mod signals;
mod spool;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

pub use client::ClientError;

use crate::cluster::View;
use crate::config::Otlp;
use crate::export::prometheus::own_families;
use crate::publish::{Outlet, Publisher};
use crate::query::aggregates;
use crate::telemetry::{self, Metrics, ProcessStats};
use client::{Answer, Client};
use collect::Collector;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use parking_lot::Mutex;
use prost::Message;
use resource::{Resources, request};
use spool::{Limits, Spool};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

/// How often it is looked whether something waits.
const ROUND: Duration = Duration::from_millis(200);
/// Waits between attempts: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LAST_WAIT: Duration = Duration::from_secs(30);
/// Points that one request of totals has about.
const POINTS: usize = 2_000;

/// Why nothing can be pushed.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the backlog of the push, {dir}: {error}; make it readable and writable for this user")]
    Backlog { dir: String, error: std::io::Error },
}

/// What the pushing tasks share.
struct Push {
    config: Otlp,
    client: Client,
    publisher: Arc<Publisher>,
    metrics: Arc<Metrics>,
    cluster: View,
    resources: Arc<Resources>,
    spool: Arc<Mutex<Spool>>,
}

/// Who pushes.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub group_id: &'a str,
    /// Stable id of this agent.
    pub instance: &'a str,
}

/// A push that has been started.
#[derive(Debug)]
pub struct Pushing {
    pub tasks: Vec<JoinHandle<()>>,
    /// Where closed windows go.
    pub outlet: Arc<dyn Outlet>,
}

/// Starts to push, until the sender of `stopped` is gone. `dir` is where the backlog is kept.
///
/// # Errors
/// If a certificate is of no use, or the backlog cannot be opened.
pub fn start(
    config: Otlp,
    sender: Sender<'_>,
    publisher: Arc<Publisher>,
    metrics: Arc<Metrics>,
    cluster: View,
    dir: &Path,
    stopped: watch::Receiver<()>,
) -> Result<Pushing, OtlpError> {
    let client = Client::new(&config)?;
    let limits = Limits {
        bytes: config.backlog_bytes,
        age_ms: i64::try_from(config.backlog_age.as_millis()).unwrap_or(i64::MAX),
    };
    let unusable = |error| OtlpError::Backlog { dir: dir.display().to_string(), error };
    let (spool, damaged) = Spool::open(dir, limits).map_err(unusable)?;
    if damaged > 0 {
        tracing::warn!(files = damaged, "files of the push's backlog were damaged and are gone");
        metrics.otlp_dropped("damaged", damaged);
    }
    let (waiting, bytes) = spool.backlog();
    tracing::info!(endpoint = config.endpoint, waiting, "pushing over OTLP");
    metrics.otlp_backlog(waiting, bytes);
    let resources = Arc::new(Resources::new(&config, sender.group_id, sender.instance));
    let spool = Arc::new(Mutex::new(spool));
    let outlet = Arc::new(Collector {
        clock: publisher.reader().clock.clone(),
        resources: resources.clone(),
        spool: spool.clone(),
        metrics: metrics.clone(),
    });
    let push = Arc::new(Push { config, client, publisher, metrics, cluster, resources, spool });
    let until = |stopped: watch::Receiver<()>, work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        tokio::spawn(async move {
            tokio::select! {
                () = ended(stopped) => {}
                () = work => {}
            }
        })
    };
    let mut tasks = vec![
        until(stopped.clone(), Box::pin(drain(push.clone()))),
        until(stopped.clone(), Box::pin(push_totals(push.clone()))),
    ];
    if let Some(signals) = telemetry::signals() {
        tasks.push(until(stopped, Box::pin(signals::push_signals(push, signals))));
    }
    Ok(Pushing { tasks, outlet })
}

async fn ended(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

/// Sends the backlog, oldest first, for ever.
async fn drain(push: Arc<Push>) {
    let mut outage = Outage::default();
    loop {
        let now = push.publisher.reader().clock.unix_millis();
        let spool = push.spool.clone();
        let next = spawn_blocking(move || {
            let mut spool = spool.lock();
            let expired = spool.expire(now);
            (expired, spool.first().map_err(|error| (spool.drop_first(), error)))
        });
        let Ok((expired, next)) = next.await else { return };
        push.metrics.otlp_dropped("age", expired.age);
        let wait = match next {
            Ok(None) => ROUND,
            Ok(Some((number, request))) => {
                let answer = push.client.send(&request).await;
                let wait = outage.after(&answer);
                push.settle(number, answer).await;
                wait
            }
            Err((windows, error)) => {
                tracing::warn!(windows, "a batch of the push's backlog is gone: {error}");
                push.metrics.otlp_dropped("damaged", windows);
                Duration::ZERO
            }
        };
        push.note_backlog();
        tokio::time::sleep(wait).await;
    }
}

/// Pushes totals and the agent's own metrics once per interval, for ever.
async fn push_totals(push: Arc<Push>) {
    loop {
        tokio::time::sleep(push.config.interval).await;
        let shared = push.clone();
        let Ok(requests) = spawn_blocking(move || shared.totals()).await else { continue };
        for request in requests {
            match push.client.send(&request).await {
                Answer::Taken { rejected, message } => push.note_taken(rejected, &message),
                Answer::Later { why, .. } | Answer::Never { why } => {
                    push.metrics.otlp_push("failed");
                    tracing::debug!("totals were not taken this time: {why}");
                    break;
                }
            }
        }
    }
}

impl Push {
    /// Requests with all totals and the agent's own metrics, each of a size that receivers accept.
    fn totals(&self) -> Vec<Vec<u8>> {
        let now = self.publisher.reader().clock.unix_millis();
        let mut requests = Vec::new();
        for (inputs, plan) in aggregates(&self.publisher.reader().sources.now()) {
            for metric in points::totals(&self.publisher, inputs, plan, now) {
                let parts = split(metric, POINTS).into_iter();
                requests.extend(parts.map(|part| request(&self.resources.group, vec![part]).encode_to_vec()));
            }
        }
        let process = ProcessStats::read();
        let since = process.map_or(now, |process| (process.start_seconds * 1_000.0) as i64);
        let own = own_families(&self.publisher, &self.metrics, &self.cluster, process.as_ref());
        // A large cluster has a few series for each of its many partitions.
        let own = own.iter().flat_map(|family| split(points::own(family, since, now), POINTS));
        let mut together = Vec::new();
        let mut points = 0;
        for metric in own {
            points += resource::points_of(&metric);
            if points > POINTS && !together.is_empty() {
                let full = std::mem::take(&mut together);
                requests.push(request(&self.resources.agent, full).encode_to_vec());
                points = resource::points_of(&metric);
            }
            together.push(metric);
        }
        requests.push(request(&self.resources.agent, together).encode_to_vec());
        requests
    }

    /// Notes what the receiver said to a batch.
    async fn settle(&self, number: u64, answer: Answer) {
        let (reason, why) = match answer {
            Answer::Later { .. } => return self.metrics.otlp_push("failed"),
            Answer::Taken { rejected, message } => {
                self.note_taken(rejected, &message);
                (None, String::new())
            }
            Answer::Never { why } => {
                self.metrics.otlp_push("refused");
                (Some("refused"), why)
            }
        };
        let spool = self.spool.clone();
        let windows = spawn_blocking(move || spool.lock().done(number)).await.unwrap_or(0);
        if let Some(reason) = reason {
            tracing::warn!(windows, "the OTLP receiver refuses a batch for good: {why}");
            self.metrics.otlp_dropped(reason, windows);
        }
    }

    fn note_taken(&self, rejected: u64, message: &str) {
        self.metrics.otlp_push("taken");
        if rejected > 0 {
            tracing::warn!(points = rejected, "the OTLP receiver refused points: {message}");
            self.metrics.otlp_rejected(rejected);
        }
    }

    fn note_backlog(&self) {
        let (windows, bytes) = self.spool.lock().backlog();
        self.metrics.otlp_backlog(windows, bytes);
    }
}

/// A metric of many points as several of at most `most`.
fn split(mut metric: Metric, most: usize) -> Vec<Metric> {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    if resource::points_of(&metric) <= most {
        return vec![metric];
    }
    macro_rules! parts {
        ($variant:ident, $data:expr) => {{
            let points = std::mem::take(&mut $data.data_points);
            let part = |points: &[_]| {
                let mut data = $data.clone();
                data.data_points = points.to_vec();
                Metric { data: Some(Data::$variant(data)), ..metric.clone() }
            };
            points.chunks(most).map(part).collect()
        }};
    }
    match metric.data.take() {
        Some(Data::Gauge(mut data)) => parts!(Gauge, data),
        Some(Data::Sum(mut data)) => parts!(Sum, data),
        Some(Data::Histogram(mut data)) => parts!(Histogram, data),
        Some(Data::ExponentialHistogram(mut data)) => parts!(ExponentialHistogram, data),
        Some(Data::Summary(mut data)) => parts!(Summary, data),
        None => Vec::new(),
    }
}

/// How long the receiver has been out, in failed attempts.
#[derive(Debug, Default)]
struct Outage {
    attempts: u32,
}

impl Outage {
    /// How long to wait after this answer. The log has the beginning and the end of an outage, not every attempt.
    fn after(&mut self, answer: &Answer) -> Duration {
        let Answer::Later { after, why } = answer else {
            if self.attempts > 0 {
                tracing::info!(attempts = self.attempts, "the OTLP receiver answers again");
            }
            self.attempts = 0;
            return Duration::ZERO;
        };
        if self.attempts == 0 {
            tracing::warn!("the OTLP receiver takes nothing, windows wait on disk: {why}");
        }
        let doubled = FIRST_WAIT.saturating_mul(1 << self.attempts.min(10)).min(LAST_WAIT);
        self.attempts = self.attempts.saturating_add(1);
        // Agents that lost the receiver at the same time must not come back to it at the same time.
        after.unwrap_or_else(|| doubled.mul_f64(rand::random_range(0.5..1.0))).min(10 * LAST_WAIT)
    }
}
