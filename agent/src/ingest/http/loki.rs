//! Loki's push API: JSON, or protobuf packed with snappy. Answered as Loki answers: with nothing, or with one line.

use super::super::body;
use super::super::loki::Push;
use super::{Came, Denied, Way};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// Loki's own default.
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

pub async fn push(State(way): State<Way>, came: Came, body: Body) -> Response {
    let answer = match take(&way, &came, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Denied { status, reason, retry_after }) => {
            let line = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
            Denied::told(retry_after, (status, line, reason + "\n").into_response())
        }
    };
    came.answered("loki", answer)
}

async fn take(Way { shared, logs }: &Way, came: &Came, body: Body) -> Result<(), Denied> {
    let bad = |reason: String| Denied::new(StatusCode::BAD_REQUEST, reason);
    let config = &shared.acceptor.config;
    let (kind, content) = came.read(&shared.acceptor.batches, body, &[PROTOBUF, JSON]).await?;
    let push = match kind {
        JSON => {
            let push = Push::from_json(&content.bytes).map_err(|error| bad(super::unreadable(&error)))?;
            drop(content);
            push
        }
        _ => {
            let content = body::unsnap(content, config.body_bytes)?;
            Push::from_protobuf(&content.bytes).map_err(bad)?
        }
    };
    let most = config.batch_events;
    if push.count() > most {
        return Err(Denied::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the batch has more than {most} events")));
    }
    let answers = logs.door.accept(push.events(logs.arrival()), &came.taken_over).await;
    let refusals: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    match (refusals.iter().find(|refusal| refusal.may_come_again()), refusals.first()) {
        (Some(later), _) => Err(Denied::from(*later)),
        // Its sender gives it up; the other lines are accepted.
        (None, Some(first)) => {
            let reason = format!("{} of {} lines are not accepted: {}", refusals.len(), answers.len(), first.reason());
            Err(Denied { reason, ..Denied::from(*first) })
        }
        (None, None) => Ok(()),
    }
}
