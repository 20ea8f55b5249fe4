//! Elasticsearch's bulk API, and as much of the rest of it as its clients ask before they send.

use super::super::accept::Refusal;
use super::super::bulk::items;
use super::{Came, Denied, Way, json};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json as value};

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

pub async fn bulk(state: State<Way>, came: Came, body: Body) -> Response {
    bulk_of(state, Path(INDEX.to_owned()), came, body).await
}

pub async fn bulk_of(State(way): State<Way>, Path(index): Path<String>, came: Came, body: Body) -> Response {
    let answer = match take(&way, &index, &came, body).await {
        Ok(items) => {
            let took = way.shared.acceptor.clock.boot_time().since(came.began).as_millis() as u64;
            let errors = items.iter().any(|(_, is_error)| *is_error);
            let items = items.into_iter().map(|(item, _)| item).collect();
            json(StatusCode::OK, &Answer { took, errors, items })
        }
        Err(Denied { status, reason, retry_after }) => {
            let error = value!({ "type": kind(status), "reason": reason });
            let answer = json(status, &value!({ "error": error, "status": status.as_u16() }));
            Denied::told(retry_after, answer)
        }
    };
    came.answered("bulk", ([PRODUCT], answer).into_response())
}

/// What became of each item, and whether that is an error.
async fn take(Way { shared, logs }: &Way, index: &str, came: &Came, body: Body) -> Result<Vec<(Value, bool)>, Denied> {
    let (_, content) = came.read(&shared.acceptor.batches, body, &TYPES).await?;
    let items = items(&content.bytes, index, shared.acceptor.config.batch_events, logs.arrival());
    drop(content);
    let items = items.map_err(|rejected| Denied::from(&rejected))?;
    let (of, events): (Vec<_>, Vec<_>) = items.into_iter().map(|item| ((item.action, item.index), item.event)).unzip();
    let answers = logs.door.accept(events, &came.taken_over).await;
    let later = answers.iter().filter_map(|answer| answer.as_ref().err()).find(|refusal| refusal.may_come_again());
    match later {
        // Nothing has been taken: clients send all of it again.
        Some(later) if answers.iter().all(Result::is_err) => Err(later.into()),
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
            let status = match refusal.may_come_again() {
                // Clients send such an item again, and no other.
                true => StatusCode::TOO_MANY_REQUESTS,
                false => Denied::from(refusal).status,
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
