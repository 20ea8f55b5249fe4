//! OTLP over HTTP: protobuf or JSON, and the answer in the same.

use super::super::accept::Logs;
use super::super::body::Unusable;
use super::super::exported::{NotTaken, exported};
use super::{NO_ROOM, Shared, retry_after, taken_over};
use crate::server::Caller;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use prost::Message;
use serde::Serialize;
use std::sync::Arc;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// What OTLP answers an error with: google.rpc.Status without its details.
#[derive(Clone, PartialEq, Message, Serialize)]
struct Failure {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

pub async fn logs(
    State((shared, logs)): State<(Arc<Shared>, Logs)>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (began, taken_over) = (shared.acceptor.clock.boot_time(), taken_over(&headers));
    let json = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(JSON.as_bytes()));
    let taken = match shared.acceptor.batches.take(caller.address.ip()) {
        Err(wait) => Err((Unusable(StatusCode::TOO_MANY_REQUESTS, super::TOO_OFTEN.into()), Some(retry_after(wait)))),
        Ok(()) => take(&shared, &logs, &headers, body, json, &taken_over).await,
    };
    let answer = match taken {
        Ok(response) => encoded(StatusCode::OK, &response, json),
        Err((Unusable(status, message), retry)) => {
            let mut answer = encoded(status, &Failure { code: code(status), message }, json);
            if let Some(seconds) = retry {
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            answer
        }
    };
    shared.answered("otlp", began, &taken_over, answer)
}

type Refused = (Unusable, Option<u64>);

async fn take(
    shared: &Shared,
    logs: &Logs,
    headers: &HeaderMap,
    body: Body,
    json: bool,
    taken_over: &super::Headers,
) -> Result<ExportLogsServiceResponse, Refused> {
    let bad = |message: String| (Unusable(StatusCode::BAD_REQUEST, message), None);
    let busy = |error: Unusable| {
        let retry = (error.0 == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        (error, retry)
    };
    let (_, content) = shared.body(headers, body, &[PROTOBUF, JSON]).await.map_err(busy)?;
    let request: ExportLogsServiceRequest = match json {
        true => serde_json::from_slice(&content.bytes).map_err(|error| bad(super::unreadable(&error)))?,
        false => Message::decode(content.bytes.as_slice()).map_err(|error| bad(format!("not OTLP: {error}")))?,
    };
    drop(content);
    exported(logs, request, taken_over).await.map_err(|not_taken| match not_taken {
        NotTaken::TooMany(reason) => (Unusable(StatusCode::PAYLOAD_TOO_LARGE, reason), None),
        NotTaken::Later(reason) => (Unusable(StatusCode::SERVICE_UNAVAILABLE, reason), Some(NO_ROOM)),
    })
}

/// gRPC's code for it.
fn code(status: StatusCode) -> i32 {
    let code = match status {
        StatusCode::TOO_MANY_REQUESTS => tonic::Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => tonic::Code::Unavailable,
        _ => tonic::Code::InvalidArgument,
    };
    code as i32
}

fn encoded<T: Message + Serialize>(status: StatusCode, message: &T, json: bool) -> Response {
    match json {
        true => super::json(status, message),
        false => (status, [(CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response(),
    }
}
