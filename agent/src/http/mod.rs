//! The HTTP server: `/metrics`, queries in JSON, a page that shows what happens now, health, readiness, and the config in force. Thin: it calls and translates.

#![forbid(unsafe_code)]

use crate::api::{Api, Watches};
use crate::cluster::View;
use crate::config::{Histograms, Right};
use crate::export::prometheus::{Format, Style, accepts_gzip};
use crate::publish::Publisher;
use crate::server::{Caller, Door, Guard, Lock, Need, Refused, RequestSpans};
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

mod api;
mod live;
mod page;
#[cfg(test)]
mod tests;

pub use live::Live;

/// Largest request, bytes: no page reads a body.
const MAX_REQUEST_BYTES: usize = 64 << 10;
/// How long an answer may take to begin; a reload waits for a commit of every worker.
const LONGEST_REQUEST: Duration = Duration::from_secs(120);

/// What may be asked of the agent itself.
pub trait Control: Send + Sync {
    /// The config in force, secrets masked.
    fn config(&self) -> String;

    /// Reads the config file again. What became of it, or why the config before stays in force. Waits until it is in
    /// force.
    fn reload(&self) -> Result<String, String>;
}

/// What the pages show.
#[derive(Clone)]
pub struct HttpState {
    pub publisher: Arc<Publisher>,
    pub metrics: Arc<Metrics>,
    pub control: Arc<dyn Control>,
    pub cluster: View,
    pub api: Api,
    pub watches: Arc<Watches>,
    pub live: Arc<Live>,
    /// Origins whose pages may read the answers in JSON.
    pub cors_origins: Vec<String>,
    /// Which buckets histograms have on `/metrics` for servers that ask for protobuf.
    pub histograms: Histograms,
    /// Whether OpenMetrics text has `…_created` series.
    pub created_series: bool,
}

/// Serves until `shutdown` resolves, then lets open requests finish.
///
/// # Errors
/// If the server fails; a failing connection is not its failure.
pub async fn serve(
    door: Door,
    state: HttpState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = router(state, door.lock().clone()).into_make_service_with_connect_info::<Caller>();
    axum::serve(door.connections()?, router).with_graceful_shutdown(shutdown).await
}

/// What a path needs. One that is not there tells nothing to whoever may not read.
fn need(path: &str) -> Need {
    match path {
        "/-/healthy" | "/-/ready" => Need::Health,
        "/-/reload" => Need::Right(Right::Reload),
        _ if path.starts_with(api::EVENTS) || path.starts_with(api::TAIL) => Need::Right(Right::Events),
        _ => Need::Right(Right::Read),
    }
}

fn refuse(path: &str, refused: &Refused) -> Response {
    let (status, asked) = refused.http();
    match path.starts_with(api::PREFIX) {
        true => (asked, api::refused(status, refused.outcome(), &refused.to_string())).into_response(),
        false => (status, asked, format!("{refused}\n")).into_response(),
    }
}

fn router(state: HttpState, lock: Arc<Lock>) -> Router {
    let pages = Arc::new(Semaphore::new(page::PAGES_AT_A_TIME));
    Router::new()
        .route("/metrics", get(move |State(state), headers| metrics(state, headers, pages.clone())))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/config", get(config))
        .route("/-/reload", post(reload))
        .merge(api::routes())
        .merge(live::routes())
        .layer(RequestBodyLimitLayer::new(MAX_REQUEST_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, LONGEST_REQUEST))
        .layer(tower::layer::layer_fn(move |inner| Guard::new(inner, lock.clone(), need, refuse)))
        .layer(tower::layer::layer_fn(RequestSpans))
        // Before the lock: a browser asks for leave without saying who it is.
        .layer(api::cors(&state.cors_origins))
        .with_state(state)
}

async fn metrics(state: HttpState, headers: HeaderMap, pages: Arc<Semaphore>) -> Response {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let style = Style {
        format: Format::negotiate(header(ACCEPT)),
        histograms: state.histograms,
        created: state.created_series,
    };
    let gzip = accepts_gzip(header(ACCEPT_ENCODING));
    // It is closed by nobody.
    let Ok(permit) = pages.acquire_owned().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let kind = [(CONTENT_TYPE, style.format.content_type()), (VARY, "accept, accept-encoding")];
    let encoding = gzip.then_some([(CONTENT_ENCODING, "gzip")]);
    (kind, encoding, page::stream(state, style, gzip, permit)).into_response()
}

/// Never depends on Kafka: a restart would not help it.
async fn healthy() -> &'static str {
    "ok\n"
}

async fn ready(State(state): State<HttpState>) -> Response {
    let reasons = (state.api.readiness)();
    let notes = (state.api.notes)().into_iter().map(|note| format!("note: {note}"));
    let (status, mut lines) = match reasons.is_empty() {
        true => (StatusCode::OK, vec!["ready".to_owned()]),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons),
    };
    lines.extend(notes);
    (status, lines.join("\n") + "\n").into_response()
}

async fn config(State(state): State<HttpState>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], state.control.config()).into_response()
}

async fn reload(State(state): State<HttpState>) -> Response {
    let span = tracing::Span::current();
    let done = tokio::task::spawn_blocking(move || span.in_scope(|| state.control.reload())).await;
    match done.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(done) => done.into_response(),
        Err(refused) => (StatusCode::UNPROCESSABLE_ENTITY, refused + "\n").into_response(),
    }
}
