//! The page at `/`: what happens now, for whoever has a browser and nothing else. The server writes it, in HTML and SVG; a
//! page of script puts in what comes after.

mod feed;
mod look;
mod spark;
mod view;

#[cfg(test)]
mod tests;

pub use feed::Live;

use super::HttpState;
use crate::api::error_name;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use std::convert::Infallible;
use std::time::Duration;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing from anywhere else, nothing inline, and in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A word that the connection is there, if nothing else is said.
const ALIVE: Duration = Duration::from_secs(5);

pub fn routes() -> Router<HttpState> {
    Router::new()
        .route("/", get(page))
        .route("/-/live", get(live))
        .route("/-/page.css", get(|| async { file("text/css; charset=utf-8", STYLE) }))
        .route("/-/page.js", get(|| async { file("text/javascript; charset=utf-8", SCRIPT) }))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), NO_SNIFFING], text).into_response()
}

const NO_SNIFFING: (HeaderName, &str) = (X_CONTENT_TYPE_OPTIONS, "nosniff");

async fn page(State(state): State<HttpState>) -> Response {
    let now = state.live.now().await;
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        NO_SNIFFING,
    ];
    let sources = state.api.recent.names();
    (headers, view::page(&now, &sources).into_string()).into_response()
}

/// The middle of the page, again whenever it has changed.
async fn live(State(state): State<HttpState>) -> Response {
    let place = match state.watches.place() {
        Ok(place) => place,
        Err(status) => {
            let text = format!("{}: {}\n", error_name(status.code()), status.message());
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
    };
    let events = WatchStream::new(state.live.follow()).filter_map(move |newest| {
        // Given back when the reader goes.
        let _place = &place;
        newest.map(|main| Ok::<_, Infallible>(Event::default().event("main").data(&*main)))
    });
    let kept_alive = KeepAlive::new().interval(ALIVE).event(Event::default().event("alive").data("."));
    let mut answer = Sse::new(events).keep_alive(kept_alive).into_response();
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
