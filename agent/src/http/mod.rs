//! The HTTP server: `/metrics`, health, readiness, and the config in force. Thin: it calls and translates.

use crate::cluster::View;
use crate::export::prometheus::{self, Format};
use crate::query::{Reader, Readiness};
use crate::telemetry::{Metrics, ProcessStats};
use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpListener;

#[cfg(test)]
mod tests;

/// What the pages show.
#[derive(Clone)]
pub struct HttpState {
    pub reader: Arc<Reader>,
    pub metrics: Arc<Metrics>,
    pub readiness: Readiness,
    pub cluster: View,
    /// The config in force, secrets masked.
    pub config: Arc<str>,
}

/// Serves until `shutdown` resolves, then lets open requests finish.
///
/// # Errors
/// If the server fails; a failing connection is not its failure.
pub async fn serve(
    listener: TcpListener,
    state: HttpState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(state)).with_graceful_shutdown(shutdown).await
}

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/config", get(config))
        .with_state(state)
}

async fn index() -> Html<&'static str> {
    Html(
        "<!doctype html><title>Streamgauge</title><h1>Streamgauge</h1><ul>\
         <li><a href=\"/metrics\">/metrics</a>: metrics for Prometheus\
         <li><a href=\"/-/ready\">/-/ready</a>: assignment known and its state restored\
         <li><a href=\"/-/healthy\">/-/healthy</a>: the process lives\
         <li><a href=\"/-/config\">/-/config</a>: the config in force</ul>",
    )
}

async fn metrics(State(state): State<HttpState>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::negotiate(accept);
    // A large page takes a while: other requests are served meanwhile.
    let page = tokio::task::spawn_blocking(move || {
        let process = ProcessStats::read();
        prometheus::render(&state.reader, &state.metrics, &state.cluster, process.as_ref(), format)
    });
    match page.await {
        Ok(page) => ([(CONTENT_TYPE, format.content_type())], page).into_response(),
        Err(error) => {
            tracing::error!("/metrics failed: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be written; the log says why\n").into_response()
        }
    }
}

/// Never depends on Kafka: a restart would not help it.
async fn healthy() -> &'static str {
    "ok\n"
}

async fn ready(State(state): State<HttpState>) -> Response {
    let reasons = (state.readiness)();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let mut text = reasons.join("\n");
    text.push('\n');
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn config(State(state): State<HttpState>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], state.config.to_string()).into_response()
}
