//! Elasticsearch's bulk API, and as much of the rest of it as its clients ask before they send.

use super::super::accept::{Logs, Refusal};
use super::super::body::Unusable;
use super::super::bulk::items;
use super::super::event::Rejected;
use super::{NO_ROOM, Shared, json, retry_after, status, taken_over};
use crate::server::Caller;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json as value};
use std::sync::Arc;

/// Without this header clients do not believe that it is one.
const PRODUCT: (&str, &str) = ("x-elastic-product", "Elasticsearch");
/// Whose API it is.
const VERSION: &str = "8.17.0";
/// The index of documents that name none.
const INDEX: &str = "logs";
const TYPES: [&str; 4] = ["application/x-ndjson", "application/json", "+x-ndjson", "+json"];

#[derive(Serialize)]
struct Answer {
    took: u64,
    errors: bool,
    items: Vec<Value>,
}

/// What clients ask first: who is there.
pub async fn root() -> Response {
    let answer = value!({
        "name": "streamgauge",
        "cluster_name": "streamgauge",
        "cluster_uuid": "streamgauge",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    });
    ([PRODUCT], json(StatusCode::OK, &answer)).into_response()
}

/// Whether it is there.
pub async fn health() -> Response {
    ([PRODUCT], "green\n").into_response()
}

pub async fn bulk(
    State(way): State<(Arc<Shared>, Logs)>,
    caller: ConnectInfo<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    bulk_of(State(way), Path(INDEX.to_owned()), caller, headers, body).await
}

pub async fn bulk_of(
    State((shared, logs)): State<(Arc<Shared>, Logs)>,
    Path(index): Path<String>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (began, taken_over) = (shared.acceptor.clock.boot_time(), taken_over(&headers));
    let taken = match shared.acceptor.batches.take(caller.address.ip()) {
        Err(wait) => Err((Unusable(StatusCode::TOO_MANY_REQUESTS, super::TOO_OFTEN.into()), Some(retry_after(wait)))),
        Ok(()) => take(&shared, &logs, &index, &headers, body, &taken_over).await,
    };
    let answer = match taken {
        Ok(items) => {
            let took = shared.acceptor.clock.boot_time().since(began).as_millis() as u64;
            let errors = items.iter().any(|(_, is_error)| *is_error);
            let items = items.into_iter().map(|(item, _)| item).collect();
            json(StatusCode::OK, &Answer { took, errors, items })
        }
        Err((Unusable(status, reason), retry)) => {
            let error = value!({ "type": kind(status), "reason": reason });
            let mut answer = json(status, &value!({ "error": error, "status": status.as_u16() }));
            if let Some(seconds) = retry {
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            answer
        }
    };
    shared.answered("bulk", began, &taken_over, ([PRODUCT], answer).into_response())
}

type Refused = (Unusable, Option<u64>);

/// What became of each item, and whether that is an error.
async fn take(
    shared: &Shared,
    logs: &Logs,
    index: &str,
    headers: &HeaderMap,
    body: Body,
    taken_over: &super::Headers,
) -> Result<Vec<(Value, bool)>, Refused> {
    let unusable = |error: Unusable| {
        let retry = (error.0 == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        (error, retry)
    };
    let (_, content) = shared.body(headers, body, &TYPES).await.map_err(unusable)?;
    let items = items(&content.bytes, index, shared.acceptor.config.batch_events, logs.arrival());
    drop(content);
    let items = items.map_err(|rejected| {
        let whole = matches!(rejected, Rejected::TooLarge(_));
        let status = if whole { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        (Unusable(status, rejected.reason().to_owned()), None)
    })?;
    let (of, events): (Vec<_>, Vec<_>) = items.into_iter().map(|item| ((item.action, item.index), item.event)).unzip();
    let answers = logs.door.accept(events, taken_over).await;
    let later = answers.iter().find_map(|answer| match answer {
        Err(later @ Refusal::Later(_)) => Some(later.reason().to_owned()),
        _ => None,
    });
    match later {
        // Nothing has been taken: clients send all of it again.
        Some(reason) if answers.iter().all(Result::is_err) => {
            Err((Unusable(StatusCode::SERVICE_UNAVAILABLE, reason), Some(NO_ROOM)))
        }
        _ => Ok(of
            .iter()
            .zip(&answers)
            .map(|((action, index), answer)| (item(action, index, answer), answer.is_err()))
            .collect()),
    }
}

fn item(action: &str, index: &str, answer: &Result<String, Refusal>) -> Value {
    let own = match answer {
        Ok(id) => value!({ "_index": index, "_id": id, "result": "created", "status": 201 }),
        Err(refusal) => {
            let status = match refusal {
                // Clients send such an item again, and no other.
                Refusal::Later(_) => StatusCode::TOO_MANY_REQUESTS,
                other => status(other),
            };
            let error = value!({ "type": kind(status), "reason": refusal.reason() });
            value!({ "_index": index, "status": status.as_u16(), "error": error })
        }
    };
    value!({ action: own })
}

/// Elasticsearch's name for it.
fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "es_rejected_execution_exception",
        StatusCode::PAYLOAD_TOO_LARGE => "content_too_long_exception",
        _ => "illegal_argument_exception",
    }
}
