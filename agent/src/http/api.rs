//! Queries in JSON: from a URL to a request of `QueryService`, and its answer by Protobuf's JSON mapping.

use super::HttpState;
use crate::api::{
    Watch, WatchMessage, aggregates_request, error_name, events_request, failure, http_status, json, openapi,
    query_request, tail_request, watch_request,
};
use crate::server;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prost::Message;
use std::convert::Infallible;
use std::time::Duration;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tower_http::cors::CorsLayer;

/// What the paths of this room begin with.
pub const PREFIX: &str = "/api/";
/// And those that show single events.
pub const EVENTS: &str = "/api/v1/events";
pub const TAIL: &str = "/api/v1/tail";
/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);
/// Where a browser was before it lost the connection.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The parameters of a URL, in their order.
type Params = Query<Vec<(String, String)>>;

pub fn routes() -> Router<HttpState> {
    Router::new()
        .route("/api/v1/query/{aggregate}", get(query))
        .route("/api/v1/watch/{aggregate}", get(watch))
        .route("/api/v1/events", get(async |state, given| events(state, Path(String::new()), given).await))
        .route("/api/v1/events/{source}", get(events))
        .route("/api/v1/tail", get(async |state, given| tail(state, Path(String::new()), given).await))
        .route("/api/v1/tail/{source}", get(tail))
        .route("/api/v1/aggregates", get(aggregates))
        .route("/api/v1/status", get(status))
        .route("/api/v1/openapi.json", get(document))
        .route("/api/{*other}", get(nothing))
        .method_not_allowed_fallback(only_get)
}

/// Lets pages of these origins read the answers in JSON, and no others.
pub fn cors(origins: &[String]) -> CorsLayer {
    let headers = [AUTHORIZATION, HeaderName::from_static("x-request-id"), LAST_EVENT_ID];
    server::cors(origins, |path| path.starts_with(PREFIX)).allow_methods([Method::GET]).allow_headers(headers)
}

async fn query(State(state): State<HttpState>, Path(aggregate): Path<String>, Query(given): Params) -> Response {
    let request = match query_request(&aggregate, &given) {
        Ok(request) => request,
        Err(problem) => return wrong(&problem),
    };
    answer("QueryResponse", state.api.query(request).await)
}

async fn watch(
    State(state): State<HttpState>,
    Path(aggregate): Path<String>,
    Query(given): Params,
    headers: HeaderMap,
) -> Response {
    let mut request = match watch_request(&aggregate, &given) {
        Ok(request) => request,
        Err(problem) => return wrong(&problem),
    };
    // Where the browser was when it lost the connection: later than where the page began.
    if let Some(last) = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()) {
        request.resume_token = last.to_owned();
    }
    let Watch { first, rest } = match state.watches.watch(request).await {
        Ok(watch) => watch,
        Err(status) => return refusal(&status),
    };
    let events = tokio_stream::once(Ok(first)).chain(ReceiverStream::new(rest)).map(event);
    ([(CACHE_CONTROL, "no-store")], Sse::new(events)).into_response()
}

fn event(message: Result<WatchMessage, Status>) -> Result<Event, Infallible> {
    let written = match &message {
        Ok(message) => message.json().map_err(|problem| failure("internal", &problem)),
        Err(status) => Err(failure(error_name(status.code()), status.message())),
    };
    Ok(match (written, message) {
        (Ok(text), Ok(message)) => {
            let kind = if message.answer.is_some() { "answer" } else { "heartbeat" };
            Event::default().event(kind).id(message.resume_token).retry(RETRY).data(text)
        }
        (Ok(text) | Err(text), _) => Event::default().event("error").data(text),
    })
}

async fn events(State(state): State<HttpState>, Path(source): Path<String>, Query(given): Params) -> Response {
    match events_request(&source, &given) {
        Ok(request) => answer("ListRecentEventsResponse", state.api.list_recent_events(request).await),
        Err(problem) => wrong(&problem),
    }
}

async fn tail(State(state): State<HttpState>, Path(source): Path<String>, Query(given): Params) -> Response {
    let request = match tail_request(&source, &given) {
        Ok(request) => request,
        Err(problem) => return wrong(&problem),
    };
    let heard = match state.api.tail_events(request).await {
        Ok(heard) => heard,
        Err(status) => return refusal(&status),
    };
    let events = heard.map(|heard| {
        let said =
            heard.map_err(|status| failure(error_name(status.code()), status.message())).and_then(
                |message| match json("TailEventsResponse", &message) {
                    Ok(text) => Ok((if message.events.is_empty() { "heartbeat" } else { "events" }, text)),
                    Err(problem) => Err(failure("internal", &problem)),
                },
            );
        Ok::<_, Infallible>(match said {
            Ok((kind, text)) => Event::default().event(kind).retry(RETRY).data(text),
            Err(why) => Event::default().event("error").data(why),
        })
    });
    ([(CACHE_CONTROL, "no-store")], Sse::new(events)).into_response()
}

async fn aggregates(State(state): State<HttpState>, Query(given): Params) -> Response {
    match aggregates_request(&given) {
        Ok(request) => answer("ListAggregatesResponse", state.api.list_aggregates(&request)),
        Err(problem) => wrong(&problem),
    }
}

async fn status(State(state): State<HttpState>, Query(given): Params) -> Response {
    match given.first() {
        Some((name, _)) => wrong(&format!("there is no parameter `{name}`")),
        None => answer("GetStatusResponse", Ok(state.api.status())),
    }
}

async fn document() -> Response {
    whole(StatusCode::OK, openapi().to_string())
}

async fn nothing() -> Response {
    let message = "there are /api/v1/aggregates, /api/v1/query/AGGREGATE, /api/v1/watch/AGGREGATE, /api/v1/events/SOURCE, \
                   /api/v1/tail/SOURCE and /api/v1/status; /api/v1/openapi.json describes them";
    refused(StatusCode::NOT_FOUND, "not_found", message)
}

async fn only_get() -> Response {
    refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "ask with GET")
}

fn answer(name: &str, answer: Result<impl Message, Status>) -> Response {
    match answer {
        Ok(message) => match json(name, &message) {
            Ok(text) => whole(StatusCode::OK, text),
            Err(problem) => refused(StatusCode::INTERNAL_SERVER_ERROR, "internal", &problem),
        },
        Err(status) => refusal(&status),
    }
}

fn refusal(status: &Status) -> Response {
    refused(http_status(status.code()), error_name(status.code()), status.message())
}

fn wrong(problem: &str) -> Response {
    refused(StatusCode::BAD_REQUEST, "invalid_argument", problem)
}

/// Why not, as one line of JSON.
pub fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    whole(status, failure(code, message))
}

fn whole(status: StatusCode, mut text: String) -> Response {
    text.push('\n');
    (status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], text).into_response()
}
