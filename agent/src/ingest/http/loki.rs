//! Loki's push API: JSON, or protobuf packed with snappy. Answered as Loki answers: with nothing, or with one line.

use super::super::accept::{Logs, Refusal};
use super::super::body::{self, Unusable};
use super::super::loki::Push;
use super::{NO_ROOM, Shared, retry_after, status, taken_over};
use crate::server::Caller;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Loki's own default.
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

type Refused = (Unusable, Option<u64>);

pub async fn push(
    State((shared, logs)): State<(Arc<Shared>, Logs)>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (began, taken_over) = (shared.acceptor.clock.boot_time(), taken_over(&headers));
    let taken = match shared.acceptor.batches.take(caller.address.ip()) {
        Err(wait) => Err((Unusable(StatusCode::TOO_MANY_REQUESTS, super::TOO_OFTEN.into()), Some(retry_after(wait)))),
        Ok(()) => take(&shared, &logs, &headers, body, &taken_over).await,
    };
    let answer = match taken {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err((Unusable(status, reason), retry)) => {
            let mut answer = (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], reason + "\n").into_response();
            if let Some(seconds) = retry {
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            answer
        }
    };
    shared.answered("loki", began, &taken_over, answer)
}

async fn take(
    shared: &Shared,
    logs: &Logs,
    headers: &HeaderMap,
    body: Body,
    taken_over: &super::Headers,
) -> Result<(), Refused> {
    let bad = |reason: String| (Unusable(StatusCode::BAD_REQUEST, reason), None);
    let unusable = |error: Unusable| {
        let retry = (error.0 == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        (error, retry)
    };
    let config = &shared.acceptor.config;
    let (kind, content) = shared.body(headers, body, &[PROTOBUF, JSON]).await.map_err(unusable)?;
    let push = match kind {
        JSON => {
            let push = Push::from_json(&content.bytes).map_err(|error| bad(super::unreadable(&error)))?;
            drop(content);
            push
        }
        _ => {
            let content = body::unsnap(content, config.body_bytes).map_err(unusable)?;
            Push::from_protobuf(&content.bytes).map_err(bad)?
        }
    };
    let most = config.batch_events;
    if push.count() > most {
        return Err((Unusable(StatusCode::PAYLOAD_TOO_LARGE, format!("the batch has more than {most} events")), None));
    }
    let answers = logs.door.accept(push.events(logs.arrival()), taken_over).await;
    let refusals: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    let later = refusals.iter().find(|refusal| matches!(refusal, Refusal::Later(_)));
    match (later, refusals.first()) {
        (Some(later), _) => Err((Unusable(StatusCode::SERVICE_UNAVAILABLE, later.reason().to_owned()), Some(NO_ROOM))),
        // Its sender gives it up; the other lines are accepted.
        (None, Some(first)) => {
            let reason = format!("{} of {} lines are not accepted: {}", refusals.len(), answers.len(), first.reason());
            Err((Unusable(status(first), reason), None))
        }
        (None, None) => Ok(()),
    }
}
